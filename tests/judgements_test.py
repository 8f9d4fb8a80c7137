"""Judgement files: what is written is read back, and what is wrong with a row is one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from reeval import judgements
from reeval.judgements import Judgement
from reeval.pairs import Error

ERROR = Error("omission", "device", "PICC line", "", "significant")
ROW: dict[str, Any] = {"pair_id": "a", "parse_status": "ok"}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    made = [
        Judgement("a", "ok", ("text",), {}, (ERROR,), True, 0.9, None, 10, 3, 0.5, 0.01),
        Judgement("b", "repaired", ("x", "y"), {"code fence": 1}, (), False),
        Judgement("c", "cut off", ("x",)),
        Judgement("d", "ok", score=0.25),
    ]
    path = tmp_path / "out.jsonl"
    path.write_text(judgements.lines(made), encoding="utf-8")
    assert judgements.read(path) == made
    assert [each.parsed for each in made] == [True, True, False, True]


def test_verdicts_of_an_evaluation_are_judgements() -> None:
    error = {"type": "omission", "aspect": "device", "reference_span": "PICC line", "severity": "significant"}
    row = ROW | {"mode": "one_pass", "errors": [error], "significant": True, "probabilities": [0.9], "gold": True}
    assert judgements.judgement(row) == Judgement("a", "ok", errors=(ERROR,), significant=True)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("secret words", "2: is not JSON"),
        (json.dumps(["secret words"]), "2: must be a JSON object"),
        (json.dumps(ROW), "2: pair_id 'a' stands there twice"),
        (json.dumps(ROW | {"pair_id": 3}), "2: field 'pair_id'"),
        (json.dumps({"pair_id": "b"}), "2: field 'parse_status'"),
        (json.dumps({"pair_id": "b", "parse_status": "ok", "score": "secret words"}), "2: field 'score'"),
        (json.dumps({"pair_id": "b", "parse_status": "ok", "significant": "yes"}), "2: field 'significant'"),
        (json.dumps({"pair_id": "b", "parse_status": "ok", "errors": [{"kind": "secret words"}]}), "2: field 'errors'"),
        (json.dumps({"pair_id": "b", "parse_status": "ok", "errors": "secret words"}), "2: field 'errors'"),
        (json.dumps({"pair_id": "b", "parse_status": "ok", "raw": "secret words"}), "2: field 'raw'"),
        (json.dumps({"pair_id": "b", "parse_status": "ok", "raw": [["secret words"]]}), "2: field 'raw'"),
        (json.dumps({"pair_id": "b", "parse_status": "ok", "repairs": ["secret words"]}), "2: field 'repairs'"),
        (json.dumps({"pair_id": "b", "parse_status": "ok", "repairs": {"a": "secret words"}}), "2: field 'repairs'"),
    ],
)
def test_a_row_that_is_none_is_one_line(line: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(ValueError) as raised:
        judgements.read(path)
    assert says in str(raised.value) and "secret" not in str(raised.value) and "\n" not in str(raised.value)


def test_an_empty_or_absent_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        judgements.read(tmp_path / "absent")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ValueError, match="holds no judgement"):
        judgements.read(tmp_path / "empty")
