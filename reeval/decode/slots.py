"""The device's side of scoring: slots that decode together, and what fills them.

A slot holds one conversation. The keys and values of the prefix that all prompts share are held once; a slot's cache
holds what follows. The last token of a prompt is never prefilled: the decode loop feeds it, as it feeds any other.

Shape letters: B slots, R rows of a prefill, T tokens of a row, P prefix tokens, S a slot's own tokens, K key heads,
H head size, L layers, V vocabulary, C classes of tokens, W tokens that can decide a severity.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from reeval import sharding
from reeval.decode.choose import Tables, choose
from reeval.models.attention import KeyValues, Past
from reeval.models.decoder import Unstacked
from reeval.models.layers import place

# What stands for "no token" in what `decode` gives.
NOTHING = -1
# Tokens of the vocabulary whose logits are computed together on a CPU.
_PIECE = 2**14
_AXES = ("batch", "kv_heads", None, None)
# For each layer, laid out as in a `Past`.
Cache = tuple[KeyValues, ...]


class Slots(NamedTuple):
    """Where all conversations stand, on the device; int32 where nothing else is said.

    cache: keys [B, K, H, S], values [B, K, S, H]. length_B: tokens in it. start_B: the position of its first one, which
    is how many tokens of the prefix are the slot's. token_B: the newest token, not in the cache yet. state_B: of the
    grammar. left_B: tokens that the answer may still have, its end counted. active_B: bool. seed_B2: uint32.
    """

    cache: Cache
    length_B: jax.Array
    start_B: jax.Array
    token_B: jax.Array
    state_B: jax.Array
    left_B: jax.Array
    active_B: jax.Array
    seed_B2: jax.Array


class Starts(NamedTuple):
    """Turns that begin: for each slot whether one does (fresh_B), and where it then stands (see `Slots`)."""

    fresh_B: Any
    length_B: Any
    start_B: Any
    token_B: Any
    state_B: Any
    seed_B2: Any


class Rows(NamedTuple):
    """Tokens to prefill, int32 [R, T]: packed, each with its place.

    positions_RT: in its conversation. segments_RT: from 1, 0 for padding. parents_RT: the segment that a token's own
    continues, its own if there is none. start_RT: how many tokens of the prefix it sees.
    """

    tokens_RT: Any
    positions_RT: Any
    segments_RT: Any
    parents_RT: Any
    start_RT: Any


class Writes(NamedTuple):
    """Where the keys and values of prefilled tokens go, int32 [R, T]; an index of S or more where they do not."""

    slot_RT: Any
    index_RT: Any


class Made(NamedTuple):
    """What K steps made: tokens_BK, NOTHING where a slot made none; odds_BK float32, see `choose`; steps made."""

    tokens_BK: Any
    odds_BK: Any
    steps: Any


class Programs:
    """The functions that run on the device, pure and not compiled; `prefix` is None in them if there is none."""

    def __init__(self, graph: nnx.GraphDef, mesh: Mesh, *, end: int, answer: int, wait_every: int, temperature: float):
        """`answer`: tokens of one answer at most, its end counted; `wait_every`: steps of one `decode`."""
        self.graph, self.mesh, self.end = graph, mesh, end
        self.answer, self.wait_every, self.temperature = answer, wait_every, temperature
        self.on_cpu = mesh.devices.flat[0].platform == "cpu"

    def unstacked(self, weights: nnx.State) -> Unstacked:
        """The weights as `decode` takes them."""
        # A CPU multiplies by a matrix that is not transposed faster, and chooses faster from logits in its cache.
        return nnx.merge(self.graph, weights).unstacked(piece=_PIECE if self.on_cpu else None)

    def prefix(self, weights: nnx.State, tokens_P: jax.Array) -> Cache:
        """The prefix's keys [K, H, P] and values [K, P, H]."""
        with sharding.activations(self.mesh):
            positions_1P = jnp.arange(tokens_P.shape[0], dtype=jnp.int32)[None]
            _, new = nnx.merge(self.graph, weights).extend(tokens_P[None], positions_1P)
            return tuple(_placed(KeyValues(kv.k[0].swapaxes(1, 2), kv.v[0]), _AXES[1:]) for kv in new)

    def prefill(
        self, weights: nnx.State, prefix: Cache | None, rows: Rows, images: jax.Array | None, unstacked: Unstacked
    ) -> Cache:
        """Keys [R, K, H, T] and values [R, K, T, H] of packed prompts. `images`: [R, 1, C, side, side]."""
        with sharding.activations(self.mesh):
            past = _past(prefix, rows.start_RT)
            model = nnx.merge(self.graph, weights)
            _, new = model.extend(
                rows.tokens_RT,
                rows.positions_RT,
                past,
                segments_BT=rows.segments_RT,
                parents_BT=rows.parents_RT,
                images=images,
                # Of so few tokens the copies from a stack take a tenth of the time; elsewhere compiling counts.
                unstacked=unstacked if self.on_cpu else None,
            )
            return _turned(new)

    def go_on(self, weights: nnx.State, prefix: Cache | None, rows: Rows, slots: Slots, slot_R: jax.Array) -> Cache:
        """As `prefill`, of rows that each continue the cache of slot `slot_R`."""
        with sharding.activations(self.mesh):
            # Padding rows see whatever lies in slot 0, and leave no trace.
            own = [_placed(KeyValues(kv.k[slot_R], kv.v[slot_R])) for kv in slots.cache]
            start_R1, count_R1 = slots.start_B[slot_R][:, None], slots.length_B[slot_R][:, None]
            past = _past(prefix, start_R1, (own, start_R1, count_R1))
            model = nnx.merge(self.graph, weights)
            _, new = model.extend(rows.tokens_RT, rows.positions_RT, past, segments_BT=rows.segments_RT)
            return _turned(new)

    def decode(
        self,
        weights: nnx.State,
        slots: Slots,
        prefix: Cache | None,
        unstacked: Unstacked,
        tables: Tables,
    ) -> tuple[Slots, Made]:
        """`wait_every` steps, or fewer if no slot is active any more."""
        B, W, cache = slots.token_B.shape[0], self.wait_every, slots.cache
        model = nnx.merge(self.graph, weights)
        # What was there before is only read. What is new goes into buffers of its own, where all slots write at one
        # place, and into the cache at the end.
        at_B, start_B1, length_B1 = slots.length_B, slots.start_B[:, None], slots.length_B[:, None]

        def step(carry: tuple[Slots, Cache, Made]) -> tuple[Slots, Cache, Made]:
            slots, newer, made = carry
            position_B1 = start_B1 + slots.length_B[:, None]
            past = _past(
                prefix, start_B1, (cache, start_B1, length_B1), (newer, start_B1 + length_B1, made.steps[None, None])
            )
            x_B1D, new = model.extend(slots.token_B[:, None], position_B1, past, unstacked=unstacked)
            choice = choose(
                tables,
                [logits_B1V[:, 0] for logits_B1V in model.logit_pieces(x_B1D, unstacked)],
                slots.state_B,
                slots.left_B,
                slots.seed_B2,
                position_B1[:, 0],
                temperature=self.temperature,
            )
            left_B = slots.left_B - 1
            newer = tuple(_at_column(kv, more, made.steps) for kv, more in zip(newer, new, strict=True))
            made = Made(
                made.tokens_BK.at[:, made.steps].set(jnp.where(slots.active_B, choice.token_B, NOTHING)),
                made.odds_BK.at[:, made.steps].set(choice.odds_B),
                made.steps + 1,
            )
            slots = slots._replace(
                length_B=slots.length_B + slots.active_B,
                token_B=choice.token_B,
                state_B=choice.state_B,
                left_B=left_B,
                active_B=slots.active_B & (choice.token_B != self.end) & (left_B > 0),
            )
            return slots, newer, made

        def unfinished(carry: tuple[Slots, Cache, Made]) -> jax.Array:
            slots, _, made = carry
            return (made.steps < W) & jnp.any(slots.active_B)

        with sharding.activations(self.mesh):
            nothing = Made(
                jnp.full((B, W), NOTHING, jnp.int32), jnp.full((B, W), jnp.nan, jnp.float32), jnp.zeros((), jnp.int32)
            )
            start = (slots._replace(cache=()), _room(cache, W), nothing)
            slots, newer, made = jax.lax.while_loop(unfinished, step, start)
            index_BW = at_B[:, None] + jnp.arange(W, dtype=jnp.int32)[None]
            index_BW = jnp.where(index_BW < slots.length_B[:, None], index_BW, cache[0].v.shape[2])
            slot_B1 = jnp.arange(B, dtype=jnp.int32)[:, None]
            cache = tuple(written(old, more, slot_B1, index_BW) for old, more in zip(cache, newer, strict=True))
            return slots._replace(cache=tuple(map(_placed, cache))), made

    def begun(self, slots: Slots, starts: Starts) -> Slots:
        """With turns that begin; the cache is not touched, and need not be given."""

        def chosen(new: Any, old: jax.Array) -> jax.Array:
            return jnp.where(starts.fresh_B.reshape(-1, *(1,) * (old.ndim - 1)), new, old)

        return slots._replace(
            length_B=chosen(starts.length_B, slots.length_B),
            start_B=chosen(starts.start_B, slots.start_B),
            token_B=chosen(starts.token_B, slots.token_B),
            state_B=chosen(starts.state_B, slots.state_B),
            left_B=chosen(self.answer, slots.left_B),
            active_B=slots.active_B | starts.fresh_B,
            seed_B2=chosen(starts.seed_B2, slots.seed_B2),
        )


