"""`reeval pairs convert`: a benchmark's published files, or any table by a mapping, to a pair file."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from reeval import pairs
from reeval.benchmarks import mapped, mapping, radevalx, rexval
from reeval.files import write_atomically
from reeval.pairs import Pair


def convert(
    name: str,
    files: Sequence[str | Path],
    out: str | Path,
    *,
    mapping: str | Path | None = None,
    rule: str = "majority",
) -> None:
    """Write the pairs of a benchmark, each validated as `pairs.read` would, to a file that its owner alone can read.

    Args:
        name: "rexval", "radevalx" or "mapping".
        files: the input, in any order.
        mapping: with "mapping", a mapping file or the name of one that comes with the package.
        rule: with several raters, when a pair is significant (`reeval.benchmarks.counts.RULES`).
    Raises:
        ValueError: one line with file, row, column and remedy; nothing is written.
    """
    made: list[Pair] = []
    where_of: dict[str, str] = {}
    for where, row in _rows(name, [Path(file) for file in files], mapping, rule):
        try:
            pair = pairs.from_json(row, Path())
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        if pair.pair_id in where_of:
            raise ValueError(f"{where}: the same pair_id as at {where_of[pair.pair_id]}; ids must differ")
        where_of[pair.pair_id] = where
        made.append(pair)
    if not made:
        raise ValueError(f"{', '.join(map(str, files))}: no pair to convert")
    out = Path(out)
    if not out.parent.is_dir():
        raise ValueError(f"{out}: there is no directory {out.parent}; make it first")
    text = "".join(json.dumps(pairs.to_json(pair), ensure_ascii=False) + "\n" for pair in made)
    write_atomically(out, text)
    print(f"{out}: {_said(made)}")


def _rows(
    name: str, files: list[Path], mapping_file: str | Path | None, rule: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    if (name == "mapping") != (mapping_file is not None):
        raise ValueError("--format=mapping and --mapping=FILE go together")
    if mapping_file is not None:
        return mapped.rows(files, mapping.read(mapping_file), rule)
    return {"rexval": rexval.rows, "radevalx": radevalx.rows}[name](files, rule)


def _said(made: Sequence[Pair]) -> str:
    kinds = Counter(
        "with errors" if pair.errors is not None else "with a label alone" if pair.label is not None else "unlabelled"
        for pair in made
    )
    significant = sum((pair.errors is not None or pair.label is not None) and pair.significant for pair in made)
    references = len({pair.reference_id for pair in made})
    counted = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
    return f"{len(made)} pairs of {references} references, {significant} significant; {counted}"
