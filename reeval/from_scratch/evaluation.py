"""How much of the task is learned: the share of exact first answers on unseen reports, severities aside."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx

from reeval import hf, sharding, verdicts
from reeval.data.conversation import Conversation
from reeval.decode.greedy import GreedyDecoder
from reeval.from_scratch.pairs import written
from reeval.models.qwen3 import Qwen3
from reeval.pairs import Error, Pair
from reeval.prompts import MODES
from reeval.synth.compose import Mixture
from reeval.synth.generator import SPLITS

_SEED = 990_001  # of no training data
_ANSWER = 192  # tokens at most


class Evaluation:
    """Judges `count` unseen pairs of each split; compiles once a model shape and prompt length."""

    def __init__(self, tokenizer_directory: Any, prompt: str, count: int):
        self.conversation = Conversation(hf.load_tokenizer(tokenizer_directory), prompt)
        self.pairs = {
            split: list(itertools.islice(written(split, _SEED, (2, 4), Mixture()), count)) for split in SPLITS
        }
        self._decoder: GreedyDecoder | None = None

    def __call__(self, model: Qwen3) -> dict[str, dict[str, float]]:
        """Split and mode to shares: exact (whole verdicts), found (lines), unreadable (answers)."""
        graph, weights = nnx.split(model)
        return {
            f"{split} {mode}": _shares(pairs, self._answers(graph, weights, mode, pairs))
            for split, pairs in self.pairs.items()
            for mode in MODES
        }

    def _answers(self, graph: Any, weights: Any, mode: str, pairs: Sequence[Pair]) -> list[str]:
        prompts = [self.conversation.prompt(mode, pair) for pair in pairs]
        length = -(-max(map(len, prompts)) // 128) * 128
        tokens = np.zeros((len(prompts), length), np.int32)
        for row, prompt in zip(tokens, prompts, strict=True):
            row[: len(prompt)] = prompt
        if self._decoder is None:
            mesh = sharding.single_device_mesh()
            self._decoder = GreedyDecoder(
                graph, mesh, end=self.conversation.end, max_new=_ANSWER, cache_length=640 + _ANSWER
            )
        _, made = self._decoder.begin(weights, tokens, np.array([len(prompt) for prompt in prompts]))
        made = jax.device_get(made)
        return [self.conversation.text(row[:n].tolist()) for row, n in zip(made.tokens, made.counts, strict=True)]


def _shares(pairs: Sequence[Pair], answers: Sequence[str]) -> dict[str, float]:
    exact = found = lines = unreadable = 0
    for pair, answer in zip(pairs, answers, strict=True):
        assert pair.errors is not None
        wanted = [_content(error) for error in pair.errors]
        lines += len(wanted)
        given = _read(answer)
        if given is None:
            unreadable += 1
            continue
        exact += given == wanted
        found += sum(line in given for line in wanted)
    return {"exact": exact / len(pairs), "found": found / lines, "unreadable": unreadable / len(pairs)}


def _read(answer: str) -> list[tuple[str, ...]] | None:
    """What an answer of either mode says, None if it is no verdict."""
    for parse in (lambda text: verdicts.parse(text).errors, verdicts.parse_spans):
        try:
            return [_content(error) for error in parse(answer)]
        except verdicts.VerdictFormatError:
            continue
    return None


def _content(error: Error) -> tuple[str, ...]:
    return error.type, error.aspect, error.reference_span, error.candidate_span
