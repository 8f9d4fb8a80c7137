"""The engine against a loop that knows no cache, no slots and no mesh, and its promises by counting."""

import dataclasses
import itertools
import math
from collections import Counter
from typing import Any

import jax
import numpy as np
import pytest
from families import SHAPES, SMALL
from flax import nnx
from hand_made_grammar import steered
from plain_judge import PlainJudge

from reeval import hf, sharding
from reeval.decode.engine import Engine, Request, Turn
from reeval.decode.grammar import Grammar, free
from reeval.decode.slots import Rows

# Gemma 3's windows are shorter than what is shared, what is not, and answers; the last one sees images.
MODELS = (*SMALL.values(), "ratio2-v4")
MAX_NEW, SECOND, PREFIX, LONGEST, ALIKE, K = 12, 7, 20, 60, 18, 4
MESH = (2, 2, 2)


@dataclasses.dataclass(frozen=True)
class Picture:
    values: Any

    def pixels(self) -> np.ndarray:
        return self.values


class Case:
    """A small model, what is asked of it, and what it should say."""

    def __init__(self, directory: Any, shape: str):
        self.directory = directory
        self.made, raw = SHAPES[shape], SHAPES[shape].SHAPES[shape]
        self.model = hf.load_model(directory)
        self.sees = "vision_config" in raw
        self.vocabulary = self.made.text(raw)["vocab_size"]
        noise = np.random.default_rng(0)

        def text(length: int) -> list[int]:
            return noise.integers(0, self.vocabulary - 4, length).tolist()

        self.prefix = text(PREFIX)
        # All of the prefix, a part of it, none of it; nothing beyond it but a token.
        shared = [PREFIX, PREFIX, 7, 0, PREFIX, PREFIX, 1, PREFIX, PREFIX, PREFIX, PREFIX]
        own = [13, 1, 30, 40, 2, 25, 8, 19, 1, 7, 33]
        prompts = [[*self.prefix[:n], *text(m)] for n, m in zip(shared, own, strict=True)]
        # Some go on alike beyond the prefix, one as far as another goes, and two are the same.
        for at in (5, 7, 10):
            prompts[at][PREFIX : PREFIX + ALIKE] = prompts[2][7 : 7 + ALIKE]
        prompts.append(prompts[10])
        self.requests = [Request(f"request {i}", prompt, seed=i) for i, prompt in enumerate(prompts)]
        if self.sees:
            image = [raw["boi_token_index"], *[raw["image_token_index"]] * raw["mm_tokens_per_image"]]
            values = self.made.pixels(raw, 3)
            self.pixels = values.shape[1:]
            for at, picture in zip((1, 4, 7), values, strict=True):
                tokens = [*self.prefix, *image, raw["eoi_token_index"], *text(at + 2)]
                self.requests[at] = dataclasses.replace(self.requests[at], tokens=tokens, image=Picture(picture))
        self.end = self._end()
        self.second = [self.end, *text(SECOND - 1)]
        self.expected: dict[tuple[str, float], dict[Any, list[Turn]]] = {}

    def _end(self) -> int:
        """A token with which answers end at different times, and some not at all."""
        plain = PlainJudge(self.model, free(self.vocabulary, 0), end=-1, second=[], **self._sizes())
        answers = [turns[0].tokens for turns in plain.run(self.requests, no_lines)]
        places: dict[int, list[int]] = {}
        for answer in answers:
            for token in set(answer):
                places.setdefault(token, []).append(answer.index(token))
        some = [token for token, at in places.items() if len(at) < len(answers) - 1 and token < self.vocabulary - 4]
        return max(some, key=lambda token: len(set(places[token])))

    def _sizes(self) -> dict[str, Any]:
        return {"max_answer_tokens": MAX_NEW, "length": LONGEST + 2 * MAX_NEW + SECOND}

    def grammar(self, name: str) -> Grammar:
        return free(self.vocabulary, self.end) if name == "free" else steered(self.vocabulary, self.end)

    def wanted(self, name: str, temperature: float) -> dict[Any, list[Turn]]:
        if (name, temperature) not in self.expected:
            settings: dict[str, Any] = {"second": self.second, "end": self.end, "temperature": temperature}
            plain = PlainJudge(self.model, self.grammar(name), **settings, **self._sizes())
            turns = plain.run(self.requests, lines)
            self.expected[name, temperature] = dict(zip((r.key for r in self.requests), turns, strict=True))
        return self.expected[name, temperature]

    def engine(self, name: str, slots: int, *, mesh: tuple[int, int, int] = (1, 1, 1), **changes: Any) -> Any:
        on = sharding.make_mesh(mesh, jax.devices()[: math.prod(mesh)])
        graph, weights = nnx.split(hf.load_model(self.directory, mesh=on))
        settings: dict[str, Any] = {
            "prefix": self.prefix,
            "second": self.second,
            "end": self.end,
            "max_prompt_tokens": LONGEST,
            "max_answer_tokens": MAX_NEW,
            "wait_every": K,
            "pixels": self.pixels if self.sees else None,
        } | changes
        return Engine(graph, on, self.grammar(name), slots=slots, **settings), weights


