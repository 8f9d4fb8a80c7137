"""The tolerant reader: what is in the format stays, what is nearly in it is repaired, nothing is made up."""

import dataclasses
import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reeval import prompts, verdicts
from reeval.evaluators import tolerant
from reeval.evaluators.tolerant import read, read_answers, read_severities, read_spans
from reeval.pairs import Error, Pair
from reeval.taxonomy import ASPECTS, SEVERITIES, TYPES
from reeval.verdicts import Verdict

SIDE = Error("inaccuracy", "laterality", "right effusion", "left effusion", "significant")
LOST = Error("omission", "device", "right PICC line", "", "insignificant")
BOTH = Verdict((SIDE, LOST))
FIRST = 'inaccuracy | laterality | "right effusion" => "left effusion" | significant'
SECOND = 'omission | device | "right PICC line" => "" | insignificant'
TEXT = f"{FIRST}\n{SECOND}"

WORDS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters='|"“”„«»=-–—→⇒➔➜⟶⟹>'), max_size=30)


@st.composite
def errors(draw, severity=True, spans=WORDS):
    kind = draw(st.sampled_from(TYPES))
    reference = "" if kind == "fabrication" else draw(spans.filter(str.strip))
    candidate = "" if kind == "omission" else draw(spans.filter(str.strip))
    return Error(
        kind,
        draw(st.sampled_from(ASPECTS)),
        reference,
        candidate,
        draw(st.sampled_from(SEVERITIES)) if severity else None,
    )


VERDICTS = st.lists(errors(), max_size=4).map(lambda found: Verdict(tuple(found)))
ANY = st.lists(errors(spans=st.text(st.characters(blacklist_categories=["Cs"]), max_size=30)), max_size=4).map(
    lambda found: Verdict(tuple(found))
)


@given(ANY)
def test_what_is_in_the_format_is_read_as_it_is_with_no_repair(verdict):
    assert read(verdicts.render(verdict)) == tolerant.Reading(verdict)
    spans = verdicts.render_spans(verdict)
    bare = read_spans(spans)
    assert bare.verdict.errors == verdicts.parse_spans(spans) and not bare.repairs
    if verdict.errors:
        assert read_severities(verdicts.render_severities(verdict), bare.verdict.errors) == tolerant.Reading(verdict)


@given(
    st.one_of(
        st.text(), st.text(alphabet='|"=>- \nnosigfcatremi“”→*{}[],:1.<>/'), st.from_regex(r"(\w+ \| ){1,4}.*\n?")
    )
)
@settings(max_examples=300, deadline=None)
@example("<think>")
@example("[" * 5000)
@example('{"errors": ' * 3000)
@example('"' * 999)
@example("|" * 999)
@example("none " * 999)
@example("no " * 3000 + "errors")
def test_it_never_raises_and_never_calls_what_it_cannot_read_none(text):
    reading = read(text)
    for found in (reading, read_spans(text), read_severities(text, [SIDE, LOST])):
        assert (found.verdict is None) == bool(found.problem)
        assert not found.problem or "\n" not in found.problem
    if reading.verdict is not None:
        assert all(error.severity in SEVERITIES and error.type in TYPES for error in reading.verdict.errors)
        if not reading.verdict.errors:
            assert re.search(r"none|no |zero|0|n/a|nil|identical|equivalent|\[|\{", text, re.I)


def numbered(text):
    return "\n".join(f"{n}. {line}" for n, line in enumerate(text.split("\n"), start=1))


def table(text):
    rows = ["| Type | Aspect | Words | Severity |", "|---|:-:|---|---|"]
    return "\n".join([*rows, *(f"| {line} |" for line in text.split("\n"))])


DECORATIONS = {
    "thoughts": lambda text: f"<think>\nomission | device | maybe?\nnone\n</think>\n\n{text}",
    "thoughts without a beginning": lambda text: f"Two things differ.\n</think>{text}",
    "harmony": lambda text: (
        f"<|channel|>analysis<|message|>none?<|end|><|start|>assistant<|channel|>final<|message|>{text}"
    ),
    "fence": lambda text: f"```\n{text}\n```",
    "fence with a name": lambda text: f"Sure:\n\n```text\n{text}\n```\n",
    "end token": lambda text: f"{text}</s>",
    "preamble": lambda text: f"Here are the differences:\n\n{text}",
    "bullets": lambda text: "\n".join(f"- {line}" for line in text.split("\n")),
    "stars": lambda text: "\n".join(f"  * {line}" for line in text.split("\n")),
    "numbers": numbered,
    "indented": lambda text: "\n".join(f"   {line}  " for line in text.split("\n")),
    "empty lines": lambda text: text.replace("\n", "\n\n"),
    "carriage returns": lambda text: text.replace("\n", "\r\n") + "\r\n",
    "bold": lambda text: "\n".join(f"**{line}**" for line in text.split("\n")),
}


