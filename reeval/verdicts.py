"""Verdicts and their text format: a few short lines, because decoded tokens are the cost.

One pass, one line an error, or `none`; severity comes last, after the evidence:

    inaccuracy | laterality | "right effusion" => "left effusion" | significant
    omission | device | "right PICC line" => "" | insignificant

Two passes: the first gives the same lines without the severity (or `none`, and there is no second); the
second gives one severity a line, in the same order. Inside quotes, backslash escapes quote, backslash and
line breaks. An error's explanation is for people and is no part of the format.
"""

import dataclasses
import re
from collections.abc import Sequence

from reeval.pairs import Error
from reeval.taxonomy import ASPECTS, SEVERITIES, TYPES

FORMAT_VERSION = "lines-1"
NONE = "none"

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"}
_UNESCAPES = {escaped[1]: plain for plain, escaped in _ESCAPES.items()}
# Patterns of one line each; the grammar of decoding is made of them.
PLAIN = r'[^"\\\n\r]'  # a character that quotes hold as it is
_QUOTED = rf'"((?:{PLAIN}|\\["\\nr])*)"'
SPANS = re.compile(rf"({'|'.join(TYPES)}) \| ({'|'.join(ASPECTS)}) \| {_QUOTED} => {_QUOTED}")
SEVERITY = re.compile(rf"({'|'.join(SEVERITIES)})")
LINE = re.compile(rf"{SPANS.pattern} \| {SEVERITY.pattern}")
_SEVERITY_AT_END = re.compile(rf"(?:^|\| ){SEVERITY.pattern}$", re.MULTILINE)


class VerdictFormatError(ValueError):
    """Text that is no verdict. The message names the line, never its words."""


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """The errors that a judge found in a pair; empty if it found none."""

    errors: tuple[Error, ...] = ()

    @property
    def significant(self) -> bool:
        return any(error.significant for error in self.errors)


def render(verdict: Verdict) -> str:
    """The one-pass text of a verdict; `parse` reads it back."""
    return "\n".join(f"{_spans(e)} | {_severity(e)}" for e in verdict.errors) or NONE


def parse(text: str) -> Verdict:
    """The verdict of a one-pass text. Raises VerdictFormatError."""
    return Verdict(tuple(_error(LINE, line, number) for number, line in _lines(text)))


def render_spans(verdict: Verdict) -> str:
    """The first text of two passes: what is wrong, without how much it matters."""
    return "\n".join(_spans(e) for e in verdict.errors) or NONE


def parse_spans(text: str) -> tuple[Error, ...]:
    """The errors of a first pass, their severity None. Raises VerdictFormatError."""
    return tuple(_error(SPANS, line, number) for number, line in _lines(text))


def render_severities(verdict: Verdict) -> str:
    """The second text of two passes, one severity a line; a verdict without errors has no second pass."""
    if not verdict.errors:
        raise ValueError("a verdict without errors has no second pass")
    return "\n".join(_severity(e) for e in verdict.errors)


def parse_severities(text: str, errors: Sequence[Error]) -> Verdict:
    """The verdict of both passes, `errors` being the first one's. Raises VerdictFormatError."""
    lines = text.strip().split("\n")
    if len(lines) != len(errors):
        raise VerdictFormatError(f"{len(lines)} severities for {len(errors)} errors")
    for number, line in enumerate(lines, start=1):
        if line not in SEVERITIES:
            raise VerdictFormatError(f"line {number} is no severity")
    return Verdict(tuple(dataclasses.replace(e, severity=line) for e, line in zip(errors, lines, strict=True)))


def severity_places(text: str) -> list[tuple[int, int]]:
    """Where the severity words of a rendered text of either pass stand: (start, end) of each."""
    return [match.span(1) for match in _SEVERITY_AT_END.finditer(text)]


def _lines(text: str) -> list[tuple[int, str]]:
    # Only the ends are trimmed: white space inside a verdict is part of the format.
    text = text.strip()
    return [] if text == NONE else list(enumerate(text.split("\n"), start=1))


def _error(pattern: re.Pattern[str], line: str, number: int) -> Error:
    match = pattern.fullmatch(line)
    if match is None:
        raise VerdictFormatError(f"line {number} does not have the form of a verdict line")
    kind, aspect, reference_span, candidate_span, *severity = match.groups()
    return Error(kind, aspect, _unquote(reference_span), _unquote(candidate_span), *severity)


def _spans(error: Error) -> str:
    return f"{error.type} | {error.aspect} | {_quote(error.reference_span)} => {_quote(error.candidate_span)}"


def _severity(error: Error) -> str:
    if error.severity is None:
        raise ValueError("an error without severity cannot be rendered in this pass")
    return error.severity


def _quote(span: str) -> str:
    return '"' + re.sub(r'[\\"\n\r]', lambda match: _ESCAPES[match[0]], span) + '"'


def _unquote(span: str) -> str:
    return re.sub(r"\\(.)", lambda match: _UNESCAPES[match[1]], span)
