"""Text that models answer with, to verdicts: what is in the verdict format as it is, the rest with counted repairs.

The strict grammar comes first, and what it reads is not looked at again. For the rest three laws hold: an instruction
or an example that is repeated is no error; a severity that is not there is not guessed; and text that cannot be read is
no verdict, never the verdict "none". Why a text has no verdict is said in none of its words.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from reeval import prompts, verdicts
from reeval.evaluators import lines, objects, words
from reeval.evaluators.lines import Line, Unreadable
from reeval.judgements import OK, REPAIRED
from reeval.pairs import Error
from reeval.verdicts import Verdict, VerdictFormatError

# Another version may read another verdict from the same text.
VERSION = "tolerant-2"


_THOUGHTS = "think|thinking|thought|reasoning|reflection|scratchpad"
_CHANNEL, _MESSAGE = "<|channel|>", "<|message|>"
_SPECIAL = re.compile(r"<\|[\w ]{1,24}\|>|</?s>|<(?:end|start)_of_turn>|<eos>|<bos>|\[/?INST\]")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[\w-]*[ \t]*$", re.M)
# A line that leads to what follows, and what it may call that.
_HEADING = {"error", "errors", "difference", "differences", "discrepancy", "discrepancies"}
_PREAMBLE = re.compile(r"[^|]{0,160}:")
# Words of who tells of errors in sentences.
_WARY = re.compile(
    r"\b(?:omi[ts]\w*|miss\w*|fabricat\w*|inaccura\w*|hallucinat\w*|incorrect\w*|wrong\w*|inconsisten\w*|mismatch\w*"
    r"|(?:in|non)?-?significant\w*|errors?|differ\w*|discrepan\w*|add(?:s|ed)|invent\w*|instead|however|but|whereas|while"
    r"|fails?|lacks?|changed?|unlike|contradict\w*|overstate\w*|understate\w*|cannot|can't|unable|sorry|opposite|except"
    r"|unmentioned|not (?:been )?(?:mention|describ|report|includ|address|stat|captur|reflect)ed|other side"
    r"|rather than)\b",
    re.I,
)


def _key(line: str) -> str:
    return re.sub(r"[^\w|=>]+", " ", line).strip().casefold()


# What our own prompts say, line by line: repeated, it is no answer.
_ECHO = {
    _key(line)
    for prompt in prompts.PROMPTS.values()
    for text in (*prompt.instructions.values(), *prompt.reports.values(), prompt.second, prompt.system or "")
    for line in text.splitlines()
    if " " in _key(line)
}
# How a report begins in them: where reports are repeated, a line of theirs may say "None".
_REPORT = re.compile(r"(?:reference|candidate)(?: report)?\s*:", re.I)


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """
    Attributes:
        verdict: None where the text has none that can be read; then `problem` says why.
        repairs: what had to be put right, and how often.
    """

    verdict: Verdict | None
    repairs: Mapping[str, int] = dataclasses.field(default_factory=dict)
    problem: str = ""


def read(text: str) -> Reading:
    """Of one-pass."""
    return _reading(text, verdicts.parse, severities=True)


def read_spans(text: str) -> Reading:
    """Of the first of two passes: the errors' severities are None."""
    return _reading(text, lambda given: Verdict(verdicts.parse_spans(given)), severities=False)


def read_severities(text: str, errors: Sequence[Error]) -> Reading:
    """Of the second pass, for the errors of the first."""

    def strictly(given: str) -> Verdict:
        return verdicts.parse_severities(given, errors)

    try:
        return Reading(strictly(text))
    except VerdictFormatError:
        pass
    repairs: Counter[str] = Counter()
    try:
        plain = _answer(text, repairs)
        found = _severities(plain, len(errors), repairs)
    except Unreadable as error:
        return Reading(None, repairs, str(error))
    made = Verdict(tuple(dataclasses.replace(e, severity=s) for e, s in zip(errors, found, strict=True)))
    return Reading(made, repairs or Counter(["white space"]))


def read_answers(mode: str, texts: Sequence[str], finished: Sequence[bool] | None = None) -> tuple[str, Reading]:
    """The parse status and the reading of all passes of a mode.

    Args:
        finished: of each text, whether it is whole; by default all are.
    """
    ended = [True] * len(texts) if finished is None else finished
    if not texts:
        return "pass 1: no text", Reading(None)
    reading = Reading(None)
    repairs: Counter[str] = Counter()
    for number, (text, whole) in enumerate(zip(texts, ended, strict=True), start=1):
        if not whole:
            return f"pass {number}: ran out of tokens", Reading(None)
        if number == 1:
            reading = read(text) if mode == "one_pass" else read_spans(text)
        else:
            assert reading.verdict is not None
            reading = read_severities(text, reading.verdict.errors)
        repairs.update(reading.repairs)
        if reading.verdict is None:
            return f"pass {number}: {reading.problem}", Reading(None)
        if mode == "one_pass" or not reading.verdict.errors:
            break
    assert reading.verdict is not None
    if any(error.severity is None for error in reading.verdict.errors):
        return "pass 2: no text", Reading(None)
    return (REPAIRED if repairs else OK), Reading(reading.verdict, dict(repairs))


