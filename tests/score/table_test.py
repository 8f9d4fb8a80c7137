"""Tables of pairs in and out: what is kept, what is added, and what is refused in one line."""

import csv
import io
import json

import pytest

from reeval.score import table
from reeval.score.scorer import Sample

ERROR = {
    "type": "omission",
    "aspect": "device",
    "reference_span": "PICC",
    "candidate_span": "",
    "severity": "significant",
    "probability": 0.75,
}


def written(path, text, encoding="utf-8"):
    path.write_text(text, encoding=encoding)
    return path


def test_a_csv_file_is_read_with_its_columns_and_their_usual_names(tmp_path):
    path = written(
        tmp_path / "in.csv",
        'study_id,GT_Report,site,prediction\ns1,"No effusion,\n""clear"" lungs",é,\ns2,Normal.,b,Normal.\n',
        "utf-8-sig",
    )
    first, second = table.read(path)
    assert first.row == {"study_id": "s1", "GT_Report": 'No effusion,\n"clear" lungs', "site": "é", "prediction": ""}
    assert (first.pair.pair_id, first.pair.reference, first.pair.candidate) == ("s1", 'No effusion,\n"clear" lungs', "")
    assert second.pair.candidate == "Normal." and second.pair.image is None


def test_columns_can_be_named_and_rows_are_numbered_where_there_is_no_id(tmp_path):
    path = written(tmp_path / "in.jsonl", '{"a": "Normal.", "b": "Clear.", "n": 3}\n\n{"a": "X.", "b": "Y."}\n')
    entries = table.read(path, {"reference": "a", "candidate": "b"})
    assert [e.pair.pair_id for e in entries] == ["1", "3"] and entries[0].row["n"] == 3
    path = written(tmp_path / "c.csv", "reference,candidate,image\nA,B,x.png\nA,C,\n")
    assert [e.pair.image for e in table.read(path)] == [str(tmp_path / "x.png"), None]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "reference,text\nA,B\n", r"a\.csv: row 1 .*no column 'candidate'; name it with --candidate=COLUMN"),
        ("a.csv", "reference,candidate\n,B\n", r"row 1 \(line 2\): column 'reference': empty"),
        ("a.csv", "id,reference,candidate\n7,A,B\n7,A,C\n", r"row 2 .*the same id stands at row 1 \(line 2\)"),
        ("a.csv", "reference,candidate\n", "holds no pair"),
        ("a.csv", "", "holds no pair"),
        ("a.jsonl", '{"reference": "A", "candidate": 3}\n', r"line 1: column 'candidate': must be text"),
        ("a.jsonl", "[]\n", "line 1: not a JSON object"),
        ("a.xlsx", "", "unknown kind of file"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(tmp_path, name, text, said):
    with pytest.raises(ValueError, match=said) as refused:
        table.read(written(tmp_path / name, text))
    assert "\n" not in str(refused.value)


def test_a_row_out_keeps_the_input_and_names_what_clashes_apart(tmp_path):
    path = written(tmp_path / "in.csv", "id,reference,candidate,score\n1,A PICC.,A.,old\n2,B.,B.,\n")
    entries = table.read(path)
    samples = [
        Sample(
            pair_id="1", score=0.25, significant=True, probability=0.75, significant_errors=1, insignificant_errors=0,
            errors=(ERROR,), raw=("said",), parse_status="ok",
        ),
        Sample(pair_id="2", raw=("?",), parse_status="pass 1: line 1 does not have the form of a verdict line"),
    ]  # fmt: skip
    rows = [json.loads(line) for line in table.render(tmp_path / "o.jsonl", entries, samples, "sig").splitlines()]
    assert [row["score"] for row in rows] == ["old", ""] and [row["reeval_score"] for row in rows] == [0.25, None]
    assert rows[0]["verdict"] == {"errors": [ERROR]} and rows[1]["verdict"] is None
    assert {row["signature"] for row in rows} == {"sig"} and rows[0]["raw"] == ["said"]
    cells = list(csv.DictReader(io.StringIO(table.render(tmp_path / "o.csv", entries, samples, "sig"))))
    assert cells[0]["significant"] == "true" and json.loads(cells[0]["verdict"]) == {"errors": [ERROR]}
    assert cells[1]["reeval_score"] == cells[1]["verdict"] == "" and cells[1]["reference"] == "B."
    with pytest.raises(ValueError, match="ends in .jsonl or .csv"):
        table.check_out(tmp_path / "o.parquet")
