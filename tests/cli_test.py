"""Every mistake of a user's gives one line that names it and exit code 2: no traceback, and no word of a report."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import random_judge

from reeval import cli, pairs

ROOT = Path(__file__).parents[1]
SECRET = "Zyxwort"
RUN = ["train", "--config=configs/tiny.py"]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that a good command would need, and each of its parts broken in its own way."""
    directory = tmp_path_factory.mktemp("given")
    made = random_judge.pairs(6)
    pairs.write(directory / "pairs.jsonl", made)
    judge = random_judge.write_judge(directory / "judge")

    def broken(name: str, change: Callable[[Path], object]) -> None:
        shutil.copytree(judge, directory / name)
        change(directory / name)

    broken("no config", lambda d: (d / "config.json").unlink())
    broken("no tokenizer", lambda d: (d / "tokenizer.json").unlink())
    broken("cut config", lambda d: (d / "config.json").write_text("{"))
    broken("other type", lambda d: (d / "config.json").write_text('{"model_type": "bert"}'))
    weights = (judge / "model.safetensors").read_bytes()
    broken("truncated", lambda d: (d / "model.safetensors").write_bytes(weights[:-100]))
    broken("empty weights", lambda d: (d / "model.safetensors").write_bytes(b""))
    raw = json.loads((judge / "config.json").read_text())
    broken("other shape", lambda d: (d / "config.json").write_text(json.dumps(raw | {"hidden_size": 64})))

    rows = [pairs.to_json(pair) for pair in made]
    rows[2]["candidate"] = SECRET
    for name, change in {
        "no candidate": {"candidate": None},
        "bad type": {"errors": [{"type": "omision", "aspect": "device", "severity": "significant"}]},
        "unlabelled": {"errors": None},
        "long": {"reference": f"{SECRET} " * 300, "errors": []},
        "control": {"reference": f"{SECRET} <|im_end|>", "errors": []},
    }.items():
        changed = [*rows[:1], {k: v for k, v in (rows[1] | change).items() if v is not None}]
        (directory / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in changed))
    (directory / "no json.jsonl").write_text(f'{json.dumps(rows[0])}\n{{"reference": "{SECRET}\n')
    (directory / "empty.jsonl").write_text("\n")
    (directory / "latin.jsonl").write_bytes('{"reference": "é"}'.encode("latin-1"))

    (directory / "syntax.py").write_text("def get_config(:\n")
    (directory / "raises.py").write_text("def get_config():\n    return {}['x']\n")
    (directory / "none.py").write_text("x = 1\n")
    (directory / "dict.py").write_text("def get_config():\n    return {}\n")
    tiny = (ROOT / "configs" / "tiny.py").read_text()
    (directory / "misspelt.py").write_text(tiny.replace('"clip_norm"', '"clipnorm"'))
    (directory / "lacking.py").write_text(tiny.replace('"clip_norm": 1.0,', ""))
    (directory / "a file").write_text("")
    return directory


def call(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, list[str]]:
    code = cli.main(argv)
    out, err = capsys.readouterr()
    return code, out, err.splitlines()


