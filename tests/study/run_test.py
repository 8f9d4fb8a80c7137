"""`reeval compare` from its line to its files: it goes on where it was killed, and one that fails stops no other."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chat_server import ChatServer, Reply

from reeval import cli, pairs, verdicts
from reeval.pairs import Error, Pair
from reeval.verdicts import Verdict

ROOT = Path(__file__).parents[2]
SECRET = "Zyxwort"
ERROR = Error("inaccuracy", "laterality", "right", "left", "significant")
SAID = verdicts.render(Verdict((ERROR,)))
PAIRS = [
    Pair(f"p{n}", f"r{n // 2}", f"{SECRET} right. Number {n}.", f"{SECRET} {'left' if n % 2 else 'right'}. Number {n}.",
         errors=(ERROR,) if n % 2 else ())
    for n in range(12)
]  # fmt: skip
CONFIG = """from ml_collections import ConfigDict


def get_config():
    return ConfigDict({{"pairs": {pairs!r}, "cache": "", "seed": 0, "resamples": 100, "permutations": 100,
                       "confidence": 0.95, "evaluators": {evaluators!r}}})
"""


@pytest.fixture
def study(tmp_path):
    """Writes a study's config, and gives the arguments of its command."""

    def make(evaluators, graded=PAIRS):
        pairs.write(tmp_path / "pairs.jsonl", graded)
        path = tmp_path / "study.py"
        path.write_text(CONFIG.format(pairs=str(tmp_path / "pairs.jsonl"), evaluators=evaluators))
        return ["compare", f"--config={path}", f"--workdir={tmp_path / 'work'}"]

    return make


def endpoint(url, **changes):
    return {"kind": "endpoint", "base_url": url, "model": "m", "modes": ("one_pass",), "retries": 0, **changes}


def reply(question):
    text = question.body["messages"][0]["content"]
    return Reply(SAID if f"{SECRET} left" in text.rsplit("Candidate", 1)[1] else "none", usage=(10, 2))


def compared(tmp_path):
    return json.loads((tmp_path / "work" / "compare.json").read_text())


def test_every_kind_of_evaluator_is_judged_compared_and_written(study, tmp_path, capsys):
    (tmp_path / "stored.jsonl").write_text(
        "".join(json.dumps({"pair_id": p.pair_id, "text": "none"}) + "\n" for p in PAIRS)
    )
    with ChatServer(reply) as chat:
        line = study(
            {
                "chat": endpoint(chat.url),
                "kept": {"kind": "stored", "format": "text", "one_pass": str(tmp_path / "stored.jsonl")},
                "bleu": {"kind": "scalar", "metric": "bleu"},
            }
        )
        assert cli.main(line) == 0
        asked = len(chat.questions)
        assert cli.main(line) == 0 and len(chat.questions) == asked == 12
    found = compared(tmp_path)
    modes = {name: list(one["modes"]) for name, one in found["evaluators"].items()}
    assert modes == {"bleu": ["scalar"], "chat": ["one_pass"], "kept": ["one_pass"]}
    chat_summary, kept = (found["evaluators"][name]["modes"]["one_pass"]["summary"] for name in ("chat", "kept"))
    assert (chat_summary["D"]["percent"], chat_summary["R"]["percent"]) == (100, 100)
    assert (kept["D"]["percent"], kept["R"]["percent"]) == (0, 100)
    work = tmp_path / "work"
    assert list((work / "figures").glob("*.svg")) and list((work / "tensorboard").iterdir())
    assert json.loads((work / "study.json").read_text())["pairs"]["path"] == str(tmp_path / "pairs.jsonl")
    said = capsys.readouterr()
    for text in (said.out, said.err, (work / "compare.json").read_text(), (work / "study.json").read_text()):
        assert SECRET not in text
    assert SECRET not in "".join(path.read_text() for path in (work / "cache").rglob("*.json"))


def test_one_evaluator_that_fails_is_named_and_the_others_are_compared(study, tmp_path, capsys):
    with ChatServer(lambda question: Reply(status=401, body=SECRET.encode())) as chat:
        line = study({"chat": endpoint(chat.url), "bleu": {"kind": "scalar", "metric": "bleu"}})
        assert cli.main(line) == 1
    errors = capsys.readouterr().err.splitlines()
    assert any(said.startswith("reeval: chat one_pass: http://127") and "401" in said for said in errors)
    assert errors[-1].startswith("reeval: compared without chat one_pass") and SECRET not in "".join(errors)
    assert list(compared(tmp_path)["evaluators"]) == ["bleu"]


