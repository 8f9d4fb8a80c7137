"""`reeval pairs convert`: published files of benchmarks, and any table by a mapping. All texts are invented."""

import csv
import json
import stat
from pathlib import Path

import pytest

from reeval import cli, pairs
from reeval.benchmarks import counts, mapping, rexval
from reeval.pairs import Error

SECRET = "Zyxwort"
KINDS = rexval.CANDIDATES
RATERS = range(6)


def table(path, rows, columns=None):
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, columns or list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def studies(*, column="study_id", ids=(1001, 1002)):
    return [
        {"": i, column: study, "gt_report": f"{SECRET},\nreport {i}"} | {kind: f"{kind} {SECRET} {i}" for kind in KINDS}
        for i, study in enumerate(ids)
    ]


def ratings(number, *, of=(0, 1)):
    """A row for every count; `number` gives it from study, candidate, category, rater and significance."""
    return [
        dict(zip(rexval.RATINGS, (*key, number(*key)), strict=True))
        for study in of
        for kind in KINDS
        for category in range(1, 7)
        for rater in RATERS
        for key in [(study, kind, category, rater, True), (study, kind, category, rater, False)]
    ]


def some(study, kind, category, rater, significant):
    """Of study 0: radgraph flagged by four raters, bertscore by three, s_emb by one with six errors, bleu by none."""
    if study or category != 2 or not significant:
        return int(category == 1 and not significant)
    return {"radgraph": int(rater < 4), "bertscore": int(rater < 3), "s_emb": 6 * (rater == 0), "bleu": 0}[kind]


def run(tmp_path, *argv):
    """The pairs made by a command."""
    assert cli.main(["pairs", "convert", *argv, f"--out={tmp_path}/out.jsonl"]) == 0
    return pairs.read(tmp_path / "out.jsonl", graded=True)


def refused(tmp_path, capsys, *argv):
    assert cli.main(["pairs", "convert", *argv, f"--out={tmp_path}/out.jsonl"]) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert SECRET not in out + err and not (tmp_path / "out.jsonl").exists()
    return line


def rexval_files(tmp_path, reports=None, counted=None):
    reports = table(tmp_path / "50_samples_gt_and_candidates.csv", reports or studies())
    counted = table(tmp_path / "6_valid_raters_per_rater_error_categories.csv", counted or ratings(some))
    return f"{reports},{counted}"


@pytest.mark.parametrize(
    ("rule", "significant"),
    [(None, ["radgraph"]), ("majority", ["radgraph"]), ("any", KINDS[:3]), ("mean", ["s_emb"])],
)
def test_rexval(tmp_path, capsys, rule, significant):
    made = run(tmp_path, "--format=rexval", f"--input={rexval_files(tmp_path)}", *([f"--rule={rule}"] if rule else []))
    assert [pair.pair_id for pair in made] == [f"{study}-{kind}" for study in (1001, 1002) for kind in KINDS]
    assert [pair.pair_id for pair in made if pair.significant] == [f"1001-{kind}" for kind in significant]
    first = made[0]
    assert (first.reference_id, first.reference, first.candidate) == (
        "1001", f"{SECRET},\nreport 0", f"radgraph {SECRET} 0",
    )  # fmt: skip
    assert first.errors is None and first.metadata["raters"] == 6
    assert first.metadata["raters_with_a_significant_error"] == 4
    assert first.metadata["mean_errors"]["omitted finding"] == {"significant": 4 / 6, "insignificant": 0}
    assert first.metadata["mean_errors"]["false finding"] == {"significant": 0, "insignificant": 1}
    assert first.metadata["rule"] == f"significant when {counts.RULES[rule or 'majority']}"
    assert first.metadata["ratings"] == {
        str(rater): {"significant": int(rater < 4), "insignificant": 1} for rater in RATERS
    }
    assert not stat.S_IMODE((tmp_path / "out.jsonl").stat().st_mode) & 0o077
    out, err = capsys.readouterr()
    assert "8 pairs of 2 references" in out and SECRET not in out + err


