"""Any chat server that speaks OpenAI's protocol as an evaluator, asked with the prompts that judges of ours get.

Two-pass goes on with the same conversation, where the first answer names errors. Answers are kept by the content of
their questions, so that a run that was stopped asks nothing twice. What the server failed to answer, or answers with
nothing, is a judgement that begins with `NO_ANSWER`: it is asked for again the next time.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from reeval import prompts, verdicts
from reeval.chat.client import Answer, NoAnswer, Options, Refused, Server, ServerGone, TooMany
from reeval.chat.stream import stream
from reeval.evaluators import tolerant
from reeval.evaluators.cache import Cache
from reeval.evaluators.evaluator import NO_ANSWER, encodable, text_sha256
from reeval.judgements import Judgement
from reeval.pairs import Pair
from reeval.settings import Field
from reeval.version import __version__

_COUNT = Field(int, least=1)
_PRICE = Field(float, least=0)
FIELDS: Mapping[str, Field] = {
    "base_url": Field(str),
    "model": Field(str),
    "prompt": Field(str),
    "allow_remote": Field(bool),
    "key_variable": Field(str),
    "concurrency": _COUNT,
    "requests_per_minute": Field(int, least=0),
    "retries": Field(int, least=0),
    "timeout": Field(float, above=0),
    "patience": _COUNT,
    "max_tokens": _COUNT,
    "temperature": Field(float, least=0),
    "seed": Field(int, least=0, below=2**31),
    # Whether temperature and seed are sent: some servers refuse them.
    "sampling": Field(bool),
    # Of a million tokens.
    "price_input": _PRICE,
    "price_output": _PRICE,
    "currency": Field(str),
}
DEFAULTS: Mapping[str, Any] = {
    "prompt": "clinical-2",
    "allow_remote": False,
    "key_variable": "OPENAI_API_KEY",
    "concurrency": 8,
    "requests_per_minute": 0,
    "retries": 6,
    "timeout": 120.0,
    "patience": 3,
    "max_tokens": 4096,
    "temperature": 0.0,
    "seed": 0,
    "sampling": True,
    "price_input": 0.0,
    "price_output": 0.0,
    "currency": "USD",
}
_OPTIONS = {field.name for field in dataclasses.fields(Options)}
# What a server is asked to see whether it lives, with no report in it.
_PROBE: tuple[prompts.Message, ...] = ({"role": "user", "content": "Answer with one word: none"},)
# Answers without a word are asked for again so often, at once.
_EMPTY_TRIES = 3


class EndpointEvaluator:
    kind = "endpoint"
    keeps = True

    def __init__(self, settings: Mapping[str, Any], pairs: Sequence[Pair], cache: Path):
        self.modes = settings["modes"]
        self._settings = settings
        self._options = Options(**{name: settings[name] for name in _OPTIONS})
        prompts.prompt(settings["prompt"])
        self._prices = settings["price_input"] / 1e6, settings["price_output"] / 1e6
        self._cache = Cache(cache)
        # What is wrong with the address or the key shows before anything is judged.
        self._server(warned=False).close()

    def identity(self, mode: str) -> Mapping[str, str]:
        s = self._settings
        return {
            "reeval": __version__,
            "endpoint": s["base_url"],
            "model": s["model"],
            "prompt": s["prompt"],
            "format": verdicts.FORMAT_VERSION,
            "reader": tolerant.VERSION,
            "mode": mode,
            "answer": str(s["max_tokens"]),
            "temperature": f"{s['temperature']:g}" if s["sampling"] else "server's",
            "seed": str(s["seed"]) if s["sampling"] else "server's",
            "prices": f"{s['price_input']:g}+{s['price_output']:g} {s['currency']}",
        }

    def content(self, pair: Pair) -> str:
        return text_sha256(pair.reference, pair.candidate)

    def judge(self, pairs: Sequence[Pair], mode: str) -> Iterator[Judgement]:
        """As soon as each is answered. Raises ServerGone."""
        missing = []
        for pair in pairs:
            known = _Asking(self, mode, pair, None).judgement()
            if known is None:
                missing.append(pair)
            else:
                yield known
        if not missing:
            return
        server = self._server(warned=True)
        heard = _Heard()

        def ask(pair: Pair) -> Judgement:
            made = _Asking(self, mode, pair, server, heard).judgement()
            assert made is not None
            return made

        def lives() -> bool:
            try:
                server.ask(_PROBE, self._options.seed)
            except Refused:
                return heard.anything
            except (NoAnswer, ServerGone):
                return False
            return True

        with closing(stream(missing, ask, server, ordered=False, lives=lives)) as results:
            for pair, made in results:
                yield made if isinstance(made, Judgement) else Judgement(pair.pair_id, f"{NO_ANSWER}: {made}")

    def _server(self, *, warned: bool) -> Server:
        # Newer models of OpenAI refuse the limit under its old name.
        forms: tuple[dict[str, Any], ...] = ({}, {"max_completion_tokens": self._options.max_tokens})
        return Server(self._options, forms, warned=warned)


@dataclasses.dataclass
class _Heard:
    """Whether the server has answered anything: one that never did refuses all, not a question."""

    anything: bool = False


class _Asking:
    """The conversation on one pair."""

    def __init__(
        self, evaluator: EndpointEvaluator, mode: str, pair: Pair, server: Server | None, heard: _Heard | None = None
    ):
        """
        Args:
            server: None for what the cache knows alone.
        """
        self.evaluator, self.mode, self.pair, self.server = evaluator, mode, pair, server
        self.heard = heard or _Heard()
        self.answers: list[Answer] = []

    def judgement(self) -> Judgement | None:
        """None where the cache does not know.

        Raises:
            NoAnswer, ServerGone: as the server does.
        """
        version = self.evaluator._settings["prompt"]
        messages = prompts.first_messages(version, self.mode, self.pair)
        try:
            first = self._answer(messages)
            if first is None:
                return None
            if self.mode == "two_pass" and self._names_errors(first):
                answered = {"role": "assistant", "content": tolerant.without_thoughts(first.text).strip()}
                if self._answer([*messages, answered, prompts.second_message(version)]) is None:
                    return None
        except _Failed as failure:
            return self._made(f"{NO_ANSWER}: pass {len(self.answers) + 1}: {failure}", tolerant.Reading(None))
        finished = [answer.finish != "length" for answer in self.answers]
        status, reading = tolerant.read_answers(self.mode, [a.text for a in self.answers], finished)
        if any(answer.finish == "content_filter" for answer in self.answers):
            status, reading = f"pass {len(self.answers)}: stopped by a content filter", tolerant.Reading(None)
        return self._made(status, reading)

    def _names_errors(self, first: Answer) -> bool:
        if first.finish in ("length", "content_filter"):
            return False
        verdict = tolerant.read_spans(first.text).verdict
        return verdict is not None and bool(verdict.errors)

    def _answer(self, messages: Sequence[prompts.Message]) -> Answer | None:
        evaluator = self.evaluator
        options = evaluator._options
        question = {
            "base_url": options.base_url,
            "model": options.model,
            "messages": list(messages),
            "max_tokens": options.max_tokens,
            "sampling": [options.temperature, options.seed] if options.sampling else None,
        }
        key = Cache.key(question)
        answer = evaluator._cache.get(key)
        if answer is None:
            if self.server is None:
                return None
            answer = self._asked(messages)
            evaluator._cache.put(key, answer)
        self.answers.append(answer)
        return answer

    def _asked(self, messages: Sequence[prompts.Message]) -> Answer:
        assert self.server is not None
        number = f"pass {len(self.answers) + 1}"
        for _ in range(_EMPTY_TRIES):
            try:
                answer = self.server.ask(messages, self.evaluator._options.seed)
            except Refused as error:
                if not self.heard.anything:
                    raise NoAnswer(f"{number}: it refuses the question: {error}") from None
                raise _Failed(f"refused ({error})") from None
            except TooMany:
                raise NoAnswer(f"{number}: HTTP 429") from None
            except NoAnswer as error:
                raise NoAnswer(f"{number}: {error}") from None
            self.heard.anything = True
            answer = dataclasses.replace(answer, text=encodable(answer.text))
            if answer.text.strip() or answer.finish in ("length", "content_filter"):
                return answer
        raise _Failed("an empty answer")

    def _made(self, status: str, reading: tolerant.Reading) -> Judgement:
        verdict = reading.verdict
        inputs = _sum([answer.input_tokens for answer in self.answers])
        outputs = _sum([answer.output_tokens for answer in self.answers])
        prices = self.evaluator._prices
        known = inputs is not None and outputs is not None
        return Judgement(
            pair_id=self.pair.pair_id,
            parse_status=status,
            raw=tuple(answer.text for answer in self.answers),
            repairs=dict(reading.repairs),
            errors=None if verdict is None else verdict.errors,
            significant=None if verdict is None else verdict.significant,
            input_tokens=inputs,
            output_tokens=outputs,
            seconds=sum(answer.seconds for answer in self.answers) if self.answers else None,
            cost=inputs * prices[0] + outputs * prices[1] if known and any(prices) else None,  # type: ignore[operator]
        )


class _Failed(Exception):
    """The server lives, and gave nothing on this pair that could be judged."""


def _sum(counts: Sequence[int | None]) -> int | None:
    return None if None in counts or not counts else sum(count for count in counts if count is not None)


__all__ = ["DEFAULTS", "FIELDS", "EndpointEvaluator", "ServerGone"]
