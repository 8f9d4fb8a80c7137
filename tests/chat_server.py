"""A chat server on this machine for the tests: it speaks the protocol over real sockets, and fails as scripted."""

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclasses.dataclass(frozen=True)
class Reply:
    """What the server does with a question.

    text: the model's answer; finish: why it ended. body: the response as it is, instead of a chat completion.
    cut: bytes after which the connection breaks. wait: seconds before anything is sent. drip: between two bytes.
    usage: tokens of question and answer.
    """

    text: str = ""
    finish: str = "stop"
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes | None = None
    cut: int | None = None
    wait: float = 0.0
    drip: float = 0.0
    usage: tuple[int, int] | None = None

    def content(self) -> bytes:
        if self.body is not None:
            return self.body
        message = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        made: dict[str, Any] = {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]}
        if self.usage:
            names = ("prompt_tokens", "completion_tokens", "total_tokens")
            made["usage"] = dict(zip(names, (*self.usage, sum(self.usage)), strict=True))
        return json.dumps(made).encode()


@dataclasses.dataclass(frozen=True)
class Question:
    """A request: its headers in small letters, its JSON, and which question the server is asked, from 0."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    number: int

    @property
    def asked(self) -> dict[str, Any]:
        """The specification in the first turn of the user."""
        return json.loads(self.body["messages"][1]["content"])


class ChatServer:
    """Answers each question by `reply`, in a thread of its own; as a context it runs, and is stopped at the end."""

    def __init__(self, reply: Callable[[Question], Reply]):
        self.questions: list[Question] = []
        self.most_at_once = 0
        at_once = 0
        lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                nonlocal at_once
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with lock:
                    question = Question(self.path, headers, body, len(server.questions))
                    server.questions.append(question)
                    at_once += 1
                    server.most_at_once = max(server.most_at_once, at_once)
                try:
                    self._send(reply(question))
                finally:
                    with lock:
                        at_once -= 1

            def _send(self, answer: Reply) -> None:
                time.sleep(answer.wait)
                content = answer.content()
                try:
                    self.send_response(answer.status)
                    for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    if answer.drip:
                        for byte in content:
                            self.wfile.write(bytes([byte]))
                            time.sleep(answer.drip)
                    else:
                        self.wfile.write(content[: answer.cut])
                except OSError:
                    self.close_connection = True  # the client has given up
                if answer.cut is not None:
                    self.close_connection = True

            def do_GET(self) -> None:
                raise AssertionError("nobody asks for this")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> "ChatServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
