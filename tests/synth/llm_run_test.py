"""reeval synth --writer=llm against a real server: pairs in a model's words, and a run that goes on after a fault."""

import json
from pathlib import Path

import pytest
from chat_server import ChatServer, Question, Reply

from reeval import cli, pairs
from reeval.synth import generator


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("reports") / "reports.jsonl"
    rows = [{"study_id": r.reference_id, "report": r.text.strip()} for r in generator.reports("train", 12, 5)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")


def at_a_loss(reference: str) -> bool:
    return len(reference) % 3 == 0


def writer(question: Question) -> Reply:
    """A model that writes each sentence on a line of its own, and is at a loss for a third of the references."""
    asked = question.asked
    if at_a_loss(asked["reference"]):
        return Reply("I had rather not.")

    def lines(text: str) -> str:
        return text.replace(". ", ".\n")

    errors = [
        {"reference_span": e["reference_span"], "candidate_span": lines(e["draft_span"])} for e in asked["errors"]
    ]
    candidate = lines(asked["draft"]) + "\nThank you."
    return Reply(json.dumps({"candidate": candidate, "errors": errors}))


def command(reports: Path, out: Path, url: str) -> list[str]:
    return [
        "synth", f"--reports={reports}", f"--out={out}", "--count=16", "--varied=0", "--writer=llm", "--model=scribe",
        f"--base-url={url}",
    ]  # fmt: skip


def test_pairs_in_a_models_words(reports, tmp_path, capsys):
    out = tmp_path / "pairs.jsonl"
    with ChatServer(writer) as server:
        assert cli.main(command(reports, out, server.url)) == 0
    made = pairs.read(out, labelled=True)
    summary = json.loads((tmp_path / "pairs.jsonl.synth.json").read_text())["summary"]
    assert summary["pairs"] == len(made) >= 4
    assert len(made) + sum(summary["dropped"].values()) == 16
    assert summary["dropped"]["json"] > 0
    for pair in made:
        assert pair.metadata["writer"]["model"] == "scribe" and "pieces" not in pair.metadata
        assert not at_a_loss(pair.reference) and len(pair.metadata["rules"]) == len(pair.errors)
    assert oct(out.stat().st_mode & 0o777) == "0o600"
    said = capsys.readouterr().err
    assert not any(pair.reference[:40] in said for pair in made)


def test_a_server_that_dies_costs_nothing_that_was_written(reports, tmp_path, capsys):
    whole, out = tmp_path / "whole.jsonl", tmp_path / "pairs.jsonl"
    with ChatServer(writer) as server:
        assert cli.main(command(reports, whole, server.url)) == 0

    def dying(question: Question) -> Reply:
        return writer(question) if question.number < 25 else Reply(status=401, body=b"{}")

    with ChatServer(dying) as server:
        assert cli.main(command(reports, out, server.url)) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert (tmp_path / "pairs.jsonl.part").exists() and not out.exists()
    done = (tmp_path / "pairs.jsonl.part").read_bytes()
    with ChatServer(writer) as server:
        assert cli.main(command(reports, out, server.url)) == 0
    assert out.read_bytes().startswith(done)
    assert [p.pair_id for p in pairs.read(out)] == [p.pair_id for p in pairs.read(whole)]
    assert not (tmp_path / "pairs.jsonl.dropped").exists()
