"""Endpoints that misbehave: no pair is lost or asked for twice, nothing is taken for a verdict that is none."""

import dataclasses
import json
import stat

import pytest
from chat_server import ChatServer, Reply

from reeval import prompts, verdicts
from reeval.chat.client import ServerGone
from reeval.evaluators import endpoint
from reeval.evaluators.endpoint import EndpointEvaluator
from reeval.pairs import Error, Pair
from reeval.verdicts import Verdict

ERROR = Error("inaccuracy", "laterality", "right effusion", "left effusion", "significant")
SAID = verdicts.render(Verdict((ERROR,)))
SPANS = verdicts.render_spans(Verdict((ERROR,)))
PAIRS = [
    Pair(f"p{n}", f"r{n}", f"Small right effusion. Number {n}.", f"Small left effusion. Number {n}.") for n in range(6)
]
NULL = b'{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}'
SECRETS = ("effusion", "Number", "sk-Quagga")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-Quagga")


def evaluator(url, cache, **changes):
    given = {"base_url": url, "model": "m", "modes": ("one_pass", "two_pass"), "retries": 1, "timeout": 5.0}
    return EndpointEvaluator({**endpoint.DEFAULTS, **given, **changes}, PAIRS, cache)


def judged(reply, cache, pairs=PAIRS[:1], mode="one_pass", **changes):
    """Judgements by pair id, and the questions; `reply` is one, or what gives one for a question."""
    answer = reply if callable(reply) else lambda question: Reply(reply) if isinstance(reply, str) else reply
    with ChatServer(answer) as chat:
        # Always the same address: the cache goes by it.
        made = list(evaluator(chat.url, cache, **changes).judge(pairs, mode))
    return {each.pair_id: each for each in made}, chat.questions


def number_of(question):
    """Of the pair; -1 for a question that has none, which asks whether the server lives."""
    if "Number" not in question.body["messages"][0]["content"]:
        return -1
    return int(question.body["messages"][0]["content"].rsplit("Number ", 1)[1].split(".")[0])


def test_one_pass_is_asked_with_the_prompt_of_our_judges_and_counted(tmp_path):
    prices = {"price_input": 2.0, "price_output": 10.0}
    made, [question] = judged(Reply(SAID, usage=(100, 20)), tmp_path, **prices)
    judgement = made["p0"]
    assert question.body["messages"] == prompts.first_messages("clinical-2", "one_pass", PAIRS[0])
    assert judgement.errors == (ERROR,) and judgement.significant is True and judgement.parse_status == "ok"
    assert (judgement.input_tokens, judgement.output_tokens) == (100, 20)
    assert judgement.cost == pytest.approx((100 * 2 + 20 * 10) / 1e6) and judgement.seconds > 0
    assert judgement.raw == (SAID,) and not judgement.repairs


def test_two_pass_goes_on_with_the_same_conversation_and_only_where_there_are_errors(tmp_path):
    def reply(question):
        if len(question.body["messages"]) > 1:
            return Reply("1. significant", usage=(150, 4))
        return Reply(f"<think>none?</think>\n{SPANS}" if number_of(question) == 0 else "none", usage=(100, 20))

    made, questions = judged(reply, tmp_path, PAIRS[:2], "two_pass", concurrency=1)
    assert len(questions) == 3
    first, answered, second = next(q.body["messages"] for q in questions if len(q.body["messages"]) > 1)
    assert first == prompts.first_messages("clinical-2", "two_pass", PAIRS[0])[0]
    assert answered == {"role": "assistant", "content": SPANS}
    assert second == prompts.second_message("clinical-2")
    assert made["p0"].errors == (ERROR,) and made["p0"].parse_status == "repaired"
    assert made["p0"].repairs == {"thoughts": 1, "bullet": 1}
    assert (made["p0"].input_tokens, made["p0"].output_tokens, made["p0"].cost) == (250, 24, None)
    assert made["p1"].significant is False and len(made["p1"].raw) == 1


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply("I cannot say."), "pass 1: no verdict in it"),
        (Reply(SAID, finish="length"), "pass 1: ran out of tokens"),
        (Reply("", finish="length"), "pass 1: ran out of tokens"),
        (Reply(SAID, finish="content_filter"), "pass 1: stopped by a content filter"),
        (Reply("<think>hm"), "pass 1: thoughts without an answer"),
    ],
)
def test_an_answer_without_verdict_is_a_parse_failure_and_kept(tmp_path, reply, status):
    made, _ = judged(reply, tmp_path)
    assert made["p0"].parse_status == status and made["p0"].significant is None
    assert [path for path in tmp_path.rglob("*.json")]