@pytest.mark.parametrize("name", DECORATIONS)
@given(verdict=VERDICTS)
@settings(max_examples=60, deadline=None)
def test_a_verdict_survives_each_decoration(name, verdict):
    decorated = DECORATIONS[name](verdicts.render(verdict))
    reading = read(decorated)
    assert reading.verdict == verdict, reading
    assert reading.repairs or decorated.strip() == verdicts.render(verdict)


LINES = {
    "table": table(FIRST),
    "bars around": f"| {FIRST} |",
    "capitals": FIRST.replace("inaccuracy", "Inaccuracy").replace("laterality", "LATERALITY"),
    "curly quotes": FIRST.replace('"right effusion"', "“right effusion”").replace('"left effusion"', "“left effusion”"),
    "unicode arrow": FIRST.replace("=>", "→"),
    "thin arrow": FIRST.replace(" => ", " -> "),
    "no spaces": FIRST.replace(" | ", "|").replace(" => ", "=>"),
    "wide spaces": FIRST.replace(" | ", "  |   "),
    "no quotes": FIRST.replace('"', ""),
    "another order": 'laterality | inaccuracy | significant | "right effusion" => "left effusion"',
    "bold fields": '**inaccuracy** | *laterality* | "right effusion" => "left effusion" | **significant**',
    "a full stop": f"{FIRST}.",
    "synonyms": FIRST.replace("inaccuracy", "incorrect").replace("laterality", "side").replace("significant", "major"),
    "clinically": FIRST.replace("significant", "clinically significant"),
    "labels": 'Type: inaccuracy | Aspect: laterality | "right effusion" => "left effusion" | Severity: significant',
    "columns": "inaccuracy | laterality | right effusion | left effusion | significant",
    "numbered table": f"| # | Type | Aspect | Words | Severity |\n|---|---|---|---|---|\n| 1 | {FIRST} |",
    "quoted columns": 'inaccuracy | laterality | "right effusion" | "left effusion" | significant',
    "semicolons": FIRST.replace(" | ", "; "),
    "commas": FIRST.replace(" | ", ", "),
    "near aspect": FIRST.replace("laterality", "lateralty"),
    "no type": FIRST.removeprefix("inaccuracy | "),
    "json": json.dumps(
        [{"type": "inaccuracy", "aspect": "laterality", "reference_span": "right effusion",
          "candidate_span": "left effusion", "severity": "significant"}]
    ),
    "json object": json.dumps(
        {"errors": [{"error_type": "Inaccuracy", "aspect": "Laterality", "reference": "right effusion",
                     "candidate": "left effusion", "clinically_significant": True}]}
    ),
    "json in a fence": "Here you go:\n```json\n" + json.dumps(
        {"verdict": {"errors": [{"type": "inaccuracy", "aspect": "side", "ref": "right effusion",
                                 "cand": "left effusion", "severity": "Significant"}]}}, indent=2
    ) + "\n```",
    "one json object": json.dumps(
        {"type": "inaccuracy", "aspect": "laterality", "reference_span": "right effusion",
         "candidate_span": "left effusion", "severity": "significant"}
    ),
    "json by severity": json.dumps(
        {"significant_errors": [{"type": "inaccuracy", "aspect": "laterality", "reference_span": "right effusion",
                                 "candidate_span": "left effusion"}], "insignificant_errors": []}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_a_line_in_another_form_is_the_same_error_and_counted(name):
    reading = read(LINES[name])
    assert reading.verdict == Verdict((SIDE,)), reading
    assert sum(reading.repairs.values()) >= 1


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (SECOND.replace('""', "(none)"), LOST),
        (SECOND.replace('""', '"none"').replace("om", "Om"), LOST),
        (SECOND.replace('""', "—"), LOST),
        (SECOND.replace('"" ', " "), LOST),
        (SECOND.replace("insignificant", "not clinically significant"), LOST),
        (SECOND.replace("insignificant", "non-significant"), LOST),
        (SECOND.replace("insignificant", "minor"), LOST),
        (
            FIRST + " | the wrong side",
            Error("inaccuracy", "laterality", "right effusion", "left effusion", "significant", "the wrong side"),
        ),
        (
            FIRST + " (wrong side)",
            Error("inaccuracy", "laterality", "right effusion", "left effusion", "significant", "wrong side"),
        ),
        (FIRST.replace("laterality", "colour"), dataclasses.replace(SIDE, aspect="")),
        (FIRST.replace("laterality | ", ""), dataclasses.replace(SIDE, aspect="")),
        (
            'inaccuracy | wording | "the "hazy" opacity" => "the "lazy" opacity" | insignificant',
            Error("inaccuracy", "wording", 'the "hazy" opacity', 'the "lazy" opacity', "insignificant"),
        ),
        (
            'hallucination | finding | "" => "a | b => c" | critical',
            Error("fabrication", "finding", "", "a | b => c", "significant"),
        ),
    ],
)  # fmt: skip
def test_what_a_field_can_only_mean(line, error):
    reading = read(line)
    assert reading.verdict == Verdict((error,)), reading
    assert reading.repairs


