import contextlib
import dataclasses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reeval import verdicts
from reeval.pairs import Error
from reeval.taxonomy import ASPECTS, SEVERITIES, TYPES
from reeval.verdicts import Verdict, VerdictFormatError

# What str.splitlines and str.strip take for line ends or white space, and what the format itself uses.
AWKWARD = '\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029 \t\xa0\u3000\\"nr|=>'
TRICKY = ['" => "', '" | significant\n', "none", "\\", "\\n", '\\"']
spans = st.text() | st.text(AWKWARD) | st.sampled_from(TRICKY)
errors = st.builds(
    Error,
    type=st.sampled_from(TYPES),
    aspect=st.sampled_from(ASPECTS),
    reference_span=spans,
    candidate_span=spans,
    severity=st.sampled_from(SEVERITIES),
)
found = st.builds(Verdict, st.lists(errors, max_size=4).map(tuple))

SIDE = Error("inaccuracy", "laterality", "right effusion", "left effusion", "significant")
LINE = Error("omission", "device", "right PICC line", "", "insignificant")


def test_the_format_is_the_documented_one():
    verdict = Verdict((SIDE, LINE))
    assert verdicts.render(verdict) == (
        'inaccuracy | laterality | "right effusion" => "left effusion" | significant\n'
        'omission | device | "right PICC line" => "" | insignificant'
    )
    assert verdicts.render_spans(verdict) == (
        'inaccuracy | laterality | "right effusion" => "left effusion"\nomission | device | "right PICC line" => ""'
    )
    assert verdicts.render_severities(verdict) == "significant\ninsignificant"
    assert verdicts.render(Verdict()) == verdicts.render_spans(Verdict()) == "none"
    assert verdict.significant and not Verdict((LINE,)).significant and not Verdict().significant


@given(found)
def test_one_pass_round_trip(verdict):
    assert verdicts.parse(verdicts.render(verdict)) == verdict


@given(found)
def test_two_pass_round_trip(verdict):
    first = verdicts.parse_spans(verdicts.render_spans(verdict))
    assert first == tuple(dataclasses.replace(error, severity=None) for error in verdict.errors)
    if verdict.errors:
        assert verdicts.parse_severities(verdicts.render_severities(verdict), first) == verdict


@given(found)
def test_one_line_an_error(verdict):
    # A decoder and a reader count lines; no span may add one.
    assert len(verdicts.render(verdict).split("\n")) == max(1, len(verdict.errors))


def test_explanations_are_no_part_of_the_format():
    explained = dataclasses.replace(SIDE, explanation="the side is wrong")
    assert verdicts.parse(verdicts.render(Verdict((explained,)))) == Verdict((SIDE,))


def test_white_space_around_a_verdict_is_forgiven():
    assert verdicts.parse("\n none \n") == Verdict()
    assert verdicts.parse(f"  {verdicts.render(Verdict((SIDE,)))}\n\n") == Verdict((SIDE,))


near_misses = st.builds(
    lambda verdict, at, what, lost: (text := verdicts.render(verdict))[:at] + what + text[at + lost :],
    found,
    st.integers(0, 60),
    st.text(max_size=3) | st.sampled_from(["\n", '"', "\\", " | ", "none"]),
    st.integers(0, 5),
)


@given(st.text() | near_misses)
@example("")
@example("none\nnone")
@example('omission | device | "a\\')
@example('omission | device | "\\x" => "" | significant')
@example('omission | device | "' + "\\n" * 20_000)
def test_parse_fails_in_one_way_only(text):
    for parse in (verdicts.parse, verdicts.parse_spans, lambda t: verdicts.parse_severities(t, (SIDE, LINE))):
        with contextlib.suppress(VerdictFormatError):
            parse(text)


@given(st.text() | near_misses)
def test_what_parses_is_what_renders(text):
    # But for white space at the ends, one verdict has one text: exact-match figures mean something.
    try:
        verdict = verdicts.parse(text)
    except VerdictFormatError:
        return
    assert verdicts.render(verdict) == text.strip()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "None",
        "none.",
        'inaccuracy | laterality | "a" => "b"',
        'inaccuracy | laterality | "a" => "b" | severe',
        'inaccuracy | side | "a" => "b" | significant',
        'inaccuracy|laterality|"a"=>"b"|significant',
        'omission | device | "a" => "" | significant\n\nomission | device | "b" => "" | significant',
        'omission | device | "a" => "" | significant\nnone',
        '<think></think>omission | device | "a" => "" | significant',
    ],
)
def test_refuses_what_is_no_verdict(text):
    with pytest.raises(VerdictFormatError):
        verdicts.parse(text)


def test_messages_name_the_line_and_no_words():
    good = verdicts.render(Verdict((SIDE,)))
    with pytest.raises(VerdictFormatError) as caught:
        verdicts.parse(f"{good}\n{good} Zyxwort")
    assert str(caught.value) == "line 2 does not have the form of a verdict line"
    with pytest.raises(VerdictFormatError, match=r"^1 severities for 2 errors$"):
        verdicts.parse_severities("significant", (SIDE, LINE))
    with pytest.raises(VerdictFormatError, match=r"^line 2 is no severity$"):
        verdicts.parse_severities("significant\nZyxwort", (SIDE, LINE))


def test_unjudged_errors_have_no_severity_to_render():
    unjudged = Verdict((dataclasses.replace(SIDE, severity=None),))
    assert verdicts.render_spans(unjudged)
    for render in (verdicts.render, verdicts.render_severities):
        with pytest.raises(ValueError, match="without severity"):
            render(unjudged)
    with pytest.raises(ValueError, match="no second pass"):
        verdicts.render_severities(Verdict())
