"""One line that is nearly a verdict line: fields in another order or form, read by what each of them can only be."""

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

from reeval import verdicts
from reeval.evaluators import words
from reeval.pairs import Error
from reeval.verdicts import VerdictFormatError

_BULLET = re.compile(r"^\s*(?:[-*•‣▪–—+]|#{1,6}|\(?\d{1,3}[.):]\)?|\(?[a-z][.)])\s+")
_ARROW = re.compile(r"\s*(?:={1,2}>|-{1,2}>|=＞|[→⇒➔➜⟶⟹])\s*")
_OPEN, _CLOSE = '"“”„«', '"”“»'
_BETWEEN = re.compile(rf"[{_CLOSE}]{_ARROW.pattern}[{_OPEN}]")
# A span of no words.
_EMPTY = re.compile(
    r"(?:|-+|–|—|n/?a|null|nil|∅|\(?(?:none|empty|absent|missing|not (?:mentioned|present|stated|reported))\)?)\.?",
    re.I,
)
_PLACEHOLDER = re.compile(r"[<\[{(].*[>\]})]|\.{2,}|…")
_HEADERS = {
    "", "#", "no", "no.", "type", "error type", "aspect", "severity", "significance", "reference", "candidate",
    "reference span", "candidate span", "reference words", "candidate words", "explanation", "error", "spans", "words",
    "words of the reference", "words of the candidate", "reference text", "candidate text", "reference => candidate",
}  # fmt: skip
_RULE = re.compile(r"[\s|:+=-]+")
# How a line of a second pass says which error it is of.
_NUMBERED = re.compile(
    r"[\s*_`(#-]*(?:(?:error|difference|discrepancy|item|line|no\.?)\s*#?\s*)?(\d{1,3})\s*[*_`]*\s*[.):\]-]+\s*", re.I
)
_SEPARATORS = re.compile(r"\s*(?:[;\t]|,|\s[-–—/]\s)\s*")
_UNESCAPES = {'"': '"', "\\": "\\", "n": "\n", "r": "\r"}
# How a field that holds spans begins where a label says whose they are.
_SIDE = re.compile(r"(?:reference|candidate)(?:\s+(?:report|span|text|words))?\s*[:=]\s*", re.I)


class Unreadable(ValueError):
    """A line or object that speaks of an error and cannot be read. Says why, in none of its words."""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """An error and what had to be put right to read it."""

    error: Error
    repairs: Counter[str]


def looks_like_one(line: str) -> bool:
    """Whether a line means to be a verdict line."""
    plain = _hidden(line)
    return plain.count("|") >= 2 or (_ARROW.search(plain) is not None and any(mark in line for mark in _OPEN))


def is_frame(line: str) -> bool:
    """Whether it is a table's rule, header or an example with placeholders, which holds no error."""
    if _RULE.fullmatch(line):
        return "|" in line or len(line.strip()) > 2
    cells = [cell.strip(' *_`"').casefold() for cell in line.strip().strip("|").split("|")]
    if len(cells) < 2:
        return False
    known = [cell in _HEADERS or _PLACEHOLDER.fullmatch(cell) is not None for cell in cells]
    return all(known) or (len(cells) > 2 and known[0] and known[1])


def without_bullet(line: str) -> str:
    return _BULLET.sub("", line, count=1)


def read(line: str, *, severities: bool) -> Line:
    """The error of a line.

    Args:
        severities: whether it has to have one; where not, one that is there is left out.
    Raises:
        Unreadable
    """
    repairs: Counter[str] = Counter()
    if (strict := _strictly(line.strip(), severities)) is not None:
        return Line(strict, repairs)
    text = without_bullet(line).strip()
    if text != line.strip():
        repairs["bullet"] += 1
    if text[:1] in "*_`" and text[-1:] in "*_`":
        text = text.strip("*_`").strip()
        repairs["markdown"] += 1
    if text.startswith("|") or text.endswith("|"):
        text = text.strip("|").strip()
        repairs["table"] += 1
    if (strict := _strictly(text, severities)) is not None:
        return Line(strict, repairs)
    fields = _fields(text, repairs)
    return Line(_error(fields, repairs, severities), repairs)


def _strictly(text: str, severities: bool) -> Error | None:
    """The error of a line that is in the format once what was around it is gone."""
    try:
        found = verdicts.parse(text).errors if severities else verdicts.parse_spans(text)
    except VerdictFormatError:
        return None
    return found[0] if len(found) == 1 else None


def _fields(text: str, repairs: Counter[str]) -> list[str]:
    cuts = _cuts(text, re.compile(r"\|"))
    if len(cuts) > 1:
        return cuts
    cuts = _cuts(text, _SEPARATORS)
    if len(cuts) < 2:
        raise Unreadable("has no fields")
    repairs["separators"] += 1
    return cuts


def _cuts(text: str, separator: re.Pattern[str]) -> list[str]:
    """The fields between separators that stand outside of quotes; all of them where quotes do not close."""
    hidden = _hidden(text)
    places = [match.span() for match in separator.finditer(hidden)]
    starts = [0, *(end for _, end in places)]
    ends = [*(start for start, _ in places), len(text)]
    return [text[start:end].strip() for start, end in zip(starts, ends, strict=True)]


def _hidden(text: str) -> str:
    """The text with what stands in quotes blanked, of the same length."""
    out = list(text)
    inside = False
    escaped = False
    for at, character in enumerate(text):
        if inside:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character in _CLOSE and _ends_quote(text, at):
                inside = False
                continue
            out[at] = "x"
        elif character in _OPEN:
            inside = True
    return text if inside else "".join(out)


