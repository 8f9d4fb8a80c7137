import gzip
import json
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeval import pairs
from reeval.pairs import Error, Pair

REFERENCE = "Small right effusion. Zyxwort is seen."
CANDIDATE = "Small left effusion. Quibblefax is seen."
ERROR = {
    "type": "inaccuracy",
    "aspect": "laterality",
    "reference_span": "right effusion",
    "candidate_span": "left effusion",
    "severity": "significant",
}
ROW = {"pair_id": "a", "reference_id": "r", "reference": REFERENCE, "candidate": CANDIDATE, "errors": [ERROR]}
REPORT_WORDS = ("effusion", "Zyxwort", "Quibblefax")


def row(**changes):
    return {name: value for name, value in {**ROW, **changes}.items() if value is not ...}


def error(**changes):
    return row(errors=[{name: value for name, value in {**ERROR, **changes}.items() if value is not ...}])


def lines(tmp_path, *rows):
    path = tmp_path / "pairs.jsonl"
    text = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in rows]
    path.write_bytes(b"\n".join(text) + b"\n")
    return path


def message(tmp_path, *rows, **options):
    with pytest.raises(ValueError) as caught:
        pairs.read(lines(tmp_path, *rows), **options)
    text = str(caught.value)
    assert "\n" not in text
    assert not any(word in text for word in REPORT_WORDS), text
    return text


def test_reads_what_it_says(tmp_path):
    unlabelled = row(pair_id="b", errors=None)
    path = lines(tmp_path, row(metadata={"site": 1}), b"", unlabelled, row(pair_id="c", errors=[]))
    first, second, third = pairs.read(path)
    assert first == Pair(
        "a", "r", REFERENCE, CANDIDATE,
        (Error("inaccuracy", "laterality", "right effusion", "left effusion", "significant"),), {"site": 1},
    )  # fmt: skip
    assert first.significant and not first.identical
    assert second.errors is None and third.errors == () and not third.significant
    with pytest.raises(ValueError, match="'b' has no errors"):
        _ = second.significant


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    assert len(pairs.read(lines(tmp_path, b"\xef\xbb\xbf" + json.dumps(ROW).encode()))) == 1


def test_identical_is_up_to_white_space():
    assert Pair("a", "r", "No  effusion.\n", "No effusion.").identical
    assert not Pair("a", "r", "No effusion.", "no effusion.").identical


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (b"{", "not valid JSON at column"),
        (b"[" * 100_000, "not valid JSON: nested too deeply"),
        (b'{"pair_id": "\xff"}', "not UTF-8"),
        (b"[1]", "not a JSON object"),
        (b"3", "not a JSON object"),
        (b'{"pair_id": "a", "pair_id": "b"}', "field 'pair_id': given twice"),
        (row(pair_id=...), "field 'pair_id': missing"),
        (row(reference_id=...), "field 'reference_id': missing"),
        (row(candidate=...), "field 'candidate': missing"),
        (row(reference=None), "field 'reference': must be text, not NoneType"),
        (row(pair_id=7), "field 'pair_id': must be text, not int"),
        (row(candidate=" \n"), "field 'candidate': empty"),
        (row(reference="\ud800"), "field 'reference': holds half of a surrogate pair"),
        (row(refrence="x"), "unknown field 'refrence' (did you mean 'reference'?)"),
        (row(**{REFERENCE: 1}), "unknown field in 'pair'"),
        (row(image=3), "field 'image': must be text, not int"),
        (row(image=""), "field 'image': empty"),
        (row(image="\ud800"), "field 'image': holds half of a surrogate pair"),
        (row(image="effusion.png"), "field 'image': no such file; a relative path starts at the pair file's"),
        (row(image="effusion\0.png"), "field 'image': no such file"),
        (row(image="effusion" * 999), "field 'image': no such file"),
        (row(image="."), "field 'image': no such file"),
        (row(metadata=[]), "field 'metadata': must be an object"),
        (row(metadata={"note": "\udc00"}), "field 'metadata': holds half of a surrogate pair"),
        (row(errors={}), "field 'errors': must be a list"),
        (row(errors=[ERROR, "x"]), "field 'errors[1]': must be an object"),
        (error(type="ommission"), "field 'errors[0].type': 'ommission' is not one of"),
        (error(type="ommission"), "did you mean 'omission'?"),
        (error(aspect=REFERENCE), "field 'errors[0].aspect': the value is not one of finding, laterality"),
        (error(aspect=["laterality"]), "field 'errors[0].aspect': must be text, not list"),
        (error(severity=...), "field 'errors[0].severity': missing"),
        (error(severity="Significant"), "field 'errors[0].severity': 'Significant' is not one of"),
        (error(severity=None), "field 'errors[0].severity': must be text"),
        (error(reference_span=...), "field 'errors[0].reference_span': missing or empty; type 'inaccuracy'"),
        (error(candidate_span=" "), "field 'errors[0].candidate_span': missing or empty"),
        (error(candidate_span="right effusion"), "errors[0].candidate_span': does not stand in 'candidate'"),
        (error(type="omission", candidate_span="Zyxwort"), "'errors[0].candidate_span': does not stand in"),
        (error(span="x"), "unknown field 'errors[0].span'"),
        (error(explanation=3), "field 'errors[0].explanation': must be text, not int"),
    ],
)  # fmt: skip
def test_names_file_line_and_field(tmp_path, bad, says):
    text = message(tmp_path, row(pair_id="good"), b"", bad, row(pair_id="after"))
    assert text.startswith(f"{tmp_path / 'pairs.jsonl'}:3: ")
    assert says in text