@pytest.mark.parametrize(
    "text",
    [
        "None.", "NONE", "**none**", "- none", "`none`", '"none"', "Answer: none", "Errors: None", "No errors found.",
        "No errors in the candidate report.",
        "No errors.", "There are no differences.", "No differences were found between the two reports.",
        "No clinically significant errors.", "There are no discrepancies between the reference and candidate reports.",
        "The reports are identical.", "[]", '{"errors": []}', '```json\n{"errors": []}\n```', "<think>hm</think>none",
        "I compared both reports line by line.\n\nnone", "Here are the errors:\nnone", "Errors:\nNone",
        '{"errors": "none"}',
    ],
)  # fmt: skip
def test_nothing_in_other_words_is_none_and_counted(text):
    reading = read(text)
    assert reading.verdict == Verdict() and reading.repairs
    assert read_spans(text).verdict == Verdict()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no text"),
        (" \n ", "no text"),
        ("<think>I should look at", "thoughts without an answer"),
        ("<think>none</think>", "thoughts without an answer"),
        ("I cannot help with that.", "no verdict in it"),
        ("The candidate misses the pneumothorax.", "no verdict in it"),
        ("None of the findings agree.", "no verdict in it"),
        ("No other errors.", "no verdict in it"),
        ("The candidate misses a pneumothorax.\nNo errors found.", "says none beside other words on errors"),
        ("Significant errors:\n1. Pneumothorax is lost.\nInsignificant errors:\nNone.", "says none beside other words"),
        ("none\n\nThe left effusion is not mentioned.", "says none beside other words on errors"),
        ('{"errors": []}\nThe effusion was not described.', "says none beside other words on errors"),
        ("Effusion is on the other side. []", "says none beside other words on errors"),
        ("No errors in the lungs.", "no verdict in it"),
        (f"{FIRST}\nnone", "says both none and errors"),
        ("omission | device", "no verdict in it"),
        ('omission | device | "x" => ""', "line 1 has no severity"),
        ('omission | device | "x" => "" | moderate', "line 1 has a field that is no severity"),
        ('omission | device | "x" => "" | significant or insignificant', "line 1 has a field that is no severity"),
        ('omission | device | "x" => "" | insignificant/significant', "line 1 has"),
        ('omission | device | "x" => "" | significant, insignificant', "line 1 has"),
        (f"{FIRST}\nomission | device | ???", "line 2 has"),
        ('{"errors": null}', "no list of errors"),
        ('{"errors": [{"type": "omission", "reference_span": "x"}]}', "without a severity"),
        ('{"errors": [{"type": "omission", "severity": "moderate", "reference_span": "x"}]}', "without a severity"),
        ('{"errors": [3]}', "that is no object"),
        ('{"error": "rate limit"}', "no verdict in it"),
        ('{"errors": [{"type": "omission", "severity"', "no verdict in it"),
        ('{"errors": []} {"errors": [{"type": "omission", "severity": "minor"}]}', "several answers"),
        ('{"significant_errors": []}', "one severity alone"),
        ("[1, 2]", "no verdict in it"),
        ("The candidate misses the pneumothorax. []", "says none beside other words"),
        ('Without errors I would say {"errors": []}, but the pneumothorax is lost.', "says none beside other words"),
        ("The candidate misses a pneumothorax:\nnone", "says none beside other words"),
        ('inaccuracy | severe | "x" => "y"', "line 1 has no severity"),
        ("inaccuracy | degree | severe | minor | insignificant", "line 1 has"),
        ('omission | device | "x" => "" | significant: 2', "line 1 has"),
    ],
)
def test_what_cannot_be_read_is_no_verdict_and_says_why_in_none_of_its_words(text, problem):
    reading = read(text)
    assert reading.verdict is None and problem in reading.problem
    assert "thorax" not in reading.problem.lower()


PAIR = Pair("p", "r", "No effusion.", "Left effusion.\nNone.")


