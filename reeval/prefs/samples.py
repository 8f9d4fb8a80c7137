"""The judge's own verdicts, drawn at a temperature, as they come to a file that a killed run goes on with."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flax import nnx

from reeval import hosts
from reeval.evaluate.judge import Judge
from reeval.files import LineLog
from reeval.pairs import Pair
from reeval.progress import progress
from reeval.prompts import MODES

# Of a drawn verdict, what it is and what it says.
Sample = dict[str, Any]
_KEPT = ("pair_id", "mode", "raw", "parse_status", "significant")
# Rows that go to the disk together.
_GROUP = 16


def draw(judge: Judge, weights: nnx.State, pairs: Sequence[Pair], count: int, *, seed: int, path: Path) -> list[Sample]:
    """`count` verdicts of each pair in each mode; those that the file has are not drawn again.

    Args:
        judge: with a temperature; a verdict depends on the seed, its number and the pair alone.
    Returns:
        rows with pair_id, mode, sample (its number), raw, parse_status and significant, in no order.
    Raises:
        hosts.Stopped: on SIGTERM; what was drawn is on the disk.
    """
    log = LineLog(path)
    try:
        known = {(row["pair_id"], row["mode"], row["sample"]) for row in log.rows}
        total = len(pairs) * len(MODES) * count
        with progress("samples", total, done=len(known)) as advance, hosts.Asked() as asked:
            for sample, mode in itertools.product(range(count), MODES):
                missing = [pair for pair in pairs if (pair.pair_id, mode, sample) not in known]
                judge.seed = seed * 4096 + sample
                drawn = judge.judge(weights, missing, mode) if missing else iter(())
                while some := list(itertools.islice(drawn, _GROUP)):
                    log.append([{name: row[name] for name in _KEPT} | {"sample": sample} for row in some])
                    advance(len(log.rows), "")
                    if asked.now():
                        raise hosts.Stopped(f"stopped after {len(log.rows)} of {total} samples, which are saved")
        return list(log.rows)
    finally:
        log.close()


def wrong(samples: Sequence[Sample], pairs: Sequence[Pair]) -> dict[tuple[str, str], list[Sample]]:
    """By pair and mode the samples that count as wrong in D or R, each text once, by their numbers.

    What cannot be parsed is not among them: that a verdict has to be one the grammar sees to.
    """
    gold = {pair.pair_id: pair.significant for pair in pairs}
    found: dict[tuple[str, str], list[Sample]] = {}
    for row in sorted(samples, key=lambda row: row["sample"]):
        if row["parse_status"] == "ok" and row["significant"] != gold[row["pair_id"]]:
            of = found.setdefault((row["pair_id"], row["mode"]), [])
            if all(row["raw"] != other["raw"] for other in of):
                of.append(row)
    return found
