"""Pairs and errors: the records that every part of the project speaks.

A pair file is JSON Lines, one object a line, compressed where its name ends in .gz:

    {"pair_id": "s1-a", "reference_id": "s1", "reference": "...", "candidate": "...",
     "errors": [{"type": "inaccuracy", "aspect": "laterality", "reference_span": "right effusion",
                 "candidate_span": "left effusion", "severity": "significant"}],
     "image": "images/s1.png", "metadata": {"any": "thing"}}

`errors` may be absent or null (an unlabelled pair), `image`, `metadata` and an error's `explanation` too. `image` is a
file with the study's image; a relative path starts at the pair file's directory. Where only the pair as a whole was
graded, as in sets that count errors without saying where they stand, `"label": "significant"` or `"insignificant"`
says so; beside `errors` it must agree with them.
Messages about bad input name file, line and field, never report text or the path of an image: both may be protected.
"""

import dataclasses
import difflib
import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reeval.taxonomy import ASPECTS, SEVERITIES, TYPES

_ERROR_FIELDS = ("type", "aspect", "reference_span", "candidate_span", "severity", "explanation")
_PAIR_FIELDS = ("pair_id", "reference_id", "reference", "candidate", "errors", "label", "image", "metadata")


@dataclasses.dataclass(frozen=True, slots=True)
class Error:
    """One difference between candidate and reference.

    `severity` is None only in the first pass of a two-pass verdict. A span may be empty where its report
    has no counterpart: an omission's candidate span, a fabrication's reference span.
    """

    type: str
    aspect: str
    reference_span: str = ""
    candidate_span: str = ""
    severity: str | None = None
    explanation: str | None = None

    @property
    def significant(self) -> bool:
        return self.severity == "significant"


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """A reference report and a candidate, with the candidate's errors where they are known (else None).

    `label` is the severity of the pair as a whole, where it was given; `significant` needs it only without errors.
    `image` is the path of the study's image, absolute as `read` gives it; None where there is none.
    """

    pair_id: str
    reference_id: str
    reference: str
    candidate: str
    errors: tuple[Error, ...] | None = None
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    image: str | None = None
    label: str | None = None

    @property
    def significant(self) -> bool:
        """Whether at least one error is clinically significant, or else the label; ValueError on an unlabelled pair."""
        if self.errors is not None:
            return any(error.significant for error in self.errors)
        if self.label is not None:
            return self.label == "significant"
        raise ValueError(f"pair {self.pair_id!r} has no errors field and no label, so its significance is unknown")

    @property
    def identical(self) -> bool:
        """Whether the candidate repeats the reference, but for white space."""
        return self.reference.split() == self.candidate.split()


def read(path: str | Path, *, labelled: bool = False, graded: bool = False) -> list[Pair]:
    """Read and validate a pair file.

    Args:
        path: a JSON Lines file in the format above.
        labelled: require `errors` on every pair (training does).
        graded: require `errors` or `label` on every pair (evaluation does).
    Raises:
        ValueError: one line with the file, and line, field and remedy of the first problem, and how many
            more there are.
    """
    pairs: list[Pair] = []
    problems: list[tuple[int, str]] = []
    for number, found in scan(path, labelled=labelled, graded=graded):
        if isinstance(found, Pair):
            pairs.append(found)
        else:
            problems.append((number, found))
    if problems:
        number, message = problems[0]
        more = ""
        if problems[1:]:
            others = ", ".join(str(n) for n, _ in problems[1:6]) + (", ..." if len(problems) > 6 else "")
            more = f" ({len(problems) - 1} more bad lines: {others})"
        raise ValueError(f"{path}:{number}: {message}{more}")
    if not pairs:
        raise ValueError(f"{path}: holds no pair; give one JSON object a line")
    return pairs


