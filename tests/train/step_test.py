"""The step by itself, over all weights of a decoder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import SHAPES, SMALL, both
from flax import nnx

from configs import tiny
from reeval import lora, sharding
from reeval.hf.names import FAMILIES as NAMES
from reeval.models import port_of
from reeval.train import step

VOCABULARY = 68  # of either family


def losses(family: str, shape: tuple[int, int, int], steps: int = 12) -> list[float]:
    """Of a random decoder, trained whole on one batch over and over; every weight must have changed."""
    named = SMALL[family]
    made = NAMES[family].read_config(SHAPES[named].SHAPES[named])
    config = tiny.get_config()
    config.train.update({"steps": 100, "warmup_steps": 1, "learning_rate": 3e-3, "loss_chunk": 8})
    mesh = sharding.make_mesh(shape, jax.devices()[: int(np.prod(shape))])
    parts, trained, rest = lora.take_apart(port_of(made)(made, rngs=nnx.Rngs(0)), lora.DECODER)
    before = jax.tree.map(np.asarray, trained)
    tx, schedule = step.optimizer_of(config)
    whole = sharding.replicated(mesh)
    placement = step.state_placement(mesh, tx, trained, jax.tree.map(lambda _: whole, trained))
    state = step.init_state(tx, jax.device_put(trained, whole), placement)
    step_fn = step.make_train_step(parts, tx, schedule, mesh, placement, step.options_of(config))
    tokens = np.random.default_rng(0).integers(1, VOCABULARY, (1, 8, 17), dtype=np.int32)
    ones = np.ones((1, 8, 16), np.int32)
    batch = {
        "tokens": tokens[..., :-1],
        "targets": tokens[..., 1:],
        "positions": np.broadcast_to(np.arange(16, dtype=np.int32), ones.shape),
        "segments": ones,
        "weights": ones.astype(np.float32),
    }
    found = []
    for _ in range(steps):
        state, metrics = step_fn(state, rest, sharding.to_device(mesh, batch, leading=1))
        found.append(float(metrics["loss"]))
    assert [n for n, x in state.trained.items() if jnp.array_equal(x, before[n])] == []
    return found


@both
def test_a_whole_decoder_learns_and_all_devices_agree_with_one(family: str) -> None:
    one = losses(family, (1, 1, 1))
    assert one[-1] < one[0] - 0.3
    assert losses(family, (8, 1, 1)) == pytest.approx(one, abs=1e-5)
