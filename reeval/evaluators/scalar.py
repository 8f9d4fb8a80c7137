"""Scalar metrics: BLEU, chrF and TER of sacrebleu, ROUGE of rouge-score, or the numbers in a column of a file.

A score is higher for a better candidate: what counts errors, as TER, is negated. A score decides nothing by itself;
the comparison chooses a threshold.
"""

import functools
import importlib.metadata
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reeval.evaluators.evaluator import text_sha256
from reeval.evaluators.files import Rows, file_sha256, say
from reeval.judgements import OK, Judgement
from reeval.pairs import Pair
from reeval.settings import Field

# (reference, candidate) -> score.
Metric = Callable[[str, str], float]
_SACREBLEU = ("bleu", "chrf", "ter")
_ROUGE = ("rouge1", "rouge2", "rougeL")
_COLUMN = "column"
MODE = "scalar"

FIELDS: Mapping[str, Field] = {
    "metric": Field(str, among=(*_SACREBLEU, *_ROUGE, _COLUMN)),
    "file": Field(str),
    "column": Field(str),
    "higher_is_better": Field(bool),
}
DEFAULTS: Mapping[str, Any] = {"file": "", "column": "", "higher_is_better": True}


class ScalarEvaluator:
    kind = "scalar"
    keeps = False
    modes: tuple[str, ...] = (MODE,)

    def __init__(self, settings: Mapping[str, Any], pairs: Sequence[Pair], cache: Path):
        self._metric: Metric | None = None
        if settings["metric"] == _COLUMN:
            if not settings["file"] or not settings["column"]:
                raise ValueError("metric='column' needs file and column")
            self._file, self._column = Path(settings["file"]), settings["column"]
            self._sign = 1.0 if settings["higher_is_better"] else -1.0
            self._identity = {
                "file": file_sha256(self._file)[:12],
                "column": self._column,
                "better": "higher" if settings["higher_is_better"] else "lower",
            }
        else:
            if settings["file"] or settings["column"]:
                raise ValueError(f"metric={settings['metric']!r} is computed here; file and column go with 'column'")
            make = _sacrebleu if settings["metric"] in _SACREBLEU else _rouge
            self._metric, signature = make(settings["metric"])
            self._identity = {"metric": settings["metric"], "signature": signature}

    def identity(self, mode: str) -> Mapping[str, str]:
        return self._identity

    def content(self, pair: Pair) -> str:
        return text_sha256(pair.reference, pair.candidate)

    def judge(self, pairs: Sequence[Pair], mode: str) -> Iterator[Judgement]:
        if self._metric is None:
            yield from self._of_column(pairs)
            return
        for pair in pairs:
            began = time.monotonic()
            score = self._metric(pair.reference, pair.candidate)
            yield Judgement(pair.pair_id, OK, score=score, seconds=time.monotonic() - began)

    def _of_column(self, pairs: Sequence[Pair]) -> Iterator[Judgement]:
        rows = Rows(self._file, pairs)
        scores: dict[str, float] = {}
        problems: dict[str, str] = {}
        for where, pair_id, row in rows:
            try:
                if self._column not in row:
                    raise ValueError(f"no column {self._column!r}")
                scores[pair_id] = self._sign * _number(row[self._column])
            except ValueError as error:
                rows.broken(where, str(error))
                problems[pair_id] = str(error)
        rows.finish(len(scores))
        say(self._file, rows)
        for pair in pairs:
            if pair.pair_id in scores:
                yield Judgement(pair.pair_id, OK, score=scores[pair.pair_id])
            else:
                yield Judgement(pair.pair_id, problems.get(pair.pair_id, rows.missing(pair)))


def _number(value: Any) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise ValueError("the score is no number") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("the score is no number")
    return float(value)


def _sacrebleu(name: str) -> tuple[Metric, str]:
    """As `sacrebleu --sentence-level` has it: of one reference, BLEU by the orders that a short sentence has."""
    from sacrebleu.metrics import BLEU, CHRF, TER  # takes a second to import

    metrics: Mapping[str, Callable[[], Any]] = {
        "bleu": functools.partial(BLEU, effective_order=True),
        "chrf": CHRF,
        "ter": TER,
    }
    metric = metrics[name]()
    sign = -1.0 if name == "ter" else 1.0
    metric.sentence_score("", [""])  # before one it does not know its own signature
    return lambda reference, candidate: sign * float(metric.sentence_score(candidate, [reference]).score), str(
        metric.get_signature()
    )


def _rouge(name: str) -> tuple[Metric, str]:
    """The F measure, 0 to 1, with stems, as most papers on reports give it."""
    from rouge_score import rouge_scorer

    scorer = rouge_scorer.RougeScorer([name], use_stemmer=True)
    version = importlib.metadata.version("rouge-score")
    return (
        lambda reference, candidate: float(scorer.score(reference, candidate)[name].fmeasure),
        f"f|stemmer:yes|version:{version}",
    )
