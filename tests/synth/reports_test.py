"""Reports are read from the files people have, and what cannot be read is named without a word of its text."""

import csv
import hashlib
import json
import re
import tracemalloc
from collections import Counter

import pytest

from reeval.synth import reports
from reeval.synth.reports import Report

SECRET = "Zanzibar sign in the lingula"  # stands for report text that no message may repeat


def saved(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def texts(path, **columns):
    return [report.text for report in reports.read(path, columns=columns)]


def refused(path, **columns):
    """The message of the error, which is one line, begins with the file and holds no report text."""
    with pytest.raises(ValueError) as caught:
        list(reports.read(path, columns=columns))
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    assert not any(word in message for word in SECRET.split() if len(word) > 3)
    return message.removeprefix(str(path))


def test_a_csv_file_with_one_column_of_reports(tmp_path):
    path = saved(
        tmp_path / "a.csv", 'study_id,report\ns1," Clear lungs.\r\nNo effusion, ""none"". "\r\ns2,Small  effusion.\r\n'
    )
    assert list(reports.read(path)) == [
        Report("s1", 'Clear lungs.\nNo effusion, "none".', 1),
        Report("s2", "Small  effusion.", 2),
    ]


@pytest.mark.parametrize("name", ["report", "Report_Text", "GT report", "text", "reference", " REPORT "])
def test_the_usual_names_of_the_report_are_known(tmp_path, name):
    assert texts(saved(tmp_path / "a.csv", f"{name},other\nClear lungs.,x\n")) == ["Clear lungs."]


@pytest.mark.parametrize("name", ["study_id", "uid", "Image ID", "dicom_id", "id", "Study-ID"])
def test_the_usual_names_of_the_id_are_known(tmp_path, name):
    path = saved(tmp_path / "a.csv", f"{name},report\n007,Clear lungs.\n")
    assert [report.reference_id for report in reports.read(path)] == ["007"]


def test_of_several_ids_the_study_is_taken_whatever_their_order(tmp_path):
    path = saved(tmp_path / "a.csv", "dicom_id,study_id,report\nd1,s1,Clear lungs.\nd2,s1,Clear lungs.\n")
    skipped = Counter()
    assert [report.reference_id for report in reports.read(path, skipped=skipped)] == ["s1"]
    assert skipped == {"repeated": 1}


def test_findings_and_impression_are_joined_under_their_headings_unless_they_bring_them(tmp_path):
    rows = [
        ("Clear lungs.", "Normal chest.", "FINDINGS: Clear lungs.\n\nIMPRESSION: Normal chest."),
        ("", "Normal chest.", "IMPRESSION: Normal chest."),
        ("Clear lungs.", "nan", "FINDINGS: Clear lungs."),
        ("Findings: Clear lungs.", "IMPRESSION :\nNormal.", "Findings: Clear lungs.\n\nIMPRESSION :\nNormal."),
    ]
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("findings", "Conclusion"), *(row[:2] for row in rows)])
    assert texts(path) == [row[2] for row in rows]


def test_without_an_id_column_rows_are_numbered_and_keep_their_number(tmp_path):
    path = saved(tmp_path / "a.csv", "report\nClear lungs.\n\n  \nNormal chest.\n")
    assert [(report.reference_id, report.row) for report in reports.read(path)] == [("1", 1), ("3", 3)]


def test_columns_by_flag_go_before_all_usual_names(tmp_path):
    path = saved(tmp_path / "a.csv", "id,report,Dictation,code\n1,wrong text,Clear lungs.,c9\n")
    found = list(reports.read(path, columns={"report": "dictation", "id": "code"}))
    assert found == [Report("c9", "Clear lungs.", 1)]
    # A flag for one part of the report says that there is no other.
    path = saved(tmp_path / "b.csv", "seen,impression\nClear lungs.,Normal chest.\n")
    assert texts(path, findings="seen") == ["FINDINGS: Clear lungs."]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "folder"])
