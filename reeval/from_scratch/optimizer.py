"""Muon for the matrices of the blocks, Adam for embeddings, norms and the tagging head, under one schedule.

Layers are stacked, and attention weights have their heads on an axis of their own: each projection says which
of its axes are inputs and which are outputs, and the layers are orthogonalised one by one.
"""

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import optax
from optax.contrib import MuonDimensionNumbers, muon

# [L, in, out] by the name's end; letters as in reeval.models.qwen3.
_DIMENSIONS = {
    "attn.q.w": MuonDimensionNumbers(1, (2, 3)),
    "attn.k.w": MuonDimensionNumbers(1, (2, 3)),
    "attn.v.w": MuonDimensionNumbers(1, (2, 3)),
    "attn.o.w": MuonDimensionNumbers((1, 2), 3),
    "mlp.gate.w": MuonDimensionNumbers(1, 2),
    "mlp.up.w": MuonDimensionNumbers(1, 2),
    "mlp.down.w": MuonDimensionNumbers(1, 2),
}


def schedule(steps: int, warmup: float) -> optax.Schedule:
    """Linear up over the share `warmup` of the steps, then linear down to 0 at the last."""

    def scale(count: Any) -> Any:
        progress = (count + 1) / steps
        return jnp.minimum(progress / warmup, jnp.maximum(1.0 - progress, 0.0) / (1.0 - warmup))

    return scale


def make_optimizer(
    params: Iterable[str], scale: optax.Schedule, *, muon_rate: float, adam_rate: float
) -> optax.GradientTransformation:
    """Over parameters of these dotted names; `scale` is what both rates are multiplied with."""
    numbers = {name: _DIMENSIONS.get(name.removeprefix("judge.layers.")) for name in params}
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        muon(
            muon_rate,
            adam_learning_rate=adam_rate,
            adam_b2=0.99,
            muon_weight_dimension_numbers=lambda _: numbers,
        ),
        optax.scale_by_schedule(scale),
    )