def test_counts_the_other_bad_lines(tmp_path):
    text = message(tmp_path, b"{", ROW, *[b"{"] * 7)
    assert ":1: " in text and text.endswith("(7 more bad lines: 3, 4, 5, 6, 7, ...)")


def test_ids_must_differ(tmp_path):
    assert ":2: field 'pair_id': the same id stands on line 1" in message(tmp_path, ROW, ROW)


def test_labels_on_demand(tmp_path):
    unlabelled = row(errors=...)
    assert pairs.read(lines(tmp_path, unlabelled))[0].errors is None
    assert ":1: field 'errors': missing" in message(tmp_path, unlabelled, labelled=True)


def test_a_label_grades_a_pair_without_errors(tmp_path):
    graded = row(errors=..., label="significant")
    (pair,) = pairs.read(lines(tmp_path, graded), graded=True)
    assert pair.errors is None and pair.significant
    assert not Pair("a", "r", "x", "y", label="insignificant").significant
    pairs.write(tmp_path / "out.jsonl", [pair])
    assert pairs.read(tmp_path / "out.jsonl") == [pair]
    # Errors grade it as well; for training they must be there.
    assert len(pairs.read(lines(tmp_path, ROW, row(pair_id="b", errors=[])), graded=True)) == 2
    assert ":1: field 'errors': missing, and 'label' too" in message(tmp_path, row(errors=...), graded=True)
    assert ":1: field 'errors': missing; a labelled" in message(tmp_path, graded, labelled=True)


def test_a_label_agrees_with_the_errors(tmp_path):
    assert len(pairs.read(lines(tmp_path, row(label="significant")))) == 1
    assert len(pairs.read(lines(tmp_path, row(errors=[], label="insignificant")))) == 1
    for wrong in (row(label="insignificant"), row(errors=[], label="significant")):
        assert ":1: field 'label': does not agree with the severities" in message(tmp_path, wrong)
    assert "field 'label': 'signifcant' is not one of significant, insignificant (did you" in message(
        tmp_path, row(label="signifcant")
    )
    assert "field 'label': must be text, not int" in message(tmp_path, row(label=1))


def test_scan_gives_the_good_lines_and_the_bad(tmp_path):
    (one, pair), (two, problem), (four, twice) = pairs.scan(lines(tmp_path, ROW, b"{", b"", ROW))
    assert (one, two, four) == (1, 2, 4) and pair.pair_id == "a"
    assert problem.startswith("not valid JSON") and "line 1" in twice