def test_rexval_in_other_spellings(tmp_path):
    """The ids as numbers, rows of no error left out, and the files the other way round."""
    said = [row for row in ratings(some) if row["num_errors"]]
    alone = {"radgraph", "bertscore", "s_emb"}  # of study 0: of these only what is significant is left
    counted = [
        row
        for row in said
        if row["study_number"] or row["candidate_type"] not in alone or row["clinically_significant"]
    ]
    for row in counted:
        row.update(study_number=row["study_number"] + 51, clinically_significant=int(row["clinically_significant"]))
    files = rexval_files(tmp_path, studies(column="study_number", ids=(51, 52)), counted)
    made = run(tmp_path, "--format=rexval", f"--input={','.join(reversed(files.split(',')))}")
    assert [pair.pair_id for pair in made if pair.significant] == ["51-radgraph"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"study_number": 7}, "study_number '7' is neither an id nor a row"),
        ({"candidate_type": "bleu2"}, "column 'candidate_type': must be one of radgraph"),
        ({"error_category": 7}, "column 'error_category': must be one of 1, 2"),
        ({"clinically_significant": "maybe"}, "column 'clinically_significant': must be one of"),
        ({"num_errors": "two"}, "column 'num_errors': must be a number of errors"),
        ({"num_errors": "nan"}, "column 'num_errors': must be a number of errors"),
        ({"num_errors": -1}, "column 'num_errors': must be a number of errors"),
        ({"rater_index": 1}, "counts what"),
    ],
)
def test_rexval_of_another_form(tmp_path, capsys, change, says):
    counted = ratings(some)
    counted[0].update(change)
    files = rexval_files(tmp_path, counted=counted)
    assert says in refused(tmp_path, capsys, "--format=rexval", f"--input={files}")


def test_rexval_in_part(tmp_path, capsys):
    files = rexval_files(tmp_path, counted=ratings(some, of=(0,)))
    assert "no rating of study_number '1'" in refused(tmp_path, capsys, "--format=rexval", f"--input={files}")
    reports = files.split(",")[0]
    assert "ReXVal is two files" in refused(tmp_path, capsys, "--format=rexval", f"--input={reports}")
    both = refused(tmp_path, capsys, "--format=rexval", f"--input={reports},{reports}")
    assert "one must have ReXVal's column num_errors" in both
    lacking = [{name: value for name, value in row.items() if name != "bleu"} for row in studies()]
    files = rexval_files(tmp_path, lacking)
    assert "no column 'bleu'; there are" in refused(tmp_path, capsys, "--format=rexval", f"--input={files}")


def radevalx_files(tmp_path, significant=None, insignificant=None):
    def rows(given):
        return [
            {"report_id": f"CXR{i}", "ground_truth": f"{SECRET} {i}", "M2Tr-Generation": f"it {SECRET}"}
            | {str(category): "" for category in range(1, 9)}
            | {str(category): n for category, n in cells.items()}
            for i, cells in enumerate(given)
        ]

    one = table(tmp_path / "RadEval_clinically_significant_errors.csv", rows(significant or [{2: 1, 8: "2.0"}, {}, {}]))
    other = table(tmp_path / "RadEval-clinically_insignificant_errors.csv", rows(insignificant or [{}, {1: 3}, {}]))
    return f"{other},{one}"


@pytest.mark.parametrize("rule", counts.RULES)
def test_radevalx(tmp_path, rule):
    made = run(tmp_path, "--format=radevalx", f"--input={radevalx_files(tmp_path)}", f"--rule={rule}")
    assert [pair.pair_id for pair in made] == ["CXR0", "CXR1", "CXR2"]
    assert [pair.significant for pair in made] == [True, False, False]
    assert made[0].metadata["mean_errors"]["8"] == {"significant": 2, "insignificant": 0}
    assert made[1].metadata["mean_errors"]["1"] == {"significant": 0, "insignificant": 3}
    # The two raters gave one number together.
    assert made[0].metadata["ratings"] == {"both": {"significant": 3, "insignificant": 0}}
    assert (made[0].reference, made[0].candidate) == (f"{SECRET} 0", f"it {SECRET}")


def test_radevalx_of_another_form(tmp_path, capsys):
    def says(files):
        return refused(tmp_path, capsys, "--format=radevalx", f"--input={files}")

    files = radevalx_files(tmp_path, significant=[{2: "x"}, {}, {}])
    assert "row 1 (line 2): column '2': must be a number" in says(files)
    assert "'CXR2' stands in one file alone" in says(radevalx_files(tmp_path, significant=[{}, {}]))
    other = radevalx_files(tmp_path).split(",")[0]
    assert "RadEvalX is two files" in says(other) and "RadEvalX is two files" in says(f"{other},{other}")
    text = Path(other).read_text()
    Path(other).write_text(text.replace(f"{SECRET} 0", f"{SECRET} 9"))
    assert "another text than at" in says(f"{other},{tmp_path}/RadEval_clinically_significant_errors.csv")
    Path(other).write_text(text.replace("CXR1", "CXR0"))
    assert "report_id 'CXR0' stands at" in says(f"{other},{tmp_path}/RadEval_clinically_significant_errors.csv")


