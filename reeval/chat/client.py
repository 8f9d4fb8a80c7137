"""A chat server that speaks OpenAI's protocol (a local vLLM, say): one question, one answer, or a clear reason why not.

The `openai` package speaks the protocol, and tries again after HTTP 429 (when the server says, up to two minutes) and
5xx, timeouts and cut connections, waiting twice as long each time, from half a second up to eight. Messages here name
the server and what it did, never what was asked or answered: both hold report text. The key comes from an environment
variable and is shown nowhere.
"""

import dataclasses
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reeval.chat import address
from reeval.chat.pace import Pace

_GO_ON = "what is finished stays; the same command goes on from there"
# Seconds before a question is put again whose answer was none, which `openai` does not do; twice as long each time.
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 8.0

Message = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which server is asked, and how.

    base_url: such as http://localhost:8000/v1. allow_remote: whether it may leave this machine.
    model: by the name that the server knows.
    key_variable: the environment variable with the API key; a server on this machine may need none.
    concurrency: questions at a time. requests_per_minute: at most, tries included; 0 for no limit.
    retries: of a question that the server did not answer. timeout: of an answer, in seconds.
    patience: pairs in a row without any answer, after which the server counts as gone.
    max_tokens: of an answer.
    sampling: whether temperature and seed are sent; some servers refuse them.
    """

    base_url: str
    model: str
    allow_remote: bool = False
    key_variable: str = "OPENAI_API_KEY"
    concurrency: int = 8
    requests_per_minute: int = 0
    retries: int = 4
    timeout: float = 120.0
    patience: int = 3
    temperature: float = 0.0
    max_tokens: int = 4096
    seed: int = 0
    sampling: bool = True

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("model: empty; give the name that the server knows it by")
        for name in ("concurrency", "patience", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1")
        if min(self.retries, self.temperature, self.requests_per_minute) < 0 or self.timeout <= 0:
            raise ValueError(
                "retries, temperature and requests_per_minute must not be negative, and timeout must be positive"
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What the model said.

    finish: why it ended, as the server calls it. Tokens as the server counts them, None where it does not say; seconds
    with all tries.
    """

    text: str
    finish: str = "stop"
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether it did not run into `max_tokens`."""
        return self.finish != "length"


class ServerGone(ConnectionError):
    """The server cannot go on. One line, for the user."""


class TooMany(ServerGone):
    """The server still says HTTP 429 after all tries."""


class NoAnswer(Exception):
    """No answer to one question after all tries: the server's fault, or this question's."""


class Refused(Exception):
    """The server says that it does not take this question (HTTP 400, 413 or 422)."""


class Server:
    """A chat server. Threads may share it.

    Args:
        forms: what is sent beside the question to say how it is to be answered, the most exact way first; a server that
            refuses one is asked in the next, once and for all.
        warned: whether the user knows already that the address leaves this machine.
    Raises:
        ValueError: if openai is missing, the address is bad or leaves this machine unasked, or a key is needed.
    """

    def __init__(self, options: Options, forms: Sequence[Mapping[str, Any]] = ({},), *, warned: bool = False):
        self.options = options
        self._forms = forms
        self._form = 0
        self._stopped = threading.Event()
        self._pace = Pace(options.requests_per_minute)
        local = address.local(options.base_url)
        if not local and not (warned and options.allow_remote):
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
                trust_env=not local,
                follow_redirects=False,
                event_hooks={"request": [self._before], "response": [self._bound]},
            ),
        )

    def ask(self, messages: Sequence[Message], seed: int) -> Answer:
        """The model's answer.

        Raises:
            NoAnswer, Refused: this question failed.
            ServerGone: all others would fail, too.
        """
        refused = Refused("HTTP 400")
        for number in range(self._form, len(self._forms)):
            try:
                answer = self._ask(messages, seed, self._forms[number])
            except Refused as error:
                refused = error
                continue
            self._form = max(self._form, number)
            return answer
        raise refused

    def stop(self) -> None:
        """Ask nothing more: who waits for an answer may have it, and no further try."""
        self._stopped.set()

    def close(self) -> None:
        """Let go of the connections, once nobody asks anything."""
        self._client.close()

    def _before(self, _: Any) -> None:
        """Of each request, the repeated ones too."""
        self._pace.wait(self._stopped)
        if self._stopped.is_set():
            raise NoAnswer("stopped")

    def _bound(self, response: Any) -> None:
        """The library's timeout is one of silence; a body that only drips in has to end, too."""
        response.stream = _bounded(response.stream, time.monotonic() + self.options.timeout)

    def _ask(self, messages: Sequence[Message], seed: int, form: Mapping[str, Any]) -> Answer:
        began = time.monotonic()
        for number in range(self.options.retries + 1):
            try:
                return _answer(self._content(messages, seed, form), time.monotonic() - began)
            except _NoCompletion as error:
                if number == self.options.retries or self._stopped.wait(min(_FIRST_WAIT * 2**number, _LONGEST_WAIT)):
                    raise NoAnswer(str(error)) from None
        raise AssertionError("the last try ends the loop")

    def _content(self, messages: Sequence[Message], seed: int, form: Mapping[str, Any]) -> bytes:
        """The body of a response that claims to be an answer."""
        options, openai = self.options, self._openai
        sampling = {"temperature": options.temperature, "seed": seed} if options.sampling else {}
        limit = {} if "max_completion_tokens" in form else {"max_tokens": options.max_tokens}
        try:
            response = self._client.chat.completions.with_raw_response.create(
                model=options.model, messages=messages, **sampling, **limit, **form
            )
        except openai.APITimeoutError:
            raise NoAnswer(f"nothing within {options.timeout:g} s") from None
        except openai.APIConnectionError as error:
            raise NoAnswer(f"connection refused or cut: {type(error.__cause__).__name__}") from None
        except openai.APIStatusError as error:
            raise self._failure(error.status_code) from None
        except TimeoutError:
            raise _NoCompletion(f"no whole answer within {options.timeout:g} s") from None
        except NoAnswer:
            raise
        except Exception as error:  # what a broken body leads to differs from release to release
            raise _NoCompletion(f"what it answers cannot be read ({type(error).__name__})") from None
        return bytes(response.content)

    def _failure(self, status: int) -> Exception:
        options = self.options
        if status in (400, 413, 422):
            return Refused(f"HTTP {status}")
        if status >= 500 or status in (408, 409):
            return NoAnswer(f"HTTP {status}")
        if status == 429:
            return TooMany(f"{options.base_url}: answers HTTP 429: ask for less at a time, or later; {_GO_ON}")
        remedy = {
            401: f"check the key in the environment variable {options.key_variable}",
            403: f"check the key in the environment variable {options.key_variable}",
            404: f"it has no model {options.model!r}, or the base URL is wrong (most end in /v1)",
        }.get(status, "check the base URL")
        if status < 400:
            remedy = "redirects are not followed; give the address that it leads to"
        return ServerGone(f"{options.base_url}: answers HTTP {status}: {remedy}")