def test_what_the_first_pass_says_stays_where_the_second_fails(tmp_path):
    made, _ = judged(
        lambda q: Reply("who knows") if len(q.body["messages"]) > 1 else Reply(SPANS), tmp_path, mode="two_pass"
    )
    assert made["p0"].parse_status == "pass 2: 0 severities for 1 errors" and made["p0"].raw == (SPANS, "who knows")


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(status=500, body=b"{}"), "no answer: pass 1: HTTP 500"),
        (Reply(SAID, wait=1.0), "no answer: pass 1: nothing within 0.5 s"),
        (Reply(SAID, cut=30), "no answer: pass 1: connection refused or cut"),
        (Reply(body=b"<html>"), "no answer: pass 1: what it answers is no chat completion"),
        (Reply(body=b'{"choices": []}'), "no answer: pass 1: what it answers is no chat completion"),
        (Reply(body=NULL), "no answer: pass 1: an empty answer"),
        (Reply("  \n"), "no answer: pass 1: an empty answer"),
        (Reply(status=429, headers={"Retry-After": "0.01"}, body=b"{}"), "no answer: pass 1: HTTP 429"),
        (Reply(status=400, body=b"{}"), "no answer"),
    ],
)  # fmt: skip
def test_one_question_that_never_gets_an_answer_is_a_failure_of_its_pair_and_asked_again_later(tmp_path, reply, status):
    def some(question):
        return reply if number_of(question) == 3 else Reply(SAID)

    with ChatServer(some) as chat:
        one = evaluator(chat.url, tmp_path, timeout=0.5, patience=2)
        made = {each.pair_id: each for each in one.judge(PAIRS, "one_pass")}
        assert made.keys() == {pair.pair_id for pair in PAIRS}
        assert made["p3"].parse_status.startswith(status) and made["p3"].significant is None
        assert all(made[f"p{n}"].parse_status == "ok" for n in (0, 1, 2, 4, 5))
        before = len(chat.questions)
        again = {
            m.pair_id: m for m in evaluator(chat.url, tmp_path, timeout=0.5, patience=2).judge(PAIRS[:3], "one_pass")
        }
        assert len(chat.questions) == before and again["p0"] == made["p0"]  # its tokens, seconds and all
        reply = Reply(SAID)
        (mended,) = evaluator(chat.url, tmp_path).judge(PAIRS[3:4], "one_pass")
        assert mended.parse_status == "ok"


def test_where_the_second_pass_gets_no_answer_the_first_is_not_asked_again(tmp_path):
    broken = True

    def reply(question):
        if len(question.body["messages"]) == 1:
            return Reply(SPANS if number_of(question) == 0 else "none")
        return Reply(status=500, body=b"{}") if broken else Reply("significant")

    with ChatServer(reply) as chat:
        made = {each.pair_id: each for each in evaluator(chat.url, tmp_path).judge(PAIRS[:2], "two_pass")}
        assert made["p0"].parse_status == "no answer: pass 2: HTTP 500" and made["p1"].parse_status == "ok"
        broken, before = False, len(chat.questions)
        (mended,) = evaluator(chat.url, tmp_path).judge(PAIRS[:1], "two_pass")
        assert mended.errors == (ERROR,) and len(chat.questions) == before + 1


