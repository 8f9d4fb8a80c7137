"""Others' outputs: each format is read, and a broken row costs its own pair, is named, and no other."""

import csv
import dataclasses
import json
import math

import pytest

from reeval import judgements, verdicts
from reeval.evaluators import crimson, green, stored
from reeval.evaluators.files import MISSING
from reeval.evaluators.stored import StoredEvaluator
from reeval.pairs import Error, Pair
from reeval.verdicts import Verdict

SECRET = "effusion"
ERROR = Error("inaccuracy", "laterality", "right effusion", "left effusion", "significant")
ERROR_ROW = {name: value for name, value in dataclasses.asdict(ERROR).items() if value is not None}
SAID = verdicts.render(Verdict((ERROR,)))
SPANS = verdicts.render_spans(Verdict((ERROR,)))
PAIRS = [Pair(f"p{n}", f"r{n}", "Right effusion.", "Left effusion.") for n in range(4)]


def judged(path, form, mode="one_pass", pairs=PAIRS, **settings):
    made = StoredEvaluator({**stored.DEFAULTS, "format": form, mode: str(path), **settings}, pairs, None)
    assert made.modes == (mode,)
    found = list(made.judge(pairs, mode))
    assert sorted(each.pair_id for each in found) == sorted(pair.pair_id for pair in pairs)
    return {each.pair_id: each for each in found}