BY_ROWS = """
[columns]
pair_id = "id"
reference_id = "study"
reference = "before"
candidate = "after"
metadata = ["site"]
[errors]
type = "kind"
aspect = "what"
severity = "grade"
reference_span = "old"
candidate_span = "new"
none = [""]
[types]
"Wrong  finding" = "inaccuracy"
[aspects]
side = "laterality"
[severities]
major = "significant"
minor = "insignificant"
"""
ROWS = [
    {"id": 1, "study": "s", "before": f"right {SECRET}", "after": f"left {SECRET}", "site": "x",
     "kind": "WRONG finding", "what": "side", "grade": "Major", "old": "right", "new": "left"},
    {"id": 2, "study": "s", "before": f"right {SECRET}", "after": f"right it {SECRET}", "site": "y",
     "kind": "", "what": "", "grade": "", "old": "", "new": ""},
    {"id": 1, "study": "s", "before": f"right {SECRET}", "after": f"left {SECRET}", "site": "x",
     "kind": "omission", "what": "wording", "grade": "minor", "old": SECRET, "new": ""},
]  # fmt: skip


def mapped(tmp_path, toml, rows, suffix="csv"):
    (tmp_path / "map.toml").write_text(toml)
    if suffix == "csv":
        table(tmp_path / "in.csv", rows)
    else:
        (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "--format=mapping", f"--mapping={tmp_path}/map.toml", f"--input={tmp_path}/in.{suffix}"


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_row_an_error(tmp_path, suffix):
    first, second = run(tmp_path, *mapped(tmp_path, BY_ROWS, ROWS, suffix))
    assert (first.pair_id, first.reference_id, first.metadata) == ("1", "s", {"site": "x"})
    assert first.errors == (
        Error("inaccuracy", "laterality", "right", "left", "significant"),
        Error("omission", "wording", SECRET, "", "insignificant"),
    )
    assert second.pair_id == "2" and second.errors == ()


BY_JSON = """
[columns]
reference_id = "study"
reference = "before"
candidate = "after"
label = "label"
optional = ["label"]
[severities]
1 = "significant"
0 = "insignificant"
[errors]
layout = "json"
column = "errors"
type = "type"
aspect = "aspect"
severity = "severity"
reference_span = "reference_span"
candidate_span = "candidate_span"
"""
ERROR = {"type": "inaccuracy", "aspect": "laterality", "severity": "significant", "reference_span": "right",
         "candidate_span": "left"}  # fmt: skip


def json_rows(*errors, **more):
    made = {"study": 5, "before": f"right {SECRET}", "after": f"left {SECRET}"}
    return [made | {"errors": given} | more for given in errors]


def test_a_list_of_errors_in_a_column(tmp_path):
    rows = json_rows(json.dumps([ERROR]), "[]", "")
    made = run(tmp_path, *mapped(tmp_path, BY_JSON, [row | {"label": n} for row, n in zip(rows, "101", strict=True)]))
    assert [pair.pair_id for pair in made] == ["5-1", "5-2", "5-3"]
    assert made[0].errors == (Error(**ERROR),) and made[1].errors == () and made[2].errors is None
    assert [pair.significant for pair in made] == [True, False, True]
    made = run(tmp_path, *mapped(tmp_path, BY_JSON, json_rows([ERROR], []), "jsonl"))
    assert [pair.errors for pair in made] == [(Error(**ERROR),), ()]


def test_what_cannot_be_mapped(tmp_path, capsys):
    unknown = ERROR | {"aspect": SECRET}
    elsewhere = ERROR | {"reference_span": "Right"}
    minor = ERROR | {"severity": "insignificant", "reference_span": ""}
    rows = json_rows([unknown], [elsewhere], [minor], [ERROR, minor], [minor])
    rows[4]["label"] = "1"
    arguments = mapped(tmp_path, BY_JSON, rows, "jsonl")
    line = refused(tmp_path, capsys, *arguments)
    assert "in.jsonl: line 1: column 'aspect': holds a value that [aspects] of the mapping does not name" in line
    arguments = mapped(tmp_path, BY_JSON, rows[1:], "jsonl")
    assert "line 1: field 'errors[0].reference_span': does not stand" in refused(tmp_path, capsys, *arguments)
    made = run(tmp_path, *mapped(tmp_path, BY_JSON + 'unmappable = "label"', rows, "jsonl"))
    assert all(pair.errors is None for pair in made)
    assert [pair.significant for pair in made] == [True, True, False, True, True]
    (tmp_path / "out.jsonl").unlink()
    ungraded = json_rows([unknown | {"severity": SECRET}])
    line = refused(tmp_path, capsys, *mapped(tmp_path, BY_JSON + 'unmappable = "label"', ungraded, "jsonl"))
    assert "column 'severity': holds a value that [severities]" in line


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[columns]", "[colums]", "colums: unknown; there are columns, errors"),
        ('candidate = "after"', "", "columns.candidate: missing"),
        ('candidate = "after"', "candidate = 3", "columns.candidate: must be text"),
        ('candidate = "after"', 'candidat = "after"', "columns.candidat: unknown"),
        ('["site"]', '"site"', "columns.metadata: must be a list"),
        ('["site"]', '["site"]\noptional = ["candidate"]', "columns.optional: candidate: unknown"),
        ('type = "kind"', "", "errors.type: missing"),
        ('type = "kind"', 'type = "kind"\nlayout = "xml"', "errors.layout: must be one of rows, json"),
        ('type = "kind"', 'type = "kind"\nlayout = "json"', "errors.column: missing"),
        ('type = "kind"', 'type = "kind"\nunmappable = "no"', "errors.unmappable: must be one of refuse, label"),
        ('"laterality"', '"lateral"', "aspects.'side': must be one of finding"),
        ("[columns]", "[columns", "at line 2"),
        ('candidate = "after"', 'candidate = "afer"', "in.csv: row 1 (line 2): no column 'afer'; there are id, study"),
        ('type = "kind"', 'type = "knd"', "no column 'knd'"),
        ('["site"]', '["sight"]', "no column 'sight'"),
    ],
)
def test_a_wrong_mapping(tmp_path, capsys, old, new, says):
    assert says in refused(tmp_path, capsys, *mapped(tmp_path, BY_ROWS.replace(old, new), ROWS))