def test_a_byte_order_mark_says_the_encoding(tmp_path, name, encoding):
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    text = {"a.csv": "report\nŒdème of 5 µm.\n", "a.jsonl": '{"report": "Œdème of 5 µm."}\n'}.get(
        name, "Œdème of 5 µm."
    )
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    saved(path / "r.txt" if name == "folder" else path, mark + text, encoding)
    assert texts(path) == ["Œdème of 5 µm."]
    assert reports.count(path) == 1


@pytest.mark.parametrize(
    ("name", "mark"), [("a.csv", ";"), ("a.csv", "\t"), ("a.csv", "|"), ("a.tsv", "\t"), ("A.CSV", ",")]
)
def test_the_delimiter_is_that_of_the_header(tmp_path, name, mark):
    path = saved(tmp_path / name, f'id{mark}report\n1{mark}"Clear, wide; lungs."\n')
    assert texts(path) == ["Clear, wide; lungs."]


def test_a_long_field_is_read(tmp_path):
    text = "Clear lungs. " * 20_000  # twice the csv module's own limit
    assert texts(saved(tmp_path / "a.csv", f"report\n{text}\n")) == [text.strip()]


def test_json_lines_may_leave_out_what_they_lack(tmp_path):
    lines = [
        {"uid": 1, "findings": "Clear lungs."},
        {"uid": 2, "findings": None, "impression": "Normal chest."},
        {"uid": 3},
        {"uid": "4", "impression": "Small\u2028effusion."},
    ]
    text = "\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    skipped = Counter()
    found = list(reports.read(saved(tmp_path / "a.jsonl", text), skipped=skipped))
    assert [(report.reference_id, report.text) for report in found] == [
        ("1", "FINDINGS: Clear lungs."),
        ("2", "IMPRESSION: Normal chest."),
        ("4", "IMPRESSION: Small\u2028effusion."),
    ]
    assert skipped == {"empty": 1} and found[-1].row == 7


def test_a_folder_is_read_in_the_order_of_its_names_at_any_depth(tmp_path):
    for name, text in {
        "p2/s2.txt": "Bb.",
        "p10/s1.TXT": "Aa.",
        "z.txt": "Cc.",
        ".z.txt": "hidden",
        "n.md": "no",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "p2" / "round").symlink_to(tmp_path)
    found = list(reports.read(tmp_path))
    assert found == [Report("p10/s1", "Aa.", 1), Report("p2/s2", "Bb.", 2), Report("z", "Cc.", 3)]
    assert reports.count(tmp_path) == 3


def test_rows_without_a_report_are_counted(tmp_path):
    path = saved(tmp_path / "a.csv", "report\n   \nN/A\nnan\n___.\nXXXX XXXX.\n3\nNormal.\n")
    skipped = Counter()
    assert [report.text for report in reports.read(path, skipped=skipped)] == ["Normal."]
    assert skipped == {"empty": 1, "no report": 5}


def test_the_same_id_with_another_text_is_an_error_that_names_both_rows(tmp_path):
    path = saved(tmp_path / "a.csv", f"id,report\n1,Clear lungs.\n2,Normal.\n1,Clear lungs. \n1,{SECRET}\n")
    assert re.match(r": row 4 \(line 5\): .*row 1 under the same id; give ", refused(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{SECRET}.\nClear lungs.\n", "no column of reports.*report="),
        ("", "holds no report"),
        ("report\n\n", "holds no report"),
        (f"report,text\n{SECRET},x\n", r"row 1.*'report' and 'text'.*report=NAME"),
        (f"report,impression\n{SECRET},x\n", r"row 1.*'report' and in 'impression'.*report= or findings="),
        (f"report,report\n{SECRET},x\n", "'report' and 'report'"),
        (f"id,id,report\n1,2,{SECRET}\n", "'id'.*id=NAME"),
        (f"id,report\n,{SECRET}\n", r"row 1 \(line 2\): column 'id': no id"),
        (f'id,report\n1,"Clear\nlungs."\n2,"{SECRET}\n', r"row 2 \(line 4\): a quote"),
        (f'id,report\n1,"{SECRET} \\"x\\", y"\n', r"row 1 \(line 2\): a quote"),
        (f"id,report\n1,{SECRET}, clear\n", "row 1.*more fields than the header"),
        (f"report\nClear lungs.\n{SECRET}\0\n", "line 3: a NUL byte"),
        (f"report\n{SECRET} \udce9\n", "row 1.*column 'report': not UTF-8"),
    ],
)
def test_what_is_wrong_in_a_csv_file_is_said(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert re.search(message, refused(path))


def test_bytes_that_do_not_decode_matter_only_where_they_are_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"report,author\nClear lungs.,Ren\xe9\n")
    assert texts(path) == ["Clear lungs."]


