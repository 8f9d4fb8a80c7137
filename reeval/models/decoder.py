"""What the causal language models share: grouped-query attention, the gated MLP, and the scan over stacked layers.

A port adds its layer, its embedding, and how far each layer sees. Shape letters: B batch, T query time, S key time,
D model, F hidden, N query heads, K key heads, H head size, V vocabulary, L layers.
"""

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from reeval.models.attention import KeyValues, Past, attend
from reeval.models.layers import Einsum, Embed, Turns, place, rope, segment_positions, turns, turns_once
from reeval.models.remat import checkpointed


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """The sizes that every port has. `num_heads` is a multiple of `num_kv_heads`; `head_dim` is free of both.

    Attributes:
        tied: whether the head is the embedding, transposed.
    """

    vocab_size: int
    d_model: int
    hidden: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    norm_eps: float
    tied: bool


class Reach(NamedTuple):
    """How a layer's attention tells positions apart and how far it sees; stacked [L, ...] for all layers.

    rope: which of the model's `rope_frequencies`, int32. window: in keys, None if it has no bound.
    """

    rope: jax.Array
    window: jax.Array | None = None


class Places(NamedTuple):
    """Where the tokens of a call stand, the same for every layer; see `attention.attend`.

    turns: by each of the model's `rope_frequencies`.
    """

    positions_BT: jax.Array
    turns: Turns
    segments_BT: jax.Array | None = None
    images_BT: jax.Array | None = None
    parents_BT: jax.Array | None = None


class Unstacked(NamedTuple):
    """Weights laid out to be read once for each token of an answer, where slices of a stack would be copies.

    head: the head in pieces of the vocabulary, one after the other, [D, v] each; None to read it where it is.
    """

    layers: list[nnx.State]
    head: list[jax.Array] | None


class Attention(nnx.Module):
    """Grouped-query attention with normed queries and keys."""

    def __init__(
        self,
        c: DecoderConfig,
        norm: Callable[..., Any],
        *,
        scale: float,
        windows: tuple[int, ...] = (),
        dtype: Any,
        rngs: nnx.Rngs,
    ):
        """`windows`: what `Reach.window` of a layer may be, see `attention.attend`."""
        D, N, K, H = c.d_model, c.num_heads, c.num_kv_heads, c.head_dim
        made: dict[str, Any] = {"dtype": dtype, "stack": c.num_layers, "rngs": rngs}
        self.q = Einsum("BTD,DNH->BTNH", (D, N, H), ("embed", "heads", "head_dim"), **made)
        self.k = Einsum("BTD,DKH->BTKH", (D, K, H), ("embed", "kv_heads", "head_dim"), **made)
        self.v = Einsum("BTD,DKH->BTKH", (D, K, H), ("embed", "kv_heads", "head_dim"), **made)
        self.o = Einsum("BTNH,NHD->BTD", (N, H, D), ("heads", "head_dim", "embed"), **made)
        self.q_norm = norm(H, axis="head_dim", eps=c.norm_eps, **made)
        self.k_norm = norm(H, axis="head_dim", eps=c.norm_eps, **made)
        self.scale, self.windows = scale, windows

    def __call__(
        self, x_BTD: jax.Array, places: Places, reach: Reach, past: Sequence[Past] | None, key: jax.Array | None
    ) -> tuple[jax.Array, KeyValues | None]:
        """The output, and the keys and values of these tokens unless `past` is None."""
        q_key, k_key, v_key, o_key = split(key, 4)
        turned = Turns(*(each_FBTH[reach.rope] for each_FBTH in places.turns))
        q_BTNH = rope(self.q_norm(self.q(x_BTD, q_key)), turned)
        k_BTKH = rope(self.k_norm(self.k(x_BTD, k_key)), turned)
        # From here on heads stand before time, as in the past.
        k_BKTH, v_BKTH = (x.transpose(0, 2, 1, 3) for x in (k_BTKH, self.v(x_BTD, v_key)))
        out_BTNH = attend(
            q_BTNH,
            k_BKTH,
            v_BKTH,
            scale=self.scale,
            segments_BS=places.segments_BT,
            parents_BS=places.parents_BT,
            window=reach.window,
            windows=self.windows,
            images_BS=places.images_BT,
            past=past or (),
            positions_BT=places.positions_BT,
        )
        return self.o(out_BTNH, o_key), None if past is None else KeyValues(k_BKTH, v_BKTH)