def jsonl(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_our_own_judgements_come_back_as_they_were(tmp_path):
    made = [
        judgements.Judgement("p0", "ok", ("x",), errors=(ERROR,), significant=True, probability=0.9, input_tokens=3),
        judgements.Judgement("p1", "pass 1: no verdict in it", ("?",), seconds=0.5),
        judgements.Judgement("p2", "repaired", ("none.",), {"none": 1}, (), False),
        judgements.Judgement("p3", "ok", errors=(), significant=False),
    ]
    path = tmp_path / "j.jsonl"
    path.write_text(judgements.lines(made))
    made[1] = dataclasses.replace(made[1], parse_status=stored.NOT_PARSED)  # see below
    assert list(judged(path, "judgements").values()) == made


def test_what_reeval_score_writes_is_read_and_the_gold_errors_beside_it_are_not(tmp_path):
    verdict = {"errors": [{"type": "omission", "aspect": "device", "severity": "insignificant", "probability": 0.2,
                           "reference_span": "a", "candidate_span": ""}]}  # fmt: skip
    row = {"pair_id": "p0", "errors": [ERROR_ROW], "score": 0.8, "significant": False, "probability": 0.2,
           "verdict": verdict, "raw": ["text"], "parse_status": "ok", "signature": "reeval:1"}  # fmt: skip
    failed = {"pair_id": "p1", "score": None, "significant": None, "probability": None, "verdict": None, "raw": ["?"],
              "parse_status": "line 1 does not", "signature": "reeval:1"}  # fmt: skip
    found = judged(jsonl(tmp_path / "s.jsonl", [row, failed]), "judgements")
    assert found["p0"].errors == (Error("omission", "device", "a", "", "insignificant"),)
    assert (found["p0"].significant, found["p0"].probability, found["p0"].score) == (False, 0.2, None)
    assert found["p1"].errors is None and not found["p1"].parsed
    with (tmp_path / "s.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["pair_id", *row])
        writer.writeheader()
        for one in (row, failed):
            cells = {
                k: "" if v is None else json.dumps(v) if isinstance(v, dict | list | bool) else v
                for k, v in one.items()
            }
            writer.writerow(cells)
    assert judged(tmp_path / "s.csv", "judgements") == found


def cell(value):
    return "" if value is None else json.dumps(value) if isinstance(value, dict | list | bool) else value


def test_a_file_of_both_modes_as_reeval_eval_writes_them_gives_each_its_rows(tmp_path):
    rows = [
        {"pair_id": "p0", "mode": mode, "raw": ["x"], "parse_status": "ok", "errors": [], "significant": False,
         "probability": p, "probabilities": [], "gold": True, "identical": False, "reference_id": "r0"}
        for mode, p in (("one_pass", 0.1), ("two_pass", 0.2))
    ]  # fmt: skip
    path = jsonl(tmp_path / "v.jsonl", rows)
    assert judged(path, "judgements", "two_pass")["p0"].probability == 0.2
    assert judged(path, "judgements", "one_pass")["p0"].probability == 0.1


def test_broken_rows_are_named_with_their_line_and_cost_only_their_pairs(tmp_path, capsys):
    good = {"pair_id": "p0", "parse_status": "ok", "errors": [ERROR_ROW], "significant": True}
    rows = [
        good,
        "{'pair_id': 'p1', \"" + SECRET,
        {"parse_status": "ok", "errors": [], "significant": False},
        ["p1"],
        {**good, "pair_id": "p1", "significant": False},
        {**good, "pair_id": "p2", "errors": [{"type": "omission", SECRET: 1, "severity": "significant"}]},
        {**good, "significant": "yes"},
        {**good, "pair_id": "other"},
        {"pair_id": 3.5, "parse_status": "ok"},
        "",
    ]
    found = judged(jsonl(tmp_path / "j.jsonl", rows), "judgements")
    assert found["p0"].significant is True
    assert found["p1"].parse_status.startswith("cannot be read: field 'significant'") and not found["p1"].parsed
    assert found["p2"].parse_status.startswith("cannot be read") and found["p3"].parse_status == MISSING
    said = capsys.readouterr().err
    for line in (2, 3, 4, 5, 6):
        assert f"j.jsonl:{line}: " in said
    assert "1 more rows cannot be read" in said
    assert "1 rows of pairs that have one already" in said and "1 rows of pairs that the study does not" in said
    assert "1 pairs without a row" in said and SECRET not in said


def test_what_a_makers_own_words_say_of_a_pair_goes_no_further(tmp_path):
    """A reason, and the name of a repair, may quote a report, and both are counted where all may read them."""
    good = {"errors": [ERROR_ROW], "significant": True, "parse_status": "repaired"}
    rows = [
        {**good, "pair_id": "p0", "repairs": {f"The {SECRET}": 2, "code fence": 1}},
        {"pair_id": "p1", "parse_status": f"{SECRET} is no verdict"},
    ]
    found = judged(jsonl(tmp_path / "j.jsonl", rows), "judgements")
    assert found["p0"].repairs == {"its maker's": 2, "code fence": 1}
    assert found["p1"].parse_status == "not parsed, by its maker" and not found["p1"].parsed


@pytest.mark.parametrize(
    "change",
    [{"probability": 7}, {"significant": False}, {"significant": None}, {"errors": [{**ERROR_ROW, "type": "typo"}]},
     {"errors": [{**ERROR_ROW, "severity": "major"}]}, {"errors": [{**ERROR_ROW, "reference_span": 3}]}],
)  # fmt: skip
def test_a_judgement_that_contradicts_itself_or_the_taxonomy_is_not_taken(tmp_path, change):
    good = {"parse_status": "ok", "errors": [ERROR_ROW], "significant": True}
    rows = [{**good, "pair_id": "p0"}, {**good, "pair_id": "p1", **change}]
    found = judged(jsonl(tmp_path / "j.jsonl", rows), "judgements")
    assert found["p0"].significant is True and found["p1"].parse_status.startswith("cannot be read: field")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no rows"),
        ("\n\n", "holds no rows"),
        ("not json\nat all\n", "j.jsonl:1: is not JSON; none of 2 rows"),
        ('{"pair_id": "x", "parse_status": "ok"}\n', "none of its 1 rows is of the study's pairs"),
        ('{"pair_id": "p0"}\n', "j.jsonl:1: field 'parse_status'"),
        ("\x00\x01\n", "is not JSON"),
        ("[" * 100_000 + "\n", "is not JSON"),
    ],
)
def test_a_file_that_is_entirely_wrong_is_one_line(tmp_path, content, said):
    path = tmp_path / "j.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError) as caught:
        judged(path, "judgements")
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_not_there_or_of_no_known_kind_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        judged(tmp_path / "no.jsonl", "text")
    (tmp_path / "x.parquet").write_text("x")
    with pytest.raises(ValueError, match="unknown kind of file"):
        judged(tmp_path / "x.parquet", "text")
    with pytest.raises(ValueError, match="both empty"):
        StoredEvaluator({**stored.DEFAULTS, "format": "text"}, PAIRS, None)


