"""`reeval selfcheck`: does a judge score here as it did where its figures come from?

The pairs are the shortest held-out ones that are shipped, written by this project's generator, half of them
significant, and each of their references against itself. The figures that are shipped are those of the embedded judge
on these pairs, made by `reeval selfcheck --write=reeval/shipped/selfcheck.json` on a CPU with the first pins of
launch/pins.txt; the file says with what. They say whether an installation works, and nothing about any judge.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from reeval import pairs
from reeval.files import write_atomically
from reeval.metrics.dr import score
from reeval.metrics.rates import Rate
from reeval.pairs import Pair
from reeval.prompts import MODES
from reeval.score.metric import Scores, load_metric
from reeval.version import __version__

SHIPPED = Path(pairs.__file__).parent / "shipped"
FIGURES = SHIPPED / "selfcheck.json"
_EACH = 24
# How far a probability may lie from the shipped one, and from itself in another order. In float32 jax 0.10.2 and 0.12.0
# differ by less than 1e-6 on one CPU; the rest is for other processors, none of which has been tried.
_NEAR = {"float32": 1e-3, "bfloat16": 0.05}
_SLOTS, _OTHER_SLOTS = 16, 5


class Disagrees(Exception):
    """The judge does not score as it should; one line."""

    exit_code = 1


@dataclass(frozen=True)
class _Checked:
    """What a judge said of all pairs in one mode, and which of them are references against themselves."""

    pairs: Sequence[Pair]
    scores: Scores

    def rates(self) -> dict[str, Rate]:
        """D and R of the pairs, and of references against themselves the share that is not called significant."""
        judged = np.array([-1 if s.significant is None else int(s.significant) for s in self.scores.samples], np.int8)
        gold = np.array([pair.significant for pair in self.pairs])
        itself = np.array([pair.identical for pair in self.pairs])
        found, same = (score(gold[which], judged[which], itself[which]) for which in (~itself, itself))
        return {"D": found.D, "R": found.R, "itself": same.R}


def bundled() -> list[Pair]:
    """The pairs, and after them their references against themselves."""
    held_out = sorted(
        (pair for pair in pairs.read(SHIPPED / "heldout.jsonl.gz", graded=True) if not pair.identical),
        key=lambda pair: (len(pair.reference) + len(pair.candidate), pair.pair_id),
    )
    found = [pair for label in (True, False) for pair in held_out if pair.significant is label]
    found = found[:_EACH] + [pair for pair in found if not pair.significant][:_EACH]
    references = {pair.reference_id: pair for pair in found}
    itself = (
        replace(p, pair_id=f"itself-{p.reference_id}", candidate=p.reference, errors=()) for p in references.values()
    )
    return [*found, *itself]


def selfcheck(
    model: str = "embedded",
    *,
    adapter: str | None = None,
    prompt: str | None = None,
    dtype: str | None = None,
    write: str | None = None,
) -> None:
    """Score the bundled pairs and print what was found.

    Of every judge: each pair gets a score, a reference against itself is not called significant (of the embedded one,
    a toy, as often as shipped), and neither the order of the pairs nor the slots change a verdict. Of the embedded
    judge: verdicts, D and R are the shipped ones, and probabilities lie near them.

    Args:
        model, adapter, prompt, dtype: as of `reeval score`.
        write: a file for the figures, which are then compared with none.
    Raises:
        Disagrees: if the judge does not score as it should.
        ValueError: for a judge that cannot be used.
    """
    held = bundled()
    settings = {"model": model, "adapter": adapter, "prompt": prompt, "dtype": dtype}
    print(f"reeval {__version__}, jax {jax.__version__} on {jax.default_backend()}; {len(held)} pairs of a generator")
    if model == "embedded":
        print("the embedded judge is a toy: these figures say that it runs here, and nothing about any real judge")
    found = {mode: _judged(held, slots=_SLOTS, mode=mode, **settings) for mode in MODES}
    for mode, checked in found.items():
        rates = checked.rates()
        said = ", ".join(f"{name} {rates[name].right} of {rates[name].n}" for name in ("D", "R"))
        itself = rates["itself"]
        print(f"{mode.replace('_', '-')}: {said}; against themselves {itself.right} of {itself.n} without an error")
        print(f"  {checked.scores.signature}")
    if write is not None:
        write_atomically(Path(write), json.dumps(_figures(found), indent=1) + "\n")
        print(write)
        return
    exact = dtype == "float32" or (model == "embedded" and dtype is None)
    near = _NEAR["float32" if exact else "bfloat16"]
    wrong = [problem for mode, checked in found.items() for problem in _without_score(mode, checked)]
    wrong += _order_matters(found["one_pass"], near, settings)
    if model == "embedded" and adapter is prompt is None:
        wrong += _differences(found, json.loads(FIGURES.read_text(encoding="utf-8")), near)
    else:
        wrong += [problem for mode, checked in found.items() for problem in _errors_in_itself(mode, checked)]
    if wrong:
        raise Disagrees("; ".join(wrong))
    print("all is as it should be")


def _judged(held: Sequence[Pair], **settings: Any) -> _Checked:
    metric = load_metric(**settings)
    columns = [pair.reference for pair in held], [pair.candidate for pair in held]
    ids = [pair.pair_id for pair in held]
    return _Checked(held, metric(references=columns[0], candidates=columns[1], ids=ids))


def _without_score(mode: str, checked: _Checked) -> list[str]:
    failed = checked.scores.parse_failures
    return [f"{mode}: {failed} pairs have no score"] if failed else []


def _errors_in_itself(mode: str, checked: _Checked) -> list[str]:
    rate = checked.rates()["itself"]
    wrong = rate.n - rate.right
    return [f"{mode}: {wrong} of {rate.n} references against themselves have a significant error"] if wrong else []


def _order_matters(checked: _Checked, near: float, settings: dict[str, Any]) -> list[str]:
    """Judges all again, from the last to the first and in fewer slots."""
    again = _judged(checked.pairs[::-1], slots=_OTHER_SLOTS, mode="one_pass", **settings)
    verdicts, furthest = _compared(
        [(s.significant, s.probability) for s in checked.scores.samples],
        [(s.significant, s.probability) for s in again.scores.samples[::-1]],
    )
    print(f"another order, other slots: {verdicts} other verdicts, probabilities within {furthest:.1e}")
    return _worded("another order and other slots", verdicts, furthest, near)


def _differences(found: dict[str, _Checked], shipped: dict[str, Any], near: float) -> list[str]:
    wrong = []
    for mode, figures in _figures(found)["modes"].items():
        expected = shipped["modes"][mode]
        if _alike(figures["signature"]) != _alike(expected["signature"]):
            wrong.append(f"{mode}: the shipped figures are of another signature, {expected['signature']}")
        elif list(figures["pairs"]) != list(expected["pairs"]):
            wrong.append(f"{mode}: the shipped figures are of other pairs than those that are shipped")
        else:
            verdicts, furthest = _compared([*figures["pairs"].values()], [*expected["pairs"].values()])
            print(
                f"{mode.replace('_', '-')} and shipped: {verdicts} other verdicts, probabilities within {furthest:.1e}"
            )
            wrong += _worded(f"{mode} and what is shipped", verdicts, furthest, near)
            wrong += [
                f"{mode}: {name} is {figures[name]}, as shipped {expected[name]}"
                for name in ("D", "R", "itself")
                if figures[name] != expected[name]
            ]
    return wrong


def _compared(one: Sequence[Any], other: Sequence[Any]) -> tuple[int, float]:
    """Of two lists of (verdict, probability): how many verdicts differ, and the greatest distance of probabilities."""
    verdicts = sum(a[0] != b[0] for a, b in zip(one, other, strict=True))
    distances = [abs(a[1] - b[1]) for a, b in zip(one, other, strict=True) if a[1] is not None and b[1] is not None]
    return verdicts, max(distances, default=0.0)


def _worded(what: str, verdicts: int, furthest: float, near: float) -> list[str]:
    wrong = [f"{what} differ in {verdicts} verdicts"] if verdicts else []
    return wrong + (
        [f"{what} differ by {furthest:.1e} in a probability, more than {near:g}"] if furthest > near else []
    )


def _figures(found: dict[str, _Checked]) -> dict[str, Any]:
    """What a judge said, for a file: rates as [right, n], a pair as [verdict, probability]."""
    modes = {}
    for mode, checked in found.items():
        rates = {name: [rate.right, rate.n] for name, rate in checked.rates().items()}
        said = {s.pair_id: [s.significant, s.probability] for s in checked.scores.samples}
        modes[mode] = {"signature": checked.scores.signature, **rates, "pairs": said}
    made = f"reeval selfcheck --write, reeval {__version__}, jax {jax.__version__} on {jax.default_backend()}"
    return {"made": made, "modes": modes}


def _alike(signature: str) -> list[str]:
    """Without the version, of which scores are to be independent, and without the numbers' kind."""
    return [part for part in signature.split("|") if part.partition(":")[0] not in ("reeval", "dtype")]
