"""What preference training changed, over seeds: Markdown of the held-out verdicts before and after it.

    python launch/preference_results.py runs/preference_study 0 1 2

Of each seed D, R and what is made of both, and McNemar's exact tests; of all seeds the means, and the differences of
the means with the interval of a bootstrap that draws references, the same for every seed, before and after.
"""

import json
import sys
from pathlib import Path

import numpy as np

from reeval import pairs
from reeval.metrics import dr
from reeval.metrics.intervals import percentiles, resampled
from reeval.metrics.paired import mcnemar
from reeval.prompts import MODES

_CODE = {True: dr.SIGNIFICANT, False: dr.NOT_SIGNIFICANT, None: dr.UNPARSABLE}


def main(workdir: Path, seeds: list[str]) -> None:
    held_out = pairs.read(workdir / "heldout.jsonl", graded=True)
    gold = np.array([pair.significant for pair in held_out], bool)
    references = np.array([pair.reference_id for pair in held_out])
    n = f"n {gold.sum()} + {(~gold).sum()}"
    for mode in MODES:
        runs = [workdir / f"dpo{seed}" / "eval" for seed in seeds]
        before = np.array([_judged(run / "start" / mode, held_out) for run in runs])
        after = np.array([_judged(_newest(run) / mode, held_out) for run in runs])
        print(f"\n**{mode.replace('_', '-')}**, {n}\n")
        print("| seed | judge | D | R | (D+R)/2 | D-R | D: only before, only after, p | R: likewise |")
        print("|---|---|---|---|---|---|---|---|")
        for seed, one, two in zip(seeds, before, after, strict=True):
            tests = mcnemar(gold, one, two)
            said = [f"{tests[x].only_first}, {tests[x].only_second}, {tests[x].p:.2g}" for x in ("D", "R")]
            print(f"| {seed} | SFT | {' | '.join(_four(gold, one))} | | |")
            print(f"| | DPO | {' | '.join(_four(gold, two))} | {' | '.join(said)} |")
        drawn = [resampled(gold, judged, references) for judged in (before, after)]
        D, R = (np.array([getattr(one, name).mean(0) for one in drawn]) for name in ("D_KN", "R_KN"))
        found = [np.mean([_rates(gold, judge) for judge in judged], axis=0) for judged in (before, after)]
        print(f"| mean | SFT | {' | '.join(f'{x:.1f}' for x in _made(*found[0]))} | | |")
        print(f"| | DPO | {' | '.join(f'{x:.1f}' for x in _made(*found[1]))} | | |")
        changes = [b - a for a, b in zip(_made(*found[0]), _made(*found[1]), strict=True)]
        ends = [percentiles(b - a, 0.95) for a, b in zip(_made(D[0], R[0]), _made(D[1], R[1]), strict=True)]
        cells = [f"{x:+.1f} ({low:+.1f} to {high:+.1f})" for x, (low, high) in zip(changes, ends, strict=True)]
        print(f"| | change | {' | '.join(cells)} | | |")


def _newest(run: Path) -> Path:
    return max(run.glob("step-*"))


def _judged(directory: Path, held_out: list[pairs.Pair]) -> np.ndarray:
    lines = (directory / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    said = {row["pair_id"]: row["significant"] for row in map(json.loads, lines)}
    return np.array([_CODE[said[pair.pair_id]] for pair in held_out], np.int8)


def _rates(gold: np.ndarray, judged: np.ndarray) -> tuple[float, float]:
    right = dr.correct(gold, judged)
    return 100 * float(right[gold].mean()), 100 * float(right[~gold].mean())


def _made(D: float, R: float) -> tuple[float, float, float, float]:
    return D, R, dr.balanced(D, R), dr.bias(D, R)


def _four(gold: np.ndarray, judged: np.ndarray) -> list[str]:
    return [f"{value:.1f}" for value in _made(*_rates(gold, judged))]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
