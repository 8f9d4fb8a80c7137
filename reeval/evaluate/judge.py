"""Pairs to verdict rows: prompts and images in, answers out, parsed; in batches of like length."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from flax import nnx
from jax.sharding import Mesh

from reeval import verdicts
from reeval.data.conversation import Conversation
from reeval.data.images import StudyImage
from reeval.decode.greedy import Answers, GreedyDecoder
from reeval.pairs import Pair, error_to_json
from reeval.verdicts import VerdictFormatError

_SHORTEST_BUCKET = 64


class Judge:
    """Judges pairs with models of one structure.

    Compiles once for each power of two of prompt length, and once more for batches with images.
    """

    def __init__(
        self,
        graph: nnx.GraphDef,
        conversation: Conversation,
        mesh: Mesh,
        *,
        batch_size: int,
        max_prompt_tokens: int,
        max_answer_tokens: int,
    ):
        self.conversation, self.batch_size, self.max_prompt_tokens = conversation, batch_size, max_prompt_tokens
        # Room for both turns of two-pass.
        cache_length = _bucket(max_prompt_tokens) + len(conversation.second) + 2 * max_answer_tokens
        self.decoder = GreedyDecoder(
            graph, mesh, end=conversation.end, max_new=max_answer_tokens, cache_length=cache_length
        )

    def prompts(self, pairs: Sequence[Pair], mode: str) -> list[list[int]]:
        """The prompt tokens of each pair.

        Raises:
            ValueError: naming the pairs that are longer than `max_prompt_tokens`; nothing is cut.
        """
        prompts = [self.conversation.prompt(mode, pair) for pair in pairs]
        long = [
            f"{pair.pair_id} ({len(prompt)})"
            for pair, prompt in zip(pairs, prompts, strict=True)
            if len(prompt) > self.max_prompt_tokens
        ]
        if long:
            raise ValueError(
                f"{len(long)} pairs have prompts of more than config.eval.max_prompt_tokens={self.max_prompt_tokens} "
                f"tokens: {', '.join(long[:5])}{', ...' if len(long) > 5 else ''}; raise it or leave them out"
            )
        return prompts

    def judge(self, weights: nnx.State, pairs: Sequence[Pair], mode: str) -> Iterator[list[dict[str, Any]]]:
        """Verdict rows of the pairs, batch by batch, like lengths together."""
        prompts = self.prompts(pairs, mode)
        images = [self.conversation.image(pair) for pair in pairs]
        # Those with an image apart: a batch without any needs no vision tower.
        order = sorted(range(len(pairs)), key=lambda i: (images[i] is not None, len(prompts[i])))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            seen = self._pixels([images[i] for i in chosen])
            texts, finished = self._answers(weights, [prompts[i] for i in chosen], seen, mode)
            yield [_row(pairs[i], mode, raw, ended) for i, raw, ended in zip(chosen, texts, finished, strict=True)]

    def _answers(
        self, weights: nnx.State, prompts: list[list[int]], images: np.ndarray | None, mode: str
    ) -> tuple[list[list[str]], list[list[bool]]]:
        """The text of each turn and whether it ended, for each prompt."""
        tokens, counts = self._batch(prompts, _bucket(max(map(len, prompts))))
        conversations, first = self.decoder.begin(weights, tokens, counts, images)
        texts = [[text] for text in self._texts(first, len(prompts))]
        finished = [[bool(ended)] for ended in first.finished[: len(prompts)]]
        if mode == "one_pass":
            return texts, finished
        asked = [ended[0] and _first_pass_found(raw[0]) for raw, ended in zip(texts, finished, strict=True)]
        if any(asked):
            second = [self.conversation.second if ask else [] for ask in asked]
            tokens, counts = self._batch(second, len(self.conversation.second))
            _, answers = self.decoder.go_on(weights, conversations, tokens, counts)
            for i, text in enumerate(self._texts(answers, len(prompts))):
                if asked[i]:
                    texts[i].append(text)
                    finished[i].append(bool(answers.finished[i]))
        return texts, finished

    def _batch(self, rows: list[list[int]], length: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows padded on the right to [batch_size, length], and their lengths."""
        tokens = np.full((self.batch_size, length), self.conversation.end, np.int32)
        counts = np.zeros(self.batch_size, np.int32)
        for i, row in enumerate(rows):
            tokens[i, : len(row)] = row
            counts[i] = len(row)
        return tokens, counts

    def _pixels(self, images: list[StudyImage | None]) -> np.ndarray | None:
        """[batch_size, 1, channels, side, side], zeros where a row has no image; None if none has."""
        shapes = {image.processor.shape for image in images if image is not None}
        if not shapes:
            return None
        pixels = np.zeros((self.batch_size, 1, *shapes.pop()), np.float32)
        for row, image in zip(pixels, images, strict=False):
            if image is not None:
                row[0] = image.pixels()
        return pixels

    def _texts(self, answers: Answers, n: int) -> list[str]:
        return [self.conversation.text(answers.tokens[i, : answers.counts[i]].tolist()) for i in range(n)]


def read_answers(mode: str, raw: Sequence[str], finished: Sequence[bool]) -> tuple[str, verdicts.Verdict | None]:
    """The parse status ("ok", or which pass failed and how) and the verdict, None where there is none."""
    verdict = None
    for number, (text, ended) in enumerate(zip(raw, finished, strict=True), start=1):
        if not ended:
            return f"pass {number}: ran out of tokens", None
        try:
            if mode == "one_pass":
                verdict = verdicts.parse(text)
            elif number == 1:
                verdict = verdicts.Verdict(verdicts.parse_spans(text))
            else:
                assert verdict is not None
                verdict = verdicts.parse_severities(text, verdict.errors)
        except VerdictFormatError as error:
            return f"pass {number}: {error}", None
    return "ok", verdict


def _row(pair: Pair, mode: str, raw: list[str], finished: list[bool]) -> dict[str, Any]:
    status, verdict = read_answers(mode, raw, finished)
    return {
        "pair_id": pair.pair_id,
        "reference_id": pair.reference_id,
        "mode": mode,
        "raw": raw,
        "parse_status": status,
        "errors": None if verdict is None else [error_to_json(error) for error in verdict.errors],
        "significant": None if verdict is None else verdict.significant,
        "gold": pair.significant,
        "identical": pair.identical,
    }


def _first_pass_found(text: str) -> bool:
    """Whether a first pass names errors, so that there is a second to ask for."""
    try:
        return bool(verdicts.parse_spans(text))
    except VerdictFormatError:
        return False


def _bucket(length: int) -> int:
    return max(_SHORTEST_BUCKET, 1 << (length - 1).bit_length())
