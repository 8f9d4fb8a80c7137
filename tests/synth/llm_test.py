"""Chat models write candidates: what passes the checks is kept in order, what fails is told why, and nothing leaks."""

import dataclasses
import json
import logging
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from chat_server import ChatServer, Reply

from reeval.chat.client import ServerGone
from reeval.pairs import Error, Pair, to_json
from reeval.synth.llm.options import LlmOptions
from reeval.synth.llm.writer import Dropped, rewrite

KEY = "sk-Quagga-7731"
REFERENCE = "The heart is normal. Small right effusion. No pneumothorax. A nodule of 8 mm in the left lung."
DRAFT = "Normal heart. Small left effusion. No pneumothorax. A nodule of 8 mm in the left lung. Left rib fracture."
GOOD = (
    "There is a minor left effusion. The heart is normal, and an old left rib fracture stands out."
    " No pneumothorax; in the left lung, a nodule of 0.8 cm."
)
SPANS = [("right effusion", "left effusion"), ("", "left rib fracture")]
ERRORS = (
    Error("inaccuracy", "laterality", "right effusion", "left effusion", "significant"),
    Error("fabrication", "finding", "", "Left rib fracture", "significant"),
)
RULES = ["laterality.inaccuracy.wrong-side", "finding.fabrication.actionable"]


def pair(number=0, **changes):
    metadata = {"pieces": [[0, 3]], "rules": RULES, "level": 2}
    made = Pair(f"p{number}", f"r{number}", REFERENCE, DRAFT, ERRORS, metadata)
    return dataclasses.replace(made, **changes)


def facts(text):
    """(side, finding, denied) of each sentence."""
    found = Counter()
    for part in re.split(r"[.;](?!\d)|, and", text.lower()):
        for name in re.findall(r"effusion|pneumothorax|nodule|fracture|heart", part):
            side = re.search(r"left|right|$", part)[0]
            found[side, name, "no " in part] += 1
    return found


def answer(candidate=GOOD, spans=SPANS):
    errors = [{"reference_span": reference, "candidate_span": candidate} for reference, candidate in spans]
    return json.dumps({"candidate": candidate, "errors": errors})


def options(url, **changes):
    return LlmOptions(**{"base_url": url, "model": "scribe", "retries": 1, "timeout": 20.0} | changes)


def written(replies, pairs=None, **changes):
    """What comes out, and the questions that a server with these replies was asked; the last reply repeats."""
    replies = [Reply(reply) if isinstance(reply, str) else reply for reply in replies]
    with ChatServer(lambda question: replies[min(question.number, len(replies) - 1)]) as server:
        made = list(rewrite(pairs or [pair()], options(server.url, **changes), facts=facts))
    return made, server.questions


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def test_a_good_answer_becomes_a_pair_with_the_same_errors_at_their_new_places():
    [made], [question] = written([answer()])
    expected = pair(
        candidate=GOOD,
        errors=(ERRORS[0], dataclasses.replace(ERRORS[1], candidate_span="left rib fracture")),
        metadata={"rules": RULES, "level": 2, "writer": {"model": "scribe", "attempts": 1}},
    )
    assert made == expected
    assert all(error.candidate_span in made.candidate for error in made.errors)
    assert question.path == "/v1/chat/completions" and question.headers["authorization"] == f"Bearer {KEY}"
    assert question.body["model"] == "scribe" and question.body["response_format"]["type"] == "json_schema"


def test_the_question_holds_the_whole_specification_of_the_pair():
    _, [question] = written([answer()])
    asked = question.asked
    assert asked["reference"] == REFERENCE and asked["draft"] == DRAFT
    first = asked["errors"][0]
    assert first.pop("rule").startswith("the wrong side is given")
    assert first == {
        "type": "inaccuracy",
        "aspect": "laterality",
        "severity": "significant",
        "reference_span": "right effusion",
        "draft_span": "left effusion",
    }


