"""The device's side of scoring: slots that decode together, and what fills them.

A slot holds one conversation. The keys and values of the prefix that all prompts share are held once; a slot's cache
holds what follows. The last token of a prompt is never prefilled: the decode loop feeds it, as it feeds any other.

Shape letters: B slots, R rows of a prefill, T tokens of a row, P prefix tokens, S a slot's own tokens, K key heads,
H head size, L layers, V vocabulary, C classes of tokens, W tokens that can decide a severity.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from reeval import sharding
from reeval.decode.choose import Tables, choose
from reeval.models.attention import KeyValues, Past
from reeval.models.layers import place

# What stands for "no token" in what `decode` gives.
NOTHING = -1
_AXES = (None, "batch", "kv_heads", None, None)


class Slots(NamedTuple):
    """Where all conversations stand, on the device; int32 where nothing else is said.

    cache: [L, B, K, S, H]. length_B: tokens in it. start_B: the position of its first one, which is how many tokens of
    the prefix are the slot's. token_B: the newest token, not in the cache yet. state_B: of the grammar. left_B: tokens
    that the answer may still have, its end counted. active_B: bool. seed_B2: uint32.
    """

    cache: KeyValues
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

    positions_RT: in its conversation. segments_RT: one id a conversation, 0 for padding. start_RT: how many tokens
    of the prefix it sees. slot_RT, index_RT: where its keys and values go, an index of S or more for padding.
    """

    tokens_RT: Any
    positions_RT: Any
    segments_RT: Any
    start_RT: Any
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

    def prefix(self, weights: nnx.State, tokens_P: jax.Array) -> KeyValues:
        """The prefix's keys and values, [L, K, P, H]."""
        with sharding.activations(self.mesh):
            positions_1P = jnp.arange(tokens_P.shape[0], dtype=jnp.int32)[None]
            _, kv = nnx.merge(self.graph, weights).extend(tokens_P[None], positions_1P)
            return KeyValues(*(place(x[:, 0], None, "kv_heads", None, None) for x in kv))

    def prefill(
        self,
        weights: nnx.State,
        slots: Slots,
        prefix: KeyValues | None,
        rows: Rows,
        starts: Starts,
        images: jax.Array | None,
    ) -> Slots:
        """Begin first turns. `images`: [R, 1, C, side, side]."""
        with sharding.activations(self.mesh):
            past = _shared(prefix, rows.start_RT)
            model = nnx.merge(self.graph, weights)
            _, new = model.extend(rows.tokens_RT, rows.positions_RT, past, segments_BT=rows.segments_RT, images=images)
            return self._begun(_written(slots, new, rows), starts)

    def go_on(
        self, weights: nnx.State, slots: Slots, prefix: KeyValues | None, rows: Rows, starts: Starts, slot_R: jax.Array
    ) -> Slots:
        """Begin second turns, each a row that continues the cache of slot `slot_R`."""
        with sharding.activations(self.mesh):
            kv = _placed(KeyValues(*(jnp.take(x, slot_R, axis=1) for x in slots.cache)))
            start_R1, count_R1 = slots.start_B[slot_R][:, None], slots.length_B[slot_R][:, None]
            # Padding rows see whatever lies in slot 0, and leave no trace.
            past = [*_shared(prefix, start_R1), Past(kv, start_R1, count_R1)]
            model = nnx.merge(self.graph, weights)
            _, new = model.extend(rows.tokens_RT, rows.positions_RT, past, segments_BT=rows.segments_RT)
            return self._begun(_written(slots, new, rows), starts)

    def decode(
        self, weights: nnx.State, slots: Slots, prefix: KeyValues | None, tables: Tables, reach: int
    ) -> tuple[Slots, Made]:
        """`wait_every` steps, or fewer if no slot is active any more.

        Args:
            reach: no active slot gets more tokens of its own than this; what lies beyond is not read. Static.
        """
        B = slots.token_B.shape[0]
        model = nnx.merge(self.graph, weights)

        def step(carry: tuple[Slots, Made]) -> tuple[Slots, Made]:
            slots, made = carry
            position_B1 = (slots.start_B + slots.length_B)[:, None]
            own = KeyValues(*(x[..., :reach, :] for x in slots.cache))
            past = [
                *_shared(prefix, slots.start_B[:, None]),
                Past(own, slots.start_B[:, None], slots.length_B[:, None]),
            ]
            x_B1D, new = model.extend(slots.token_B[:, None], position_B1, past)
            at_B = jnp.where(slots.active_B, slots.length_B, slots.cache.k.shape[3])
            cache = _scattered(slots.cache, new, jnp.arange(B)[:, None], at_B[:, None])
            choice = choose(
                tables,
                model.logits(x_B1D)[:, 0],
                slots.state_B,
                slots.left_B,
                slots.seed_B2,
                position_B1[:, 0],
                temperature=self.temperature,
            )
            left_B = slots.left_B - 1
            made = Made(
                made.tokens_BK.at[:, made.steps].set(jnp.where(slots.active_B, choice.token_B, NOTHING)),
                made.odds_BK.at[:, made.steps].set(choice.odds_B),
                made.steps + 1,
            )
            slots = slots._replace(
                cache=cache,
                length_B=slots.length_B + slots.active_B,
                token_B=choice.token_B,
                state_B=choice.state_B,
                left_B=left_B,
                active_B=slots.active_B & (choice.token_B != self.end) & (left_B > 0),
            )
            return slots, made

        def unfinished(carry: tuple[Slots, Made]) -> jax.Array:
            slots, made = carry
            return (made.steps < self.wait_every) & jnp.any(slots.active_B)

        with sharding.activations(self.mesh):
            nothing = Made(
                jnp.full((B, self.wait_every), NOTHING, jnp.int32),
                jnp.full((B, self.wait_every), jnp.nan, jnp.float32),
                jnp.zeros((), jnp.int32),
            )
            return jax.lax.while_loop(unfinished, step, (slots, nothing))

    def _begun(self, slots: Slots, starts: Starts) -> Slots:
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
    c = config
    shape = (c.num_layers, slots, c.num_kv_heads, length, c.head_dim)

    def zeros() -> jax.Array:
        return jnp.zeros(slots, jnp.int32)

    cache = KeyValues(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))
    active_B, seed_B2 = jnp.zeros(slots, bool), jnp.zeros((slots, 2), jnp.uint32)
    return Slots(cache, zeros(), zeros(), zeros(), zeros(), zeros(), active_B, seed_B2)