def without_thoughts(text: str) -> str:
    """An answer without what a model thought before it; "" where it never came to one."""
    text = re.sub(rf"<({_THOUGHTS})>.*?</\1>", "", text, flags=re.S | re.I)
    text = re.split(rf"</(?:{_THOUGHTS})>", text, flags=re.I)[-1]
    if _CHANNEL in text:
        text = text.rpartition(_CHANNEL)[2] if "final" + _MESSAGE in text else ""
        text = text.removeprefix("final" + _MESSAGE)
    return re.split(rf"<(?:{_THOUGHTS})>", text, flags=re.I)[0]


def _reading(text: str, strictly: Callable[[str], Verdict], *, severities: bool) -> Reading:
    try:
        return Reading(strictly(text))
    except VerdictFormatError:
        pass
    repairs: Counter[str] = Counter()
    try:
        plain = _answer(text, repairs)
        try:
            return Reading(strictly(plain), repairs or Counter(["white space"]))
        except VerdictFormatError:
            pass
        found = _errors(plain, repairs, severities)
    except Unreadable as error:
        return Reading(None, dict(repairs), str(error))
    for line in found:
        repairs.update(line.repairs)
    return Reading(Verdict(tuple(line.error for line in found)), dict(repairs or Counter(["white space"])))


def _answer(text: str, repairs: Counter[str]) -> str:
    """The text without a model's thoughts, tokens of chat and fences."""
    if not text.strip():
        raise Unreadable("no text")
    plain = without_thoughts(text)
    if plain != text:
        repairs["thoughts"] += 1
    if not plain.strip():
        raise Unreadable("thoughts without an answer")
    for what, pattern in (("special tokens", _SPECIAL), ("code fence", _FENCE)):
        cleaned = pattern.sub("", plain)
        if cleaned != plain:
            repairs[what] += 1
        plain = cleaned
    if not plain.strip():
        raise Unreadable("no text")
    # Other characters that end lines elsewhere may stand in a span.
    plain = plain.replace("\r\n", "\n").replace("\r", "\n")
    return "\n".join(line.strip() for line in plain.split("\n")).strip()


def _errors(text: str, repairs: Counter[str], severities: bool) -> list[Line]:
    """Raises Unreadable."""
    found: list[Line] = []
    prose: list[str] = []
    echoed, nothing = 0, 0
    rows = [line for line in text.split("\n") if line]
    for number, line in enumerate(rows, start=1):
        if _key(lines.without_bullet(line)) in _ECHO or _key(line) in _ECHO or _REPORT.match(line):
            echoed += 1
        elif words.nothing(lines.without_bullet(line)):
            nothing += 1
        elif lines.is_frame(line):
            repairs["table"] += 1
        elif lines.looks_like_one(line):
            try:
                found.append(lines.read(line, severities=severities))
            except Unreadable as error:
                raise Unreadable(f"line {number} {error}") from None
        else:
            prose.append(line)
    if not found:
        value, outside = objects.find(text)
        if value is not None:
            made = objects.read(value, severities=severities)
            if made and nothing:
                raise Unreadable("says both none and errors")
            if not made and (echoed or any(map(_tells_of_errors, filter(None, outside.split("\n"))))):
                raise Unreadable("says none beside other words on errors")
            repairs["json"] += 1
            return made
    if found and nothing:
        raise Unreadable("says both none and errors")
    if not found and not nothing:
        raise Unreadable("no verdict in it")
    if nothing and (echoed or any(_tells_of_errors(line) for line in prose)):
        raise Unreadable("says none beside other words on errors")
    for what, count in (("echoed instruction", echoed), ("prose", len(prose)), ("none", nothing)):
        if count:
            repairs[what] += count
    return found


def _tells_of_errors(line: str) -> bool:
    """Whether words beside "none" may tell of an error; a heading such as "Here are the errors:" does not."""
    if words.nothing(lines.without_bullet(line)):
        return False
    wary = {word.casefold() for word in _WARY.findall(line)}
    if _PREAMBLE.fullmatch(line):
        wary -= _HEADING
    return line != lines.without_bullet(line) or bool(wary)


def _severities(text: str, count: int, repairs: Counter[str]) -> list[str]:
    """The severities of a second pass, in the order of the errors. Raises Unreadable."""
    listed = objects.severities(text)
    if listed is not None:
        repairs["json"] += 1
        return _so_many(listed, count)
    if "\n" not in text and count > 1 and len(cut := re.split(r"\s*[,;/]\s*", text)) == count:
        found = [words.severity(part)[0] for part in cut]
        if None not in found:
            repairs["separators"] += 1
            return [severity for severity in found if severity is not None]
    rows: list[tuple[int | None, str]] = []
    for line in filter(None, text.split("\n")):
        if _key(lines.without_bullet(line)) in _ECHO or lines.is_frame(line):
            repairs["echoed instruction"] += 1
            continue
        number, severity = lines.severity_at(line)
        if severity is None:
            if number is not None and number <= count:
                raise Unreadable(f"no severity for error {number}")
            repairs["prose"] += 1
            continue
        if line.strip() != severity:
            repairs["bullet" if number is not None else "severity"] += 1
        rows.append((number, severity))
    numbers = [number for number, _ in rows if number is not None]
    if numbers and numbers != list(range(1, len(rows) + 1)):
        if sorted(numbers) != list(range(1, len(rows) + 1)):
            raise Unreadable("severities whose numbers do not count the errors")
        repairs["order"] += 1
        rows.sort(key=lambda row: row[0] or 0)
    return _so_many([severity for _, severity in rows], count)


def _so_many(found: list[str], count: int) -> list[str]:
    if len(found) != count:
        raise Unreadable(f"{len(found)} severities for {count} errors")
    return found
