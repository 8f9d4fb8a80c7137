"""Muon for the matrices of the blocks, Adam for embeddings, norms and the tagging head.

Layers are stacked, and attention weights have their heads on an axis of their own: each projection says which
of its axes are inputs and which are outputs, and the layers are orthogonalised one by one.
"""

from collections.abc import Mapping

import jax
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


def make_optimizer(
    params: Mapping[str, jax.Array], *, muon_rate: float, adam_rate: float
) -> optax.GradientTransformation:
    """Over parameters by dotted name, at constant rates: the step scales the updates by its schedule."""
    numbers = {name: _DIMENSIONS.get(name.removeprefix("layers.")) for name in params}
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        muon(
            muon_rate,
            adam_learning_rate=adam_rate,
            adam_b2=0.99,
            muon_weight_dimension_numbers=lambda _: numbers,
        ),
    )