@pytest.mark.parametrize(
    "around",
    [
        "```json\n%s\n```",
        "Here is the report:\n\n%s\nAnything else?",
        "<think>{two} errors</think>%s",
        "three} </think>\n%s",
    ],
)
def test_what_stands_around_the_json_is_no_harm(around):
    [made], _ = written([around % answer()])
    assert made.candidate == GOOD


def test_line_breaks_inside_of_a_json_string_are_taken():
    [made], _ = written([answer().replace("an old", "an\nold")])
    assert made.candidate == GOOD.replace("an old", "an\nold")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("I cannot do that.", "json"),
        (answer()[:-20], "json"),
        ("[" * 100_000 + "{", "json"),
        ('{"a":' * 100_000, "json"),
        ('{"candidate": "Normal.", "errors": 3}', "json"),
        ('{"candidate": "", "errors": []}', "json"),
        ('{"candidate": ["Normal."], "errors": []}', "json"),
        (answer(GOOD + "\ud800"), "json"),
        (Reply(answer(), finish="length"), "cut"),
        (Reply(body=b'{"choices": [{"message": {"content": null}}]}'), "json"),
        (answer(spans=SPANS[:1]), "error count"),
        (answer(spans=[*SPANS, ("", "minor")]), "error count"),
        (answer(spans=SPANS[::-1]), "reference span"),
        (answer(spans=[("right  effusions", "left effusion"), SPANS[1]]), "reference span"),
        (answer(spans=[("right effusion", "left pleural effusion"), SPANS[1]]), "candidate span"),
        (answer(spans=[("right effusion", ""), SPANS[1]]), "candidate span"),
        (answer(spans=[("right effusion", "left"), ("", "left effusion")]), None),
        (answer(spans=[SPANS[0], ("", "left effusion")]), "candidate span"),
        (answer(spans=[SPANS[0], ("", "minor left effusion")]), "candidate span"),
        (answer(DRAFT.replace(" S", "\nS")), "unchanged"),
        (answer(REFERENCE.upper()), "unchanged"),
        (answer(GOOD + " Clear." * 60), "length"),
        (answer("Left effusion, left rib fracture.", [("right effusion", "Left effusion"), SPANS[1]]), "length"),
        (answer(GOOD + " The draft report says more."), "leftovers"),
        (answer(GOOD + " {impression}"), "leftovers"),
        (answer(GOOD + " <b>Clear</b>"), "leftovers"),
        (answer(GOOD + "\\n\\nClear."), "leftovers"),
        (answer(GOOD + " An increase in severity, as omissions go"), None),
        (answer(GOOD.replace("0.8 cm", "9 mm")), "numbers"),
        (answer(GOOD.replace("a nodule of 0.8 cm", "a nodule")), "numbers"),
        (answer(GOOD + " Comparison is made with two studies."), "numbers"),
        (answer("1. " + GOOD.replace(". No", ".\n2) No")), None),
        (answer(GOOD + " CT is recommended."), "advice"),
        (answer(GOOD.replace("No pneumothorax", "Clear apices")), "facts"),
        (answer(GOOD + " Right nodule."), "facts"),
        (answer(GOOD.replace("No pneumothorax", "Pneumothorax")), "facts"),
        (answer(GOOD + " No right effusion was there before."), "error not made"),
    ],
)
def test_each_check_drops_what_fails_it(reply, reason):
    [made], questions = written([reply], attempts=2)
    if reason is None:
        assert isinstance(made, Pair) and len(questions) == 1
    else:
        assert made == Dropped("p0", reason) and len(questions) == 2


def test_a_repeated_statement_is_no_other_fact():
    [made], _ = written([answer(GOOD + " IMPRESSION: Left effusion.")])
    assert made.metadata["writer"]["attempts"] == 1


