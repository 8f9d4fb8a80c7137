"""Frozen projections as int8 with a float32 scale for each layer and output channel, by the library qwix.

Weights only: a layer's are unpacked where they multiply, and again on the way back, so that never more than one
layer's exist at once. Embeddings, the head, norms and what sees images stay as they are: small, or felt by every token.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from reeval.models.layers import Einsum


def chosen(model: nnx.Module) -> dict[str, Einsum]:
    """The projections of the decoder's stacked layers, by dotted path."""
    return {
        ".".join(map(str, path)): module
        for path, module in nnx.iter_modules(model)
        if isinstance(module, Einsum) and path[0] == "layers"
    }


def quantized(einsum: Einsum, w: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A projection's weight as int8 and its scale, which has 1 for each contracted axis.

    Raises:
        ValueError: if qwix is missing.
    """
    qwix = _qwix()
    letters = einsum.equation.split("->")[0].split(",")[1]
    kept = [n for n, letter in enumerate(letters, start=1) if letter in einsum.equation.split("->")[1]]
    # In float32: bfloat16 quotients would be rounded before they are rounded to whole numbers.
    made = qwix.quantize(w.astype(jnp.float32), jnp.int8, channelwise_axes=(0, *kept))
    return made.qvalue, made.scale


def fit(einsum: Einsum, w: Any, scale: Any) -> None:
    """Give a projection the two that `quantized` made of its weight."""
    axes = einsum.w.get_metadata("axes")
    einsum.w, einsum.scale = nnx.Param(w, axes=axes), nnx.Param(scale, axes=axes)


def quantize(model: nnx.Module) -> None:
    """All that `chosen` names, in place; the model may be abstract, under `nnx.eval_shape`."""
    for einsum in chosen(model).values():
        fit(einsum, *quantized(einsum, einsum.w[...]))


def _qwix() -> Any:
    try:
        import qwix
    except ModuleNotFoundError:
        raise ValueError("config.model.quantized='int8' needs qwix: pip install 'reeval[int8]'") from None
    return qwix
