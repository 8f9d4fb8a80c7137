"""`reeval prefs`: rejected verdicts that are readable, wrong and of the reports' words; a file that is made once."""

import dataclasses
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import random_judge
from ml_collections import ConfigDict

from configs import tiny
from reeval import pairs, preferences, prompts, sharding
from reeval.cli import main
from reeval.evaluate.judge import read_answers
from reeval.files import LineLog
from reeval.pairs import Error, Pair
from reeval.prefs import command
from reeval.prefs.samples import wrong
from reeval.prefs.wrong import Cells, invented
from reeval.train import loop
from reeval.verdicts import Verdict

COUNT = 24


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a short run."""
    directory = tmp_path_factory.mktemp("run")
    random_judge.write_judge(directory / "model")
    pairs.write(directory / "train.jsonl", random_judge.pairs(COUNT))
    loop.train(config(directory), directory, mesh=sharding.single_device_mesh())
    return directory


def config(directory: Path) -> ConfigDict:
    made = tiny.get_config()
    made.model.path = str(directory / "model")
    made.data.update({"train": str(directory / "train.jsonl"), "sequence_length": 256})
    made.train.update({"steps": 2, "warmup_steps": 1, "checkpoint_every": 2})
    made.eval.update({"slots": 8, "max_prompt_tokens": 256, "max_answer_tokens": 60, "mesh": (8, 1, 1)})
    return made


def prefer(workdir: Path, out: Path, *flags: str) -> int:
    return main(["prefs", f"--workdir={workdir}", f"--out={out}", "--samples=2", *flags])


@pytest.fixture(scope="module")
def made(workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prefs") / "preferences.jsonl"
    assert prefer(workdir, out, "--per_pair=3") == 0
    return out


def verdict_of(mode: str, answers: Any) -> Verdict:
    status, verdict = read_answers(mode, answers, [True] * len(answers))
    assert status == "ok" and verdict is not None
    return verdict


def test_rejected_verdicts_are_readable_wrong_and_of_the_reports_words(workdir: Path, made: Path) -> None:
    by_id = {pair.pair_id: pair for pair in pairs.read(workdir / "train.jsonl", labelled=True)}
    read = preferences.read(made)
    assert len(read) == len({(p.pair_id, p.mode, p.rejected) for p in read})
    changed = Counter[str]()
    for each in read:
        pair = by_id[each.pair_id]
        assert each.chosen == tuple(prompts.gold_answers(each.mode, Verdict(pair.errors or ())))
        verdict = verdict_of(each.mode, each.rejected)
        assert each.rejected != each.chosen
        if each.kind != "sampled":
            for error in verdict.errors:
                assert error.reference_span in pair.reference and error.candidate_span in pair.candidate
        changed[each.kind] += verdict.significant != pair.significant
        if each.kind == "severity":
            spans = [(e.type, e.aspect, e.reference_span, e.candidate_span) for e in verdict.errors]
            assert spans == [(e.type, e.aspect, e.reference_span, e.candidate_span) for e in pair.errors or ()]
            assert verdict.significant != pair.significant
        elif each.kind == "sampled":
            assert verdict.significant != pair.significant
        else:
            more = 1 if each.kind == "invented" else -len(each.made_by["dropped"])
            assert len(verdict.errors) == len(pair.errors or ()) + more
    counts = Counter(each.kind for each in read)
    assert set(counts) == set(preferences.KINDS) and changed["invented"] and changed["dropped"]
    assert {each.mode for each in read} == set(prompts.MODES)


def test_the_mixture_decides_the_kinds(workdir: Path, tmp_path: Path) -> None:
    assert prefer(workdir, tmp_path / "out.jsonl", "--mixture=dropped:1") == 0
    assert {each.kind for each in preferences.read(tmp_path / "out.jsonl")} == {"dropped"}
    assert not (tmp_path / "out.jsonl.samples.jsonl").exists(), "nobody asked the judge"


def test_counts_follow_the_mixture_and_other_kinds_fill_in(workdir: Path, tmp_path: Path) -> None:
    more = ". heart normal in size"  # words that no error speaks of
    many = [
        dataclasses.replace(pair, reference=pair.reference + more, candidate=pair.candidate + more)
        for pair in random_judge.pairs(400)
    ]
    without_errors = {pair.pair_id for pair in many if not pair.errors}
    assert 20 < len(without_errors) < 380
    pairs.write(tmp_path / "many.jsonl", many)
    out, asked = tmp_path / "out.jsonl", ["--mixture=severity:1,invented:3", "--per_pair=1", "--two_pass_share=0.25"]
    assert prefer(workdir, out, f"--pairs={tmp_path / 'many.jsonl'}", *asked) == 0
    read = preferences.read(out)
    assert [each.pair_id for each in read] == [pair.pair_id for pair in many], "each pair gives one"
    assert {each.kind for each in read if each.pair_id in without_errors} == {"invented"}
    kinds = [each.kind for each in read if each.pair_id not in without_errors]
    assert kinds.count("severity") / len(kinds) == pytest.approx(0.25, abs=0.08)
    assert sum(each.mode == "two_pass" for each in read) / len(read) == pytest.approx(0.25, abs=0.08)


def test_where_the_judge_is_right_nothing_takes_the_place_of_its_mistakes() -> None:
    many = [pair for pair in random_judge.pairs(400) if pair.errors]
    options = command.Options("", "", "", 1, {"sampled": 3.0, "dropped": 1.0}, 0.5, None, 1, 1.0, 0, 0)
    cells = Cells(many)
    made = [each for pair in many for each in command._of_pair(pair, options, cells, {})]
    assert {each.kind for each in made} == {"dropped"}
    assert len(made) / len(many) == pytest.approx(0.25, abs=0.08)


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_so_many_of_significant_pairs_as_were_asked_for(workdir: Path, tmp_path: Path, share: float) -> None:
    many = random_judge.pairs(400)
    pairs.write(tmp_path / "many.jsonl", many)
    asked = [f"--pairs={tmp_path / 'many.jsonl'}", "--mixture=dropped:1", "--per_pair=1"]
    assert prefer(workdir, tmp_path / "all.jsonl", *asked) == 0
    assert prefer(workdir, tmp_path / "some.jsonl", *asked, f"--significant={share}") == 0
    every, some = (preferences.read(tmp_path / f"{name}.jsonl") for name in ("all", "some"))
    significant = {pair.pair_id for pair in many if pair.significant}
    of = [each.pair_id in significant for each in some]
    assert sum(of) / len(of) == pytest.approx(share, abs=0.01)
    assert [each for each in every if each in some] == some, "of those, in their order"
    sides = [sum((each.pair_id in significant) == side for each in every) for side in (True, False)]
    assert sum(of) == sides[0] or len(of) - sum(of) == sides[1], "no more left out than has to be"


def test_what_came_of_it_stands_beside_it_and_a_finished_file_stays(workdir: Path, made: Path) -> None:
    beside = made.with_name("preferences.jsonl.settings.json")
    came = json.loads(beside.read_text())["came_of_it"]
    assert came["preferences"] == Counter(f"{each.kind} {each.mode}" for each in preferences.read(made))
    assert came["samples"]["drawn"] == 4 * COUNT and came["samples"]["unparsable"] == 0
    assert 0 < came["samples"]["wrong_and_different"] <= 4 * COUNT
    before = made.read_bytes(), beside.read_bytes()
    assert prefer(workdir, made, "--per_pair=3") == 0
    assert (made.read_bytes(), beside.read_bytes()) == before


def test_nobody_but_the_owner_reads_what_quotes_reports(made: Path) -> None:
    for path in (made, made.with_name("preferences.jsonl.samples.jsonl")):
        assert path.stat().st_mode & 0o077 == 0


def test_damaged_settings_are_one_line(workdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in ("{", "[]"):
        (tmp_path / "out.jsonl.settings.json").write_text(content)
        assert prefer(workdir, tmp_path / "out.jsonl", "--mixture=dropped:1") == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "out.jsonl.settings.json: damaged; move it away" in line


def test_an_invented_error_cuts_no_number() -> None:
    pair = Pair("a", "a", "There is a 2.5 cm nodule.", "A 2.5 cm nodule is seen. No pneumothorax is seen.", errors=())
    spans = set()
    for seed in range(20):
        made = invented(pair, random.Random(seed), Cells([pair]))
        assert made is not None
        (error,) = made.verdict.errors
        spans |= {error.reference_span, error.candidate_span}
    assert "A 2.5 cm nodule is seen" in spans
    assert not any(error.startswith("No pneumothorax") for error in spans), "reworded ones come first"
    assert not {span for span in spans if "5 cm" in span and "2.5 cm" not in span}


def test_invented_errors_have_the_types_of_gold_ones_and_their_full_stops() -> None:
    pair = Pair("a", "a", "The heart is normal in size.", "The heart is of normal size.", errors=())
    lone = Error("fabrication", "finding", "", "Here.", "significant")
    gold = [Pair("b", "b", "There.", "Here.", errors=(lone,) * 4)]
    gold.append(
        Pair("c", "c", "There.", "Here.", errors=(Error("inaccuracy", "finding", "There", "Here", "significant"),))
    )
    made = [invented(pair, random.Random(seed), Cells(gold)) for seed in range(200)]
    types = Counter(each.verdict.errors[0].type for each in made if each)
    assert set(types) == {"fabrication", "inaccuracy"} and types["fabrication"] == pytest.approx(160, abs=20)
    for each in made:
        assert each is not None
        (error,) = each.verdict.errors
        assert error.candidate_span.endswith(".") == (error.type == "fabrication")


def test_what_it_is_made_from_stands_beside_it(workdir: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = json.loads(made.with_name("preferences.jsonl.settings.json").read_text())
    assert said["step"] == 2 and said["samples"] == 2 and said["run"]["data"]["train"].endswith("train.jsonl")
    assert {"trained_sha256", "pairs_sha256", "mixture", "seed", "temperature", "versions"} <= set(said)
    assert prefer(workdir, made, "--per_pair=3", "--seed=1") == 2
    assert "is made from something else (seed)" in capsys.readouterr().err


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    workdir: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    append, out = LineLog.append, tmp_path / "preferences.jsonl"

    def fail(self: LineLog, rows: list[dict[str, Any]]) -> None:
        append(self, rows)
        if len(self.rows) > COUNT:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(LineLog, "append", fail)
        with pytest.raises(Killed):
            prefer(workdir, out, "--per_pair=3", "--debug")
    drawn = (tmp_path / "preferences.jsonl.samples.jsonl").read_bytes().split(b"\n")[:-1]
    assert COUNT < len(drawn) < 4 * COUNT and not out.exists()
    assert prefer(workdir, out, "--per_pair=3") == 0
    assert out.read_bytes() == made.read_bytes()
    again = (tmp_path / "preferences.jsonl.samples.jsonl").read_bytes().split(b"\n")[:-1]
    assert again[: len(drawn)] == drawn and len(again) == 4 * COUNT


def test_samples_are_wrong_by_the_rules_of_d_and_r() -> None:
    some = random_judge.pairs(8)
    gold = {pair.pair_id: pair.significant for pair in some}
    assert set(gold.values()) == {True, False}
    samples = [
        {"pair_id": name, "mode": "one_pass", "sample": n, "raw": [raw], "parse_status": status, "significant": said}
        for name in gold
        for n, (raw, status, said) in enumerate(
            [("a", "ok", True), ("b", "ok", False), ("a", "ok", True), ("c", "pass 1: bad", None)]
        )
    ]
    found = wrong(samples, some)
    assert {name: [row["raw"] for row in rows] for (name, _), rows in found.items()} == {
        name: [["b"]] if significant else [["a"]] for name, significant in gold.items()
    }


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--mixture=wrong:1"], "--mixture=wrong:1: must be kind:share, of severity, invented, dropped, sampled"),
        (["--mixture=dropped:x"], "--mixture=dropped:x: must be kind:share"),
        (["--significant=1"], "--significant=1.0: must be a share above 0 and below 1"),
        (["--mixture=dropped:0"], "--mixture=dropped:0: no kind has a share"),
        (["--two_pass_share=2"], "--two_pass_share=2.0: must be a share from 0 to 1"),
        (["--temperature=-1"], "--temperature=-1.0: must be a number of at least 0"),
        (["--temperature=nan"], "--temperature=nan: must be a number of at least 0"),
        (["--pairs=nowhere.jsonl"], "nowhere.jsonl: no such pair file"),
        (["--out=no/where/out.jsonl"], "no directory no/where; make it first"),
    ],
)
def test_mistakes_are_one_line(
    flags: list[str], says: str, workdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prefer(workdir, tmp_path / "out.jsonl", *flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert list(tmp_path.iterdir()) == []


GOOD = {
    "pair_id": "a",
    "mode": "one_pass",
    "kind": "severity",
    "chosen": ["none"],
    "rejected": ["secret words"],
    "made_by": {},
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mode": "both"}, "mode is not one of one_pass, two_pass"),
        ({"kind": "odd"}, "kind is not one of"),
        ({"chosen": "none"}, "chosen must be a list of texts"),
        ({"rejected": ["secret words", "more"]}, "rejected has 2 answers, which are not those of one_pass"),
        ({"rejected": ["none"]}, "chosen and rejected are the same"),
        ({"made_by": 3}, "pair_id must be text, made_by an object"),
        ({"more": 1}, "must be an object with pair_id, mode, kind, chosen, rejected, made_by"),
    ],
)
def test_a_bad_line_is_named_and_not_quoted(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text(json.dumps(GOOD) + "\n")
    assert preferences.read(path)[0].rejected == ("secret words",)
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps(GOOD | change) + "\n")
    with pytest.raises(ValueError, match=rf"some\.jsonl:2: {says}") as caught:
        preferences.read(path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"pair_id": "\xe9"}', "holds what is no text; save the file as UTF-8"),
        (json.dumps(GOOD).replace("secret words", "\\ud800").encode(), "holds what is no text"),
        (b"secret", "is no JSON object"),
    ],
)
def test_a_line_that_is_no_text_is_named(line: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n" + line + b"\n")
    with pytest.raises(ValueError, match=rf"some\.jsonl:2: {says}") as caught:
        preferences.read(path)
    assert "secret" not in str(caught.value)