def test_an_omission_has_no_words_in_the_candidate_and_misspelt_words_stay_as_they_are():
    errors = (Error("omission", "finding", "No pneumothorax", "", "insignificant"),)
    draft = pair(candidate=DRAFT.replace("No pneumothorax. ", ""), errors=errors, metadata={})
    text = GOOD.replace("No pneumothorax; in", "In")
    made, _ = written([answer(text, [("No pneumothorax", "")])], [draft])
    assert made[0].candidate == text
    made, _ = written([answer(text, [("No pneumothorax", "In the left lung")])], [draft])
    assert made == [Dropped("p0", "candidate span")]

    errors = (Error("inaccuracy", "wording", "normal", "nromal", "insignificant"),)
    draft = pair(
        reference=DRAFT.lower(), candidate=DRAFT.lower().replace("normal", "nromal"), errors=errors, metadata={}
    )
    for word, result in [("nromal", Pair), ("norrmal", Dropped)]:
        [made], _ = written([answer(GOOD.replace("normal", word), [("normal", word)])], [draft])
        assert isinstance(made, result)


def test_what_failed_is_named_in_a_second_turn_and_only_the_last_answer_is_shown():
    bad = answer(spans=[("right effusion", "left sided effusion"), SPANS[1]])
    [made], questions = written([bad, "no JSON", answer()])
    assert made.metadata["writer"] == {"model": "scribe", "attempts": 3}
    second, third = (question.body["messages"] for question in questions[1:])
    assert [message["role"] for message in second] == ["system", "user", "assistant", "user"]
    assert second[2]["content"] == bad and "candidate_span does not stand" in second[3]["content"]
    assert third[:2] == second[:2] and third[2]["content"] == "no JSON" and len(third) == 4
    assert not any(span[1] in second[3]["content"] for span in SPANS)
    assert len({question.body["seed"] for question in questions}) == 3


def test_a_pair_that_names_no_rule_of_the_taxonomy_is_an_error():
    with pytest.raises(ValueError, match="^pair 'p0': the taxonomy has no rule 'a.b.c'; "):
        written([answer()], [pair(metadata={"rules": ["a.b.c", "a.b.c"]})])


def test_formats_that_the_server_refuses_are_left_for_simpler_ones_once_and_for_all():
    def reply(question):
        form = question.body.get("response_format", {}).get("type")
        return Reply(status=400, body=b"{}") if form in ("json_schema", "json_object") else Reply(answer())

    with ChatServer(reply) as server:
        made = list(rewrite([pair(n) for n in range(4)], options(server.url, concurrency=1), facts=facts))
    assert all(isinstance(item, Pair) for item in made) and len(server.questions) == 2 + 4


def test_a_pair_that_the_server_refuses_in_every_format_is_dropped_alone():
    def reply(question):
        return Reply(status=400, body=b"{}") if "huge" in question.asked["reference"] else Reply(answer())

    pairs = [pair(0, reference=REFERENCE + " huge"), pair(1)]
    with ChatServer(reply) as server:
        made = list(rewrite(pairs, options(server.url, concurrency=1), facts=facts))
    assert made[0] == Dropped("p0", "refused") and made[1].pair_id == "p1"
    assert server.questions[-1].body["response_format"]["type"] == "json_schema"


def test_http_429_is_waited_for_as_long_as_the_server_says():
    start = time.monotonic()
    [made], questions = written([Reply(status=429, headers={"Retry-After": "1.2"}, body=b"{}"), answer()])
    assert isinstance(made, Pair) and made.metadata["writer"]["attempts"] == 1
    assert time.monotonic() - start >= 1.2 and len(questions) == 2


@pytest.mark.parametrize(
    "fault",
    [
        Reply(status=500, body=b"<html>oops</html>"),
        Reply(status=503, body=b"{}"),
        Reply(answer(), wait=1.0),
        Reply(answer(), cut=40),
        Reply(answer(), cut=0),
    ],
    ids=["500", "503", "timeout", "cut", "cut at once"],
)
def test_a_fault_that_passes_is_tried_again_and_one_that_stays_ends_the_run(fault):
    [made], questions = written([fault, answer()], timeout=0.5)
    assert isinstance(made, Pair) and len(questions) == 2
    with pytest.raises(ServerGone, match="no answer for 1 pairs in a row .*the same command goes on"):
        written([fault], timeout=0.5)