def test_a_quote_that_is_never_closed_does_not_take_the_whole_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('report\n"Clear lungs.\n' + "Normal chest, no effusion.\n" * 400_000)
    tracemalloc.start()
    assert re.search(r"row 1 \(line 2\): a quote", refused(path))
    assert tracemalloc.get_traced_memory()[1] < 8e6 < path.stat().st_size
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f'{{"report": "{SECRET}"', r"line 2: not valid JSON at column \d+"),
        (f'["{SECRET}"]', "line 2: not a JSON object"),
        ("[" * 100_000, "line 2: not valid JSON: nested"),
        (f'{{"report": ["{SECRET}"]}}', "line 2: column 'report': must be text, not list"),
        ('{"report": NaN}', "line 2: column 'report': must be text, not float"),
        ('{"report": "a \\ud800"}', "line 2: column 'report': not UTF-8"),
    ],
)
def test_what_is_wrong_in_a_line_of_json_is_said(tmp_path, line, message):
    assert re.search(message, refused(saved(tmp_path / "a.jsonl", f'{{"report": "Clear lungs."}}\n{line}\n')))


def test_what_is_wrong_with_a_path_or_a_flag_is_said(tmp_path):
    assert "no such file or folder" in refused(tmp_path / "none.csv")
    assert "no file that ends in .txt" in refused(tmp_path)
    assert "have no" not in refused(tmp_path, report="report") and "no columns" in refused(tmp_path, report="report")
    path = saved(tmp_path / "a.csv", "id,note\n1,Clear lungs.\n")
    assert "no column 'nota', which report= names; the columns are id, note" in refused(path, report="nota")
    assert "unknown kind of file" in refused(saved(tmp_path / "a.json", "[]"))
    (tmp_path / "a.txt").write_bytes(b"Clear \xff lungs")
    assert re.search(r"a\.txt: not UTF-8", refused(tmp_path))
    with pytest.raises(ValueError, match="columns: no such role 'reports'; there are report, findings"):
        texts(path, reports="note")
    with pytest.raises(ValueError, match="no such file or folder"):
        reports.signature(tmp_path / "none.csv")


def test_counting_rows_gives_what_reading_goes_through(tmp_path):
    path = saved(tmp_path / "a.csv", 'report\n"Clear\nlungs."\n\nnan\nNormal chest 5" wide.\n')
    skipped = Counter()
    assert len(list(reports.read(path, skipped=skipped))) + skipped.total() == reports.count(path) == 3


def test_the_signature_follows_every_byte_and_name(tmp_path):
    path = saved(tmp_path / "a.csv", "report\nClear lungs.\n")
    assert reports.signature(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    folder = tmp_path / "folder"
    folder.mkdir()
    seen = set()
    for name, text in [("a.txt", "Clear."), ("a.txt", "Clear!"), ("b.txt", "Clear."), ("b.txt", "")]:
        (folder / name).write_text(text)
        seen.add(reports.signature(folder))
    (folder / "note.md").write_text("not read")
    assert len(seen) == 4 and reports.signature(folder) in seen


def test_memory_does_not_grow_with_the_reports(tmp_path):
    path = tmp_path / "a.csv"
    with path.open("w") as file:
        file.write("report\n")
        file.writelines(f"{n} {'clear lungs ' * 200}\n" for n in range(10_000))
    tracemalloc.start()
    assert sum(1 for _ in reports.read(path)) == 10_000
    assert tracemalloc.get_traced_memory()[1] < 6e6 < path.stat().st_size / 4
    tracemalloc.stop()
