"""What training minimises. Supervised fine-tuning: the cross-entropy of verdict tokens."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from reeval.models.decoder import unembed
from reeval.train.cross_entropy import token_losses

# Of a name, a sum over a micro-batch and what the sum over all of them is to be divided by.
Sums = Mapping[str, tuple[jax.Array, jax.Array]]
# (model, micro-batch, key of dropout or None) -> the sum whose gradient is taken, and sums. Of these "loss" is that sum
# itself; what it is divided by, the gradient is, too. The rest is for the log.
Objective = Callable[[Any, Mapping[str, jax.Array], jax.Array | None], tuple[jax.Array, Sums]]


def sft_loss(
    model: Any, batch: Mapping[str, jax.Array], key: jax.Array | None, *, remat: str, chunk: int
) -> tuple[jax.Array, Sums]:
    """The summed, weighted loss of a batch and, as "loss", that and the sum of its weights.

    Args:
        batch: as `reeval.data.batches.packed` gives, each [B, T] but for images.
        chunk: of how many verdict tokens of a row logits exist at once.
    """
    x_BTD = model.hidden(
        batch["tokens"],
        positions_BT=batch["positions"],
        segments_BT=batch["segments"],
        parents_BT=batch.get("parents"),
        images=batch.get("images"),
        key=key,
        remat=remat,
    )
    graph, state = nnx.split(model.head_module())
    arrays, treedef = jax.tree.flatten(state)

    def logits(arrays: Sequence[jax.Array], x_BCD: jax.Array) -> jax.Array:
        return unembed(nnx.merge(graph, jax.tree.unflatten(treedef, arrays)), x_BCD)

    weights_BT = batch["weights"]
    losses_BT = token_losses(logits, chunk, arrays, x_BTD, batch["targets"], weights_BT != 0)
    total = jnp.sum(weights_BT * losses_BT)
    return total, {"loss": (total, jnp.sum(weights_BT))}
