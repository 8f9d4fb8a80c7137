"""Rows that hold the instructions once give what whole conversations give."""

from itertools import islice
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_judge
from flax import nnx

from reeval import hf, sharding
from reeval.data import batches
from reeval.data.conversation import Conversation, Example
from reeval.data.shared import Shared
from reeval.prompts import MODES
from reeval.train.objective import sft_loss

ROWS = 3


@pytest.fixture(scope="module", params=random_judge.FAMILIES)
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_judge.write_judge(tmp_path_factory.mktemp("judge"), family=request.param)


@pytest.fixture(scope="module")
def conversation(judge: Path) -> Conversation:
    return Conversation(hf.load_tokenizer(judge), "clinical-2")


@pytest.fixture(scope="module")
def examples(conversation: Conversation) -> list[dict[str, Example]]:
    return batches.training_examples(conversation, random_judge.pairs(40), length=10**6, severity_weight=5.0)


def prefixes(conversation: Conversation) -> dict[str, list[int]]:
    return {mode: conversation.prefix(mode) for mode in MODES}


def drawn(conversation: Conversation, examples: list[dict[str, Example]], count: int) -> list[dict[str, np.ndarray]]:
    shared = Shared(prefixes(conversation))
    length = shared.length + 1400
    made = batches.packed(examples, length=length, rows=ROWS, two_pass_share=0.4, seed=3, shared=shared)
    found = list(islice(made, count))
    assert all(value.shape == (ROWS, length) for batch in found for value in batch.values())
    return found


def test_each_conversation_continues_the_instructions_of_its_mode(
    conversation: Conversation, examples: list[dict[str, Example]]
) -> None:
    instructions, modes = prefixes(conversation), set()
    assert all(len(tokens) > 100 for tokens in instructions.values()), "there is little to share"
    for batch in drawn(conversation, examples, 10):
        for row in range(ROWS):
            of = {name: value[row] for name, value in batch.items()}
            for number, mode in enumerate(MODES, start=1):
                own = of["segments"] == number
                assert of["tokens"][own].tolist() == instructions[mode]
                assert of["positions"][own].tolist() == list(range(own.sum()))
                assert (of["parents"][own] == number).all() and not of["weights"][own].any()
            for segment in range(3, of["segments"].max() + 1):
                at = of["segments"] == segment
                (parent,), (number,) = np.unique(of["parents"][at]), np.unique(of["examples"][at])
                mode = MODES[parent - 1]
                modes.add(mode)
                whole, n = examples[number - 1][mode], len(instructions[mode])
                assert [*instructions[mode], *of["tokens"][at]] == whole.tokens[:-1].tolist()
                assert of["targets"][at].tolist() == whole.tokens[n + 1 :].tolist()
                np.testing.assert_array_equal(of["weights"][at], whole.weights[n + 1 :])
                assert of["positions"][at].tolist() == list(range(n, len(whole.tokens) - 1))
            padding = of["segments"] == 0
            assert not of["weights"][padding].any() and not of["parents"][padding].any()
    assert modes == set(MODES)


@pytest.mark.parametrize("attention", ["xla", "auto"])
def test_losses_and_gradients_are_those_of_conversations_by_themselves(
    attention: str, judge: Path, conversation: Conversation, examples: list[dict[str, Example]]
) -> None:
    (batch,) = drawn(conversation, examples, 1)
    chosen = [
        (int(batch["examples"][row][at][0]), MODES[batch["parents"][row][at][0] - 1])
        for row in range(ROWS)
        for segment in range(3, batch["segments"][row].max() + 1)
        for at in [batch["segments"][row] == segment]
    ]
    alone = [examples[number - 1][mode] for number, mode in chosen]
    length = max(len(example.tokens) for example in alone)

    def rows(of: Any) -> np.ndarray:
        return np.stack([np.pad(part, (0, length - len(part))) for part in map(of, alone)])

    separate = {
        "tokens": rows(lambda e: e.tokens[:-1]),
        "targets": rows(lambda e: e.tokens[1:]),
        "weights": rows(lambda e: e.weights[1:]),
        "segments": rows(lambda e: np.ones(len(e.tokens) - 1, np.int32)),
        "positions": rows(lambda e: np.arange(len(e.tokens) - 1, dtype=np.int32)),
    }
    graph, weights = nnx.split(hf.load_model(judge))
    mesh = sharding.single_device_mesh()

    @jax.jit
    def of(weights: Any, batch: Any) -> Any:
        def mean(weights: Any) -> Any:
            with sharding.activations(mesh, attention=attention):
                sums = sft_loss(nnx.merge(graph, weights), batch, key=None, remat="none", chunk=50)[1]
            total, weight = sums["loss"]
            return total / weight

        return jax.value_and_grad(mean)(weights)

    (loss, gradient), (expected, wanted) = of(weights, batch), of(weights, separate)
    assert len(alone) > 2 * ROWS
    assert float(loss) == pytest.approx(float(expected), abs=1e-5)
    scale = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(wanted))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1.0, scale)), gradient, wanted)
    blind = batch | {"parents": batch["segments"]}
    assert abs(float(of(weights, blind)[0]) - float(expected)) > 1e-3, "the instructions are hardly seen"


def test_one_mode_alone_shares_its_own_instructions(
    conversation: Conversation, examples: list[dict[str, Example]]
) -> None:
    batch = next(
        iter(
            batches.stream(
                examples,
                batching="shared",
                length=2048,
                rows=2,
                accumulation=1,
                multiple=1,
                two_pass_share=1.0,
                seed=0,
                own=range,
                prefixes=prefixes(conversation),
            )
        )
    )
    assert set(np.unique(batch["parents"])) <= {0, 1}
    assert batch["tokens"][0][batch["segments"][0] == 1].tolist() == conversation.prefix("two_pass")


def test_rows_without_room_are_refused(conversation: Conversation, examples: list[dict[str, Example]]) -> None:
    shared = Shared(prefixes(conversation))
    longest = max(len(example.tokens) - 1 for modes in shared.without(examples) for example in modes.values())
    length = shared.length + longest
    options = {"rows": 1, "two_pass_share": 0.5, "seed": 0, "shared": shared}
    next(iter(batches.packed(examples, length=length, **options)))
    with pytest.raises(ValueError, match=f"no room for a conversation of {longest} tokens .* raise it to {length}"):
        batches.packed(examples, length=length - 1, **options)