def test_every_fault_once_costs_no_pair(tmp_path):
    faults = [
        Reply(status=500, body=b"{}"), Reply(status=503, body=b"no"), Reply(body=b"<html>"), Reply(SAID, cut=20),
        Reply(body=b'{"choices": []}'), Reply(status=429, headers={"Retry-After": "0.1"}, body=b"{}"),
        Reply(body=b'{"choices": [{"message": {"content": null}}]}'), Reply("", finish="stop"), Reply(SAID, wait=0.9),
    ]  # fmt: skip

    def reply(question):
        return faults[question.number // 2] if question.number % 2 == 0 and question.number < 18 else Reply(SAID)

    made, _ = judged(reply, tmp_path, PAIRS, retries=4, timeout=0.6, concurrency=3)
    assert {judgement.parse_status for judgement in made.values()} == {"ok"} and len(made) == 6


def test_a_dead_server_ends_the_run_with_one_line_and_what_was_answered_is_not_asked_again(tmp_path):
    alive = {0, 1, 2}
    with ChatServer(lambda q: Reply(SAID) if number_of(q) in alive else Reply(status=500, body=b"{}")) as chat:
        made = []
        with pytest.raises(ServerGone) as caught:
            for each in evaluator(chat.url, tmp_path, retries=0, patience=2, concurrency=1).judge(PAIRS, "one_pass"):
                made += [each.pair_id] * (each.parse_status == "ok")
        line = str(caught.value)
        assert made and set(made) <= {"p0", "p1", "p2"}
        assert "\n" not in line and chat.url in line and "same command goes on" in line
        assert not any(word in line for word in SECRETS)
        answered = {number_of(question) for question in chat.questions} & alive
        alive |= {3, 4, 5, -1}
        before = len(chat.questions)
        rest = list(evaluator(chat.url, tmp_path).judge(PAIRS, "one_pass"))
        assert not answered & {number_of(question) for question in chat.questions[before:]}
        assert len(rest) == 6 and {each.parse_status for each in rest} == {"ok"}


def test_a_server_that_dies_before_the_last_pairs_is_dead_and_pairs_that_no_server_answers_are_not(tmp_path):
    dead = {4, 5, -1}
    with ChatServer(lambda q: Reply(status=500, body=b"{}") if number_of(q) in dead else Reply(SAID)) as chat:
        with pytest.raises(ServerGone, match="no answer for 2 pairs in a row"):
            list(evaluator(chat.url, tmp_path, patience=9).judge(PAIRS, "one_pass"))
        dead -= {-1}
        dead |= {0, 1, 2, 3}
        made = list(evaluator(chat.url, tmp_path / "other", retries=0, patience=2).judge(PAIRS, "one_pass"))
        assert len(made) == 6 and {each.parse_status for each in made} == {"no answer: pass 1: HTTP 500"}
        assert not any(word in question.body["messages"][0]["content"] for word in SECRETS
                       for question in chat.questions if number_of(question) == -1)  # fmt: skip


def test_a_server_that_refuses_everything_is_told_from_one_that_refuses_a_question(tmp_path):
    with pytest.raises(ServerGone, match=r"it refuses the question: HTTP 400"):
        judged(Reply(status=400, body=b"{}"), tmp_path, PAIRS, concurrency=1, patience=3)

    def reply(question):
        return Reply(status=400, body=b"{}") if number_of(question) > 1 else Reply(SAID)

    made, _ = judged(reply, tmp_path, PAIRS, concurrency=1, patience=2)
    assert [made[f"p{n}"].parse_status for n in (1, 2)] == ["ok", "no answer: pass 1: refused (HTTP 400)"]


def test_the_cache_is_shared_private_and_of_the_question_alone(tmp_path):
    cache = tmp_path / "cache"
    with ChatServer(lambda question: Reply(SAID)) as chat:
        first = list(evaluator(chat.url, cache).judge(PAIRS, "one_pass"))
        renamed = [dataclasses.replace(pair, pair_id=f"other-{pair.pair_id}") for pair in PAIRS]
        second = list(evaluator(chat.url, cache, price_input=9.0).judge(renamed, "one_pass"))
        assert len(chat.questions) == 6 and len(second) == len(first) == 6
        for changes in ({"model": "n"}, {"temperature": 0.5}, {"seed": 1}, {"max_tokens": 9}, {"sampling": False}):
            before = len(chat.questions)
            list(evaluator(chat.url, cache, **changes).judge(PAIRS[:1], "one_pass"))
            assert len(chat.questions) == before + 1, changes
    modes = {stat.S_IMODE(path.stat().st_mode) for path in cache.rglob("*.json")}
    folders = {stat.S_IMODE(path.stat().st_mode) for path in [cache, *cache.iterdir()]}
    assert modes == {0o600} and folders == {0o700}


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"text": 3}', '{"text": "none"}', "null"])
def test_a_damaged_entry_of_the_cache_is_asked_for_anew(tmp_path, damage):
    with ChatServer(lambda question: Reply(SAID)) as chat:
        list(evaluator(chat.url, tmp_path).judge(PAIRS[:1], "one_pass"))
        (entry,) = tmp_path.rglob("*.json")
        entry.write_text(damage)
        (made,) = evaluator(chat.url, tmp_path).judge(PAIRS[:1], "one_pass")
        assert made.parse_status == "ok" and len(chat.questions) == 2


def test_half_a_surrogate_pair_in_an_answer_can_be_stored(tmp_path):
    body = json.dumps({"choices": [{"message": {"content": f"{SAID}\n\ud800"}, "finish_reason": "stop"}]}).encode()
    made, _ = judged(Reply(body=body), tmp_path)
    json.dumps(made["p0"].raw, ensure_ascii=False).encode()
    assert made["p0"].errors == (ERROR,) and made["p0"].repairs == {"prose": 1}


def test_nothing_leaves_this_machine_unasked_and_mistakes_show_before_any_question(tmp_path):
    with pytest.raises(ValueError, match="not on this machine"):
        evaluator("http://192.0.2.1/v1", tmp_path)
    with pytest.raises(ValueError, match="prompt version 'x' is unknown"):
        evaluator("http://127.0.0.1:1/v1", tmp_path, prompt="x")
    with pytest.raises(ValueError, match="model: empty"):
        evaluator("http://127.0.0.1:1/v1", tmp_path, model="")


def test_the_identity_names_what_decides_an_answer_and_not_the_key(tmp_path):
    one = evaluator("http://127.0.0.1:1/v1", tmp_path).identity("one_pass")
    assert one["model"] == "m" and one["endpoint"].startswith("http://127") and "Quagga" not in json.dumps(dict(one))
    for changes in ({"model": "n"}, {"temperature": 0.5}, {"seed": 1}, {"max_tokens": 9}, {"prompt": "compact-1"}):
        assert evaluator("http://127.0.0.1:1/v1", tmp_path, **changes).identity("one_pass") != one
    assert evaluator("http://127.0.0.1:1/v1", tmp_path, concurrency=1, retries=9).identity("one_pass") == one