def lines(request: Request, turn: Turn) -> int:
    """So that some have a second turn, of different kinds."""
    return (len(turn.tokens) + len(request.tokens)) % 4


def no_lines(request: Request, turn: Turn) -> int:
    return 0


def same(got: dict[Any, list[Turn]], wanted: dict[Any, list[Turn]]) -> None:
    assert got.keys() == wanted.keys()
    for key in wanted:
        assert [turn[:2] for turn in got[key]] == [turn[:2] for turn in wanted[key]], key
        for ours, theirs in zip(got[key], wanted[key], strict=True):
            np.testing.assert_allclose(ours.log_odds, theirs.log_odds, rtol=1e-3, atol=1e-3, err_msg=key)


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    directory = SHAPES[request.param].checkpoint(tmp_path_factory.mktemp("model"), request.param)
    return Case(directory, request.param)


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(SHAPES[SMALL["qwen3"]].checkpoint(tmp_path_factory.mktemp("model"), SMALL["qwen3"]), SMALL["qwen3"])


def test_the_plain_loop_has_something_to_say(case: Case) -> None:
    unsteered, wanted = case.wanted("free", 0.0), case.wanted("steered", 0.0)
    assert {turns[0].finished for turns in unsteered.values()} == {True, False}
    assert all(turn.finished for turns in wanted.values() for turn in turns)
    for answers in (unsteered, wanted):
        assert {len(turns) for turns in answers.values()} == {1, 2}
    both = [*unsteered.values(), *wanted.values()]
    assert len({len(turn.tokens) for turns in both for turn in turns}) > 3
    assert sum(len(turn.log_odds) for turns in wanted.values() for turn in turns) > 20


@pytest.mark.parametrize(("grammar", "slots"), [("free", 3), ("steered", 4)])
def test_turns_are_those_of_a_loop_over_whole_texts(case: Case, grammar: str, slots: int) -> None:
    engine, weights = case.engine(grammar, slots)
    wanted = case.wanted(grammar, 0.0)
    forwards = list(engine.run(weights, case.requests, lines))
    assert len(forwards) == len(case.requests)
    same({request.key: turns for request, turns in forwards}, wanted)
    if slots == 4:
        for order in (case.requests[::-1], case.requests[5:] + case.requests[:5]):
            same({request.key: turns for request, turns in engine.run(weights, iter(order), lines)}, wanted)
        assert engine.counts.shared >= ALIKE


def test_samples_depend_on_the_request_alone(case: Case) -> None:
    wanted = case.wanted("steered", 0.8)
    assert [t[:1] for t in wanted.values()] != [t[:1] for t in case.wanted("steered", 0.0).values()]
    engine, weights = case.engine("steered", 3, temperature=0.8)
    for order in (case.requests, case.requests[::-1]):
        same({request.key: turns for request, turns in engine.run(weights, order, lines)}, wanted)


def test_a_mesh_changes_nothing(case: Case) -> None:
    engine, weights = case.engine("steered", 3, mesh=MESH)
    assert engine.slots == 4
    same(
        {request.key: turns for request, turns in engine.run(weights, case.requests, lines)},
        case.wanted("steered", 0.0),
    )


@pytest.mark.parametrize(
    "changes", [{"slots": 1}, {"slots": 16}, {"prefix": []}, {"wait_every": 1}, {"wait_every": 50, "slots": 8}]
)
def test_sizes_change_nothing(qwen3: Case, changes: dict[str, Any]) -> None:
    engine, weights = qwen3.engine("steered", **{"slots": 4} | changes)
    same(dict_of(engine.run(weights, qwen3.requests, lines)), qwen3.wanted("steered", 0.0))


def dict_of(conversations: Any) -> dict[Any, list[Turn]]:
    return {request.key: turns for request, turns in conversations}


