"""Gemma 3's decoder: a Flax NNX port with stacked, scanned layers; whether a layer is local or global is data.

Shape letters: B batch, T query time, D model, H head size, L layers. Source of the architecture: arXiv 2503.19786 and
transformers' Gemma3ForCausalLM.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from reeval.models.attention import KeyValues, Past
from reeval.models.decoder import MLP, Attention, Decoder, DecoderConfig, Places, Reach, split
from reeval.models.layers import frequencies, param, place

# A window that no sequence fills, for the layers that have none.
_UNBOUNDED = 2**30


class Rope(NamedTuple):
    """Rotary position embedding of base `theta` at positions divided by `factor`."""

    theta: float
    factor: float = 1.0


@dataclasses.dataclass(frozen=True)
class Gemma3Config(DecoderConfig):
    """The shape of a Gemma 3 decoder.

    Attributes:
        query_scale: what attention's logits are multiplied by.
        windows: for each layer how many keys a query sees, itself included; None if all.
        local_rope: of the layers that have a window.
        global_rope: of the others.
    """

    query_scale: float
    windows: tuple[int | None, ...]
    local_rope: Rope
    global_rope: Rope


class Norm(nnx.Module):
    """Root-mean-square norm over the last axis, times (1 + scale), all in float32 and rounded at the end."""

    def __init__(self, size: int, *, axis: str, eps: float, dtype: Any, stack: int | None, rngs: nnx.Rngs):
        self.scale = param(rngs, (size,), (axis,), dtype=dtype, stack=stack, stddev=0.0)
        self.eps = eps

    def __call__(self, x: jax.Array) -> jax.Array:
        x32 = x.astype(jnp.float32)
        x32 = x32 * jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + self.eps)
        scale = 1.0 + self.scale[...].astype(jnp.float32)
        return (x32 * scale.reshape(*(1,) * (x.ndim - 1), -1)).astype(x.dtype)


def _bounds(c: Gemma3Config) -> tuple[int, ...]:
    """The window of each layer, as a number for all."""
    return tuple(window or _UNBOUNDED for window in c.windows)


def _gelu(x: jax.Array) -> jax.Array:
    return jax.nn.gelu(x, approximate=True)


class Layer(nnx.Module):
    """All layers at once when made, one of them when called (see `Decoder._scan`)."""

    def __init__(self, c: Gemma3Config, *, dtype: Any, rngs: nnx.Rngs):
        made: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        norm: dict[str, Any] = made | {"axis": "embed_norm", "eps": c.norm_eps, "stack": c.num_layers}
        self.attn_norm = Norm(c.d_model, **norm)
        self.attn = Attention(c, Norm, scale=c.query_scale, windows=_bounds(c), **made)
        self.post_attn_norm = Norm(c.d_model, **norm)
        self.mlp_norm = Norm(c.d_model, **norm)
        self.mlp = MLP(c, _gelu, **made)
        self.post_mlp_norm = Norm(c.d_model, **norm)

    def __call__(
        self, x_BTD: jax.Array, places: Places, reach: Reach, past: Sequence[Past] | None, key: jax.Array | None
    ) -> tuple[jax.Array, KeyValues | None]:
        attn_key, mlp_key = split(key, 2)
        out_BTD, new = self.attn(self.attn_norm(x_BTD), places, reach, past, attn_key)
        x_BTD = place(x_BTD + self.post_attn_norm(out_BTD), "batch", None, None)
        out_BTD = self.mlp(self.mlp_norm(x_BTD), mlp_key)
        x_BTD = place(x_BTD + self.post_mlp_norm(out_BTD), "batch", None, None)
        return x_BTD, new


class Gemma3(Decoder):
    """See `Decoder` for its calls."""

    def __init__(self, config: Gemma3Config, *, dtype: Any = jnp.float32, rngs: nnx.Rngs):
        assert len(config.windows) == config.num_layers
        super().__init__(config, Layer, Norm, dtype=dtype, rngs=rngs)

    def rope_frequencies(self) -> jax.Array:
        c = self.config
        return jnp.stack([frequencies(rope.theta, c.head_dim) / rope.factor for rope in (c.local_rope, c.global_rope)])

    def reach(self) -> Reach:
        windows = self.config.windows
        return Reach(
            jnp.asarray([int(window is None) for window in windows], jnp.int32),
            jnp.asarray(_bounds(self.config), jnp.int32),
        )

    def inputs(self, tokens_BT: jax.Array, images: jax.Array | None) -> tuple[jax.Array, jax.Array | None]:
        x_BTD, images_BT = super().inputs(tokens_BT, images)
        # The factor is rounded to the weights' dtype, as the model was trained.
        return x_BTD * jnp.asarray(self.config.d_model**0.5, x_BTD.dtype), images_BT