def test_a_body_that_is_no_chat_completion_ends_the_run():
    for body in (b"<html>Welcome</html>", b'{"choices": []}', b"[" * 100_000, b"\xff"):
        with pytest.raises(ServerGone, match="no chat completion; is the base URL right"):
            written([Reply(body=body)])


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "environment variable OPENAI_API_KEY"),
        (403, "check the key"),
        (404, "has no model 'scribe'"),
        (429, "ask for less"),
    ],
)
def test_what_no_pair_can_pass_ends_the_run_with_one_line(status, message):
    body = json.dumps({"error": {"message": f"echo {REFERENCE} {KEY}"}}).encode()
    with pytest.raises(ServerGone, match=message) as caught:
        written([Reply(status=status, headers={"Retry-After": "0.01"}, body=body)])
    said = str(caught.value)
    assert f"HTTP {status}" in said and "\n" not in said and "heart" not in said and KEY not in said
    assert isinstance(caught.value, ConnectionError)


def test_a_server_that_dies_costs_no_pair_that_was_finished_and_one_bad_pair_does_not_end_the_run():
    def reply(question):
        number = int(question.asked["reference"].split("#")[1])
        return Reply(status=500, body=b"{}") if number == 2 or number >= 5 else Reply(answer())

    pairs = [pair(n, reference=f"{REFERENCE} #{n}") for n in range(12)]
    made = []
    with ChatServer(reply) as server:
        stream = rewrite(pairs, options(server.url, concurrency=2, retries=0), facts=facts)
        with pytest.raises(ServerGone, match="no answer for 3 pairs in a row .HTTP 500."):
            for item in stream:
                made.append(item)
    assert [item.pair_id for item in made] == ["p0", "p1", "p2", "p3", "p4"]
    assert [item for item in made if isinstance(item, Dropped)] == [Dropped("p2", "no answer")]


def test_a_server_that_is_not_there_ends_the_run_after_bounded_tries():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: nobody else can listen there, connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        start = time.monotonic()
        with pytest.raises(
            ServerGone, match=f"^{url}: no answer for 3 pairs in a row .connection refused or cut: ConnectError"
        ):
            list(rewrite((pair(n) for n in range(100)), options(url), facts=facts))
    assert time.monotonic() - start < 10


def test_order_is_kept_and_concurrency_bounded():
    def reply(question):
        return Reply(answer(), wait=0.15 if question.number % 4 == 0 else 0.01)

    taken = []

    def pairs():
        for number in range(24):
            taken.append(number)
            yield pair(number)

    with ChatServer(reply) as server:
        stream = rewrite(pairs(), options(server.url, concurrency=4), facts=facts)
        assert taken == []
        made = [next(stream)]
        assert len(taken) <= 9  # only as far ahead as keeps the server busy
        made += stream
    assert [item.pair_id for item in made] == [f"p{n}" for n in range(24)]
    assert 2 <= server.most_at_once <= 4


def writers():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("chat")]


@pytest.mark.parametrize("reply", [Reply(answer(), wait=1.0), Reply(status=500, body=b"{}")], ids=["well", "failing"])
def test_whoever_stops_early_waits_for_nothing_and_leaves_no_thread_behind(reply):
    first = f"{REFERENCE} #0"
    with ChatServer(lambda question: Reply(answer()) if question.asked["reference"] == first else reply) as server:
        pairs = (pair(n, reference=f"{REFERENCE} #{n}") for n in range(50))
        stream = rewrite(pairs, options(server.url, concurrency=2, retries=8, patience=9), facts=facts)
        next(stream)
        start = time.monotonic()
        stream.close()
        assert time.monotonic() - start < 0.5
        asked = len(server.questions)
        while writers():
            assert time.monotonic() - start < 5
            time.sleep(0.01)
        assert len(server.questions) <= asked + 2