def test_raw_text_of_one_pass_and_of_two(tmp_path):
    rows = [
        {"id": "p0", "response": f"Here:\n{SAID}", "input_tokens": 7, "cost": "0.5"},
        {"id": "p1", "response": "none"},
        {"id": "p2", "response": "The left is right."},
        {"id": "p3", "response": None},
    ]
    found = judged(jsonl(tmp_path / "t.jsonl", rows), "text")
    assert found["p0"].errors == (ERROR,) and found["p0"].repairs == {"prose": 1}
    assert (found["p0"].parse_status, found["p0"].input_tokens, found["p0"].cost) == ("repaired", 7, 0.5)
    assert found["p1"].significant is False and found["p1"].parse_status == "ok"
    assert found["p2"].parse_status == "pass 1: no verdict in it" and found["p2"].raw == ("The left is right.",)
    assert found["p3"].parse_status == "cannot be read: the text is no text"

    rows = [
        {"pair_id": "p0", "raw": [SPANS, "1. significant"]},
        {"pair_id": "p1", "text_1": SPANS, "text_2": "significant"},
        {"pair_id": "p2", "text_1": SPANS, "text_2": ""},
        {"pair_id": "p3", "text_1": "none", "text_2": None},
    ]
    found = judged(jsonl(tmp_path / "t2.jsonl", rows), "text", "two_pass")
    assert [found[f"p{n}"].parse_status for n in range(4)] == ["repaired", "ok", "pass 2: no text", "ok"]
    assert found["p0"].errors == found["p1"].errors == (ERROR,)
    path = tmp_path / "t.tsv"
    path.write_text(f"pair_id\tfirst one\tthen\np0\t{json.dumps(SPANS)[1:-1]}\tminor\n".replace('\\"', "'"))
    assert judged(path, "text", "two_pass", text="first one", second_text="then")["p0"].raw[1] == "minor"


def test_half_a_surrogate_pair_in_a_stored_output_can_be_written_again(tmp_path):
    path = tmp_path / "t.jsonl"
    rows = [f'{{"pair_id": "p{n}", "text": "none\\n\\ud800"}}' for n in range(4)]
    found = judged(jsonl(path, rows), "text")
    judgements.lines(found.values()).encode()
    rows = [json.dumps({"pair_id": "p0", "parse_status": "ok", "significant": True, "errors": [ERROR_ROW]})]
    found = judged(jsonl(path, [rows[0].replace("left", "\\ud800")]), "judgements")
    judgements.lines(found.values()).encode()
    assert found["p0"].significant is True


