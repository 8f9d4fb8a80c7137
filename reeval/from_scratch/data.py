"""Batches made on the fly: pairs to packed rows of tokens, with what each token is and what happened to it.

Imported by worker processes, so it must not import JAX. Batch i depends on the options, the seed and i alone.
"""

import dataclasses
import os
import random
from collections import deque
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from reeval import prompts, verdicts
from reeval.from_scratch.pairs import places, scrambled, written
from reeval.pairs import Pair
from reeval.synth.compose import Mixture
from reeval.verdicts import Verdict

# What a token is part of (the loss weighs them differently), and what happened to a token of the candidate.
PADDING, PROMPT, REFERENCE, CANDIDATE, ANSWER, SEVERITY = range(6)
NO_TAG, SAME, EDITED, INSERTED, AFTER_LOSS = -1, 0, 1, 2, 3
TAGS = 4


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """What the pairs of a run are, and the shape of its batches.

    curriculum: (share of the run, least and most sentences of a reference), in order, the last share being 1.
    scrambled: share of the pairs whose words are exchanged, see `pairs.scrambled`.
    varied: (until this share of the run, share of the pairs with errors that have harmless variation beside them).
    true_severities: (until this share of the run, share of the pairs whose errors keep their severity), in order, the
        last until being 1. In the others every error is called significant: while those are the most, so are all
        verdicts, but what tells the two apart is learned, as it is in a general model that flags too much.
    """

    rows: int
    length: int
    prompt: str
    seed: int
    curriculum: tuple[tuple[float, int, int], ...]
    scrambled: float
    true_severities: tuple[tuple[float, float], ...]
    varied: tuple[tuple[float, float], ...]
    two_pass_share: float
    identical: float


@dataclasses.dataclass(frozen=True, slots=True)
class Tagged:
    """A conversation: tokens, their parts and tags, each a list of one length."""

    tokens: list[int]
    parts: list[int]
    tags: list[int]


class Tagger:
    """Makes conversations, the same tokens as `reeval.data.conversation` but faster and tagged."""

    def __init__(self, tokenizer: Tokenizer, prompt: str):
        self.tokenizer, self.prompt = tokenizer, prompt
        (self.end,) = tokenizer.encode("<|im_end|>").ids
        second = prompts.second_message(prompt)["content"]
        glue = f"\n<|im_start|>user\n{second}<|im_end|>\n<|im_start|>assistant\n"
        self.second: list[int] = tokenizer.encode(glue).ids

    def tagged(self, mode: str, pair: Pair, *, true_severities: bool = False) -> Tagged:
        """The conversation of a synthesised pair, with its severities or with all errors significant."""
        assert pair.errors is not None
        (message,) = prompts.first_messages(self.prompt, mode, pair)
        text = f"<|im_start|>user\n{message['content']}<|im_end|>\n<|im_start|>assistant\n"
        # The reports are found from both ends: a candidate may repeat the reference.
        reference = text.index(pair.reference)
        candidate = text.rindex(pair.candidate)
        encoded = self.tokenizer.encode(text)
        tokens, parts, tags = list(encoded.ids), [], []
        happened = [
            (
                candidate + start,
                candidate + end,
                AFTER_LOSS if start == end else EDITED if pair.errors[index].reference_span else INSERTED,
            )
            for index, start, end in places(pair)
        ]
        for start, end in encoded.offsets:
            # A token begins with the space before its word.
            inside = start + text[start:end].startswith(" ")
            if candidate <= inside < candidate + len(pair.candidate):
                parts.append(CANDIDATE)
                tags.append(SAME)
                for a, b, what in happened:
                    lost = a == b and tags[-1] == SAME and inside <= a < end
                    if lost or (a < end and inside < b):
                        tags[-1] = what
            else:
                parts.append(REFERENCE if reference <= inside < reference + len(pair.reference) else PROMPT)
                tags.append(NO_TAG)
        errors = pair.errors
        if not true_severities:
            errors = tuple(dataclasses.replace(error, severity="significant") for error in errors)
        for turn, answer in enumerate(prompts.gold_answers(mode, Verdict(errors))):
            if turn:
                tokens += self.second
                parts += [PROMPT] * len(self.second)
            encoded = self.tokenizer.encode(answer)
            severities = verdicts.severity_places(answer)
            tokens += [*encoded.ids, self.end]
            parts += [
                SEVERITY if any(start < b and a < end for a, b in severities) else ANSWER
                for start, end in encoded.offsets
            ]
            parts.append(ANSWER)
        return Tagged(tokens, parts, tags + [NO_TAG] * (len(tokens) - len(tags)))


