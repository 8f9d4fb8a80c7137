"""Qwen3, dense: a Flax NNX port with stacked, scanned layers.

Shape letters: B batch, T query time, D model, H head size, L layers. Source of the architecture: arXiv 2505.09388 and
transformers' Qwen3ForCausalLM.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from reeval.models.attention import KeyValues, Past
from reeval.models.decoder import MLP, Attention, Decoder, DecoderConfig, Places, Reach, split
from reeval.models.layers import RMSNorm, frequencies, place


@dataclasses.dataclass(frozen=True)
class Qwen3Config(DecoderConfig):
    """The shape of a Qwen3 model."""

    rope_theta: float


class Layer(nnx.Module):
    """All layers at once when made, one of them when called (see `Decoder._scan`)."""

    def __init__(self, c: Qwen3Config, *, dtype: Any, rngs: nnx.Rngs):
        made: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        norm: dict[str, Any] = made | {"axis": "embed_norm", "eps": c.norm_eps, "stack": c.num_layers}
        self.attn_norm = RMSNorm(c.d_model, **norm)
        self.attn = Attention(c, RMSNorm, scale=c.head_dim**-0.5, **made)
        self.mlp_norm = RMSNorm(c.d_model, **norm)
        self.mlp = MLP(c, jax.nn.silu, **made)

    def __call__(
        self, x_BTD: jax.Array, places: Places, reach: Reach, past: Sequence[Past] | None, key: jax.Array | None
    ) -> tuple[jax.Array, KeyValues | None]:
        attn_key, mlp_key = split(key, 2)
        out_BTD, new = self.attn(self.attn_norm(x_BTD), places, reach, past, attn_key)
        x_BTD = place(x_BTD + out_BTD, "batch", None, None)
        x_BTD = place(x_BTD + self.mlp(self.mlp_norm(x_BTD), mlp_key), "batch", None, None)
        return x_BTD, new


class Qwen3(Decoder):
    """See `Decoder` for its calls."""

    def __init__(self, config: Qwen3Config, *, dtype: Any = jnp.float32, rngs: nnx.Rngs):
        super().__init__(config, Layer, RMSNorm, dtype=dtype, rngs=rngs)

    def rope_frequencies(self) -> jax.Array:
        return frequencies(self.config.rope_theta, self.config.head_dim)[None]

    def reach(self) -> Reach:
        return Reach(jnp.zeros(self.config.num_layers, jnp.int32))