class MLP(nnx.Module):
    """Two projections up, one of them through `activation`, and one down."""

    def __init__(self, c: DecoderConfig, activation: Callable[[jax.Array], jax.Array], *, dtype: Any, rngs: nnx.Rngs):
        D, F = c.d_model, c.hidden
        made: dict[str, Any] = {"dtype": dtype, "stack": c.num_layers, "rngs": rngs}
        self.gate = Einsum("BTD,DF->BTF", (D, F), ("embed", "mlp"), **made)
        self.up = Einsum("BTD,DF->BTF", (D, F), ("embed", "mlp"), **made)
        self.down = Einsum("BTF,FD->BTD", (F, D), ("mlp", "embed"), **made)
        self.activation = activation

    def __call__(self, x_BTD: jax.Array, key: jax.Array | None) -> jax.Array:
        gate_key, up_key, down_key = split(key, 3)
        return self.down(self.activation(self.gate(x_BTD, gate_key)) * self.up(x_BTD, up_key), down_key)


class Decoder(nnx.Module):
    """`model(tokens)` gives logits; `hidden`, `logits` and `extend` are its parts for training and decoding."""

    def __init__(self, config: Any, layer: Callable[..., Any], norm: Callable[..., Any], *, dtype: Any, rngs: nnx.Rngs):
        c: DecoderConfig = config
        self.config = config
        self.embed = Embed(c.vocab_size, c.d_model, dtype=dtype, rngs=rngs)
        self.layers = layer(config, dtype=dtype, rngs=rngs)
        self.final_norm = norm(c.d_model, axis="embed_norm", eps=c.norm_eps, dtype=dtype, stack=None, rngs=rngs)
        if not c.tied:
            self.head = Einsum("BTD,DV->BTV", (c.d_model, c.vocab_size), ("embed", "vocab"), dtype=dtype, rngs=rngs)

    @abc.abstractmethod
    def rope_frequencies(self) -> jax.Array:
        """The different `layers.frequencies` that layers have, [F, H/2]. A port says it."""

    @abc.abstractmethod
    def reach(self) -> Reach:
        """Of all layers, stacked. A port says it."""

    def places(
        self, positions_BT: jax.Array, segments_BT: jax.Array | None = None, images_BT: jax.Array | None = None
    ) -> Places:
        """Of these tokens, as layers take it."""
        return Places(positions_BT, turns(positions_BT, self.rope_frequencies()), segments_BT, images_BT)

    def inputs(self, tokens_BT: jax.Array, images: jax.Array | None) -> tuple[jax.Array, jax.Array | None]:
        """What enters the first layer, [B, T, D], and which image each token belongs to (None: there are none)."""
        assert images is None, "this model has no vision tower"
        return self.embed(tokens_BT), None

    def __call__(
        self,
        tokens_BT: jax.Array,
        *,
        positions_BT: jax.Array | None = None,
        segments_BT: jax.Array | None = None,
        images: jax.Array | None = None,
    ) -> jax.Array:
        """Logits of every token.

        Args:
            tokens_BT: [B, T] int32.
            positions_BT: [B, T] int32; by default counted from the start of each segment.
            segments_BT: [B, T] int32; tokens see earlier tokens of their own segment id alone. Padding and packed
                sequences are segments of their own (0 is padding by custom). By default all is one segment.
            images: [B, I, C, S, S], for a model that has a vision tower, see `models.medgemma`.
        Returns:
            [B, T, V] float32.
        """
        return self.logits(self.hidden(tokens_BT, positions_BT=positions_BT, segments_BT=segments_BT, images=images))

    def hidden(
        self,
        tokens_BT: jax.Array,
        *,
        positions_BT: jax.Array | None = None,
        segments_BT: jax.Array | None = None,
        parents_BT: jax.Array | None = None,
        images: jax.Array | None = None,
        key: jax.Array | None = None,
        remat: str = "none",
    ) -> jax.Array:
        """Normed last hidden states, [B, T, D].

        Args:
            parents_BT: the segment that each token's own continues, its own if there is none; needs `positions_BT`.
            key: turns adapter dropout on.
            remat: see `models.remat`.
        """
        if positions_BT is None:
            positions_BT = segment_positions(jnp.ones_like(tokens_BT) if segments_BT is None else segments_BT)
        x_BTD, images_BT = self.inputs(tokens_BT, images)
        places = self.places(positions_BT, segments_BT, images_BT)._replace(parents_BT=parents_BT)
        x_BTD, _ = self._scan(x_BTD, places, None, key, remat)
        return x_BTD

    def logits(self, x_BTD: jax.Array) -> jax.Array:
        """Vocabulary logits of hidden states: [B, T, D] -> [B, T, V] float32."""
        return unembed(self.head_module(), x_BTD)

    def head_module(self) -> Embed | Einsum:
        """What makes logits, see `unembed`."""
        return self.embed if self.config.tied else self.head

    def logit_pieces(self, x_BTD: jax.Array, unstacked: Unstacked) -> list[jax.Array]:
        """`logits` in pieces of the vocabulary, one after the other, [B, T, v] each."""
        if unstacked.head is None:
            return [self.logits(x_BTD)]
        return [jnp.einsum("BTD,DV->BTV", x_BTD, w, preferred_element_type=jnp.float32) for w in unstacked.head]

    def extend(
        self,
        tokens_BT: jax.Array,
        positions_BT: jax.Array,
        past: Sequence[Sequence[Past]] | None = None,
        *,
        segments_BT: jax.Array | None = None,
        parents_BT: jax.Array | None = None,
        images: jax.Array | None = None,
        unstacked: Unstacked | None = None,
    ) -> tuple[jax.Array, list[KeyValues]]:
        """Hidden states of tokens that continue what is known of them, and each layer's keys and values of them.

        Args:
            tokens_BT, segments_BT, images: as in `__call__`; the tokens of one image come in one call.
            positions_BT: [B, T] int32, each token's place in its sequence, one after the other within a segment.
            parents_BT: [B, T] int32, the segment before each token's own that it continues, its own if there is none.
            past: for each layer what the tokens see beside each other; None if that is nothing.
            unstacked: these weights layer by layer, for calls of few tokens. It takes longer to compile.
        Returns:
            [B, T, D], and [B, K, T, H] of each layer.
        """
        x_BTD, images_BT = self.inputs(tokens_BT, images)
        places = self.places(positions_BT, segments_BT, images_BT)._replace(parents_BT=parents_BT)
        L = self.config.num_layers
        past = past or [()] * L
        if unstacked is None:
            stacked = jax.tree.map(lambda *each: jnp.stack(each), *past)
            x_BTD, new = self._scan(x_BTD, places, stacked, None, "none")
            return x_BTD, [jax.tree.map(lambda x, n=n: x[n], new) for n in range(L)]
        places = places._replace(turns=turns_once(positions_BT, self.rope_frequencies()))
        x_BTD, made = place(x_BTD, "batch", None, None), []
        graph, reach = nnx.graphdef(self.layers), self.reach()
        for n in range(L):
            layer = nnx.merge(graph, unstacked.layers[n])
            x_BTD, new = layer(x_BTD, places, jax.tree.map(lambda x, n=n: x[n], reach), past[n], None)
            made.append(new)
        return self.final_norm(x_BTD), made

    def unstacked(self, *, piece: int | None = None) -> Unstacked:
        """The weights as `extend` and `logit_pieces` take them to decode.

        Args:
            piece: lay the head out anew in pieces of about as many tokens; None not to.
        """
        stacked = nnx.state(self.layers)
        layers = [jax.tree.map(lambda x, n=n: x[n], stacked) for n in range(self.config.num_layers)]
        if piece is None:
            return Unstacked(layers, None)
        head_DV = self.embed.embedding[...].T if self.config.tied else self.head.w[...]
        size = -(-head_DV.shape[1] // -(-head_DV.shape[1] // piece))
        return Unstacked(layers, [head_DV[:, start : start + size] for start in range(0, head_DV.shape[1], size)])

    def _scan(
        self, x_BTD: jax.Array, places: Places, past: Sequence[Past] | None, key: jax.Array | None, remat: str
    ) -> tuple[jax.Array, Any]:
        """`past` is stacked [L, ...], and so is what comes back of these tokens' keys and values."""
        graph, stacked = nnx.split(self.layers)
        keys_L = None if key is None else jax.random.split(key, self.config.num_layers)

        def layer(x_BTD: jax.Array, xs: tuple[Any, Any, Any, Any]) -> tuple[jax.Array, Any]:
            state, reach, layer_past, layer_key = xs
            return nnx.merge(graph, state)(x_BTD, places, reach, layer_past, layer_key)

        x_BTD = place(x_BTD, "batch", None, None)
        x_BTD, new = jax.lax.scan(checkpointed(layer, remat), x_BTD, (stacked, self.reach(), past, keys_L))
        return self.final_norm(x_BTD), new


def unembed(head: Embed | Einsum, x_BTD: jax.Array) -> jax.Array:
    """Vocabulary logits by a model's head, which may be its embedding: [B, T, D] -> [B, T, V] float32."""
    return head.attend(x_BTD) if isinstance(head, Embed) else head(x_BTD, out_dtype=jnp.float32)


def split(key: jax.Array | None, n: int) -> Any:
    """`n` keys of one, or as many Nones."""
    return (None,) * n if key is None else jax.random.split(key, n)