class _NoCompletion(Exception):
    """An answer without the form of one."""


def _bounded(stream: Any, deadline: float) -> Any:
    """A response's bytes until a deadline, after which they raise TimeoutError."""

    class Bounded(type(stream)):  # type: ignore[misc]  # the library asks for its own type
        def __init__(self) -> None:
            pass

        def __iter__(self) -> Iterator[bytes]:
            for chunk in stream:
                if time.monotonic() > deadline:
                    raise TimeoutError
                yield chunk

        def close(self) -> None:
            stream.close()

    return Bounded()


def _openai() -> Any:
    try:
        import openai  # not in a plain install
    except ModuleNotFoundError as error:
        if error.name != "openai":
            raise
        raise ValueError("the package openai must be installed (pip install -e '.[llm]')") from None
    return openai


def gone(options: Options, pairs: int, last: NoAnswer) -> ServerGone:
    """The line that ends a run after so many pairs in a row without an answer."""
    return ServerGone(f"{options.base_url}: no answer for {pairs} pairs in a row ({last}); start or mend it: {_GO_ON}")


def _answer(content: bytes, seconds: float) -> Answer:
    try:
        body = json.loads(content)
        choice = body["choices"][0]
        text = choice["message"]["content"]
        finish = choice.get("finish_reason")
        usage = body.get("usage")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise _NoCompletion("what it answers is no chat completion; is the base URL right?") from None
    if isinstance(text, list):  # of parts
        parts = (part.get("text") for part in text if isinstance(part, dict))
        text = "".join(part for part in parts if isinstance(part, str))
    return Answer(
        text if isinstance(text, str) else "",
        str(finish or "stop"),
        input_tokens=_count(usage, "prompt_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
        seconds=seconds,
    )


def _count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if type(value) is int and value >= 0 else None


def _key(variable: str, local: bool) -> str:
    key = os.environ.get(variable, "").strip()
    if not key and not local:
        raise ValueError(f"environment variable {variable}: not set; put the server's API key there")
    if not key.isascii() or not key.isprintable():
        raise ValueError(f"environment variable {variable}: holds what no API key can hold; set it anew")
    return key or "none"


def _warn(options: Options) -> None:
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
