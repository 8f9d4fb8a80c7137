"""ReXVal: 50 MIMIC-CXR studies, each with four candidates that six radiologists counted errors in.

PhysioNet (rexval-dataset 1.0.0, credentialed) has two CSV files. One holds a study a row: its id, `gt_report`, and
a candidate in each of four columns, named after the metric by which it was retrieved. The other holds a count a row:
study_number, candidate_type, error_category, rater_index, clinically_significant, num_errors. A study's number is its
row in the first file, from 0, unless the numbers are the ids themselves.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reeval.benchmarks import counts
from reeval.benchmarks.columns import Line, lines

CANDIDATES = ("radgraph", "bertscore", "s_emb", "bleu")
CATEGORIES = {
    "1": "false finding",
    "2": "omitted finding",
    "3": "location",
    "4": "severity",
    "5": "false comparison",
    "6": "omitted comparison",
}
IDS = ("study_number", "study_id")
RATINGS = ("study_number", "candidate_type", "error_category", "rater_index", "clinically_significant", "num_errors")
_SIGNIFICANT = {"true": "significant", "1": "significant", "false": "insignificant", "0": "insignificant"}

# Study number, candidate type -> rater -> category -> severity -> number of errors.
Ratings = dict[tuple[str, str], dict[str, dict[str, dict[str, float]]]]


def rows(files: Sequence[Path], rule: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each pair stands, and its JSON object; raises ValueError for files that are not these two."""
    studies, counted = _told_apart(files)
    ratings, raters = _ratings(counted)
    table = list(lines(studies, (*CANDIDATES, "gt_report")))
    column = next((name for name in IDS if name in table[0].values), None) if table else None
    if column is None:
        raise ValueError(f"{studies}: no column {' or '.join(IDS)}, or no row; this is not ReXVal's file of reports")
    ids = [line.values[column].strip() for line in table]
    numbers = {number for number, _ in ratings}
    keys = ids if numbers <= set(ids) else [str(i) for i in range(len(ids))]
    if stray := sorted(numbers - set(keys)):
        raise ValueError(f"{counted}: study_number {stray[0]!r} is neither an id nor a row of {studies.name}")
    for line, study, key in zip(table, ids, keys, strict=True):
        for kind in CANDIDATES:
            if (key, kind) not in ratings:
                raise ValueError(f"{counted}: no rating of study_number {key!r}, candidate_type {kind!r}")
            by_rater = ratings[key, kind]
            # A rater whose rows say nothing of a candidate has counted no error in it.
            graded = counts.graded({rater: by_rater.get(rater, {}) for rater in raters}, rule)
            graded["metadata"] |= {"source": "rexval", "candidate_type": kind}
            yield (
                line.where,
                {
                    "pair_id": f"{study}-{kind}",
                    "reference_id": study,
                    "reference": line.values["gt_report"],
                    "candidate": line.values[kind],
                    **graded,
                },
            )


def _told_apart(files: Sequence[Path]) -> tuple[Path, Path]:
    """The file of reports and the file of counts, whichever comes first and whatever they are called."""
    if len(files) != 2:
        raise ValueError("ReXVal is two files: --input=50_samples_gt_and_candidates.csv,6_valid_raters_...csv")
    counted = [file for file in files if _has(file, "num_errors")]
    if len(counted) != 1:
        raise ValueError(f"of {' and '.join(map(str, files))}, one must have ReXVal's column num_errors")
    return next(file for file in files if file is not counted[0]), counted[0]


def _has(file: Path, column: str) -> bool:
    return any(column in line.values for line in lines(file))


def _ratings(file: Path) -> tuple[Ratings, list[str]]:
    ratings: Ratings = {}
    raters: set[str] = set()
    seen: dict[tuple[str, ...], str] = {}
    for line in lines(file, RATINGS):
        *key, value = (str(line.values[column]).strip() for column in RATINGS)
        study, kind, category, rater, significant = key
        if tuple(key) in seen:
            raise ValueError(f"{line.where}: counts what {seen[tuple(key)]} does; leave one of them out")
        seen[tuple(key)] = line.where
        severity = _choice(line, "clinically_significant", significant.lower(), _SIGNIFICANT)
        name = _choice(line, "error_category", category, CATEGORIES)
        _choice(line, "candidate_type", kind, dict.fromkeys(CANDIDATES, ""))
        raters.add(rater)
        counted = ratings.setdefault((study, kind), {}).setdefault(rater, {})
        of_category = counted.setdefault(name, {"significant": 0.0, "insignificant": 0.0})
        of_category[severity] = counts.number(value, line.where, "num_errors")
    return ratings, sorted(raters)


def _choice(line: Line, column: str, value: str, allowed: Mapping[str, str]) -> str:
    if value not in allowed:
        raise ValueError(f"{line.where}: column {column!r}: must be one of {', '.join(allowed)}")
    return allowed[value]
