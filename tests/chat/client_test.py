"""The client of chat servers: what a server counts, how often and how fast it is asked, and who sees what."""

import dataclasses
import itertools
import json
import threading
import time

import pytest
from chat_server import ChatServer, Reply

from reeval.chat.client import Answer, NoAnswer, Options, Refused, Server, ServerGone, TooMany
from reeval.chat.pace import Pace
from reeval.chat.stream import stream

QUESTION = [{"role": "user", "content": "Quagga?"}]


def asked(*replies, messages=QUESTION, forms=({},), seed=3, **options):
    """The answer to one question, and what the server was asked; the last reply repeats."""
    replies = [Reply(reply) if isinstance(reply, str) else reply for reply in replies]
    with ChatServer(lambda question: replies[min(question.number, len(replies) - 1)]) as chat:
        made = Options(**{"base_url": chat.url, "model": "m", "retries": 1, "timeout": 5.0} | options)
        server = Server(made, forms)
        try:
            return server.ask(messages, seed), chat.questions
        finally:
            server.close()


def test_a_conversation_goes_out_as_it_is_and_tokens_come_back():
    turns = [*QUESTION, {"role": "assistant", "content": "No."}, {"role": "user", "content": "Sure?"}]
    answer, [question] = asked(Reply("Yes.", usage=(12, 3)), messages=turns, temperature=0.25, max_tokens=77)
    assert (answer.text, answer.whole, answer.input_tokens, answer.output_tokens) == ("Yes.", True, 12, 3)
    assert 0 < answer.seconds < 5
    sent = {name: question.body[name] for name in ("messages", "temperature", "seed", "max_tokens", "model")}
    assert sent == {"messages": turns, "temperature": 0.25, "seed": 3, "max_tokens": 77, "model": "m"}
    assert "response_format" not in question.body


def test_without_sampling_neither_temperature_nor_seed_is_sent():
    _, [question] = asked("x", sampling=False)
    assert not {"temperature", "seed"} & question.body.keys()


def test_a_limit_that_the_server_refuses_under_its_old_name_is_given_under_the_new_one():
    forms = ({}, {"max_completion_tokens": 9})
    _, questions = asked(Reply(status=400, body=b"{}"), "x", forms=forms)
    assert questions[0].body["max_tokens"] and "max_completion_tokens" not in questions[0].body
    assert questions[1].body["max_completion_tokens"] == 9 and "max_tokens" not in questions[1].body


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, (None, None)),
        ({}, (None, None)),
        ("many", (None, None)),
        ({"prompt_tokens": -1, "completion_tokens": True}, (None, None)),
        ({"prompt_tokens": 5, "completion_tokens": None}, (5, None)),
    ],
)
def test_usage_that_is_missing_or_odd_is_unknown(usage, tokens):
    body = json.dumps({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": usage}).encode()
    answer, _ = asked(Reply(body=body))
    assert (answer.input_tokens, answer.output_tokens) == tokens


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None}, ""),
        ({"content": None, "reasoning_content": "thoughts"}, ""),
        ({"content": [{"type": "text", "text": "a"}, {"type": "image"}, 3, {"type": "text", "text": "b"}]}, "ab"),
        ({"content": {"no": "text"}}, ""),
    ],
)
def test_content_that_is_no_text(message, text):
    answer, _ = asked(Reply(body=json.dumps({"choices": [{"message": message}]}).encode()))
    assert answer == Answer(text, seconds=answer.seconds)


@pytest.mark.parametrize(
    "body",
    [b"<html>Welcome</html>", b'{"choices": []}', b'{"choices": null}', b"[]", b"3", b"", b"\xff", b'{"choices": [3]}'],
)
def test_a_body_that_is_no_completion_is_asked_for_again(body):
    answer, questions = asked(Reply(body=body), "fine")
    assert answer.text == "fine" and len(questions) == 2
    with pytest.raises(NoAnswer, match="no chat completion"):
        asked(Reply(body=body))


@pytest.mark.parametrize(
    ("reply", "error", "said"),
    [
        (Reply(status=500, body=b"Quagga"), NoAnswer, "HTTP 500"),
        (Reply(status=429, headers={"Retry-After": "0.01"}, body=b"Quagga"), TooMany, "HTTP 429: ask for less"),
        (Reply(status=400, body=b"Quagga"), Refused, "HTTP 400"),
        (Reply(status=422, body=b"Quagga"), Refused, "HTTP 422"),
        (Reply(status=401, body=b"Quagga"), ServerGone, "OPENAI_API_KEY"),
        (Reply(status=404, body=b"Quagga"), ServerGone, "no model 'm'"),
        (Reply("x", cut=20), NoAnswer, "refused or cut"),
        (Reply("x", wait=1.0), NoAnswer, "nothing within 0.3 s"),
        (Reply("Quagga", headers={"Content-Encoding": "gzip"}), NoAnswer, "DecodingError"),
    ],
)
def test_each_way_to_fail_has_its_line_and_quotes_nothing(reply, error, said):
    with pytest.raises(error) as caught:
        asked(reply, timeout=0.3)
    assert said in str(caught.value) and "Quagga" not in str(caught.value) and type(caught.value) is error