def empty(config: Any, dtype: Any, slots: int, length: int) -> Slots:
    """Slots that nothing is in, with room for `length` tokens each."""
    K, H = config.num_kv_heads, config.head_dim

    def zeros() -> jax.Array:
        return jnp.zeros(slots, jnp.int32)

    def layer() -> KeyValues:
        return KeyValues(jnp.zeros((slots, K, H, length), dtype), jnp.zeros((slots, K, length, H), dtype))

    cache = tuple(layer() for _ in range(config.num_layers))
    active_B, seed_B2 = jnp.zeros(slots, bool), jnp.zeros((slots, 2), jnp.uint32)
    return Slots(cache, zeros(), zeros(), zeros(), zeros(), zeros(), active_B, seed_B2)


def shardings(mesh: Mesh, slots: Slots) -> Slots:
    """Of each array of `slots`, which may be abstract."""
    return jax.tree.map(
        lambda x: sharding.place(mesh, _AXES if x.ndim == 4 else _AXES[:1] + (None,) * (x.ndim - 1), x.shape), slots
    )


def _past(prefix: Cache | None, count_BT: jax.Array, *others: tuple[Any, jax.Array, jax.Array]) -> list[list[Past]]:
    """What each layer's attention sees: the first `count_BT` tokens of the prefix, and others: of all layers, where
    they start, and how many."""
    zero_11 = jnp.zeros((1, 1), jnp.int32)
    all_layers = [*([] if prefix is None else [(prefix, zero_11, count_BT)]), *others]
    pasts = [[Past(kv, start, count) for kv in layers] for layers, start, count in all_layers]
    return [list(each) for each in zip(*pasts, strict=True)]


