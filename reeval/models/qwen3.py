"""Qwen3, dense: a Flax NNX port with stacked, scanned layers.

Shape letters: B batch, T query time, S key time, D model, F hidden, N query heads, K key heads, H head size,
V vocabulary, L layers. Source of the architecture: arXiv 2505.09388 and transformers' Qwen3ForCausalLM.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from reeval.models.attention import KVCache, attend, write_cache
from reeval.models.layers import Einsum, Embed, RMSNorm, place, rope, segment_positions
from reeval.models.remat import checkpointed


@dataclasses.dataclass(frozen=True)
class Qwen3Config:
    """The shape of a Qwen3 model. `num_heads` is a multiple of `num_kv_heads`; `head_dim` is free of both."""

    vocab_size: int
    d_model: int
    hidden: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rope_theta: float
    norm_eps: float
    tied: bool


class Attention(nnx.Module):
    def __init__(self, c: Qwen3Config, *, dtype: Any, rngs: nnx.Rngs):
        D, N, K, H = c.d_model, c.num_heads, c.num_kv_heads, c.head_dim
        made: dict[str, Any] = {"dtype": dtype, "stack": c.num_layers, "rngs": rngs}
        self.q = Einsum("BTD,DNH->BTNH", (D, N, H), ("embed", "heads", "head_dim"), **made)
        self.k = Einsum("BTD,DKH->BTKH", (D, K, H), ("embed", "kv_heads", "head_dim"), **made)
        self.v = Einsum("BTD,DKH->BTKH", (D, K, H), ("embed", "kv_heads", "head_dim"), **made)
        self.o = Einsum("BTNH,NHD->BTD", (N, H, D), ("heads", "head_dim", "embed"), **made)
        self.q_norm = RMSNorm(H, axis="head_dim", eps=c.norm_eps, **made)
        self.k_norm = RMSNorm(H, axis="head_dim", eps=c.norm_eps, **made)
        self.theta, self.scale = c.rope_theta, H**-0.5

    def __call__(
        self,
        x_BTD: jax.Array,
        positions_BT: jax.Array,
        segments_BT: jax.Array | None,
        cache: tuple[jax.Array, jax.Array] | None,
        key: jax.Array | None,
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array] | None]:
        q_key, k_key, v_key, o_key = _split(key, 4)
        q_BTNH = rope(self.q_norm(self.q(x_BTD, q_key)), positions_BT, self.theta)
        k_BTKH = rope(self.k_norm(self.k(x_BTD, k_key)), positions_BT, self.theta)
        # From here on heads stand before time, as in the cache.
        k_BKTH, v_BKTH = (x.transpose(0, 2, 1, 3) for x in (k_BTKH, self.v(x_BTD, v_key)))
        if cache is None:
            out_BTNH = attend(q_BTNH, k_BKTH, v_BKTH, scale=self.scale, segments_BS=segments_BT)
        else:
            cache = write_cache(*cache, k_BKTH, v_BKTH, positions_BT)
            out_BTNH = attend(q_BTNH, *cache, scale=self.scale, query_index_BT=positions_BT)
        return self.o(out_BTNH, o_key), cache


class MLP(nnx.Module):
    def __init__(self, c: Qwen3Config, *, dtype: Any, rngs: nnx.Rngs):
        D, F = c.d_model, c.hidden
        made: dict[str, Any] = {"dtype": dtype, "stack": c.num_layers, "rngs": rngs}
        self.gate = Einsum("BTD,DF->BTF", (D, F), ("embed", "mlp"), **made)
        self.up = Einsum("BTD,DF->BTF", (D, F), ("embed", "mlp"), **made)
        self.down = Einsum("BTF,FD->BTD", (F, D), ("mlp", "embed"), **made)

    def __call__(self, x_BTD: jax.Array, key: jax.Array | None) -> jax.Array:
        gate_key, up_key, down_key = _split(key, 3)
        return self.down(jax.nn.silu(self.gate(x_BTD, gate_key)) * self.up(x_BTD, up_key), down_key)


class Layer(nnx.Module):
    """All layers at once when made, one of them when called (see `Qwen3._scan`)."""

    def __init__(self, c: Qwen3Config, *, dtype: Any, rngs: nnx.Rngs):
        norm: dict[str, Any] = {
            "axis": "embed_norm",
            "eps": c.norm_eps,
            "dtype": dtype,
            "stack": c.num_layers,
            "rngs": rngs,
        }
        self.attn_norm = RMSNorm(c.d_model, **norm)
        self.attn = Attention(c, dtype=dtype, rngs=rngs)
        self.mlp_norm = RMSNorm(c.d_model, **norm)
        self.mlp = MLP(c, dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x_BTD: jax.Array,
        positions_BT: jax.Array,
        segments_BT: jax.Array | None,
        cache: tuple[jax.Array, jax.Array] | None,
        key: jax.Array | None,
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array] | None]:
        attn_key, mlp_key = _split(key, 2)
        out_BTD, cache = self.attn(self.attn_norm(x_BTD), positions_BT, segments_BT, cache, attn_key)
        x_BTD = place(x_BTD + out_BTD, "batch", None, None)
        x_BTD = place(x_BTD + self.mlp(self.mlp_norm(x_BTD), mlp_key), "batch", None, None)
        return x_BTD, cache


class Qwen3(nnx.Module):
    """`model(tokens)` gives logits; `hidden`, `logits` and `extend` are its parts for training and decoding."""

    def __init__(self, config: Qwen3Config, *, dtype: Any = jnp.float32, rngs: nnx.Rngs):
        c = config
        self.config = c
        self.embed = Embed(c.vocab_size, c.d_model, dtype=dtype, rngs=rngs)
        self.layers = Layer(c, dtype=dtype, rngs=rngs)
        self.final_norm = RMSNorm(c.d_model, axis="embed_norm", eps=c.norm_eps, dtype=dtype, stack=None, rngs=rngs)
        if not c.tied:
            self.head = Einsum("BTD,DV->BTV", (c.d_model, c.vocab_size), ("embed", "vocab"), dtype=dtype, rngs=rngs)

    def __call__(
        self, tokens_BT: jax.Array, *, positions_BT: jax.Array | None = None, segments_BT: jax.Array | None = None
    ) -> jax.Array:
        """Logits of every token.

        Args:
            tokens_BT: [B, T] int32.
            positions_BT: [B, T] int32; by default counted from the start of each segment.
            segments_BT: [B, T] int32; tokens see earlier tokens of their own segment id alone. Padding and packed
                sequences are segments of their own (0 is padding by custom). By default all is one segment.
        Returns:
            [B, T, V] float32.
        """
        return self.logits(self.hidden(tokens_BT, positions_BT=positions_BT, segments_BT=segments_BT))

    def hidden(
        self,
        tokens_BT: jax.Array,
        *,
        positions_BT: jax.Array | None = None,
        segments_BT: jax.Array | None = None,
        key: jax.Array | None = None,
        remat: str = "none",
    ) -> jax.Array:
        """Normed last hidden states, [B, T, D]. `key` turns adapter dropout on; `remat` see `models.remat`."""
        if positions_BT is None:
            positions_BT = segment_positions(jnp.ones_like(tokens_BT) if segments_BT is None else segments_BT)
        x_BTD, _ = self._scan(tokens_BT, positions_BT, segments_BT, None, key, remat)
        return x_BTD

    def logits(self, x_BTD: jax.Array) -> jax.Array:
        """Vocabulary logits of hidden states: [B, T, D] -> [B, T, V] float32."""
        if self.config.tied:
            return self.embed.attend(x_BTD)
        return self.head(x_BTD, out_dtype=jnp.float32)

    def init_cache(self, batch: int, length: int) -> KVCache:
        """An empty cache for `batch` sequences of up to `length` tokens, in the dtype of the weights."""
        c = self.config
        shape = (c.num_layers, batch, c.num_kv_heads, length, c.head_dim)
        dtype = self.embed.embedding.dtype
        return KVCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))

    def extend(self, tokens_BT: jax.Array, positions_BT: jax.Array, cache: KVCache) -> tuple[jax.Array, KVCache]:
        """Hidden states of new tokens that continue the cached ones, and the cache with them.

        Args:
            tokens_BT: [B, T] int32.
            positions_BT: [B, T] int32, each token's place in its sequence, rising along T from the number of tokens
                cached so far; the cache's length or more for padding.
        """
        return self._scan(tokens_BT, positions_BT, None, cache, None, "none")

    def _scan(
        self,
        tokens_BT: jax.Array,
        positions_BT: jax.Array,
        segments_BT: jax.Array | None,
        cache: KVCache | None,
        key: jax.Array | None,
        remat: str,
    ) -> tuple[jax.Array, Any]:
        graph, stacked = nnx.split(self.layers)
        keys_L = None if key is None else jax.random.split(key, self.config.num_layers)

        def layer(x_BTD: jax.Array, xs: tuple[Any, Any, Any]) -> tuple[jax.Array, Any]:
            state, layer_cache, layer_key = xs
            return nnx.merge(graph, state)(x_BTD, positions_BT, segments_BT, layer_cache, layer_key)

        x_BTD = place(self.embed(tokens_BT), "batch", None, None)
        x_BTD, new_cache = jax.lax.scan(checkpointed(layer, remat), x_BTD, (stacked, cache and tuple(cache), keys_L))
        return self.final_norm(x_BTD), None if cache is None else KVCache(*new_cache)


def _split(key: jax.Array | None, n: int) -> Any:
    return (None,) * n if key is None else jax.random.split(key, n)