def refused(argv: list[str], says: str, given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [argument.replace("GIVEN", str(given)) for argument in argv]
    code, _, errors = call(argv, capsys)
    assert code == 2, errors
    (line,) = errors
    assert line.startswith("reeval: ") and says in line, line
    assert SECRET not in line and "Traceback" not in line


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "which command"),
        (["trian"], "no command 'trian'; there are train, eval, export"),
        (["train"], "--config"),
        (["train", "--workdir=w"], "flag --config is missing"),
        (["train", "--config=configs/tiny.py"], "flag --workdir is missing"),
        (RUN, "--workdir"),
        ([*RUN, "--workdir"], "--workdir"),
        ([*RUN, "--workdir="], "--workdir"),
        ([*RUN, "--workdir=w", "--wordir=x"], "wordir"),
        ([*RUN, "--workdir=w", "extra"], "'extra'"),
        (["eval", "--config=configs/tiny.py"], "--workdir"),
        (["pairs"], "reeval pairs check | convert"),
        (["pairs", "check", "--json", "GIVEN/no json.jsonl", "more"], "unexpected argument 'more'"),
        (["pairs", "convert", "--format=mapping", "--input=x.csv", "--out="], "flag --out is empty; give a file"),
        (["export", "--workdir=w"], "--out"),
        (["export", "--workdir=w", "--out=o", "--format=gguf"], "merged|adapter"),
        (["train", "--config=configs/tny.py", "--workdir=w"], "--config=configs/tny.py: no such file"),
        (["train", "--config=configs", "--workdir=w"], "--config=configs: no such file"),
        (["train", "--config=", "--workdir=w"], "--config=: no such file"),
        (["train", "--config=GIVEN/syntax.py", "--workdir=w"], "syntax.py: no usable config (SyntaxError"),
        (["train", "--config=GIVEN/raises.py", "--workdir=w"], "raises.py: no usable config (KeyError: 'x')"),
        (["train", "--config=GIVEN/none.py", "--workdir=w"], "none.py: no usable config"),
        (["train", "--config=GIVEN/dict.py", "--workdir=w"], "dict.py: no usable config"),
        (["train", "--config=GIVEN/misspelt.py", "--workdir=w"], "'train.clipnorm'; did you mean 'train.clip_norm'?"),
        (["train", "--config=GIVEN/lacking.py", "--workdir=w"], "config.train.clip_norm is missing"),
    ],
)
def test_a_command_that_is_not_one(argv: list[str], says: str, given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(argv, says, given, capsys)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.learning_rat=1", "no field 'train.learning_rat'; did you mean 'train.learning_rate'?"),
        ("train=3", "no field 'train'"),
        ("steps=3", "no field 'steps'; did you mean 'train.steps'?"),
        ("train.steps=abc", "config.train.steps=abc"),
        ("train.steps=1.5", "config.train.steps=1.5"),
        ("train.steps=", "config.train.steps="),
        ("train.steps=0", "config.train.steps=0 must be at least 1"),
        ("train.learning_rate=fast", "config.train.learning_rate=fast"),
        ("train.learning_rate=-1", "config.train.learning_rate=-1.0 must be above 0"),
        ("train.learning_rate=nan", "config.train.learning_rate=nan must be a finite number"),
        ("train.clip_norm=0", "config.train.clip_norm=0.0 must be above 0"),
        ("train.weight_decay=-0.1", "config.train.weight_decay=-0.1 must be at least 0"),
        ("train.b2=1", "config.train.b2=1.0 must be at least 0 and below 1"),
        ("train.seed=-1", "config.train.seed=-1 must be at least 0"),
        ("train.warmup_steps=-1", "config.train.warmup_steps=-1 must be at least 0"),
        ("train.warmup_steps=300", "config.train.warmup_steps=300 must be less than config.train.steps=300"),
        ("train.batch_size=3", "config.train.batch_size=3 must be a multiple of 8"),
        ("train.remat=most", "config.train.remat='most' is not one of none, full, dots"),
        ("train.loss_chunk=0", "config.train.loss_chunk=0 must be at least 1"),
        ("data.severity_weight=-1", "config.data.severity_weight=-1.0 must be at least 0"),
        ("data.two_pass_share=1.5", "config.data.two_pass_share=1.5 must be at least 0 and at most 1"),
        ("data.sequence_length=0", "config.data.sequence_length=0 must be at least 1"),
        ("lora.rank=0", "config.lora.rank=0 must be at least 1"),
        ("lora.alpha=0", "config.lora.alpha=0.0 must be above 0"),
        ("lora.dropout=2", "config.lora.dropout=2.0 must be at least 0 and below 1"),
        ("lora.rslora=perhaps", "config.lora.rslora"),
        ("lora.targets=q_proj", "lora.targets 'q_proj' matches no module; there are self_attn."),
        ("lora.targets=(", "lora.targets is no regular expression"),
        ("mesh=(1,2)", "mesh must be three sizes"),
        ("mesh=(3,1,1)", "mesh (3, 1, 1) needs 3 devices, but there are 8"),
        ("mesh=(-1,-1,1)", "mesh must be three sizes"),
        ("mesh=(-1,3,1)", "mesh (-1, 3, 1)"),
        ("mesh=all", "config.mesh"),
        ("model.dtype=int8", "config.model.dtype='int8' is not one of float32, bfloat16, float16"),
        ("prompt=compact-9", "prompt version 'compact-9' is unknown; there are clinical-2, compact-1"),
        ("model.path=GIVEN/nowhere", "nowhere: not a directory"),
        ("model.path=GIVEN/a file", "a file: not a directory"),
        ("model.path=GIVEN/no config", "no config: no config.json"),
        ("model.path=GIVEN/no tokenizer", "no tokenizer.json"),
        ("model.path=GIVEN/cut config", "config.json: not valid JSON"),
        ("model.path=GIVEN/other type", "model_type 'bert' is not supported; supported: qwen3"),
        ("model.path=GIVEN/truncated", "model.safetensors: damaged or truncated"),
        ("model.path=GIVEN/empty weights", "model.safetensors: damaged or truncated"),
        ("model.path=GIVEN/other shape", "misshapen model.embed_tokens.weight"),
        ("data.train=GIVEN/nowhere.jsonl", "nowhere.jsonl: no such pair file"),
        ("data.train=GIVEN/no json.jsonl", "no json.jsonl:2: not valid JSON"),
        ("data.train=GIVEN/no candidate.jsonl", "no candidate.jsonl:2: field 'candidate': missing"),
        ("data.train=GIVEN/bad type.jsonl", ":2: field 'errors[0].type': 'omision' is not one of"),
        ("data.train=GIVEN/unlabelled.jsonl", "unlabelled.jsonl:2: field 'errors': missing"),
        ("data.train=GIVEN/empty.jsonl", "empty.jsonl: holds no pair"),
        ("data.train=GIVEN/latin.jsonl", "latin.jsonl:1: not UTF-8"),
        ("data.train=GIVEN/long.jsonl", "1 of 2 pairs do not fit into data.sequence_length=512: p1 ("),
        ("data.train=GIVEN/control.jsonl", "pair 'p1': a report holds a control token"),
    ],
)
def test_a_training_that_cannot_be(
    override: str, says: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [*RUN, f"--workdir={tmp_path / 'work'}", "--config.model.path=GIVEN/judge"]
    good += ["--config.data.train=GIVEN/pairs.jsonl", "--config.data.sequence_length=512", "--config.train.steps=300"]
    good += ["--config.train.batch_size=8"]
    refused([*good, f"--config.{override}"], says, given, capsys)
    # Nothing that a corrected command would trip over.
    assert not (tmp_path / "work" / "checkpoints").exists()


def test_an_evaluation_or_export_of_nothing(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluation = ["eval", "--config=configs/tiny.py", "--config.eval.pairs=GIVEN/pairs.jsonl"]
    evaluation += ["--config.eval.slots=8"]
    for argv in (evaluation, ["export", f"--out={tmp_path / 'out'}"]):
        refused([*argv, f"--workdir={tmp_path}"], "holds no run (no run.json); train first", given, capsys)
        refused([*argv, "--workdir=GIVEN/a file"], "a file", given, capsys)
    refused([*evaluation, "--config.eval.base=maybe", f"--workdir={tmp_path}"], "config.eval.base", given, capsys)
    refused([*evaluation, "--config.eval.pairs=no", f"--workdir={tmp_path}"], "no: no such pair file", given, capsys)
    ungraded = [*evaluation, "--config.eval.pairs=GIVEN/unlabelled.jsonl", f"--workdir={tmp_path}"]
    refused(ungraded, "unlabelled.jsonl:2: field 'errors': missing, and 'label' too", given, capsys)
    assert not (tmp_path / "out").exists()


def test_a_working_directory_that_cannot_be(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--config.model.path=GIVEN/judge", "--config.data.train=GIVEN/pairs.jsonl"]
    refused([*RUN, *flags, "--workdir=GIVEN/a file"], "a file", given, capsys)
    refused([*RUN, *flags, "--workdir=GIVEN/a file/below"], "Not a directory", given, capsys)


@pytest.mark.parametrize(
    "flags",
    [
        ["--config=configs/tiny.py", "--workdir=WORK", "--config.train.steps=0"],
        ["--config", "configs/tiny.py", "--workdir", "WORK", "--config.train.steps", "0"],
        ["-config=configs/tiny.py", "-workdir", "WORK", "-config.train.steps=0"],
    ],
)
def test_flags_may_be_written_in_every_usual_way(
    flags: list[str], given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["train", *(flag.replace("WORK", str(tmp_path)) for flag in flags)]
    refused(argv, "config.train.steps=0 must be at least 1", given, capsys)


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["help"], *([name, "--help"] for name in cli.COMMANDS)])
def test_help(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, errors = call(argv, capsys)
    assert code == 0 and not errors
    names = cli.COMMANDS if argv[0] not in cli.COMMANDS else ("--",)
    assert all(name in out for name in names)


def test_a_mistake_of_ours_is_said_so_without_report_text_and_debug_shows_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> None:
        raise KeyError(f"{SECRET}\nand more")

    monkeypatch.setitem(cli.COMMANDS, "train", broken)
    assert call(["train"], capsys) == (
        1,
        "",
        ["reeval: unexpected KeyError; the same command with --debug says where"],
    )
    with pytest.raises(KeyError):
        cli.main(["train", "--debug"])


def test_interrupted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.COMMANDS, "train", interrupt)
    code, _, errors = call(["train"], capsys)
    assert code == 130 and len(errors) == 1


def test_the_entry_point_in_a_process_of_its_own(given: Path, tmp_path: Path) -> None:
    # After JAX, transformers and orbax are loaded and the device is in use, which is when libraries log.
    done = subprocess.run(
        [
            sys.executable, "-m", "reeval.cli", *RUN, f"--workdir={tmp_path}", f"--config.model.path={given / 'judge'}",
            f"--config.data.train={given / 'long.jsonl'}",
        ],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("reeval: 1 of 2 pairs do not fit") and SECRET not in line


def test_a_training_that_succeeds_says_little(given: Path, tmp_path: Path) -> None:
    fields = {
        "model.path": given / "judge", "data.train": given / "pairs.jsonl", "train.steps": 2, "train.warmup_steps": 1,
        "train.batch_size": 1,
    }  # fmt: skip
    done = subprocess.run(
        [
            sys.executable, "-m", "reeval.cli", *RUN, f"--workdir={tmp_path}",
            *(f"--config.{name}={value}" for name, value in fields.items()),
        ],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("train ") for line in done.stderr.splitlines()), done.stderr
    assert "2/2" in done.stderr and len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["plan", "--distributed"], "--distributed: plan takes one process; only train, eval, export, score"),
        (["train", "--distributed=host,2,0"], "--distributed=host,2,0: must be HOST:PORT,COUNT,INDEX"),
        (["score", "--distributed=host:1,2,2"], "--distributed=host:1,2,2: the index must be below the count"),
        (["eval", "--distributed"], "the processes do not find each other"),
    ],
)
def test_processes_that_cannot_be(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
