"""The judge as a metric for Python: lists of reports in, scores out."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from reeval.pairs import Pair
from reeval.score.scorer import Sample, Scorer, Settings, bounds, mean


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of a list of pairs.

    Attributes:
        samples: one a pair, in the order given.
        signature: all that decides the scores, to be reported with them.
    """

    samples: tuple[Sample, ...]
    signature: str

    @property
    def mean(self) -> float | None:
        """Of the pairs that have a score, from 0 (all have a clinically significant error) to 1 (none); None if no pair
        has one."""
        return mean(self.samples)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The mean if each pair without a score had 0, and if each had 1."""
        return bounds(self.samples)

    @property
    def parse_failures(self) -> int:
        return sum(sample.score is None for sample in self.samples)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with no text of a report: `mean`, `scores` (None for a pair without), `bounds`,
        `parse_failures` and `signature`."""
        return {
            "mean": self.mean,
            "scores": [sample.score for sample in self.samples],
            "bounds": self.bounds,
            "parse_failures": self.parse_failures,
            "signature": self.signature,
        }

    def to_dataframe(self) -> Any:
        """A pandas DataFrame, one row a pair. Raises ImportError if there is no pandas."""
        try:
            import pandas
        except ImportError:
            raise ImportError("to_dataframe needs pandas: pip install 'reeval[dataframe]'") from None
        return pandas.DataFrame([dataclasses.asdict(s) | {"signature": self.signature} for s in self.samples])


class Metric:
    """Scores candidates against references; the model is loaded with the first call."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._scorers: dict[bool, Scorer] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # What is loaded stays here: another process loads the model itself.
        return Metric, (self._settings,)

    def __call__(
        self,
        *,
        references: Sequence[str],
        candidates: Sequence[str],
        ids: Sequence[str] | None = None,
        images: Sequence[str | None] | None = None,
        refuse: bool = True,
    ) -> Scores:
        """
        Args:
            references, candidates: one of each a pair; by name, as tools differ in the order.
            ids: of the pairs; by default their numbers. They decide what is sampled where `temperature` is above 0.
            images: paths, for a judge that sees.
            refuse: whether a pair that the judge cannot be given, as it is too long or holds one of the tokenizer's
                control tokens, is an error. If not, it has no score, and its sample's `parse_status` says why.
        Raises:
            ValueError: for lists of different lengths, what is no text, an empty reference, or a pair to refuse.
        """
        count = len(references)
        ids = [str(number) for number in range(1, count + 1)] if ids is None else ids
        images = [None] * count if images is None else images
        for name, values in (("references", references), ("candidates", candidates)):
            if isinstance(values, str):
                raise ValueError(f"{name} is one text; give a list of them")
        for name, given in (("candidates", len(candidates)), ("ids", len(ids)), ("images", len(images))):
            if given != count:
                raise ValueError(f"there are {count} references and {given} {name}; give one for each")
        if len(set(ids)) != count:
            raise ValueError("two pairs have the same id; ids must differ")
        for pair_id, *texts in zip(ids, references, candidates, strict=True):
            for name, text in zip(("reference", "candidate"), texts, strict=True):
                if not isinstance(text, str):
                    raise ValueError(f"pair {pair_id}: the {name} is a {type(text).__name__}; give one text")
            if not texts[0].strip():
                raise ValueError(f"pair {pair_id}: the reference is empty")
        pairs = [
            Pair(pair_id, pair_id, reference, candidate, image=image)
            for pair_id, reference, candidate, image in zip(ids, references, candidates, images, strict=True)
        ]
        scorer = self._scorer(any(image is not None for image in images))
        found: dict[str, Sample] = {}
        longest = 0
        for pair in pairs:
            try:
                length = _length(scorer, pair)
            except ValueError as error:
                if refuse:
                    raise
                found[pair.pair_id] = Sample(pair_id=pair.pair_id, parse_status=str(error))
            else:
                longest = max(longest, length)
        if longest:
            if longest > scorer.room > 0:
                # What is called again and again, such as a reward, is not to be compiled at every new record.
                longest = min(max(longest, 2 * scorer.room), scorer.most_tokens() or 2 * longest)
            scorer.prepare(longest)
            found |= {s.pair_id: s for s in scorer.score(pair for pair in pairs if pair.pair_id not in found)}
        return Scores(tuple(found[pair_id] for pair_id in ids), scorer.signature)

    @property
    def signature(self) -> str:
        """Of scores without images."""
        return self._scorer(False).signature

    def self_check(self, references: Sequence[str]) -> float | None:
        """The mean score of reports against themselves, which should be 1."""
        return self(references=references, candidates=references).mean

    def _scorer(self, images: bool) -> Scorer:
        if images not in self._scorers:
            self._scorers[images] = Scorer(self._settings, images=images)
        return self._scorers[images]


def _length(scorer: Scorer, pair: Pair) -> int:
    """Of a pair's prompt in tokens. Raises ValueError for a pair that the judge cannot be given."""
    length, most = scorer.tokens(pair), scorer.most_tokens()
    if most is not None and length > most:
        raise ValueError(f"pair {pair.pair_id} has a prompt of {length} tokens, and {most} is the most")
    return length


def load_metric(model: str, **settings: Any) -> Metric:
    """A judge as a metric: `load_metric(DIR)(references=[...], candidates=[...])`.

    Args:
        model: a checkpoint directory as `reeval export` writes it, or `embedded`.
        settings: see `reeval.score.scorer.Settings`.
    """
    return Metric(Settings(model=str(model), **settings))