def test_a_table_that_breaks_in_the_middle_keeps_what_stands_before(tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text('pair_id,text\np0,none\np1,"none\np2,none\n')
    found = judged(path, "text")
    assert found["p0"].significant is False
    assert {found[f"p{n}"].parse_status for n in (1, 2, 3)} == {MISSING}
    assert "what follows cannot be read" in capsys.readouterr().err


def test_a_row_of_a_table_with_too_many_cells_costs_itself_alone(tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text(f"pair_id,text\np0,none\np1,none, {SECRET}\np2,none,\np3\n")
    found = judged(path, "text")
    assert [found[f"p{n}"].parse_status for n in range(4)] == ["ok", MISSING, "ok", "pass 1: no text"]
    said = capsys.readouterr().err
    assert "t.csv: row 2 (line 3): has more fields than the header" in said and SECRET not in said


@pytest.mark.parametrize("amount", [10**400, math.inf, math.nan, -1], ids=["huge", "inf", "nan", "negative"])
def test_an_amount_that_no_pair_takes_is_not_known(tmp_path, amount):
    row = {"pair_id": "p0", "parse_status": "ok", "significant": True, "seconds": amount, "input_tokens": 3}
    found = judged(jsonl(tmp_path / "j.jsonl", [row]), "judgements")["p0"]
    assert found.significant and found.seconds is None and found.input_tokens == 3


GREEN = """The candidate misses a fracture.

[Clinically Significant Errors]:
(a) False report of a finding in the candidate: 0.
(b) Missing a finding present in the reference: 2. Rib fractures; No pneumothorax.
(c) Misidentification of a finding's anatomic location/position: 1. Blunting is on the left, not the right.
(d) Misassessment of the severity of a finding: 0.
(e) Mentioning a comparison that isn't in the reference: 0.
(f) Omitting a comparison detailing a change from a prior study: 1. Not changed.

[Clinically Insignificant Errors]:
(d) Misassessment of the severity of a finding: 1. Minimal for 2.5 cm.

[Matched Findings]:
2. One; two.</s>"""
NO_ERRORS = (
    GREEN[: GREEN.index("(a)")] + "None.\n\n[Clinically Insignificant Errors]:\nNo errors.\n\n[Matched Findings]:\n0."
)


def test_greens_sections_become_errors_of_our_types_and_aspects():
    reading = green.read(GREEN)
    assert not reading.repairs
    assert [(e.type, e.aspect, e.severity, e.explanation) for e in reading.verdict.errors] == [
        ("omission", "finding", "significant", "Rib fractures"),
        ("omission", "finding", "significant", "No pneumothorax"),
        ("inaccuracy", "location", "significant", "Blunting is on the left, not the right"),
        ("omission", "comparison", "significant", "Not changed"),
        ("inaccuracy", "degree", "insignificant", "Minimal for 2.5 cm"),
    ]
    assert all(error.reference_span == error.candidate_span == "" for error in reading.verdict.errors)


@pytest.mark.parametrize(
    ("text", "errors", "repairs"),
    [
        (NO_ERRORS, 0, {}),
        (GREEN.replace("(a)", "(1)").replace("(b)", "(2)").replace("(c)", "(3)"), 5, {}),
        (GREEN.replace("2. Rib fractures; No", "2. Rib fractures and no"), 5, {"descriptions": 1}),
        (GREEN.replace("position: 1. Blunting is on the left, not the right.", "position: None."), 4, {"no count": 1}),
        (GREEN.replace("(b)", "( B )").replace("(c)", "\u2022 (c)"), 5, {}),
        (GREEN.replace("(b)", "（b）").replace("reference:", "reference：\u00a0"), 5, {}),
        (GREEN[: GREEN.index("[Clinically Ins")], 4, {"no insignificant section": 1}),
        (GREEN.replace("[Clinically Significant Errors]:", "**[Clinically Significant Errors]:**"), 5, {}),
        (
            "[Clinically Significant Errors]:\n(a) <Error Type>: <The number of errors>. <Error 1>\n....\n"
            f"[Clinically Insignificant Errors]:\n(a) <Error Type>: <The number>\n[Explanation]:\n{GREEN}",
            5,
            {},
        ),
    ],
)
def test_what_green_models_write_is_read(text, errors, repairs):
    reading = green.read(text)
    assert reading.verdict is not None, reading
    assert len(reading.verdict.errors) == errors and dict(reading.repairs) == repairs


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no section"),
        ("The reports agree.", "no section"),
        ("[Clinically Insignificant Errors]:\nNone.", "no section"),
        (
            GREEN.replace(": 2. Rib fractures; No pneumothorax.", ": Rib fractures."),
            "category (b) of significant errors has no",
        ),
        ("[Clinically Significant Errors]:\nThe fracture is missing.", "has no categories"),
        ("[Clinically Significant Errors]:", "has no categories"),
        (GREEN.replace("(b) Missing", "b. Missing"), "has a line that is no category"),
        (GREEN[: GREEN.index("(b)")], "is cut short"),
        (GREEN[: GREEN.index("itting a comparison")], "is cut short"),
        ("[Clinically Significant Errors]:\n(a) <Error Type>: <The number of errors>. <Error 1>", "repeats the prompt"),
    ],
)
def test_what_green_models_break_is_no_verdict(text, problem):
    reading = green.read(text)
    assert reading.verdict is None and problem in reading.problem and "racture" not in reading.problem