BY_READERS = """
[columns]
reference_id = "study"
reference = "before"
candidate = "after"
[severities]
major = "significant"
minor = "insignificant"
[ratings]
amy = "a"
ben = {significant = "b1", insignificant = "b0"}
cat = "c"
"""


def read_by(*said):
    made = {"study": 5, "before": f"right {SECRET}", "after": f"left {SECRET}"}
    return [made | dict(zip(("a", "b1", "b0", "c"), cells, strict=True)) for cells in said]


def test_what_each_rater_said(tmp_path, capsys):
    rows = read_by(("Major", "2", "", "minor"), ("minor", "0", "1", ""), ("", "", "", ""))
    made = run(tmp_path, *mapped(tmp_path, BY_READERS.replace("[sev", 'label = "l"\noptional = ["label"]\n[sev'),
                                 [row | {"l": "minor"} for row in rows]))  # fmt: skip
    ratings = [
        {"amy": "significant", "ben": {"significant": 2, "insignificant": 0}, "cat": "insignificant"},
        {"amy": "insignificant", "ben": {"significant": 0, "insignificant": 1}},
        {},
    ]
    assert [pair.metadata.get("ratings", {}) for pair in made] == ratings
    assert [pair.label for pair in made] == ["insignificant"] * 3
    # Without a label of its own a pair has its raters'.
    for rule, labels in (("majority", ["significant", "insignificant"]), ("any", ["significant", "insignificant"])):
        made = run(tmp_path, *mapped(tmp_path, BY_READERS, rows[:2]), f"--rule={rule}")
        assert [pair.label for pair in made] == labels
    one_of_three = read_by(("major", "0", "0", "minor"))
    assert run(tmp_path, *mapped(tmp_path, BY_READERS, one_of_three))[0].label == "insignificant"
    assert run(tmp_path, *mapped(tmp_path, BY_READERS, one_of_three), "--rule=any")[0].label == "significant"
    (tmp_path / "out.jsonl").unlink()
    line = refused(tmp_path, capsys, *mapped(tmp_path, BY_READERS, rows[:2]), "--rule=mean")
    assert "row 1 (line 2): the rule mean needs numbers of errors" in line


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"b0"}', '"b0", more = "x"}', "ratings.ben.more: unknown"),
        (', insignificant = "b0"}', "}", "ratings.ben.insignificant: missing"),
        ('amy = "a"', "amy = 1", "ratings.amy: must be text"),
        ('amy = "a"', 'amy = "x"', "no column 'x'"),
        ('amy = "a"', 'amy = "b1"', "column 'b1': holds a value that [severities]"),
        ('cat = "c"', 'cat = {significant = "c", insignificant = "c"}', "column 'c': must be a number of errors"),
        ("[ratings]", "[ratigns]", "ratigns: unknown"),
    ],
)
def test_wrong_raters(tmp_path, capsys, old, new, says):
    rows = read_by(("Major", "2", "", "minor"))
    assert says in refused(tmp_path, capsys, *mapped(tmp_path, BY_READERS.replace(old, new), rows))


