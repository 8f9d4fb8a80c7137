"""Supervised fine-tuning: the cross-entropy of verdict tokens.

Shape letters: B batch, T time, C chunks, D model, V vocabulary.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp


def sft_loss(
    model: Any, batch: Mapping[str, jax.Array], *, key: jax.Array | None, remat: str, chunk: int
) -> tuple[jax.Array, jax.Array]:
    """The summed, weighted loss of a batch and the sum of its weights; divide the two for the mean.

    Logits exist for `chunk` time steps at once and are made again in the backward pass, because those of a whole
    batch over a real vocabulary would not fit.

    Args:
        batch: as `reeval.data.batches.packed` gives, each [B, T] but for images.
        chunk: a divisor of T.
    """
    x_BTD = model.hidden(
        batch["tokens"],
        positions_BT=batch["positions"],
        segments_BT=batch["segments"],
        images=batch.get("images"),
        key=key,
        remat=remat,
    )

    @jax.checkpoint
    def chunk_loss(x_BTD: jax.Array, targets_BT: jax.Array, weights_BT: jax.Array) -> jax.Array:
        logits_BTV = model.logits(x_BTD)
        chosen_BT = jnp.take_along_axis(logits_BTV, targets_BT[..., None], axis=-1)[..., 0]
        return jnp.sum(weights_BT * (jax.nn.logsumexp(logits_BTV, axis=-1) - chosen_BT))

    def add(total: jax.Array, xs: Any) -> tuple[jax.Array, None]:
        return total + chunk_loss(*xs), None

    chunked = tuple(_chunks(x, chunk) for x in (x_BTD, batch["targets"], batch["weights"]))
    total, _ = jax.lax.scan(add, jnp.zeros((), jnp.float32), chunked)
    return total, jnp.sum(batch["weights"])


def _chunks(x: jax.Array, chunk: int) -> jax.Array:
    """[B, T, ...] -> [C, B, T/C, ...]."""
    batch, time = x.shape[:2]
    assert time % chunk == 0
    return jnp.moveaxis(x.reshape(batch, time // chunk, chunk, *x.shape[2:]), 1, 0)
