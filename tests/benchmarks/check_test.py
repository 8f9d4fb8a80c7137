"""`reeval pairs check`: counts by hand, overlap with a benchmark, and what makes it fail."""

import json
import random

import pytest

from reeval import cli, pairs
from reeval.benchmarks import check as checks
from reeval.benchmarks.overlap import References, overlap
from reeval.pairs import Error, Pair

SECRET = "Zyxwort"
SIDE = Error("inaccuracy", "laterality", "right", "left", "significant")
SMALL = Error("inaccuracy", "laterality", "right", "left", "insignificant")
LINE = Error("omission", "device", "line", "", "insignificant")
TEXT = f"right line {SECRET} [red]"


def made(name, reference_id, *errors, candidate="left", reference=TEXT, **more):
    return Pair(name, reference_id, reference, candidate, errors, **more)


PAIRS = [
    made("a", "r1", SIDE, LINE, metadata={"level": 2, "rules": ["laterality.inaccuracy.wrong-side"] * 2}),
    made("b", "r1", SMALL),
    made("c", "r2", SIDE, candidate="left it"),
    made("d", "r2", candidate=f"right line\n{SECRET} [red]"),
    Pair("e", "r3", f"a {SECRET}", "b", label="significant"),
    Pair("f", "r4", f"b {SECRET}", "b"),
]


@pytest.fixture
def given(tmp_path):
    pairs.write(tmp_path / "pairs.jsonl", [PAIRS[0], *PAIRS[1:]])
    return tmp_path


def report(path, capsys, *flags, code=0):
    assert cli.main(["pairs", "check", str(path), "--json", *flags]) == code
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    return json.loads(out), err.splitlines()


