"""Pairs to verdict rows: prompts and images in, answers out, parsed; with how likely each severity was."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flax import nnx
from jax.sharding import Mesh
from scipy.special import expit

from reeval import verdicts
from reeval.data.conversation import Conversation
from reeval.decode.engine import Engine, Request, Turn
from reeval.decode.grammar import compile_grammar, free
from reeval.decode.memory import Memory
from reeval.pairs import Pair, error_to_json
from reeval.verdicts import VerdictFormatError


class Judge:
    """Judges pairs with models of one structure; the engine of a mode is made when it is first asked for."""

    def __init__(
        self,
        graph: nnx.GraphDef,
        conversation: Conversation,
        mesh: Mesh,
        *,
        slots: int,
        max_prompt_tokens: int,
        max_answer_tokens: int,
        grammar: bool = True,
        temperature: float = 0.0,
        seed: int = 0,
        max_positions: int | None = None,
    ):
        """
        Args:
            graph: of `nnx.split(model)`; the weights are arguments of the calls.
            slots: pairs that are judged at a time.
            max_answer_tokens: of each turn.
            grammar: whether answers are held to the format; without it some cannot be parsed, and no probabilities are
                known.
            temperature: of sampling; 0 takes the likeliest token. What a pair is judged depends on `seed` and the
                pair's id alone, and on no other pair.
            max_positions: tokens of a conversation that the model was made for, if that is known.
        Raises:
            ValueError: if a conversation might be longer than `max_positions`.
        """
        self.graph, self.conversation, self.mesh = graph, conversation, mesh
        self.slots, self.max_prompt_tokens, self.max_answer_tokens = slots, max_prompt_tokens, max_answer_tokens
        self.grammar, self.temperature, self.seed = grammar, temperature, seed
        self._engines: dict[str, Engine] = {}
        longest = max_prompt_tokens + len(conversation.second) + 2 * max_answer_tokens
        if max_positions is not None and longest > max_positions:
            raise ValueError(
                f"max_prompt_tokens={max_prompt_tokens} and two answers of max_answer_tokens={max_answer_tokens} make "
                f"conversations of {longest} tokens, but the model has max_position_embeddings={max_positions}; lower "
                "one of them"
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
                f"{len(long)} pairs have prompts of more than max_prompt_tokens={self.max_prompt_tokens} tokens: "
                f"{', '.join(long[:5])}{', ...' if len(long) > 5 else ''}; raise it or leave them out"
            )
        return prompts

    def memory(self, weights: nnx.State, mode: str) -> Memory:
        """What judging takes on each device, before anything runs. Raises ValueError if that is more than there is."""
        engine = self.engine(weights, mode)
        memory = engine.memory(weights)
        memory.check(self.mesh, slots=engine.slots, length=engine.device.length)
        return memory

    def judge(self, weights: nnx.State, pairs: Iterable[Pair], mode: str) -> Iterator[dict[str, Any]]:
        """One verdict row a pair, as soon as it is done, in any order; pairs are taken when they are needed.

        A row's `probabilities` are those of `significant` against `insignificant`, one an error; `probability` is the
        pair's: the greatest of them, 0 where there is no error. Both are None where nothing could be parsed, and in
        free decoding.

        Raises:
            ValueError: if a pair's prompt is longer than `max_prompt_tokens`; `prompts` says so beforehand.
        """

        def lines(request: Request, first: Turn) -> int:
            return _errors_named(self.conversation.text(first.tokens)) if mode == "two_pass" else 0

        requests = (self._request(pair, mode) for pair in pairs)
        for request, turns in self.engine(weights, mode).run(weights, requests, lines):
            yield self._row(request.key, mode, turns)

    def engine(self, weights: nnx.State, mode: str) -> Engine:
        """The engine of a mode; the weights may be abstract."""
        if mode not in self._engines:
            c = self.conversation
            vocab_size = nnx.merge(self.graph, weights).config.vocab_size
            if self.grammar:
                grammar = compile_grammar(
                    c.tokenizer, vocab_size, c.end, mode, max_answer_tokens=self.max_answer_tokens
                )
            else:
                grammar = free(vocab_size, c.end)
            self._engines[mode] = Engine(
                self.graph,
                self.mesh,
                grammar,
                prefix=c.prefix(mode),
                second=c.second if mode == "two_pass" else [],
                end=c.end,
                slots=self.slots,
                max_prompt_tokens=self.max_prompt_tokens,
                max_answer_tokens=self.max_answer_tokens,
                temperature=self.temperature,
                pixels=None if c.processor is None else c.processor.shape,
            )
        return self._engines[mode]

    def _request(self, pair: Pair, mode: str) -> Request:
        (tokens,) = self.prompts([pair], mode)
        digest = hashlib.sha256(f"{self.seed} {mode} {pair.pair_id}".encode()).digest()
        return Request(pair, tokens, self.conversation.image(pair), seed=int.from_bytes(digest[:4]) >> 1)

    def _row(self, pair: Pair, mode: str, turns: Sequence[Turn]) -> dict[str, Any]:
        raw = [self.conversation.text(turn.tokens) for turn in turns]
        status, verdict = read_answers(mode, raw, [turn.finished for turn in turns])
        probabilities = None
        if verdict is not None and self.grammar:
            # Of the turn that gives severities; a first pass that names no error has none either.
            probabilities = [float(expit(odds)) for odds in turns[-1].log_odds]
            assert len(probabilities) == len(verdict.errors), "one severity an error"
        return {
            "pair_id": pair.pair_id,
            "reference_id": pair.reference_id,
            "mode": mode,
            "raw": raw,
            "parse_status": status,
            "errors": None if verdict is None else [error_to_json(error) for error in verdict.errors],
            "significant": None if verdict is None else verdict.significant,
            "probability": None if probabilities is None else max(probabilities, default=0.0),
            "probabilities": probabilities,
            "gold": None if pair.errors is None and pair.label is None else pair.significant,
            "identical": pair.identical,
        }


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


def _errors_named(text: str) -> int:
    """How many errors a first pass names, so that there is a second to ask for."""
    try:
        return len(verdicts.parse_spans(text))
    except VerdictFormatError:
        return 0