def test_what_is_written_is_its_owner_s_alone(tmp_path):
    pairs.write(tmp_path / "out.jsonl", [Pair("a", "r", "x", "y")])
    assert not stat.S_IMODE((tmp_path / "out.jsonl").stat().st_mode) & 0o077


def test_no_file_and_no_pair(tmp_path):
    with pytest.raises(ValueError, match="no such pair file"):
        pairs.read(tmp_path / "absent.jsonl")
    with pytest.raises(ValueError, match="holds no pair"):
        pairs.read(lines(tmp_path, b""))


words = st.text(min_size=1).filter(str.strip)


@given(
    st.lists(
        st.builds(
            Pair, words, words, words, words,
            st.none() | st.just(()),
            st.dictionaries(st.text(), st.none() | st.text() | st.integers(), max_size=2),
        ),
        min_size=1, max_size=3, unique_by=lambda pair: pair.pair_id,
    )
)  # fmt: skip
def test_write_and_read_agree(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    pairs.write(path, written)
    assert pairs.read(path) == written


def test_write_and_read_agree_on_errors(tmp_path):
    omission = Error("omission", "wording", "Zyxwort", "", "insignificant", "a \u2028 line")
    pair = Pair("a", "r", REFERENCE, CANDIDATE, (Error(**ERROR), omission))
    pairs.write(tmp_path / "p.jsonl", [pair])
    assert pairs.read(tmp_path / "p.jsonl", labelled=True) == [pair]


def test_an_image_is_found_from_where_the_pair_file_stands(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    image = tmp_path / "images" / "a b.png"
    image.write_bytes(b"")
    monkeypatch.chdir(tmp_path.parent)
    rows = [
        row(image="images/a b.png"),
        row(pair_id="b", image="images/../images/a b.png"),
        row(pair_id="c", image=str(image)),
        row(pair_id="d", image=None),
        row(pair_id="e"),
    ]
    found = pairs.read(lines(tmp_path, *rows).relative_to(tmp_path.parent))
    assert [pair.image for pair in found] == [str(image.resolve())] * 3 + [None] * 2
    # Written elsewhere it is still the same image, and where there is none nothing is written.
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / "pairs.jsonl"
    pairs.write(other, found)
    assert pairs.read(other) == found
    assert ["image" in json.loads(line) for line in other.read_text().splitlines()] == [True] * 3 + [False] * 2


def test_a_compressed_file_is_read_and_a_damaged_one_named(tmp_path):
    errors = (Error("omission", "finding", "Effusion.", "", "significant"),)
    pairs.write(tmp_path / "plain.jsonl", [Pair("p", "r", "Effusion. Clear.", "Clear.", errors)])
    packed = gzip.compress((tmp_path / "plain.jsonl").read_bytes())
    (tmp_path / "packed.jsonl.gz").write_bytes(packed)
    assert pairs.read(tmp_path / "packed.jsonl.gz") == pairs.read(tmp_path / "plain.jsonl")
    for damage in (packed[:-12], packed[:20] + b"\xff\xff" + packed[22:], b"no gzip at all"):
        (tmp_path / "packed.jsonl.gz").write_bytes(damage)
        with pytest.raises(ValueError, match="cut short, or not compressed by gzip"):
            pairs.read(tmp_path / "packed.jsonl.gz")


def test_a_digest_is_of_what_pairs_say_alone(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    written = pairs.read(lines(tmp_path, row(), row(pair_id="b", image="a.png")))
    (tmp_path / "b.png").write_bytes(b"")
    spaced = [json.dumps(row(pair_id="b", image="b.png"), indent=None, separators=(" , ", " : ")).encode(), row()]
    assert pairs.digest(pairs.read(lines(tmp_path, *spaced))) == pairs.digest(written)
    for change in ({"candidate": f"{CANDIDATE} "}, {"reference_id": "s"}, {"errors": []}, {"metadata": {"level": 1}}):
        changed = pairs.read(lines(tmp_path, row(**change), row(pair_id="b")))
        assert pairs.digest(changed) != pairs.digest(written)
