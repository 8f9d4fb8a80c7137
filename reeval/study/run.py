"""`reeval compare`: the evaluators of a config judge what is missing, then they are compared."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reeval import hosts, pairs
from reeval.evaluators.evaluator import Evaluator
from reeval.files import write_atomically
from reeval.judgements import Judgement
from reeval.run import one_line
from reeval.study import judging, settings, tables, writers
from reeval.study.columns import SCALAR
from reeval.study.compare import compare
from reeval.study.graded import level
from reeval.study.ratings import ratings

Judged = dict[str, dict[str, list[Judgement]]]


def run(config: Any, workdir: str | Path, *, allow_remote: bool = False) -> None:
    """Run a study, or go on with it.

    An evaluator that cannot go on is named in one line, with the reason; the others are run and compared without it,
    and at the end the command fails, so that nobody takes the comparison for the whole one.

    Args:
        allow_remote: whether reports may go to endpoints on other machines, whatever the config says of each.
    Raises:
        ValueError: for a config, pairs or files that cannot be used, before anything is judged.
        judging.Failed: if some evaluator could not go on.
        hosts.Stopped: on SIGTERM.
    """
    checked = settings.check(config)
    for each in checked["evaluators"].values():
        if allow_remote and "allow_remote" in each:
            each["allow_remote"] = True
    directory = Path(workdir)
    found = pairs.read(checked["pairs"])
    _comparable(checked["pairs"], found)
    evaluators = settings.evaluators(checked, found, directory)
    _divisible(checked["pairs"], found, evaluators)
    directory.mkdir(parents=True, exist_ok=True)
    record = {"pairs": {"path": str(Path(checked["pairs"]).resolve())}, "config": checked}
    write_atomically(directory / "study.json", json.dumps(record, indent=2) + "\n")
    judged, failed = judge_all(evaluators, found, directory)
    if not judged:
        raise judging.Failed(f"no evaluator could judge the pairs: {', '.join(failed)}")
    compared = compare(
        found,
        judged,
        kinds={name: evaluator.kind for name, evaluator in evaluators.items()},
        signatures=signatures(evaluators),
        **{name: checked[name] for name in ("seed", "resamples", "permutations", "confidence")},
    )
    writers.write(directory, compared)
    tables.show(compared)
    if failed:
        raise judging.Failed(
            f"compared without {', '.join(failed)}, which could not go on; the same command tries them again"
        )


def _comparable(path: str, found: Sequence[pairs.Pair]) -> None:
    """Said now, not after hours of judging."""
    try:
        levels, rated = [level(pair) for pair in found], ratings(found)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    labelled = any(pair.errors is not None or pair.label is not None for pair in found)
    if not labelled and rated is None and all(map(math.isnan, levels)):
        raise ValueError(
            f"{path}: its pairs have no errors, label, metadata.level or metadata.ratings, so there is nothing to "
            "compare evaluators with"
        )


def _divisible(path: str, found: Sequence[pairs.Pair], evaluators: Mapping[str, Evaluator]) -> None:
    references = {pair.reference_id for pair in found if pair.errors is not None or pair.label is not None}
    scalar = [name for name, evaluator in evaluators.items() if SCALAR in evaluator.modes]
    if scalar and len(references) == 1:
        raise ValueError(
            f"{path}: its labelled pairs have one reference_id, and the threshold of {scalar[0]} is chosen on other "
            "references than it judges; give pairs of two or more references, or leave scalar metrics out"
        )


def judge_all(evaluators: Mapping[str, Evaluator], found: list[pairs.Pair], workdir: Path) -> tuple[Judged, list[str]]:
    """What each evaluator says in each of its modes, and the names of those that could not go on."""
    judged: Judged = {}
    failed = []
    with judging.stoppable():
        for name, evaluator in evaluators.items():
            for mode in evaluator.modes:
                try:
                    judged.setdefault(name, {})[mode] = judging.judge(evaluator, name, mode, found, workdir)
                except hosts.Stopped:
                    raise
                except Exception as error:
                    print(f"reeval: {name} {mode}: {_one_line(error)}", file=sys.stderr, flush=True)
                    failed.append(f"{name} {mode}")
    return {name: modes for name, modes in judged.items() if modes}, failed


def signatures(evaluators: Mapping[str, Evaluator]) -> dict[str, dict[str, str]]:
    return {
        name: {mode: one_line(evaluator.identity(mode)) for mode in evaluator.modes}
        for name, evaluator in evaluators.items()
    }


def _one_line(error: Exception) -> str:
    """Words of errors that are meant for the user; those of others may quote a report."""
    if isinstance(error, ValueError | OSError | RuntimeError):
        return " ".join(str(error).split())
    return f"unexpected {type(error).__name__}"
