"""Reports as they are: CSV, JSON Lines or a folder of text files with free-text chest X-ray reports.

One column may hold the whole report, or two its findings and its impression. The text is taken as it stands, but for
white space at its ends and for line breaks, which become \\n. Messages name file, row and column, never report text.
"""

import dataclasses
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reeval.pairs import like_a_name
from reeval.synth import tables

# By role. One name of a text role may stand in a file; of several ids the first of this list is taken.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "report": (
        "report", "text", "report_text", "full_report", "full_text", "radiology_report", "report_content", "gt_report",
        "gt", "ground_truth", "reference", "reference_report", "original_report",
    ),
    "findings": ("findings", "finding", "findings_section", "findings_text"),
    "impression": ("impression", "impressions", "impression_section", "impression_text", "conclusion", "conclusions"),
    "id": (
        "study_id", "studyid", "study_uid", "studyinstanceuid", "report_id", "reference_id", "accession",
        "accession_number", "uid", "image_id", "dicom_id", "id", "case_id", "example_id", "study", "study_number",
    ),
}  # fmt: skip

_MISSING = re.compile(r"[\W_]*|\W*(?:nan|n/?a|null|none|nil|not available|no report)\W*", re.IGNORECASE)
_PLACEHOLDERS = re.compile(r"_{2,}|\bX{2,}\b|\[\*\*.*?\*\*\]")


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """A report.

    reference_id: from the id column, a file's path in its folder without the suffix, or else the row.
    row: counted from 1: of a CSV file without its header, a line of JSON Lines, a file of a folder in its order.
    """

    reference_id: str
    text: str
    row: int


def read(
    path: str | Path, *, columns: Mapping[str, str] | None = None, skipped: Counter[str] | None = None
) -> Iterator[Report]:
    """The reports of a file or folder, one at a time, in its order.

    A row without report, or with one that holds no word ("nan", "___"), is left out. So is a row that repeats id and
    text of an earlier one: tables with a row for each image repeat the study's report. Another text under the same id
    is an error: a suffix would hide that the wrong column gives the ids, and a benchmark's overlap with the training
    set is found by id. Of earlier rows only hashes are kept.

    Args:
        path: .csv, .tsv, .jsonl, or a folder with .txt files at any depth, which are read in the order of their names.
            UTF-8, or what a byte order mark says.
        columns: role ("report", "findings", "impression", "id") -> name of the column; the usual names are known.
        skipped: if given, counts rows left out as "empty", "no report" and "repeated".
    Raises:
        ValueError: one line with file, row, column and remedy.
    """
    path = Path(path)
    skipped = Counter() if skipped is None else skipped
    flags = {role: name for role, name in (columns or {}).items() if name}
    if unknown := sorted(flags.keys() - ALIASES.keys()):
        raise ValueError(f"columns: no such role {unknown[0]!r}; there are {', '.join(ALIASES)}")
    if path.is_dir() and flags:
        raise ValueError(f"{path}: a folder of text files has no columns; leave the names of columns out")
    seen: dict[bytes, tuple[bytes, int]] = {}
    any_report = False
    for row, where, reference_id, text in _folder(path) if path.is_dir() else _table(path, flags):
        text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
        if not re.search(r"[^\W\d_]{2}", _PLACEHOLDERS.sub("", text)) or _MISSING.fullmatch(text):
            skipped["no report" if text else "empty"] += 1
            continue
        key, content = _digest(reference_id), _digest(text)
        earlier, first = seen.setdefault(key, (content, row))
        if first != row:
            if earlier != content:
                remedy = "give a column with an id of its own for each report" if path.is_file() else "rename one"
                raise ValueError(f"{where}: another report than that of row {first} under the same id; {remedy}")
            skipped["repeated"] += 1
            continue
        any_report = True
        yield Report(reference_id, text, row)
    if not any_report:
        left_out = ", ".join(f"{n} {why}" for why, n in sorted(skipped.items()))
        raise ValueError(f"{path}: holds no report" + (f" (rows left out: {left_out})" if left_out else ""))


def count(path: str | Path) -> int:
    """How many rows `read` will go through: for a progress bar, so those it leaves out are counted, too."""
    path = Path(path)
    return sum(1 for _ in _files(path)) if path.is_dir() else tables.count(path)


def signature(path: str | Path) -> str:
    """The SHA-256 of what stands in a file, or in a folder's text files and their names, in hexadecimal."""
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    whole = hashlib.sha256()
    for part in _files(path):
        with part.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        name = os.fsencode(part.relative_to(path).as_posix())
        whole.update(len(name).to_bytes(8, "big") + name + content)
    return whole.hexdigest()


