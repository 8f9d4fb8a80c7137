"""The metric under the signatures of other tools: Hugging Face's evaluate and RadEval.

Neither has to be installed, and no word of a report is written to a disk, as evaluate does with what it is given. In
both a score lies between 0 and 1 and higher is better: 1 is a candidate without a clinically significant error, 0 one
with. What each tool's objects do beyond this is not here; `docs/metrics.md` says what fits where.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from reeval.score.metric import Scores, load_metric

NAME = "reeval"


class EvaluateMetric:
    """A judge that is called as a metric of `evaluate` is: collect with `add` and `add_batch`, then `compute`.

    Arguments go by name. What was collected is kept in memory until `compute`, and forgotten then.
    """

    name = NAME
    description = "1 minus the probability that a report has a clinically significant error, by a reeval judge."
    inputs_description = "predictions: reports to judge; references: one report for each. Chest X-rays, English."

    def __init__(self, model: str, *, refuse: bool = True, **settings: Any):
        """As `reeval.load_metric`; `refuse` is the metric's."""
        self._metric, self._refuse = load_metric(model, **settings), refuse
        self._predictions: list[str] = []
        self._references: list[str] = []

    def __len__(self) -> int:
        """Pairs collected so far."""
        return len(self._predictions)

    def add(
        self,
        *,
        prediction: str | None = None,
        reference: str | None = None,
        predictions: str | None = None,
        references: str | None = None,
    ) -> None:
        """Collect one pair, under either spelling of the names, as in evaluate."""
        given = (prediction if predictions is None else predictions, reference if references is None else references)
        if None in given:
            raise ValueError(f"the {'prediction' if given[0] is None else 'reference'} is missing; give both")
        self.add_batch(predictions=[given[0]], references=[given[1]])  # type: ignore[list-item]  # not None

    def add_batch(self, *, predictions: Sequence[str], references: Sequence[str]) -> None:
        """Collect pairs. Raises ValueError if there are not as many of both."""
        for name, texts in (("predictions", predictions), ("references", references)):
            if isinstance(texts, str):
                raise ValueError(f"{name} is one text; give a list of them")
        if len(predictions) != len(references):
            raise ValueError(f"there are {len(references)} references and {len(predictions)} predictions")
        self._predictions += predictions
        self._references += references

    def compute(
        self, *, predictions: Sequence[str] | None = None, references: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Judge what was collected and what is given here.

        Returns:
            `mean`, `scores`, `bounds`, `parse_failures`, `signature`: see `reeval.score.metric.Scores`.
        Raises:
            ValueError: if there is nothing to judge, and as the metric does.
        """
        if (predictions is None) != (references is None):
            raise ValueError(f"{'predictions' if predictions is None else 'references'} are missing; give both")
        if predictions is not None and references is not None:
            self.add_batch(predictions=predictions, references=references)
        if not self._predictions:
            raise ValueError("there is nothing to judge; give predictions and references, or add them before")
        scores = self._metric(references=self._references, candidates=self._predictions, refuse=self._refuse)
        self._predictions, self._references = [], []
        return scores.to_dict()

    def _feature_names(self) -> list[str]:
        # What evaluate.combine asks each of its metrics for.
        return ["predictions", "references"]


class RadEvalMetric:
    """A judge that is called as `RadEval(...)` is, and that RadEval can call as one of its metrics.

    `per_sample` and `detailed` are RadEval's: a list of scores in place of their mean; more keys beside it. As there,
    means are rounded to four places. Other than there, the signature always stands beside them, and a pair without a
    score is None.
    """

    name = display_name = NAME
    is_api_based = False

    def __init__(
        self, model: str, *, per_sample: bool = False, detailed: bool = False, refuse: bool = True, **settings: Any
    ):
        """As `reeval.load_metric`; `refuse` is the metric's."""
        self._metric, self._refuse = load_metric(model, **settings), refuse
        self._per_sample, self._detailed = per_sample, detailed

    def __call__(self, *, refs: Sequence[str], hyps: Sequence[str]) -> dict[str, Any]:
        """Judge `hyps`, the candidates, against `refs`; nothing for no pairs. Raises ValueError as the metric does."""
        if not len(refs) and not len(hyps):
            return {}
        return self.compute(refs, hyps, per_sample=self._per_sample, detailed=self._detailed)

    def metric_keys(self, detailed: bool = False) -> list[str]:
        """What `compute` gives beside a list of scores."""
        more = ["std", "low", "high", "parse_failures"] if detailed else []
        return [NAME, *(f"{NAME}_{name}" for name in more), f"{NAME}_signature"]

    def compute(
        self,
        refs: Sequence[str],
        hyps: Sequence[str],
        per_sample: bool = False,
        detailed: bool = False,
        on_progress: Callable[[], Any] | None = None,
    ) -> dict[str, Any]:
        """What RadEval calls, references first. People call the object itself, by name."""
        scores = self._metric(references=refs, candidates=hyps, refuse=self._refuse)
        for _ in scores.samples if on_progress else ():
            on_progress()  # type: ignore[misc]
        found: dict[str, Any] = {NAME: _rounded(scores.mean)}
        if per_sample:
            found = {NAME: scores.to_dict()["scores"]}
        elif detailed:
            found |= {f"{NAME}_{name}": value for name, value in _details(scores).items()}
        return found | {f"{NAME}_signature": scores.signature}


def _details(scores: Scores) -> dict[str, float | int | None]:
    """`std` is that of the population, as NumPy's; `low` and `high` are the bounds of the mean."""
    known = [sample.score for sample in scores.samples if sample.score is not None]
    low, high = scores.bounds or (None, None)
    return {
        "std": _rounded(statistics.pstdev(known) if known else None),
        "low": _rounded(low),
        "high": _rounded(high),
        "parse_failures": scores.parse_failures,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
