"""A judge of ours as an evaluator: a checkpoint directory, with an adapter or without, or the embedded judge."""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reeval.judgements import Judgement
from reeval.pairs import Error, Pair
from reeval.score.scorer import Sample, Scorer, Settings, content_sha256
from reeval.settings import Field

_COUNT = Field(int, least=1)
FIELDS: Mapping[str, Field] = {
    "model": Field(str),
    "adapter": Field(str),
    "prompt": Field(str),
    "dtype": Field(str, among=("", "float32", "bfloat16")),
    "mesh": Field(tuple),
    "slots": _COUNT,
    "max_answer_tokens": _COUNT,
    "grammar": Field(bool),
}
DEFAULTS: Mapping[str, Any] = {
    "adapter": "",
    "prompt": "",  # the one that the directory names
    "dtype": "",  # as stored
    "mesh": (-1, 1, 1),
    "slots": 32,
    "max_answer_tokens": 256,
    "grammar": True,
}
_ERROR = {field.name for field in dataclasses.fields(Error)}


class JudgeEvaluator:
    """Loads its model when it first judges, and lets go of it when it has."""

    kind = "judge"
    keeps = True

    def __init__(self, settings: Mapping[str, Any], pairs: Sequence[Pair], cache: Path):
        self.modes = settings["modes"]
        if settings["model"] == "embedded":
            print("the embedded judge shows how a study works; its verdicts on real reports mean nothing")
        mesh = tuple(settings["mesh"])
        if len(mesh) != 3:
            raise ValueError(f"mesh={mesh!r} must be three whole numbers, such as (-1, 1, 1)")
        self._images = any(pair.image is not None for pair in pairs)
        self._settings = {
            mode: Settings(
                model=settings["model"],
                adapter=settings["adapter"] or None,
                mode=mode,
                prompt=settings["prompt"] or None,
                dtype=settings["dtype"] or None,
                mesh=mesh,  # type: ignore[arg-type]  # three, as has been made sure
                slots=settings["slots"],
                max_answer_tokens=settings["max_answer_tokens"],
                grammar=settings["grammar"],
            )
            for mode in self.modes
        }
        # These never load their weights: what two modes and other evaluators need in turn is not held all the while.
        self._described = {mode: Scorer(given, images=self._images) for mode, given in self._settings.items()}

    def identity(self, mode: str) -> Mapping[str, str]:
        return self._described[mode].identity

    def content(self, pair: Pair) -> str:
        return content_sha256(pair, images=next(iter(self._described.values())).sees)

    def judge(self, pairs: Sequence[Pair], mode: str) -> Iterator[Judgement]:
        """Seconds are those since the judgement before: pairs are judged several at a time, and only their mean, in
        which compilation counts, means something."""
        scorer = Scorer(self._settings[mode], images=self._images)
        lengths: dict[str, int] = {}
        taken: list[Pair] = []
        most = scorer.most_tokens()
        for pair in pairs:
            try:
                length = scorer.tokens(pair)
            except ValueError:
                yield Judgement(pair.pair_id, "cannot be judged: a report holds a control token of the tokenizer")
                continue
            if most is not None and length > most:
                yield Judgement(pair.pair_id, f"too long: {length} tokens, at most {most}")
                continue
            lengths[pair.pair_id] = length
            taken.append(pair)
        if not taken:
            return
        last = time.monotonic()
        scorer.prepare(max(lengths.values()))
        samples = scorer.score(taken)
        while (sample := next(samples, None)) is not None:
            seconds = time.monotonic() - last
            yield self._judgement(scorer, sample, lengths[sample.pair_id], seconds)
            last = time.monotonic()

    def _judgement(self, scorer: Scorer, sample: Sample, length: int, seconds: float) -> Judgement:
        """Input tokens are those that the model reads: a second pass goes on where the first one ended."""
        said = [len(scorer.conversation.answer(text)) + 1 for text in sample.raw]
        errors = None
        if sample.errors is not None:
            errors = tuple(Error(**{name: error[name] for name in error.keys() & _ERROR}) for error in sample.errors)
        return Judgement(
            pair_id=sample.pair_id,
            parse_status=sample.parse_status,
            raw=sample.raw,
            errors=errors,
            significant=sample.significant,
            probability=sample.probability,
            input_tokens=length + (len(scorer.conversation.second) if len(said) > 1 else 0),
            output_tokens=sum(said),
            seconds=seconds,
        )