def test_a_body_that_only_drips_in_ends_too():
    start = time.monotonic()
    with pytest.raises(NoAnswer, match="no whole answer within 0.4 s"):
        asked(Reply("x" * 200, drip=0.05), timeout=0.4, retries=0)
    assert time.monotonic() - start < 3


def test_waiting_doubles_and_retry_after_is_kept():
    times = []

    def reply(question):
        times.append(time.monotonic())
        if question.number < 2:
            return Reply(status=503, body=b"{}")
        return Reply("x") if question.number > 2 else Reply(status=429, headers={"Retry-After": "1.5"}, body=b"{}")

    with ChatServer(reply) as chat:
        server = Server(Options(base_url=chat.url, model="m", retries=3))
        assert server.ask(QUESTION, 0).text == "x"
        server.close()
    first, second, third = (after - before for before, after in itertools.pairwise(times))
    assert 0.3 < first < second and 0.7 < second < 1.5 <= third < 2.2


def test_requests_a_minute_are_bounded_tries_included():
    times = []

    def reply(question):
        times.append(time.monotonic())
        return Reply(status=500, body=b"{}", headers={"Retry-After": "0.001"}) if question.number == 1 else Reply("x")

    with ChatServer(reply) as chat:
        options = Options(base_url=chat.url, model="m", requests_per_minute=240, concurrency=4)
        server = Server(options)
        made = list(stream(range(5), lambda number: server.ask(QUESTION, number), server, ordered=False))
    assert len(made) == 5 and len(times) == 6
    assert min(b - a for a, b in itertools.pairwise(times)) > 0.15 and times[-1] - times[0] >= 1.2


def test_who_is_stopped_waits_for_no_pace():
    pace, stopped = Pace(1), threading.Event()
    pace.wait(stopped)
    threading.Timer(0.1, stopped.set).start()
    start = time.monotonic()
    pace.wait(stopped)
    assert time.monotonic() - start < 2


def test_a_slow_one_holds_up_nobody_where_order_is_not_asked_for():
    def reply(question):
        return Reply("x", wait=0.6 if question.body["seed"] == 0 else 0.0)

    with ChatServer(reply) as chat:
        server = Server(Options(base_url=chat.url, model="m", concurrency=2))
        made = list(stream(range(8), lambda number: server.ask(QUESTION, number), server, ordered=False))
    assert sorted(number for number, _ in made) == list(range(8)) and made[-1][0] == 0
    assert 1 <= chat.most_at_once <= 2


@pytest.mark.parametrize("dead", [{2}, {2, 3, 4, 5}])
def test_one_without_answer_is_given_once_another_has_one_and_a_dead_server_ends_the_stream(dead):
    with ChatServer(lambda q: Reply(status=500, body=b"{}") if q.body["seed"] in dead else Reply("x")) as chat:
        server = Server(Options(base_url=chat.url, model="m", retries=0, concurrency=1, patience=3))
        results = stream(range(6), lambda number: server.ask(QUESTION, number), server, ordered=False)
        if len(dead) > 1:
            with pytest.raises(ServerGone, match=r"no answer for 3 pairs in a row \(HTTP 500\)"):
                list(results)
        else:
            made = dict(results)
            assert len(made) == 6 and isinstance(made[2], NoAnswer) and isinstance(made[3], Answer)


@pytest.mark.parametrize(
    "bad",
    [{"model": ""}, {"concurrency": 0}, {"patience": 0}, {"max_tokens": 0}, {"retries": -1}, {"timeout": 0.0},
     {"requests_per_minute": -1}, {"temperature": -0.1}],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        dataclasses.replace(Options(base_url="http://127.0.0.1:1/v1", model="m"), **bad)


def test_a_remote_server_needs_leave_and_is_warned_of_once(capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-Quagga")
    options = Options(base_url="http://192.0.2.1/v1", model="m")  # a documentation address
    for warned in (False, True):
        with pytest.raises(ValueError, match="not on this machine"):
            Server(options, warned=warned)
    allowed = dataclasses.replace(options, allow_remote=True)
    Server(allowed).close()
    assert "PhysioNet" in capsys.readouterr().err
    Server(allowed, warned=True).close()
    assert capsys.readouterr().err == ""
