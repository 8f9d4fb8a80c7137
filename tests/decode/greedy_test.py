"""The decoder against a loop that knows no cache, no batch and no mesh: the whole text so far, one row at a time."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from families import FAMILIES, SHAPES, SMALL
from flax import nnx
from jax.sharding import Mesh

from reeval import hf, sharding
from reeval.decode.greedy import Answers, Conversations, GreedyDecoder

VOCABULARY = 68
MAX_NEW, SECOND, CACHE = 12, 5, 64
Rows = list[list[int]]


@pytest.fixture(scope="module", params=FAMILIES)
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = SMALL[request.param]
    assert SHAPES[shape].SHAPES[shape]["vocab_size"] == VOCABULARY
    return SHAPES[shape].checkpoint(tmp_path_factory.mktemp("model"), shape)


@pytest.fixture(scope="module")
def following(directory: Path) -> Callable[[list[int]], int]:
    """From a text to the token that the model would add."""
    model = hf.load_model(directory)
    graph, weights = nnx.split(model)

    @jax.jit
    def logits(tokens_BT: jax.Array) -> jax.Array:
        return nnx.merge(graph, weights)(tokens_BT)

    known: dict[tuple[int, ...], int] = {}

    def following(text: list[int]) -> int:
        if tuple(text) not in known:
            # To one length, for one compile: the model is causal.
            padded = np.zeros((1, CACHE), np.int32)
            padded[0, : len(text)] = text
            known[tuple(text)] = int(np.argmax(logits(padded)[0, len(text) - 1]))
        return known[tuple(text)]

    return following


def naive(following: Callable[[list[int]], int], text: list[int], end: int, budget: int) -> tuple[list[int], bool]:
    """An answer of at most `budget` tokens and whether it ended."""
    made: list[int] = []
    while (token := following(text + made)) != end:
        if len(made) == budget:
            return made, False
        made.append(token)
    return made, True


def texts(lengths: list[int], *, seed: int) -> Rows:
    noise = np.random.default_rng(seed)
    return [noise.integers(0, VOCABULARY, length).tolist() for length in lengths]


PROMPTS = texts([7, 1, 19, 12, 3, 20, 8, 15], seed=0)


@pytest.fixture(scope="module")
def end(following: Callable[[list[int]], int]) -> int:
    """A token with which some answers end soon, others late, and others not in time."""

    def kinds(end: int) -> tuple[int, int]:
        answers = [naive(following, prompt, end, MAX_NEW) for prompt in PROMPTS]
        lengths = {len(made) for made, ended in answers if ended}
        return len(lengths), -abs(sum(ended for _, ended in answers) - 5)

    best = max(range(VOCABULARY), key=kinds)
    answers = [naive(following, prompt, best, MAX_NEW) for prompt in PROMPTS]
    assert {ended for _, ended in answers} == {True, False} and kinds(best)[0] >= 3, "the model is too dull a test"
    return best


def padded(rows: Rows, batch: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.full((batch, max(map(len, rows))), end, np.int32)
    counts = np.zeros(batch, np.int32)
    for i, row in enumerate(rows):
        tokens[i, : len(row)], counts[i] = row, len(row)
    return tokens, counts


def decoder(directory: Path, mesh: Mesh, end: int, *, max_new: int = MAX_NEW) -> tuple[GreedyDecoder, nnx.State]:
    graph, weights = nnx.split(hf.load_model(directory, mesh=mesh))
    return GreedyDecoder(graph, mesh, end=end, max_new=max_new, cache_length=CACHE), weights


def made(answers: Answers, rows: int) -> list[tuple[list[int], bool]]:
    return [(answers.tokens[i, : answers.counts[i]].tolist(), bool(answers.finished[i])) for i in range(rows)]


@pytest.mark.parametrize(
    ("mesh", "batch", "used"), [((1, 1, 1), 1, 1), ((1, 1, 1), 8, 8), ((1, 1, 1), 8, 5), ((2, 2, 2), 8, 3)]
)
def test_both_turns_are_those_of_a_loop_over_whole_texts(
    mesh: tuple[int, int, int],
    batch: int,
    used: int,
    directory: Path,
    following: Callable[[list[int]], int],
    end: int,
) -> None:
    on = sharding.make_mesh(mesh, jax.devices()[: np.prod(mesh)])
    greedy, weights = decoder(directory, on, end)
    # First one that ends, so that there is a second turn in a batch of one.
    first_to_end = next(i for i, prompt in enumerate(PROMPTS) if naive(following, prompt, end, MAX_NEW)[1])
    chosen = (PROMPTS[first_to_end:] + PROMPTS[:first_to_end])[:used]
    conversations, first = greedy.begin(weights, *padded(chosen, batch, end))
    expected = [naive(following, prompt, end, MAX_NEW) for prompt in chosen]
    assert made(first, used) == expected
    assert first.tokens.shape == (batch, MAX_NEW)
    assert not first.counts[used:].any() and (first.tokens[used:] == end).all(), "an unused row says something"

    # The second turn, in which only rows with a first answer take part; each begins with the end of the first.
    questions = [[end, *question] for question in texts([SECOND] * used, seed=1)]
    asked = [ended and i != 2 for i, (_, ended) in enumerate(expected)]
    assert any(asked)
    rows = [question if ask else [] for question, ask in zip(questions, asked, strict=True)]
    _, second = greedy.go_on(weights, conversations, *padded(rows, batch, end))
    for i in range(used):
        if asked[i]:
            text = chosen[i] + expected[i][0] + questions[i]
            assert made(second, used)[i] == naive(following, text, end, MAX_NEW), f"row {i}"
        else:
            assert second.counts[i] == 0


def test_the_end_may_come_right_after_the_last_token_of_the_budget(
    directory: Path, following: Callable[[list[int]], int], end: int
) -> None:
    answers = [naive(following, prompt, end, MAX_NEW) for prompt in PROMPTS]
    length = max(len(made) for made, ended in answers if ended)
    assert length > 1
    for budget in (length - 1, length, length + 1):
        greedy, weights = decoder(directory, sharding.single_device_mesh(), end, max_new=budget)
        _, got = greedy.begin(weights, *padded(PROMPTS, len(PROMPTS), end))
        expected = [(tokens[:budget], ended and len(tokens) <= budget) for tokens, ended in answers]
        assert [(t[:budget], f) for t, f in made(got, len(PROMPTS))] == expected
        assert max(got.counts) <= budget
        if budget == length:
            assert any(count == budget and done for count, done in zip(got.counts, got.finished, strict=True))


def test_one_compile_a_prompt_length(directory: Path, end: int) -> None:
    greedy, weights = decoder(directory, sharding.single_device_mesh(), end)
    conversations: Conversations
    for prompts in (PROMPTS[:2], PROMPTS[2:4], PROMPTS[4:6]):
        tokens, counts = padded([*prompts, [0] * 20], 3, end)
        conversations, _ = greedy.begin(weights, tokens, counts)
        greedy.go_on(weights, conversations, tokens[:, :4], np.minimum(counts, 4))
    assert greedy._begin._cache_size() == greedy._go_on._cache_size() == 1