def test_raters_that_disagree_between_the_rows_of_a_pair(tmp_path, capsys):
    toml = BY_ROWS.replace("[types]", '[ratings]\namy = "by_amy"\n[types]')
    rows = [row | {"by_amy": "major"} for row in ROWS]
    assert run(tmp_path, *mapped(tmp_path, toml, rows))[0].metadata["ratings"] == {"amy": "significant"}
    (tmp_path / "out.jsonl").unlink()
    rows[2]["by_amy"] = "minor"
    line = refused(tmp_path, capsys, *mapped(tmp_path, toml, rows))
    assert "row 3 (line 4): rater 'amy': another rating than at" in line


def test_rows_that_disagree(tmp_path, capsys):
    rows = [ROWS[0], ROWS[2] | {"after": "x"}]
    line = refused(tmp_path, capsys, *mapped(tmp_path, BY_ROWS, rows))
    assert "row 2 (line 3): column 'after': another value than at" in line
    line = refused(tmp_path, capsys, *mapped(tmp_path, BY_ROWS, [ROWS[0] | {"after": " "}]))
    assert "row 1 (line 2): column 'after': empty" in line
    twice = BY_JSON.replace("[columns]", '[columns]\npair_id = "study"')
    line = refused(tmp_path, capsys, *mapped(tmp_path, twice, json_rows("[]", "[]")))
    assert "row 2 (line 3): the same pair_id as at" in line


def test_an_image_stands_beside_the_table(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    toml = BY_JSON.replace("[columns]", '[columns]\nimage = "file"')
    (made,) = run(tmp_path, *mapped(tmp_path, toml, json_rows("[]", file="a.png")))
    assert made.image == str((tmp_path / "a.png").resolve())


def test_reevalmed_is_ready_for_names(tmp_path):
    """A table in the columns that its mapping guesses: mapped where the names are ours, else a label alone."""
    row = {"study_id": 1, "ground_truth_report": "right it", "rewritten_report": "left it",
           "clinical_significance": "Clinically significant", "error_type": "Inaccuracy", "error_aspect": "Laterality",
           "ground_truth_span": "right", "rewritten_span": "left", "explanation": "a side"}  # fmt: skip
    other = row | {"rewritten_report": "left", "error_aspect": "aspect of theirs", "clinical_significance": "no"}
    harmless = row | {"rewritten_report": "It: right", "error_type": "", "clinical_significance": "no"}
    table(tmp_path / "in.csv", [row, other, harmless])
    made = run(tmp_path, "--format=mapping", "--mapping=reevalmed", f"--input={tmp_path}/in.csv")
    assert made[0].errors == (Error("inaccuracy", "laterality", "right", "left", "significant", "a side"),)
    assert made[1].errors is None and not made[1].significant
    assert made[2].errors == () and [pair.pair_id for pair in made] == ["1-1", "1-2", "1-3"]


def test_the_shipped_mapping_knows_every_name_of_ours():
    shipped = mapping.read("reevalmed")
    assert shipped.errors is not None and shipped.errors["unmappable"] == "label"
    with pytest.raises(ValueError, match="no such mapping file"):
        mapping.read("../reevalmed")


def test_a_table_of_a_mapping_is_a_table(tmp_path):
    (tmp_path / "map.toml").write_text("columns = 1")
    with pytest.raises(ValueError, match="columns: must be a table"):
        mapping.read(tmp_path / "map.toml")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--input=x.csv"], "flag --format is missing"),
        (["--format=rexval"], "flag --input is missing"),
        (["--format=rexvl", "--input=x.csv"], "rexval|radevalx|mapping"),
        (["--format=mapping", "--input=x.csv"], "--mapping=FILE go together"),
        (["--format=rexval", "--input=x.csv,y.csv", "--mapping=reevalmed"], "--mapping=FILE go together"),
        (["--format=rexval", "--input=x.csv,y.csv"], "x.csv: no such file"),
        (["--format=mapping", "--mapping=x.toml", "--input=x.csv"], "x.toml: no such mapping file"),
        (["--format=rexval", "--input=x.csv,y.csv", "--rule=most"], "majority|any|mean"),
    ],
)
def test_a_command_that_is_not_one(tmp_path, capsys, argv, says):
    assert says in refused(tmp_path, capsys, *argv)


def test_the_directory_of_the_output_must_be_there(tmp_path, capsys):
    files = rexval_files(tmp_path)
    assert "there is no directory" in refused(tmp_path / "no", capsys, "--format=rexval", f"--input={files}")