def test_where_every_evaluator_fails_nothing_is_compared(study, tmp_path, capsys):
    with ChatServer(lambda question: Reply(status=401, body=b"{}")) as chat:
        assert cli.main(study({"chat": endpoint(chat.url)})) == 1
    assert "no evaluator could judge the pairs" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "work" / "compare.json").exists()


@pytest.mark.parametrize(
    ("evaluators", "said"),
    [
        (
            {"far": endpoint("http://192.0.2.1/v1")},
            "evaluator far: base URL http://192.0.2.1/v1 is not on this",
        ),
        ({"kept": {"kind": "stored", "format": "text", "one_pass": "no.jsonl"}}, "no.jsonl: no such file"),
        ({"kept": {"kind": "stored", "format": "text"}}, "evaluator kept: one_pass and two_pass are both empty"),
    ],
)
def test_mistakes_end_with_one_line_before_any_work(study, tmp_path, capsys, evaluators, said):
    assert cli.main(study({"bleu": {"kind": "scalar", "metric": "bleu"}, **evaluators})) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "work").exists()


def test_a_flag_lets_reports_go_to_other_machines_with_a_warning(study, capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    line = study({"far": endpoint("http://192.0.2.1/v1")})
    assert cli.main([*line, "--allow-remote"]) == 2
    warning, mistake = capsys.readouterr().err.splitlines()
    assert "WARNING: report text is sent to http://192.0.2.1/v1" in warning
    assert "environment variable OPENAI_API_KEY: not set" in mistake


def test_pairs_with_nothing_to_hold_against_are_refused(study, capsys):
    bare = [Pair("p", "r", "One.", "Two.")]
    assert cli.main(study({"bleu": {"kind": "scalar", "metric": "bleu"}}, bare)) == 2
    assert "nothing to compare evaluators with" in capsys.readouterr().err


def test_a_threshold_of_one_reference_is_refused_before_any_work(study, tmp_path, capsys):
    alone = [Pair(p.pair_id, "r", p.reference, p.candidate, p.errors) for p in PAIRS]
    ranked = Pair("ranked", "other", "One.", "Two.", metadata={"rank": 1})
    assert cli.main(study({"bleu": {"kind": "scalar", "metric": "bleu"}}, [*alone, ranked])) == 2
    assert "have one reference_id, and the threshold of bleu is chosen" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"rank": "the worst"}, "pair 'last': metadata.rank must be a number"),
        ({"ratings": {"r1": SECRET}}, "pair 'last': metadata.ratings must have for each rater"),
    ],
)
def test_what_people_said_is_checked_before_any_work(study, tmp_path, capsys, metadata, said):
    graded = [*PAIRS, Pair("last", "r0", "One.", "Two.", metadata=metadata)]
    assert cli.main(study({"bleu": {"kind": "scalar", "metric": "bleu"}}, graded)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and "pairs.jsonl" in line and SECRET not in line
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_a_stopped_run_goes_on_and_asks_nothing_twice(study, tmp_path, end):
    hang = True

    def slowly(question):
        return reply(question) if question.number < 5 or not hang else Reply("none", wait=60)

    with ChatServer(slowly) as chat:
        line = [sys.executable, "-m", "reeval.cli", *study({"chat": endpoint(chat.url, concurrency=2)})]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
        log = tmp_path / "work" / "judgements" / "chat" / "one_pass.log.jsonl"
        with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as job:
            until = time.monotonic() + 120
            while len(chat.questions) < 7 and job.poll() is None and time.monotonic() < until:
                time.sleep(0.05)
            time.sleep(0.3)
            asked_to_end = time.monotonic()
            job.send_signal(end)
            said = job.communicate(timeout=30)[0].decode()
        assert time.monotonic() - asked_to_end < 15  # though answers are waited for that take a minute
        assert job.returncode == (75 if end == signal.SIGTERM else -9), said
        if end == signal.SIGTERM:
            assert "what was judged is saved" in said and SECRET not in said
        before = [question.body["messages"][0]["content"] for question in chat.questions[:5]]
        hang = False
        known = len(chat.questions)
        assert cli.main(line[3:]) == 0
        again = [question.body["messages"][0]["content"] for question in chat.questions[known:]]
    assert not set(before) & set(again) and len(again) == 7
    rows = [json.loads(row)["pair_id"] for row in log.read_text().splitlines()]
    assert sorted(rows) == sorted(pair.pair_id for pair in PAIRS)
    assert compared(tmp_path)["evaluators"]["chat"]["modes"]["one_pass"]["summary"]["D"]["percent"] == 100
