"""What a page is made of, read from a study's working directory and held against each other."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reeval import judgements
from reeval.judgements import Judgement
from reeval.page.cells import label
from reeval.pairs import Pair, digest, read

_AGAIN = "run `reeval compare` again"


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """An evaluator in one mode, and what it said of each pair, in the order of the pairs.

    Attributes:
        entry: of compare.json: signature, summary, usage and so on.
    """

    name: str
    mode: str
    kind: str
    entry: Mapping[str, Any]
    judged: Sequence[Judgement]

    @property
    def label(self) -> str:
        return label(self.name, self.mode)

    @property
    def summary(self) -> Mapping[str, Any]:
        return self.entry.get("summary") or {}


@dataclasses.dataclass(frozen=True, slots=True)
class Inputs:
    """
    Attributes:
        compared: compare.json.
        figures: file name without its ending -> SVG.
    """

    compared: Mapping[str, Any]
    pairs: Sequence[Pair]
    columns: Sequence[Column]
    figures: Mapping[str, str]


def load(workdir: Path, pair_file: str) -> Inputs:
    """Read a study.

    Args:
        pair_file: empty for the one that the study recorded.
    Raises:
        ValueError: one line, if a part is missing or belongs to another study.
    """
    if not workdir.is_dir():
        raise ValueError(f"{workdir}: no such directory; give the --workdir of `reeval compare`")
    compared = _object(workdir / "compare.json")
    evaluators = compared.get("evaluators")
    if not isinstance(evaluators, dict) or not all(isinstance(each, dict) for each in evaluators.values()):
        raise ValueError(f"{workdir / 'compare.json'}: names no evaluators; {_AGAIN}")
    path = Path(pair_file or _recorded(workdir))
    pairs = read(path)
    known = (compared.get("pairs") or {}).get("sha256")
    if known and known != digest(pairs):
        raise ValueError(f"{path}: not the pairs that were compared; give theirs with --pairs, or {_AGAIN}")
    columns = [
        Column(name, mode, str(evaluator.get("kind") or ""), entry or {}, _judged(workdir, name, mode, pairs))
        for name, evaluator in evaluators.items()
        for mode, entry in (evaluator.get("modes") or {}).items()
    ]
    figures = {file.stem: _text(file) for file in sorted((workdir / "figures").glob("*.svg"))}
    return Inputs(compared, pairs, columns, figures)


def _recorded(workdir: Path) -> str:
    path = workdir / "study.json"
    recorded = _object(path).get("pairs") if path.is_file() else None
    if isinstance(recorded, dict):
        recorded = recorded.get("path")
    if not isinstance(recorded, str) or not recorded:
        raise ValueError(f"{workdir}: does not say which pairs were judged; give them with --pairs=FILE")
    return recorded


def _judged(workdir: Path, name: str, mode: str, pairs: Sequence[Pair]) -> list[Judgement]:
    path = workdir / "judgements" / name / f"{mode}.jsonl"
    if not path.is_file():
        raise ValueError(f"{path}: no such file, though compare.json names it; {_AGAIN}")
    of_pair = {judgement.pair_id: judgement for judgement in judgements.read(path)}
    missing = [pair.pair_id for pair in pairs if pair.pair_id not in of_pair]
    if missing:
        raise ValueError(f"{path}: has no judgement of pair {missing[0]!r} and {len(missing) - 1} others; {_AGAIN}")
    if len(of_pair) > len(pairs):
        other = next(iter(of_pair.keys() - {pair.pair_id for pair in pairs}))
        raise ValueError(f"{path}: judges pair {other!r}, which was not compared; {_AGAIN}")
    return [of_pair[pair.pair_id] for pair in pairs]


def _object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; run `reeval compare` first")
    try:
        found = json.loads(_text(path))
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: no JSON object; {_AGAIN}")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({type(error).__name__}); {_AGAIN}") from None
