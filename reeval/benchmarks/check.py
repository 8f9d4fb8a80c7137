"""`reeval pairs check`: is a pair file valid, what does it hold, does it give its labels away, does it leak?"""

import json
import sys
from pathlib import Path
from typing import Any

from reeval import pairs
from reeval.benchmarks import overlap, pieces, printing
from reeval.benchmarks.classifiers import balanced_accuracies
from reeval.benchmarks.summary import Summary
from reeval.pairs import Pair

_SHOWN = 20  # problems; a file of another kind has one on each line


def check(
    path: str | Path,
    *,
    against: str | Path | None = None,
    classifiers: bool = False,
    strict: bool = False,
    as_json: bool = False,
) -> dict[str, Any]:
    """Check a pair file and print what was found: tables, or one JSON object.

    Args:
        against: a benchmark's pair file, whose references the file should not hold.
        classifiers: see what trivial classifiers make of the labels; needs scikit-learn.
        strict: take overlap for an error.
    Raises:
        ValueError: after all else was printed, if the file is not valid, or overlaps and `strict` is given.
    """
    summary, references = Summary(), overlap.References()
    problems: list[tuple[int, str]] = []
    kept: list[Pair] = []
    for number, found in pairs.scan(path):
        if isinstance(found, str):
            problems.append((number, found))
            continue
        problems += [(number, problem) for problem in pieces.problems(found)]
        summary.add(found)
        if against:
            references.add(found)
        if classifiers:
            kept.append(found)
    if not summary.pairs and not problems:
        raise ValueError(f"{path}: holds no pair; give one JSON object a line")
    report = summary.to_json() | {"problems": [{"line": line, "problem": text} for line, text in problems]}
    if against:
        benchmark = overlap.References.of(pairs.read(against))
        report["overlap"] = {"against": str(against)} | overlap.overlap(references, benchmark)
    # Of a file with bad lines the figures would be of another file than the one that is mended.
    if classifiers and not problems:
        report["balanced_accuracy"] = balanced_accuracies(kept)
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        printing.print_report(report)
    if problems:
        for line, text in problems[:_SHOWN]:
            print(f"{path}:{line}: {text}", file=sys.stderr)
        more = f", the first {_SHOWN} are shown" if problems[_SHOWN:] else ""
        raise ValueError(f"{path}: not valid: {len(problems)} problems{more}; correct them or leave the lines out")
    if strict and against and any(report["overlap"][name] for name in ("shared_ids", "same_texts", "near_duplicates")):
        raise ValueError(f"{path}: overlaps with {against}; leave out what they share")
    return report