def test_no_token_is_prefilled_twice(qwen3: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, weights = qwen3.engine("steered", 16)
    seen = Counter()

    def counting(name: str) -> Any:
        method = getattr(engine.device, name)

        def counted(*arguments: Any) -> Any:
            seen[name] += sum(int((each.segments_RT > 0).sum()) for each in arguments if isinstance(each, Rows))
            return method(*arguments)

        return counted

    for name in ("prefill", "go_on"):
        monkeypatch.setattr(engine.device, name, counting(name))
    turns = list(dict_of(engine.run(weights, qwen3.requests, lines)).values())
    counts = engine.counts
    assert counts.prefix == PREFIX
    own = []
    for request in qwen3.requests:
        shared = next((i for i, t in enumerate(request.tokens[:PREFIX]) if t != qwen3.prefix[i]), PREFIX)
        own.append(len(request.tokens) - shared)
    assert counts.prompts == sum(own) < sum(len(request.tokens) for request in qwen3.requests) - 100
    assert counts.shared == 3 * ALIKE
    # The last token of a prompt and of what asks a second turn is a decode step's.
    assert seen["prefill"] == sum(own) - len(own) - 3 * ALIKE
    assert seen["go_on"] == (SECOND - 1) * sum(len(each) == 2 for each in turns)
    assert counts.second == SECOND * sum(len(each) == 2 for each in turns)
    # Each token of an answer is made once, and its end.
    assert counts.used == sum(len(turn.tokens) + 1 for each in turns for turn in each)
    assert counts.used <= counts.steps * engine.slots


def test_the_host_waits_once_in_k_steps(qwen3: Case) -> None:
    engine, weights = qwen3.engine("steered", 4)
    requests = [dataclasses.replace(request, key=(n, request.key)) for n in range(5) for request in qwen3.requests]
    assert len(dict_of(engine.run(weights, requests, lines))) == len(requests)
    counts = engine.counts
    assert counts.steps > 100
    assert counts.waits <= math.ceil(counts.steps / K) + 1
    # Slots do not wait for each other: all but the last answers find most slots at work.
    assert counts.used > 0.7 * counts.steps * engine.slots


def test_programs_are_few_however_many_lengths_come(qwen3: Case) -> None:
    longest = 250
    engine, weights = qwen3.engine("free", 8, max_prompt_tokens=PREFIX + longest, second=[])
    noise = np.random.default_rng(3)

    def prompts(count: int) -> list[Request]:
        return [
            Request(i, [*qwen3.prefix, *noise.integers(0, 60, noise.integers(1, longest)).tolist()])
            for i in range(count)
        ]

    assert len(dict_of(engine.run(weights, prompts(60), no_lines))) == 60
    compiled = engine.device.compilations()
    rows, rooms = len(engine.sizes.row_lengths), len(engine.sizes.rooms)
    assert rows <= 6 and rooms <= 6
    bounds = {"unstacked": 1, "prefix": 1, "prefill": rows, "decode": rooms, "begun": 1, "written": rows * rooms}
    bounds["grown"] = rooms * (rooms - 1) // 2
    assert compiled.keys() <= bounds.keys()
    assert all(compiled[name] <= bounds[name] for name in bounds), compiled
    for _ in range(3):
        list(engine.run(weights, prompts(9), no_lines))
    again = engine.device.compilations()
    assert all(again[name] <= bounds[name] for name in bounds), again
    assert engine.compilations() == again.total()
    list(engine.run(weights, prompts(1), no_lines))
    list(engine.run(weights, prompts(1), no_lines))
    assert engine.device.compilations()["prefill"] <= rows


def test_requests_are_taken_when_they_are_needed(qwen3: Case) -> None:
    engine, weights = qwen3.engine("steered", 2)
    taken = Counter()

    def forever() -> Any:
        for n in itertools.count():
            taken["requests"] += 1
            yield dataclasses.replace(qwen3.requests[n % 11], key=n)

    given = list(itertools.islice(engine.run(weights, forever(), lines), 10))
    assert len(given) == 10
    assert taken["requests"] <= 10 + 4 * engine.slots


def test_no_requests_at_all(qwen3: Case) -> None:
    engine, weights = qwen3.engine("steered", 2)
    assert list(engine.run(weights, [], lines)) == []


def test_what_does_not_fit_is_refused(qwen3: Case) -> None:
    engine, weights = qwen3.engine("steered", 2)
    long = Request(0, [*qwen3.prefix, *[1] * (LONGEST - PREFIX + 1)])
    with pytest.raises(ValueError, match=f"a prompt has {LONGEST + 1} tokens, {PREFIX} of them shared.*raise it"):
        list(engine.run(weights, [long], lines))


def test_memory_is_known_before_and_refused_where_there_is_too_little(qwen3: Case) -> None:
    engine, weights = qwen3.engine("steered", 8)
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), weights)
    memory = engine.memory(abstract)
    compiled = engine.compilations()
    c = qwen3.model.config
    a_token = 2 * c.num_layers * c.num_kv_heads * c.head_dim * 4
    assert memory.prefix == PREFIX * a_token
    # Own tokens of a slot: what a prompt has beyond the prefix, both answers, and what asks the second; 52 more bytes.
    assert memory.cache == engine.slots * (engine.length * a_token + 29)
    assert engine.length == LONGEST + 2 * MAX_NEW + SECOND
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(weights))
    assert held < memory.weights < 2 * held
    assert memory.total == memory.weights + memory.prefix + memory.cache + memory.temporaries
    assert memory.temporaries > 0
    assert engine.memory(weights) == memory
    # What was compiled for the estimate is not compiled again.
    assert engine.device.compilations() == {"prefill": 1, "decode": 1}
    list(engine.run(weights, qwen3.requests, lines))
    assert engine.compilations() > compiled
    assert engine.device.compilations()["prefill"] <= len(engine.sizes.row_lengths)
    assert engine.device.compilations()["decode"] <= len(engine.sizes.rooms)
