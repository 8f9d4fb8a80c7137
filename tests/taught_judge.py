"""A small judge that has learned by heart what to answer to a few pairs, well and badly formed: no test double.

Its answers are known beforehand, so that what is made of answers can be tested through the real model, decoder and
tokenizer. One pair of each kind; `many` repeats them under names of their own.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import random_judge
from flax import nnx

from reeval import hf, prompts
from reeval.data.conversation import Conversation
from reeval.pairs import Error, Pair
from reeval.train.objective import sft_loss
from reeval.verdicts import Verdict

PROMPT = "compact-1"
MAX_ANSWER_TOKENS = 72
_STEPS, _LENGTH = 70, 144

_SIDE = Error("inaccuracy", "laterality", "left", "right", "significant")
_SIZE = Error("inaccuracy", "degree", "small", "tiny", "insignificant")


def _pair(name: str, reference: str, candidate: str, *errors: Error) -> Pair:
    return Pair(name, f"r-{name}", reference, candidate, errors)


_SIG = _pair("sig", "left one", "right one", _SIDE)
_INSIG = _pair("insig", "small two", "tiny two", _SIZE)
_BOTH = _pair("both", "small left", "tiny right", _SIZE, _SIDE)
_SAME = _pair("same", "normal", "normal")
_MISSED = _pair("missed", "left six", "right six", _SIDE)
_BAD = _pair("bad", "left four", "right four", _SIDE)
_BAD_SECOND = _pair("bad second", "small five", "tiny five", _SIZE)
_ENDLESS = _pair("endless", "left three", "right three", _SIDE)
PAIRS = (_SIG, _INSIG, _BOTH, _SAME, _MISSED, _BAD, _BAD_SECOND, _ENDLESS)

_WELL = {
    (pair.pair_id, mode): prompts.gold_answers(mode, Verdict(pair.errors or ()))
    for pair in (_SIG, _INSIG, _BOTH, _SAME)
    for mode in prompts.MODES
}
_LOOP = "no " * (2 * MAX_ANSWER_TOKENS)
# What it answers: (pair, mode) -> the text of each turn.
ANSWERS: dict[tuple[str, str], list[str]] = _WELL | {
    ("missed", "one_pass"): ["none"],
    ("missed", "two_pass"): ["none"],
    ("bad", "one_pass"): ["it is worse"],
    ("bad", "two_pass"): ["it is worse"],
    ("bad second", "one_pass"): ['inaccuracy | degree | "small" => "tiny"'],
    ("bad second", "two_pass"): ['inaccuracy | degree | "small" => "tiny"', "severe"],
    ("endless", "one_pass"): [_LOOP],
    ("endless", "two_pass"): [_LOOP],
}
# parse_status and whether it judges the pair significant, for what is not well formed or not right.
STATUSES: dict[tuple[str, str], tuple[str, bool | None]] = {
    ("missed", "one_pass"): ("ok", False),
    ("missed", "two_pass"): ("ok", False),
    ("bad", "one_pass"): ("pass 1: line 1 does not have the form of a verdict line", None),
    ("bad", "two_pass"): ("pass 1: line 1 does not have the form of a verdict line", None),
    ("bad second", "one_pass"): ("pass 1: line 1 does not have the form of a verdict line", None),
    ("bad second", "two_pass"): ("pass 2: line 1 is no severity", None),
    ("endless", "one_pass"): ("pass 1: ran out of tokens", None),
    ("endless", "two_pass"): ("pass 1: ran out of tokens", None),
}


def many(times: int) -> list[Pair]:
    """The pairs `times` times over, each with an id of its own; the report pair is what the judge knows it by."""
    return [
        dataclasses.replace(pair, pair_id=f"{pair.pair_id} {i}", reference_id=f"{pair.reference_id} {i // 2}")
        for i in range(times)
        for pair in PAIRS
    ]


def kind(pair_id: str) -> str:
    """Of a pair's id in `many`."""
    return pair_id.rpartition(" ")[0]


def write_judge(directory: Path, family: str = "qwen3") -> Path:
    """A judge directory; some seconds of training of all weights."""
    start = random_judge.write_judge(directory / "untaught", family=family, hidden_size=64, intermediate_size=128)
    model = hf.load_model(start)
    tokenizer = hf.load_tokenizer(start)
    batch = _batch(Conversation(tokenizer, PROMPT))
    graph, weights = nnx.split(model)
    schedule = optax.warmup_cosine_decay_schedule(0.0, 8e-3, 15, _STEPS)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    def loss(weights: nnx.State) -> jax.Array:
        sums = sft_loss(nnx.merge(graph, weights), batch, key=None, remat="none", chunk=_LENGTH)[1]
        total, weight = sums["loss"]
        return total / weight

    @jax.jit
    def step(weights: nnx.State, state: optax.OptState) -> tuple[nnx.State, optax.OptState, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(weights)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(weights, updates), state, value

    state = jax.jit(optimizer.init)(weights)
    for _ in range(_STEPS):
        weights, state, value = step(weights, state)
    assert value < 0.01, f"the judge has not learned its answers: loss {value}"
    nnx.update(model, weights)
    hf.save_model(directory / "taught", model, tokenizer)
    return directory / "taught"


def _batch(conversation: Conversation) -> dict[str, jnp.ndarray]:
    names = ("tokens", "targets", "weights", "segments", "positions")
    rows: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for pair in PAIRS:
        for mode in prompts.MODES:
            tokens = conversation.prompt(mode, pair)
            weights = [0.0] * len(tokens)
            for turn, answer in enumerate(ANSWERS[pair.pair_id, mode]):
                # The end token that begins the second turn is also what the first answer has to end with.
                asked = conversation.second[1:] if turn else []
                said = [*conversation.answer(answer), conversation.end]
                tokens += [*asked, *said]
                weights += [0.0] * len(asked) + [1.0] * len(said)
            n = min(len(tokens), _LENGTH + 1) - 1
            assert n < _LENGTH or answer is _LOOP
            for name, values in {
                "tokens": tokens[:n],
                "targets": tokens[1 : n + 1],
                "weights": weights[1 : n + 1],
                "segments": [1] * n,
                "positions": range(n),
            }.items():
                rows[name].append(np.pad(np.asarray(values), (0, _LENGTH - n)))
    kinds = {"weights": np.float32}
    return {name: jnp.asarray(np.stack(values), kinds.get(name, np.int32)) for name, values in rows.items()}