def test_redirects_are_not_followed():
    with ChatServer(lambda question: Reply(answer())) as other:
        location = {"Location": other.url.replace("127.0.0.1", "localhost") + "/chat/completions"}
        for status in (302, 307, 308):
            with pytest.raises(ServerGone, match=f"HTTP {status}: redirects are not followed"):
                written([Reply(status=status, headers=location, body=b"")])
    assert other.questions == []


def test_proxies_of_the_environment_see_nothing_of_a_local_server(monkeypatch):
    with ChatServer(lambda question: Reply(answer())) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        [made], questions = written([answer()])
    assert isinstance(made, Pair) and len(questions) == 1 and proxy.questions == []


def test_a_remote_server_must_be_allowed_and_is_warned_of(capsys, monkeypatch):
    # A documentation address: nothing answers there, and nothing is asked.
    url = "http://192.0.2.1/v1"
    with pytest.raises(ValueError, match=r"http://192.0.2.1/v1 is not on this machine.*PhysioNet.*--allow-remote"):
        rewrite([pair()], options(url), facts=facts)
    assert capsys.readouterr().err == ""
    rewrite([pair()], options(url, allow_remote=True), facts=facts).close()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "WARNING" in said and url in said and "PhysioNet" in said
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ValueError, match="^environment variable OPENAI_API_KEY: not set"):
        rewrite([pair()], options(url, allow_remote=True), facts=facts)


def test_the_key_and_the_reports_are_in_no_log_and_no_error(caplog, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_LOG", "debug")
    with caplog.at_level(logging.DEBUG):
        replies = ["no JSON", Reply(status=500, body=REFERENCE.encode()), answer(), Reply(answer(), cut=50)]
        with pytest.raises(ServerGone) as caught:
            written(replies, [pair(0), pair(1)], concurrency=1, patience=1)
    captured = capsys.readouterr()
    said = caplog.text + captured.out + captured.err + str(caught.value) + repr(caught.value.__cause__)
    assert KEY not in said and "heart" not in said and "effusion" not in said and "Quagga" not in said


def test_a_key_comes_from_the_variable_named_and_a_local_server_needs_none(monkeypatch):
    monkeypatch.setenv("SCRIBE_KEY", "other")
    _, [question] = written([answer()], key_variable="SCRIBE_KEY")
    assert question.headers["authorization"] == "Bearer other"
    monkeypatch.delenv("OPENAI_API_KEY")
    _, [question] = written([answer()])
    assert question.headers["authorization"] == "Bearer none"
    for bad in ("sk-Quagga\nX-Other: 1", "sk-Quagga\xe9"):
        monkeypatch.setenv("SCRIBE_KEY", bad)
        with pytest.raises(ValueError, match="^environment variable SCRIBE_KEY: holds what no API key") as caught:
            written([answer()], key_variable="SCRIBE_KEY")
        assert "Quagga" not in str(caught.value)


def test_without_openai_the_extra_is_named():
    code = (
        "import sys; sys.modules['openai'] = None\n"
        "from reeval.synth.llm.options import LlmOptions\nfrom reeval.synth.llm.writer import rewrite\n"
        "rewrite([], LlmOptions(base_url='http://127.0.0.1:1/v1', model='m'), facts=None)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stderr.rstrip().endswith(r"ValueError: the package openai must be installed (pip install -e '.[llm]')")


@pytest.mark.parametrize("bad", [{"model": ""}, {"concurrency": 0}, {"attempts": 0}, {"retries": -1}, {"timeout": 0.0}])
def test_options_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        options("http://127.0.0.1:1/v1", **bad)


def test_what_comes_out_is_a_valid_pair_file(tmp_path):
    from reeval import pairs

    made, _ = written([answer()])
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(to_json(item)) + "\n" for item in made))
    assert pairs.read(path, labelled=True) == made
