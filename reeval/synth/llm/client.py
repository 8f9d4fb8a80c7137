"""A chat server that speaks OpenAI's protocol (a local vLLM, say): one question, one answer, or a clear reason why not.

The `openai` package speaks the protocol, and tries again after HTTP 429 (when the server says, up to two minutes) and
5xx, timeouts and cut connections. Messages here name the server and what it did, never what was asked or answered:
both hold report text. The key comes from an environment variable and is shown nowhere.
"""

import dataclasses
import json
import logging
import os
import sys
import threading
from typing import Any

from reeval.synth.llm import address

# How an answer in JSON is asked for, the most exact way first; a server that refuses one is asked in the next.
_FORMATS = ("json_schema", "json_object", "")
_GO_ON = "what is finished stays; the same command goes on from there"

Message = dict[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LlmOptions:
    """Which server writes, and how.

    base_url: such as http://localhost:8000/v1. allow_remote: whether it may leave this machine.
    model: by the name that the server knows.
    key_variable: the environment variable with the API key; a server on this machine may need none.
    concurrency: questions at a time. attempts: answers a pair gets until one passes the checks.
    retries: of a question that the server did not answer. timeout: of an answer, in seconds.
    patience: pairs in a row without any answer, after which the server counts as gone.
    max_tokens: of an answer. seed: sent along, different for each pair and attempt.
    """

    base_url: str
    model: str
    allow_remote: bool = False
    key_variable: str = "OPENAI_API_KEY"
    concurrency: int = 8
    attempts: int = 3
    retries: int = 4
    timeout: float = 120.0
    patience: int = 3
    temperature: float = 0.8
    max_tokens: int = 4096
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("model: empty; give the name that the server knows it by")
        for name in ("concurrency", "attempts", "patience", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1")
        if self.retries < 0 or self.timeout <= 0 or self.temperature < 0:
            raise ValueError("retries and temperature must not be negative, and timeout must be positive")


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What the model said; `whole` unless it ran into `max_tokens`."""

    text: str
    whole: bool


class ServerGone(ConnectionError):
    """The server cannot go on. One line, for the user."""


class NoAnswer(Exception):
    """No answer to one question after all tries: the server's fault, or this question's."""


class Refused(Exception):
    """The server says that it does not take this question (HTTP 400, 413 or 422)."""


class Server:
    """A chat server. Threads may share it.

    Args:
        schema: JSON schema of all answers.
    Raises:
        ValueError: if openai is missing, the address is bad or leaves this machine unasked, or a key is needed.
    """

    def __init__(self, options: LlmOptions, schema: dict[str, Any]):
        self.options = options
        self._schema = schema
        self._format = 0
        self._stopped = threading.Event()
        local = address.local(options.base_url)
        if not local:
            _warn(options)
        self._openai = _openai()
        # Older releases write questions to the log when OPENAI_LOG=debug.
        logging.getLogger("openai").setLevel(logging.WARNING)
        self._client = self._openai.OpenAI(
            api_key=_key(options.key_variable, local),
            base_url=options.base_url,
            max_retries=options.retries,
            timeout=self._openai.Timeout(options.timeout, connect=min(10.0, options.timeout)),
            # A proxy from the environment, or a redirect, would take reports off this machine.
            http_client=self._openai.DefaultHttpxClient(
                trust_env=not local, follow_redirects=False, event_hooks={"request": [self._unless_stopped]}
            ),
        )

    def ask(self, messages: list[Message], seed: int) -> Answer:
        """The model's answer.

        Raises:
            NoAnswer, Refused: this question failed.
            ServerGone: all others would fail, too.
        """
        refused = Refused()
        for number in range(self._format, len(_FORMATS)):
            try:
                answer = self._ask(messages, seed, _FORMATS[number])
            except Refused as error:
                refused = error
                continue
            self._format = max(self._format, number)
            return answer
        raise refused

    def stop(self) -> None:
        """Ask nothing more: who waits for an answer may have it, and no further try."""
        self._stopped.set()

    def close(self) -> None:
        """Let go of the connections, once nobody asks anything."""
        self._client.close()

    def _unless_stopped(self, _: Any) -> None:
        if self._stopped.is_set():
            raise NoAnswer("stopped")

    def _ask(self, messages: list[Message], seed: int, form: str) -> Answer:
        options, openai = self.options, self._openai
        extra: dict[str, Any] = {"response_format": {"type": form}} if form else {}
        if form == "json_schema":
            extra["response_format"][form] = {"name": "candidate", "strict": True, "schema": self._schema}
        try:
            response = self._client.chat.completions.with_raw_response.create(
                model=options.model,
                messages=messages,
                temperature=options.temperature,
                max_tokens=options.max_tokens,
                seed=seed,
                **extra,
            )
        except openai.APITimeoutError:
            raise NoAnswer(f"nothing within {options.timeout:g} s") from None
        except openai.APIConnectionError as error:
            raise NoAnswer(f"connection refused or cut: {type(error.__cause__).__name__}") from None
        except openai.APIStatusError as error:
            raise self._failure(error.status_code) from None
        return _answer(response.content)

    def _failure(self, status: int) -> Exception:
        options = self.options
        if status in (400, 413, 422):
            return Refused(f"HTTP {status}")
        if status >= 500 or status in (408, 409):
            return NoAnswer(f"HTTP {status}")
        remedy = {
            401: f"check the key in the environment variable {options.key_variable}",
            403: f"check the key in the environment variable {options.key_variable}",
            404: f"it has no model {options.model!r}, or the base URL is wrong (most end in /v1)",
            429: f"ask for less at a time, or later; {_GO_ON}",
        }.get(status, "check the base URL")
        if status < 400:
            remedy = "redirects are not followed; give the address that it leads to"
        return ServerGone(f"{options.base_url}: answers HTTP {status}: {remedy}")


def _openai() -> Any:
    try:
        import openai  # not in a plain install
    except ModuleNotFoundError as error:
        if error.name != "openai":
            raise
        raise ValueError("the package openai must be installed (pip install -e '.[llm]')") from None
    return openai


def gone(options: LlmOptions, pairs: int, last: NoAnswer) -> ServerGone:
    """The line that ends a run after so many pairs in a row without an answer."""
    return ServerGone(f"{options.base_url}: no answer for {pairs} pairs in a row ({last}); start or mend it: {_GO_ON}")


def _answer(content: bytes) -> Answer:
    try:
        choice = json.loads(content)["choices"][0]
        text = choice["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise NoAnswer("what it answers is no chat completion; is the base URL right?") from None
    return Answer(text if isinstance(text, str) else "", choice.get("finish_reason") != "length")


def _key(variable: str, local: bool) -> str:
    key = os.environ.get(variable, "").strip()
    if not key and not local:
        raise ValueError(f"environment variable {variable}: not set; put the server's API key there")
    if not key.isascii() or not key.isprintable():
        raise ValueError(f"environment variable {variable}: holds what no API key can hold; set it anew")
    return key or "none"


def _warn(options: LlmOptions) -> None:
    if not options.allow_remote:
        raise ValueError(
            f"base URL {options.base_url} is not on this machine: reports would leave it, and PhysioNet's agreement"
            " forbids to send MIMIC text to third parties; give a local server, or --allow-remote if your data may go"
        )
    print(
        f"reeval: WARNING: report text is sent to {options.base_url}, which is not this machine. PhysioNet's data use"
        " agreement forbids to send MIMIC text to third parties; make sure that your data may leave.",
        file=sys.stderr,
        flush=True,
    )