def test_counts_by_hand(given, capsys):
    rows = [pairs.to_json(pair) for pair in PAIRS]
    rows[0]["metadata"]["rules"] = ["laterality.inaccuracy.wrong-side", "device.omission.x"]
    (given / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found, _ = report(given / "pairs.jsonl", capsys, code=2)
    assert found["problems"] == [{"line": 1, "problem": "field 'metadata.rules[1]': no rule of the taxonomy"}]
    assert (found["pairs"], found["references"], found["reference_texts"], found["errors"]) == (6, 4, 3, 4)
    assert found["labels"] == {"significant": 3, "insignificant": 2, "unlabelled": 1}
    assert found["label_only"] == 1
    assert found["errors_per_pair"] == {"0": 1, "1": 2, "2": 1}
    assert found["by_aspect_and_type"]["laterality/inaccuracy"] == {"significant": 2, "insignificant": 1}
    assert found["by_aspect"]["device"] == {"significant": 0, "insignificant": 1}
    assert found["by_type"]["omission"] == {"significant": 0, "insignificant": 1}
    assert found["balance"]["laterality/inaccuracy"]["significant_percent"] == 66.7
    assert found["words"] == {"reference": [2, 2, 4, 4, 4], "candidate": [1, 1, 1, 2, 4]}
    assert (found["candidate_repeats_reference"], found["exact_duplicates"], found["levels"]) == (1, 1, {"2": 1})


def test_every_bad_line_is_named(given, capsys):
    with (given / "pairs.jsonl").open("a") as out:
        out.write('{"pair_id": "x"}\n{\n' + json.dumps(pairs.to_json(PAIRS[1])) + "\n")
    found, errors = report(given / "pairs.jsonl", capsys, code=2)
    assert [entry["line"] for entry in found["problems"]] == [1, 7, 8, 9] and found["pairs"] == 6
    assert [line.split(": ")[0].rsplit(":")[-1] for line in errors[:-1]] == ["1", "7", "8", "9"]
    assert errors[-1].startswith("reeval: ") and "not valid: 4 problems" in errors[-1]


def test_the_tables_hold_no_report_text(given, capsys):
    valid = given / "valid [red].jsonl"
    pairs.write(valid, PAIRS[1:])
    assert cli.main(["pairs", "check", str(valid), "--against", str(valid)]) == 0
    out, err = capsys.readouterr()
    assert SECRET not in out + err and not err
    assert "laterality" in out and "1/1   50%" in out
    assert "valid [red].jsonl, 4 in all" in out and "r1, r2, r3, r4" in out


LONG = [random.Random(i).sample([f"w{n}" for n in range(500)], 60) for i in range(30)]


def refer(reports, prefix):
    return [Pair(f"{prefix}{i}", f"{prefix}{i}", " ".join(words), "x") for i, words in enumerate(reports)]


def test_overlap_by_id_text_and_likeness():
    near = [[*words[:20], "other", *words[21:]] for words in LONG[:10]]  # 5 of 56 shingles changed
    half = [[*words[:30], *random.Random(7).sample(LONG[29], 30)] for words in LONG[10:20]]
    same = " ".join(LONG[20]).upper().replace(" ", "\n", 3) + "."
    training = [*refer([*near, *half], "t"), Pair("s", "b21", same, "x")]
    found = overlap(References.of(training), References.of(refer(LONG, "b")))
    assert found["shared_ids"] == ["b21"] and found["same_texts"] == ["b20"]
    assert {(entry["benchmark"], entry["training"]) for entry in found["near_duplicates"]} == {
        (f"b{i}", f"t{i}") for i in range(10)
    }
    assert all(entry["similarity"] == round(51 / 61, 3) for entry in found["near_duplicates"])


def test_overlap_of_short_reports_and_none():
    short = refer([["normal"], ["clear", "lungs"]], "a")
    found = overlap(References.of(short), References.of(refer([["clear"], ["clear", "lungs"]], "b")))
    assert found["same_texts"] == ["b1"] and not found["near_duplicates"] and not found["shared_ids"]


def test_overlap_is_a_report_and_with_strict_a_failure(given, capsys):
    pairs.write(given / "train.jsonl", refer(LONG[:5], "t"))
    pairs.write(given / "bench.jsonl", refer(LONG[4:], "b"))
    pairs.write(given / "other.jsonl", refer(LONG[5:], "b"))
    found, _ = report(given / "train.jsonl", capsys, f"--against={given}/bench.jsonl")
    assert found["overlap"]["same_texts"] == ["b0"]
    _, errors = report(given / "train.jsonl", capsys, f"--against={given}/bench.jsonl", "--strict", code=2)
    assert "train.jsonl: overlaps with" in errors[0]
    report(given / "train.jsonl", capsys, f"--against={given}/other.jsonl", "--strict")


def test_the_classifiers_see_valid_pairs_alone(given, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(checks, "balanced_accuracies", lambda pairs: seen.extend(pairs) or {"words": 51.5})
    found, _ = report(given / "pairs.jsonl", capsys, "--classifiers", code=2)
    assert "balanced_accuracy" not in found and not seen
    pairs.write(given / "valid.jsonl", PAIRS[1:])
    found, _ = report(given / "valid.jsonl", capsys, "--classifiers")
    assert found["balanced_accuracy"] == {"words": 51.5} and seen == PAIRS[1:]
    assert cli.main(["pairs", "check", "--classifiers", str(given / "valid.jsonl")]) == 0
    assert "51.5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "say what to do: reeval pairs check | convert"),
        (["chekc", "x"], "say what to do"),
        (["check"], "say which file to check"),
        (["check", "GIVEN/absent.jsonl"], "absent.jsonl: no such pair file"),
        (["check", "GIVEN/empty.jsonl"], "empty.jsonl: holds no pair"),
        (["check", "GIVEN/empty.jsonl", "other"], "unexpected argument 'other'"),
        (["check", "GIVEN/empty.jsonl", "--againt=x"], "againt"),
        (["check", "GIVEN/valid.jsonl", "--against=GIVEN/absent.jsonl"], "absent.jsonl: no such pair file"),
        (["check", "GIVEN/valid.jsonl", "--classifiers"], "at least 20 references"),
    ],
)
def test_a_mistake_is_one_line(given, capsys, argv, says):
    (given / "empty.jsonl").write_text("\n")
    pairs.write(given / "valid.jsonl", PAIRS[1:5])
    assert cli.main(["pairs", *(argument.replace("GIVEN", str(given)) for argument in argv)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("reeval: ") and says in line