def sources(options: DataOptions, step: int, progress: float) -> Iterator[Pair]:
    """Pairs without end for a batch at this share of the run."""
    low, high = next((low, high) for until, low, high in options.curriculum if progress < until or until == 1)
    varied = next(share for until, share in options.varied if progress < until or until == 1)
    mixture = Mixture(unvaried=1.0 - varied, identical=options.identical, drafts=1)
    seed = options.seed * (1 << 24) + step
    rng = random.Random(f"{options.seed}-{step}")
    plain = written("pretrain", seed, (low, high), mixture)
    # Of other reports. Nothing harmless in them: among words without meaning nothing is a synonym.
    bare = written("pretrain", seed + (1 << 23), (low, high), dataclasses.replace(mixture, unvaried=1.0))
    while True:
        yield scrambled(next(bare), rng) if rng.random() < options.scrambled else next(plain)


def empty_batch(*shape: int) -> dict[str, np.ndarray]:
    """A batch that is all padding."""
    return {
        "tokens": np.zeros(shape, np.int16),
        "parts": np.full(shape, PADDING, np.int8),
        "tags": np.full(shape, NO_TAG, np.int8),
        "segments": np.zeros(shape, np.int16),
        "positions": np.zeros(shape, np.int16),
    }


def make_batch(tagger: Tagger, options: DataOptions, step: int, progress: float) -> dict[str, np.ndarray]:
    """One batch: tokens, parts, tags, segments and positions, each [rows, length], in types that travel well.

    A conversation goes into the first row that has room for it; one that is longer than a row is left out.
    """
    rng = random.Random(f"modes{options.seed}-{step}")
    batch = empty_batch(options.rows, options.length)
    true_share = next(share for until, share in options.true_severities if progress < until or until == 1)
    used = [0] * options.rows
    misses = 0
    for number, pair in enumerate(sources(options, step, progress), start=1):
        mode = "two_pass" if rng.random() < options.two_pass_share else "one_pass"
        made = tagger.tagged(mode, pair, true_severities=rng.random() < true_share)
        size = len(made.tokens)
        if size > options.length:
            continue
        row = next((row for row, n in enumerate(used) if n + size <= options.length), None)
        if row is None:
            misses += 1
            if misses == 4:
                return batch
            continue
        at = slice(used[row], used[row] + size)
        used[row] += size
        batch["tokens"][row, at] = made.tokens
        batch["parts"][row, at] = made.parts
        batch["tags"][row, at] = made.tags
        batch["segments"][row, at] = number % 30000 + 1
        batch["positions"][row, at] = range(size)
    raise AssertionError("sources never end")


class Batches:
    """The batches of a run of `steps`, in order, made ahead by `workers` processes (0: by this one); to be closed.

    What comes next is all that its state is.
    """

    def __init__(self, tokenizer_file: Path, options: DataOptions, steps: int, workers: int):
        self._made_of = (str(tokenizer_file), options)
        self._steps, self._workers = steps, workers
        self._next = 0
        self._pool: Any = None
        self._tagger: Tagger | None = None
        self._pending: deque = deque()

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        if self._next >= self._steps:
            raise StopIteration
        made = self._from_worker() if self._workers else self._made_here(self._next)
        self._next += 1
        return made

    def get_state(self) -> dict[str, int]:
        return {"next": self._next}

    def set_state(self, state: dict[str, int]) -> None:
        self._next = state["next"]
        self._pending.clear()

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()
            self._pool = None

    def _made_here(self, step: int) -> dict[str, np.ndarray]:
        if self._tagger is None:
            file, options = self._made_of
            self._tagger = Tagger(Tokenizer.from_file(file), options.prompt)
        return make_batch(self._tagger, self._made_of[1], step, step / self._steps)

    def _from_worker(self) -> dict[str, np.ndarray]:
        if self._pool is None:
            os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the workers are parallel enough
            self._pool = get_context("spawn").Pool(self._workers, _start_worker, self._made_of)
        while len(self._pending) <= 4 * self._workers and self._next + len(self._pending) < self._steps:
            step = self._next + len(self._pending)
            self._pending.append(self._pool.apply_async(_work, (step, step / self._steps)))
        made: dict[str, np.ndarray] = self._pending.popleft().get()
        return made


_worker: tuple[Tagger, DataOptions] | None = None


def _start_worker(tokenizer_file: str, options: DataOptions) -> None:
    global _worker
    _worker = (Tagger(Tokenizer.from_file(tokenizer_file), options.prompt), options)


def _work(step: int, progress: float) -> dict[str, np.ndarray]:
    assert _worker is not None
    return make_batch(*_worker, step, progress)