def shardings(mesh: Mesh, slots: Slots) -> Slots:
    """Of each array of `slots`, which may be abstract."""
    return jax.tree.map(
        lambda x: sharding.place(mesh, _AXES if x.ndim == 5 else ("batch", None)[: x.ndim], x.shape), slots
    )


def _shared(prefix: KeyValues | None, count_BT: jax.Array) -> list[Past]:
    return [] if prefix is None else [Past(prefix, jnp.zeros((1, 1), jnp.int32), count_BT)]


def _written(slots: Slots, new: KeyValues, rows: Rows) -> Slots:
    return slots._replace(cache=_scattered(slots.cache, new, rows.slot_RT, rows.index_RT))


def _scattered(cache: KeyValues, new: KeyValues, slot_RT: jax.Array, index_RT: jax.Array) -> KeyValues:
    """The cache with new entries, [L, R, K, T, H], at their slots and indexes; those beyond S are dropped."""

    def write(old: jax.Array, new: jax.Array) -> jax.Array:
        # Two index arrays with a slice between them: numpy's rule puts their axes first.
        entries_RTLKH = new.transpose(1, 3, 0, 2, 4).astype(old.dtype)
        return old.at[:, slot_RT, :, index_RT].set(entries_RTLKH, mode="drop")

    return _placed(KeyValues(write(cache.k, new.k), write(cache.v, new.v)))


def _placed(kv: KeyValues) -> KeyValues:
    return KeyValues(place(kv.k, *_AXES), place(kv.v, *_AXES))