def _ends_quote(text: str, at: int) -> bool:
    """Whether a quote inside of quotes is the closing one: what follows is a separator, an arrow or the end."""
    return re.match(rf"\s*(?:$|[|,;)*_`]|{_ARROW.pattern}|[-–—/]\s)", text[at + 1 :]) is not None


def _error(fields: list[str], repairs: Counter[str], severities: bool) -> Error:
    kind = aspect = severity = None
    spans: list[tuple[str, str]] = []
    loose: list[str] = []  # texts that may be a span of one side
    after: str | None = None
    order: list[str] = []
    unknown_aspect = False
    if len(fields) > 3 and fields[0].strip("#. ").isdigit():  # a table's first column
        fields = fields[1:]
        repairs["bullet"] += 1
    for field in fields:
        is_span = bool(_ARROW.search(_hidden(field))) or bool(_BETWEEN.search(field))
        found, rest = words.severity(field)
        near_aspect, near = words.aspect(field)
        if is_span and not spans:
            spans.append(_sides(field))
            order.append("spans")
        elif kind is None and words.kind(field) is not None:
            kind = words.kind(field)
            order.append("type")
            _note(repairs, "type", field, kind)
        elif aspect is None and not spans and not loose and near_aspect is not None:
            aspect = near_aspect
            order.append("aspect")
            _note(repairs, "aspect spelling" if near else "aspect", field, aspect)
        elif severity is None and found is not None and (spans or loose or "significant" in field.casefold()):
            severity, after = found, rest
            order.append("severity")
            _note(repairs, "severity", field, severity)
        elif severity is not None:
            repairs["explanation"] += 1
            after = after or field
        elif spans:
            raise Unreadable("has a field that is no severity")
        elif kind is not None and aspect is None and not unknown_aspect and not loose and not _quoted(field):
            unknown_aspect = True
            order.append("aspect")
        else:
            loose.append(field)
    if not spans and len(loose) == 2:
        spans.append((loose[0], loose[1]))
        repairs["arrow"] += 1
    elif loose:
        raise Unreadable("has fields that stand for nothing known")
    if not spans:
        raise Unreadable("has no spans")
    reference, candidate = (_span(side, repairs) for side in spans[0])
    kind = kind or _implied(reference, candidate, repairs)
    reference, candidate = _without_words(kind, reference, candidate, repairs)
    if aspect is None:
        repairs["unknown aspect" if unknown_aspect else "no aspect"] += 1
    if severities and severity is None:
        raise Unreadable("has no severity")
    if not severities and severity is not None:
        severity = None
        repairs["severity in the first pass"] += 1
    usual = [name for name in ("type", "aspect", "spans", "severity") if name in order]
    if order != usual:
        repairs["order"] += 1
    return Error(kind, aspect or "", reference, candidate, severity, after or None)


def _note(repairs: Counter[str], what: str, said: str, meant: str | None) -> None:
    if said.strip() != meant:
        repairs["case" if what != "aspect spelling" and said.strip().casefold() == meant else what] += 1


def _sides(field: str) -> tuple[str, str]:
    between = _BETWEEN.search(field)
    cut = _ARROW.search(field, between.start()) if between else _ARROW.search(_hidden(field))
    assert cut is not None
    return field[: cut.start()], field[cut.end() :]


def _quoted(text: str) -> bool:
    text = text.strip(" *_`")
    return len(text) > 1 and text[0] in _OPEN and text[-1] in _CLOSE


def _span(side: str, repairs: Counter[str]) -> str:
    text = _SIDE.sub("", side.strip().strip("*_`").strip(), count=1)
    if _quoted(text):
        if (text[0], text[-1]) != ('"', '"'):
            repairs["quotes"] += 1
        inner = text[1:-1]
        return re.sub(r'\\(["\\nr])', lambda match: _UNESCAPES[match[1]], inner)
    if _EMPTY.fullmatch(text):
        repairs["empty span"] += 1
        return ""
    repairs["quotes"] += 1
    return text.strip(_OPEN + _CLOSE).strip()


def _implied(reference: str, candidate: str, repairs: Counter[str]) -> str:
    """Which type it is follows from which side has words."""
    if not (reference or candidate):
        raise Unreadable("has neither a type nor spans")
    repairs["no type"] += 1
    return "inaccuracy" if reference and candidate else "omission" if reference else "fabrication"


def _without_words(kind: str, reference: str, candidate: str, repairs: Counter[str]) -> tuple[str, str]:
    """Without the word for nothing, in quotes, on the side that has none by its type."""
    if kind == "omission" and candidate and _EMPTY.fullmatch(candidate):
        repairs["empty span"] += 1
        return reference, ""
    if kind == "fabrication" and reference and _EMPTY.fullmatch(reference):
        repairs["empty span"] += 1
        return "", candidate
    return reference, candidate


def severity_at(line: str) -> tuple[int | None, str | None]:
    """The number that a line of a second pass has, and its severity; None for what it does not have."""
    text = line.strip()
    match = _NUMBERED.match(text)
    number = int(match[1]) if match else None
    text = text[match.end() :] if match else without_bullet(text)
    found, _ = words.severity(text)
    if found is None:
        for cut in _last_fields(text):
            found, _ = words.severity(cut)
            if found is not None:
                break
    return number, found


def _last_fields(text: str) -> Sequence[str]:
    """What a line ends with, after the last bar, colon, arrow or dash outside of quotes."""
    hidden = _hidden(text)
    found = []
    for mark in ("|", ":", "=>", "->", "→", " - ", " – ", " — "):
        at = hidden.rfind(mark)
        if at >= 0:
            found.append(text[at + len(mark) :].strip())
    return found