@pytest.mark.parametrize("version", prompts.PROMPTS)
@pytest.mark.parametrize("mode", prompts.MODES)
def test_a_repeated_prompt_is_neither_an_error_nor_none(version, mode):
    (message,) = prompts.first_messages(version, mode, PAIR)
    reader = read if mode == "one_pass" else read_spans
    assert reader(message["content"]).verdict is None
    both = f"{message['content']}\n\n{FIRST if mode == 'one_pass' else FIRST.removesuffix(' | significant')}"
    if "None." not in both:
        assert len(reader(both).verdict.errors) == 1
    second = prompts.second_message(version)["content"]
    assert read_severities(second, [SIDE, LOST]).verdict is None
    assert read_severities(f"{second}\n\nsignificant\ninsignificant", [SIDE, LOST]).verdict == BOTH


@pytest.mark.parametrize(
    "line",
    [
        'type | aspect | "words of the reference" => "words of the candidate" | significant or insignificant',
        "<type> | <aspect> | <reference> => <candidate> | <severity>",
        "| Type | Aspect | Reference | Candidate | Severity |",
    ],
)
def test_a_template_is_no_error(line):
    assert read(line).verdict is None
    assert read(f"{line}\n{FIRST}").verdict == Verdict((SIDE,))


@pytest.mark.parametrize(
    "text",
    [
        "1. significant\n2. insignificant", "Significant\nInsignificant", "- significant\n- insignificant",
        "1) **significant**\n2) **insignificant**", "Error 1: significant\nError 2: insignificant",
        "significant, insignificant", '["significant", "insignificant"]', '{"severities": ["significant", "minor"]}',
        "2. insignificant\n1. significant", "<think>1 minor</think>significant\ninsignificant",
        "```\nsignificant\ninsignificant\n```", "Here are the severities:\nsignificant\ninsignificant",
        TEXT, numbered(TEXT), "significant - wrong side\ninsignificant - line in place", "major\nminor",
        '1. "right effusion" => "left effusion": significant\n2. "right PICC line": insignificant',
        "significant\n\ninsignificant\n", '[{"severity": "significant"}, {"severity": "insignificant"}]',
    ],
)  # fmt: skip
def test_severities_of_a_second_pass_in_other_forms(text):
    spans = read_spans(verdicts.render_spans(BOTH)).verdict.errors
    reading = read_severities(text, spans)
    assert reading.verdict is not None and reading.repairs, reading
    assert [error.severity for error in reading.verdict.errors] == ["significant", "insignificant"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("significant", "1 severities for 2 errors"),
        ("significant\nsignificant\ninsignificant", "3 severities for 2 errors"),
        ("none", "0 severities for 2 errors"),
        ("1. significant\n2. unclear", "no severity for error 2"),
        ("1. significant\n1. insignificant", "whose numbers do not count"),
        ("1. significant\n3. insignificant", "whose numbers do not count"),
        ('["significant", "unclear"]', "no severity for an error"),
        ("significant or insignificant\nsignificant", "1 severities for 2 errors"),
        ("Significant: 1\nInsignificant: 1", "0 severities for 2 errors"),
        ("Significant: 1, 2\nInsignificant: 3", "0 severities for 2 errors"),
        ("", "no text"),
    ],
)
def test_severities_that_do_not_answer_the_errors_are_no_verdict(text, problem):
    reading = read_severities(text, [SIDE, LOST])
    assert reading.verdict is None and problem in reading.problem


def test_a_severity_in_the_first_pass_is_left_out_and_counted():
    reading = read_spans(TEXT)
    assert [error.severity for error in reading.verdict.errors] == [None, None]
    assert reading.repairs["severity in the first pass"] == 2


@pytest.mark.parametrize(
    ("mode", "texts", "status"),
    [
        ("one_pass", [TEXT], "ok"),
        ("one_pass", [f"- {TEXT}"], "repaired"),
        ("one_pass", ["?"], "pass 1: no verdict in it"),
        ("one_pass", [], "pass 1: no text"),
        ("two_pass", ["none"], "ok"),
        ("two_pass", ["none", "whatever"], "ok"),
        ("two_pass", [verdicts.render_spans(BOTH), "significant\ninsignificant"], "ok"),
        ("two_pass", [verdicts.render_spans(BOTH), "1. significant\n2. insignificant"], "repaired"),
        ("two_pass", [verdicts.render_spans(BOTH)], "pass 2: no text"),
        ("two_pass", [verdicts.render_spans(BOTH), "significant"], "pass 2: 1 severities for 2 errors"),
        ("two_pass", ["?", "significant"], "pass 1: no verdict in it"),
    ],
)
def test_the_status_says_which_pass_failed(mode, texts, status):
    said, reading = read_answers(mode, texts)
    assert said == status and (reading.verdict is None) == status.startswith("pass")


def test_an_answer_that_ran_out_of_tokens_is_no_verdict_though_what_is_there_reads_well():
    assert read_answers("one_pass", [TEXT], [False]) == ("pass 1: ran out of tokens", tolerant.Reading(None))
