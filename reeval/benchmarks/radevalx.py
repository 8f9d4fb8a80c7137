"""RadEvalX: 100 IU X-ray studies, each with a generated candidate; two radiologists agreed on the counts of errors.

PhysioNet (rad-eval-x 1.0.0) has two CSV files of one form, of which the names say which errors they count,
`RadEval_clinically_significant_errors.csv` and `RadEval-clinically_insignificant_errors.csv`: report_id, ground_truth,
M2Tr-Generation, and a count for each category, 1 to 8. An empty cell is read as no error of that category: most cells
are empty, and the release does not say otherwise. As the raters gave one count together, each rule but the mean is
the same: significant with at least one significant error.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from reeval.benchmarks import counts
from reeval.benchmarks.columns import Line, lines
from reeval.taxonomy import SEVERITIES

CATEGORIES = tuple("12345678")
ID, REFERENCE, CANDIDATE = "report_id", "ground_truth", "M2Tr-Generation"


def rows(files: Sequence[Path], rule: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each pair stands, and its JSON object; raises ValueError for files that are not these two."""
    by_severity = {severity: _by_id(file) for severity, file in _told_apart(files).items()}
    significant, insignificant = (by_severity[severity] for severity in SEVERITIES)
    if alone := sorted(significant.keys() ^ insignificant.keys()):
        raise ValueError(f"report_id {alone[0]!r} stands in one file alone; both must have the same reports")
    for study, line in significant.items():
        other = insignificant[study]
        if any(line.values[column].split() != other.values[column].split() for column in (REFERENCE, CANDIDATE)):
            raise ValueError(f"{other.where}: another text than at {line.where} under the same report_id")
        rating = {
            category: {
                severity: counts.number(lines_of[study].values[category], lines_of[study].where, category)
                for severity, lines_of in by_severity.items()
            }
            for category in CATEGORIES
        }
        graded = counts.graded({"both": rating}, rule)
        graded["metadata"]["source"] = "radevalx"
        yield (
            line.where,
            {
                "pair_id": study,
                "reference_id": study,
                "reference": line.values[REFERENCE],
                "candidate": line.values[CANDIDATE],
                **graded,
            },
        )


def _told_apart(files: Sequence[Path]) -> dict[str, Path]:
    """Severity -> the file whose name says so."""
    found = {severity: [file for file in files if _named(file) == severity] for severity in SEVERITIES}
    if len(files) != 2 or any(len(of_one) != 1 for of_one in found.values()):
        raise ValueError(
            "RadEvalX is two files, one with significant in its name and one with insignificant: "
            "--input=RadEval_clinically_significant_errors.csv,RadEval-clinically_insignificant_errors.csv"
        )
    return {severity: file for severity, (file,) in found.items()}


def _named(file: Path) -> str | None:
    return next((severity for severity in reversed(SEVERITIES) if severity in file.name.lower()), None)


def _by_id(file: Path) -> dict[str, Line]:
    found: dict[str, Line] = {}
    for line in lines(file, (ID, REFERENCE, CANDIDATE, *CATEGORIES)):
        study = line.values[ID].strip()
        if study in found:
            raise ValueError(f"{line.where}: report_id {study!r} stands at {found[study].where}, too")
        found[study] = line
    return found