def evaluation(**errors):
    return {
        "reference_findings": [
            {"id": "R1", "finding": "small right effusion", "clinical_significance": "actionable_not_urgent"},
            {"id": "R2", "finding": "old granuloma", "clinical_significance": "benign_expected"},
        ],
        "predicted_findings": [
            {"id": "P1", "finding": "left effusion", "clinical_significance": "actionable_not_urgent"},
            {"id": "P2", "finding": "pneumothorax", "clinical_significance": "urgent"},
        ],
        "matched_findings": [{"ref_id": "R1", "pred_id": "P1"}],
        "errors": {"false_findings": [], "missing_findings": [], "attribute_errors": [], **errors},
    }


ATTRIBUTE = {"ref_id": "R1", "pred_id": "P1", "severity": "negligible", "error_types": ["severity", "location"],
             "explanation": "small is lost"}  # fmt: skip
ALL = evaluation(false_findings=["P2"], missing_findings=["R2"], attribute_errors=[ATTRIBUTE])
READ = (
    Error("fabrication", "finding", "", "pneumothorax", "significant"),
    Error("omission", "finding", "old granuloma", "", "insignificant"),
    Error("inaccuracy", "degree", "small right effusion", "left effusion", "insignificant", "small is lost"),
)


@pytest.mark.parametrize(
    "given",
    [
        ALL,
        json.dumps(ALL),
        {"crimson_score": 0.2, "raw_evaluation": ALL},
        {"raw_evaluation": json.dumps(ALL)},
        f"<think>Findings: {{R1}}</think>Here:\n```json\n{json.dumps(ALL, indent=2)}\n```",
    ],
)
def test_crimsons_json_becomes_errors_with_the_findings_as_spans(given):
    assert crimson.read(given).verdict == Verdict(READ)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (evaluation(false_findings=["P9"]), "not listed"),
        (evaluation(false_findings=None), "false_findings is no list"),
        (evaluation(attribute_errors=[{**ATTRIBUTE, "severity": "moderate"}]), "no known severity"),
        (evaluation(attribute_errors=["R1"]), "no object"),
        ({**evaluation(missing_findings=["R1"]), "reference_findings": [{"id": "R1", "finding": "x"}]}, "significance"),
        ({"errors": []}, "no evaluation"),
        ("no JSON", "no evaluation"),
        (json.dumps(ALL)[:-30], "no evaluation"),
        (None, "no evaluation"),
    ],
)
def test_a_broken_evaluation_is_no_verdict(given, problem):
    reading = crimson.read(given)
    assert reading.verdict is None and problem in reading.problem


def test_crimson_and_green_files(tmp_path, capsys):
    rows = [{"pair_id": "p0", **ALL}, {"pair_id": "p1", "raw_evaluation": evaluation()}, {"pair_id": "p2", "text": "?"}]
    found = judged(jsonl(tmp_path / "c.jsonl", rows), "crimson")
    assert found["p0"].errors == READ and found["p0"].significant is True and json.loads(found["p0"].raw[0])
    assert found["p1"].errors == () and found["p1"].parse_status == "ok"
    assert found["p2"].parse_status == "pass 1: no evaluation with its errors"
    with (tmp_path / "g.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["pair_id", "green_analysis"], ["p0", GREEN], ["p1", "?"], ["p2", NO_ERRORS]])
    found = judged(tmp_path / "g.csv", "green")
    assert [found[f"p{n}"].significant for n in range(4)] == [True, None, False, None]
    assert found["p1"].parse_status == "pass 1: no section of clinically significant errors"


def test_each_category_of_theirs_has_a_place_in_our_taxonomy():
    from reeval.taxonomy import CELLS, SEVERITIES

    assert {(a, k) for k, a in (*green.CATEGORIES.values(), *crimson.ATTRIBUTES.values())} <= CELLS.keys()
    assert {*crimson.SIGNIFICANCE.values(), *crimson.SEVERITIES.values()} == set(SEVERITIES)
