"""Supervised fine-tuning: the cross-entropy of verdict tokens."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from reeval.models.decoder import unembed
from reeval.train.cross_entropy import token_losses


def sft_loss(
    model: Any, batch: Mapping[str, jax.Array], *, key: jax.Array | None, remat: str, chunk: int
) -> tuple[jax.Array, jax.Array]:
    """The summed, weighted loss of a batch and the sum of its weights; divide the two for the mean.

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
    return jnp.sum(weights_BT * losses_BT), jnp.sum(weights_BT)