def grown(kv: KeyValues, *, length: int) -> KeyValues:
    """One layer of a cache with room for `length` tokens."""
    more = length - kv.v.shape[2]
    return KeyValues(
        jnp.pad(kv.k, [(0, 0), (0, 0), (0, 0), (0, more)]), jnp.pad(kv.v, [(0, 0), (0, 0), (0, more), (0, 0)])
    )


def written(old: KeyValues, new: KeyValues, slot_RT: jax.Array, index_RT: jax.Array) -> KeyValues:
    """One layer of a cache with new entries, keys [R, K, H, T] and values [R, K, T, H], at their slots and indexes.

    Those beyond S are dropped.
    """
    _, K, H, _ = old.k.shape
    # An index for each axis up to that of tokens: XLA turns a cache around, twice, where one between is left out.
    heads_K, sizes_H = (
        jnp.arange(K, dtype=jnp.int32)[None, :, None],
        jnp.arange(H, dtype=jnp.int32)[None, None, :, None],
    )
    at_v = (slot_RT[:, None], heads_K, index_RT[:, None])
    at_k = (slot_RT[:, None, None], heads_K[..., None], sizes_H, index_RT[:, None, None])
    k = old.k.at[at_k].set(new.k.astype(old.k.dtype), mode="drop")
    return KeyValues(k, old.v.at[at_v].set(new.v.astype(old.v.dtype), mode="drop"))


def _room(cache: Cache, W: int) -> Cache:
    """Room for W tokens more in each slot, laid out as in a `Past`."""
    B, K, _, H = cache[0].v.shape
    dtype = cache[0].v.dtype
    return tuple(_placed(KeyValues(jnp.zeros((B, K, H, W), dtype), jnp.zeros((B, K, W, H), dtype))) for _ in cache)


def _at_column(kv: KeyValues, new: KeyValues, column: jax.Array) -> KeyValues:
    """What `_room` gave with one token of each slot, [B, K, 1, H], at a column."""
    k = jax.lax.dynamic_update_slice_in_dim(kv.k, new.k.swapaxes(2, 3).astype(kv.k.dtype), column, axis=3)
    v = jax.lax.dynamic_update_slice_in_dim(kv.v, new.v.astype(kv.v.dtype), column, axis=2)
    return _placed(KeyValues(k, v))


def _turned(new: Sequence[KeyValues]) -> Cache:
    """Keys and values of new tokens, laid out as in a `Past`."""
    return tuple(_placed(KeyValues(kv.k.swapaxes(2, 3), kv.v)) for kv in new)


def _placed(kv: KeyValues, axes: tuple[str | None, ...] = _AXES) -> KeyValues:
    return KeyValues(place(kv.k, *axes), place(kv.v, *axes))