def scan(path: str | Path, *, labelled: bool = False, graded: bool = False) -> Iterator[tuple[int, Pair | str]]:
    """Each line of a pair file that is not empty, by its number: the pair, or what is wrong with it.

    Raises:
        ValueError: if there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such pair file")
    line_of_id: dict[str, int] = {}
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
        for number, line in enumerate(_unpacked(path, lines), start=1):
            if not line.strip():
                continue
            try:
                pair = from_json(_object(line), path.parent)
                if labelled and pair.errors is None:
                    raise ValueError("field 'errors': missing; a labelled pair lists its errors, [] if there are none")
                if graded and pair.errors is None and pair.label is None:
                    raise ValueError("field 'errors': missing, and 'label' too; one of them must say what the pair is")
                if pair.pair_id in line_of_id:
                    first = line_of_id[pair.pair_id]
                    raise ValueError(f"field 'pair_id': the same id stands on line {first}; ids must differ")
            except ValueError as error:
                yield number, str(error)
            else:
                line_of_id[pair.pair_id] = number
                yield number, pair


def _unpacked(path: Path, lines: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from lines
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise ValueError(f"{path}: cut short, or not compressed by gzip; get the file anew") from None


def write(path: str | Path, pairs: Iterable[Pair]) -> None:
    """Write a pair file that `read` reads back to equal pairs. Made readable by its owner alone."""
    with open(path, "w", encoding="utf-8", opener=private) as out:
        for pair in pairs:
            out.write(json.dumps(to_json(pair), ensure_ascii=False) + "\n")


def to_json(pair: Pair) -> dict[str, Any]:
    """The JSON object of a pair, without its absent optional fields."""
    row: dict[str, Any] = {name: getattr(pair, name) for name in _PAIR_FIELDS[:4]}
    if pair.errors is not None:
        row["errors"] = [error_to_json(error) for error in pair.errors]
    if pair.label is not None:
        row["label"] = pair.label
    if pair.image is not None:
        row["image"] = pair.image
    if pair.metadata:
        row["metadata"] = dict(pair.metadata)
    return row


def error_to_json(error: Error) -> dict[str, str]:
    """The JSON object of an error, without its absent optional fields."""
    return {name: value for name, value in dataclasses.asdict(error).items() if value is not None}


def from_json(row: Mapping[str, Any], directory: Path) -> Pair:
    """The pair that a JSON object describes; a relative path of an image starts at `directory`.

    Raises:
        ValueError: naming the field and the remedy.
    """
    _reject_unknown(row, _PAIR_FIELDS, "", hint="; put other data under 'metadata'")
    texts = {name: _text(row, name, "") for name in _PAIR_FIELDS[:4]}
    for name, value in texts.items():
        if not value.strip():
            raise ValueError(f"field '{name}': empty")
    metadata = {} if row.get("metadata") is None else row["metadata"]
    if not isinstance(metadata, dict):
        raise ValueError("field 'metadata': must be an object")
    _encodable(json.dumps(metadata, ensure_ascii=False), "metadata")
    listed = row.get("errors")
    if listed is not None and not isinstance(listed, list):
        raise ValueError("field 'errors': must be a list, [] if there are none")
    errors = None if listed is None else tuple(_error(item, f"errors[{i}]", texts) for i, item in enumerate(listed))
    label = _choice(row, "label", "", SEVERITIES) if row.get("label") is not None else None
    if errors is not None and label is not None and (label == "significant") != any(e.significant for e in errors):
        raise ValueError("field 'label': does not agree with the severities in 'errors'; correct one of them")
    return Pair(**texts, errors=errors, metadata=metadata, image=_image(row, directory), label=label)


def digest(pairs: Iterable[Pair]) -> str:
    """SHA-256 of what pairs say, whatever their order and the form of their file; without the paths of images."""
    made = hashlib.sha256()
    for pair in sorted(pairs, key=lambda pair: pair.pair_id):
        row = {name: value for name, value in to_json(pair).items() if name != "image"}
        made.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return made.hexdigest()


def private(path: str, flags: int) -> int:
    """For `open`: who makes a file of reports alone may read it."""
    return os.open(path, flags, 0o600)


def like_a_name(text: str) -> bool:
    """Whether a message may repeat what stands where a name should be: what is like none may be report text."""
    return re.fullmatch(r"[\w-]{1,32}", text) is not None


def _object(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line, object_pairs_hook=_once)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8; save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"not valid JSON at column {error.colno}: {error.msg}"
        raise ValueError(f"{where}; a pair is one {{...}} on one line") from None
    except RecursionError:
        raise ValueError("not valid JSON: nested too deeply") from None
    if not isinstance(row, dict):
        raise ValueError("not a JSON object; a pair is one {...} a line")
    return row


def _image(row: Mapping[str, Any], directory: Path) -> str | None:
    if row.get("image") is None:
        return None
    value = _text(row, "image", "")
    if not value.strip():
        raise ValueError("field 'image': empty; leave it out where there is none")
    path = directory / value
    if not os.path.isfile(path):  # unlike Path.is_file, it raises on no path
        raise ValueError("field 'image': no such file; a relative path starts at the pair file's directory")
    return str(path.resolve())


def _error(item: Any, where: str, texts: Mapping[str, str]) -> Error:
    if not isinstance(item, dict):
        raise ValueError(f"field '{where}': must be an object")
    _reject_unknown(item, _ERROR_FIELDS, where + ".")
    kind = _choice(item, "type", where + ".", TYPES)
    aspect = _choice(item, "aspect", where + ".", ASPECTS)
    severity = _choice(item, "severity", where + ".", SEVERITIES)
    spans = {}
    for side, without in (("reference", "fabrication"), ("candidate", "omission")):
        name = f"{side}_span"
        spans[name] = _text(item, name, where + ".") if item.get(name) is not None else ""
        if not spans[name].strip() and kind != without:
            raise ValueError(f"field '{where}.{name}': missing or empty; type '{kind}' needs it")
        if spans[name] not in texts[side]:
            raise ValueError(f"field '{where}.{name}': does not stand in '{side}' word for word")
    explanation = _text(item, "explanation", where + ".") if item.get("explanation") is not None else None
    return Error(kind, aspect, **spans, severity=severity, explanation=explanation)


def _text(row: Mapping[str, Any], name: str, where: str) -> str:
    if name not in row:
        raise ValueError(f"field '{where}{name}': missing")
    if not isinstance(row[name], str):
        raise ValueError(f"field '{where}{name}': must be text, not {type(row[name]).__name__}")
    _encodable(row[name], where + name)
    return row[name]


def _encodable(text: str, field: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"field '{field}': holds half of a surrogate pair, which is no text") from None


def _once(items: list[tuple[str, Any]]) -> dict[str, Any]:
    # JSON lets the last of two equal names win: in a file written by hand that hides a mistake.
    row = dict(items)
    if len(row) < len(items):
        names = [name for name, _ in items]
        twice = next(name for name in names if names.count(name) > 1)
        shown = f"field '{twice}'" if like_a_name(twice) else "a field"
        raise ValueError(f"{shown}: given twice in one object")
    return row


def _choice(item: Mapping[str, Any], name: str, where: str, allowed: Iterable[str]) -> str:
    value = _text(item, name, where)
    if value not in allowed:
        # Only a word-like value is repeated: anything else may be report text in the wrong column.
        shown = repr(value) if re.fullmatch(r"[\w-]{1,24}", value) else "the value"
        raise ValueError(f"field '{where}{name}': {shown} is not one of {', '.join(allowed)}{_near(value, allowed)}")
    return value


def _reject_unknown(row: Mapping[str, Any], known: tuple[str, ...], where: str, hint: str = "") -> None:
    for name in _unknown(row, known):
        shown = f"'{where}{name}'" if like_a_name(name) else f"in '{where or 'pair'}'"
        raise ValueError(f"unknown field {shown}{_near(name, known)}{hint}")


def _unknown(row: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[str]:
    return (name for name in row if name not in known)


def _near(value: str, allowed: Iterable[str]) -> str:
    close = difflib.get_close_matches(value, list(allowed), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