_Row = tuple[int, str, str, str]  # number, where for messages, id, text


def _folder(path: Path) -> Iterator[_Row]:
    number = 0
    for number, file in enumerate(_files(path), start=1):
        where = str(file)
        name = file.relative_to(path).with_suffix("").as_posix()
        name = tables.encodable(name, f"{where}: its name")
        yield number, where, name, tables.encodable("".join(tables.lines(file)), where)
    if not number:
        raise ValueError(f"{path}: no file that ends in .txt; give a folder of text files, or a .csv or .jsonl file")


def _files(folder: Path) -> Iterator[Path]:
    # One folder's names at a time are held. Links to folders may run in circles and are not followed.
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        elif entry.name.lower().endswith(".txt") and entry.is_file():
            yield Path(entry.path)


def _table(path: Path, flags: Mapping[str, str]) -> Iterator[_Row]:
    names: tuple[str, ...] = ()
    known: set[str] = set()
    roles: Mapping[str, str] = {}
    for number, where, row in tables.rows(path):
        values = dict(row)
        if not values.keys() <= known:
            # The header, or the names that a line of JSON adds: others may leave out what they do not have.
            names += tuple(name for name, _ in row if name not in known)
            known, roles = set(names), _roles(names, flags, where)
        cells = {role: _cell(values, name, where) for role, name in roles.items()}
        reference_id = cells.pop("id", str(number)).strip()
        if not reference_id and any(cells.values()):
            raise ValueError(f"{where}: column {_shown(roles['id'])}: no id; fill it, or give another column as id=")
        yield number, where, reference_id, cells["report"] if "report" in cells else _joined(cells)


def _joined(cells: Mapping[str, str]) -> str:
    """Findings and impression as one report, each under its heading unless it brings one."""
    parts = []
    for role in ("findings", "impression"):
        text = cells.get(role, "").strip()
        if not _MISSING.fullmatch(text):
            parts.append(text if re.match(rf"{role}s?\s*:", text, re.IGNORECASE) else f"{role.upper()}: {text}")
    return "\n\n".join(parts)


def _roles(names: tuple[str, ...], flags: Mapping[str, str], where: str) -> dict[str, str]:
    """Role -> name of its column: by flag, else by alias."""
    spelled: dict[str, list[str]] = {}
    for name in names:
        spelled.setdefault(_plain(name), []).append(name)
    roles = {}
    for role, name in flags.items():
        matches = [name] * names.count(name) or spelled.get(_plain(name), [])
        if len(matches) != 1:
            what = "several columns named" if matches else "no column"
            raise ValueError(f"{where}: {what} {name!r}, which {role}= names; {_listed(names)}")
        roles[role] = matches[0]
    texts = [] if roles.keys() - {"id"} else ["report", "findings", "impression"]
    for role in texts:
        matches = [name for alias in ALIASES[role] for name in spelled.get(alias, [])]
        if len(matches) > 1:
            both = " and ".join(map(_shown, matches[:2]))
            raise ValueError(f"{where}: columns {both} could both be the {role}; say which one by {role}=NAME")
        if matches:
            roles[role] = matches[0]
    if "report" in roles and len(roles.keys() - {"id"}) > 1:
        parts = " and ".join(_shown(roles[role]) for role in ("findings", "impression") if role in roles)
        whole = _shown(roles["report"])
        raise ValueError(f"{where}: reports stand in column {whole} and in {parts}; say which by report= or findings=")
    if not roles.keys() - {"id"}:
        raise ValueError(
            f"{where}: no column of reports; name it by report=, or two by findings= and impression=; {_listed(names)}"
        )
    if "id" not in roles:
        matches = [name for alias in ALIASES["id"] for name in spelled.get(alias, [])]
        if len(matches) > 1 and matches[0] in matches[1:]:
            raise ValueError(
                f"{where}: several columns named {_shown(matches[0])}; say which one holds the id by id=NAME"
            )
        roles |= {"id": matches[0]} if matches else {}
    return roles


def _cell(values: Mapping[str, Any], name: str, where: str) -> str:
    value = values.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # an id in JSON
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{where}: column {_shown(name)}: must be text, not {type(value).__name__}")
    return tables.encodable(value or "", f"{where}: column {_shown(name)}")


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=12).digest()


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _shown(name: str) -> str:
    # A file without a header has report text where names should be.
    return repr(name) if like_a_name(name) else "with a long name"


def _listed(names: tuple[str, ...]) -> str:
    listed = [name for name in names if like_a_name(name)]
    return (
        f"the columns are {', '.join(listed[:12])}{', ...' if len(names) > 12 else ''}"
        if listed
        else "the file may lack its header"
    )
