"""How much of the task is learned: the share of exact first answers on unseen reports, severities aside."""

import itertools
from collections.abc import Sequence
from typing import Any

from flax import nnx

from reeval import hf, sharding, verdicts
from reeval.data.conversation import Conversation
from reeval.decode import grammar
from reeval.decode.engine import Engine, Request, Turn
from reeval.from_scratch.pairs import written
from reeval.models.qwen3 import Qwen3
from reeval.pairs import Error, Pair
from reeval.prompts import MODES
from reeval.synth.compose import Mixture
from reeval.synth.generator import SPLITS

_SEED = 990_001  # of no training data
_ANSWER = 192  # tokens at most
_SLOTS = 32


class Evaluation:
    """Judges `count` unseen pairs of each split by free decoding, which says how well the format is known, too."""

    def __init__(self, tokenizer_directory: Any, prompt: str, count: int):
        self.conversation = Conversation(hf.load_tokenizer(tokenizer_directory), prompt)
        self.pairs = {
            split: list(itertools.islice(written(split, _SEED, (2, 4), Mixture()), count)) for split in SPLITS
        }
        self._engine: Engine | None = None

    def __call__(self, model: Qwen3) -> dict[str, dict[str, float]]:
        """Split and mode to shares: exact (whole verdicts), found (lines), unreadable (answers)."""
        graph, weights = nnx.split(model)
        return {
            f"{split} {mode}": _shares(pairs, self._answers(graph, weights, model.config.vocab_size, mode, pairs))
            for split, pairs in self.pairs.items()
            for mode in MODES
        }

    def _answers(self, graph: Any, weights: Any, vocab_size: int, mode: str, pairs: Sequence[Pair]) -> list[str]:
        if self._engine is None:
            end = self.conversation.end
            everything = (
                self.conversation.prompt(m, pair) for m in MODES for some in self.pairs.values() for pair in some
            )
            self._engine = Engine(
                graph,
                sharding.single_device_mesh(),
                grammar.free(vocab_size, end),
                prefix=[],
                second=[],
                end=end,
                slots=_SLOTS,
                max_prompt_tokens=max(map(len, everything)),
                max_answer_tokens=_ANSWER,
            )
        requests = (Request(i, self.conversation.prompt(mode, pair)) for i, pair in enumerate(pairs))
        answers = {request.key: turns[0].tokens for request, turns in self._engine.run(weights, requests, _no_second)}
        return [self.conversation.text(answers[i]) for i in range(len(pairs))]


def _no_second(request: Request, turn: Turn) -> int:
    return 0


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
