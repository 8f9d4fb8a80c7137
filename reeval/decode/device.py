"""The programs of `slots`, compiled when they are first needed, and kept; what they need is known before they run.

Shape letters as in `slots`.
"""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from reeval import sharding
from reeval.decode import choose
from reeval.decode.grammar import Grammar
from reeval.decode.memory import Memory, bytes_held
from reeval.decode.slots import Cache, Made, Programs, Rows, Slots, Starts, Writes, empty, grown, shardings, written
from reeval.models.attention import KeyValues
from reeval.models.decoder import Unstacked


class Device:
    """Calls take numpy arrays and what earlier calls gave; the slots that are given to a call are used up."""

    def __init__(
        self, programs: Programs, mesh: Mesh, grammar: Grammar, prefix: Sequence[int], *, slots: int, length: int
    ):
        """
        Args:
            prefix: the tokens that prompts share; there may be none.
            slots, length: how many conversations, and tokens of each beyond the prefix at most.
        """
        self.programs, self.mesh = programs, mesh
        self.grammar = grammar
        self.prefix_tokens = np.asarray(prefix, np.int32)
        self.slots, self.length = slots, length
        self._whole = sharding.replicated(mesh)
        self._compiled: dict[tuple[Any, ...], Any] = {}

    @functools.cached_property
    def tables(self) -> choose.Tables:
        """The grammar on the devices, which need not be there before something runs."""
        return choose.tables(self.grammar, self.mesh)

    def compilations(self) -> Counter[str]:
        """How many programs were compiled so far, by name. `written`, `grown` and `begun` are small."""
        return Counter(name for name, *_ in self._compiled)

    def prefix(self, weights: nnx.State) -> Cache | None:
        """The keys and values of what prompts share."""
        if not self.prefix_tokens.size:
            return None
        tokens_P = jax.device_put(self.prefix_tokens, self._whole)
        return self._program("prefix", weights, tokens_P)(weights, tokens_P)

    def unstacked(self, weights: nnx.State) -> Unstacked:
        """See `Programs.unstacked`."""
        return self._program("unstacked", weights)(weights)

    def empty(self, weights: nnx.State, length: int) -> Slots:
        """Slots that nothing is in, with room for `length` tokens each."""
        slots = self._slots(weights, length)
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype, device=x.sharding), slots)

    def grown(self, slots: Slots, length: int) -> Slots:
        """Slots with room for `length` tokens each."""
        function = functools.partial(grown, length=length)
        made = []
        for kv in slots.cache:
            placed = functools.partial(_shardings, kv)
            program = self._compile("grown", function, kv, placed=placed, static=length)
            made.append(program(kv))
            for old in kv:  # so that no two caches are held
                old.delete()
        return slots._replace(cache=tuple(made))

    def prefill(
        self,
        weights: nnx.State,
        slots: Slots,
        prefix: Cache | None,
        rows: Rows,
        writes: Sequence[Writes],
        starts: Starts,
        images: np.ndarray | None,
        unstacked: Unstacked,
    ) -> Slots:
        """Begin first turns with packed prompts; see `Programs.prefill`."""
        placed = self._rows(rows)
        arguments = (weights, prefix, placed, None if images is None else self._rows(images), unstacked)
        new = self._program("prefill", *arguments)(*arguments)
        return self._begun(slots, new, writes, starts)

    def go_on(
        self,
        weights: nnx.State,
        slots: Slots,
        prefix: Cache | None,
        rows: Rows,
        writes: Sequence[Writes],
        starts: Starts,
        slot_R: np.ndarray,
    ) -> Slots:
        """Begin second turns; see `Programs.go_on`."""
        placed = self._rows(rows)
        arguments = (weights, prefix, placed, slots, self._rows(slot_R))
        new = self._program("go_on", *arguments)(*arguments)
        return self._begun(slots, new, writes, starts)

    def decode(
        self, weights: nnx.State, slots: Slots, prefix: Cache | None, unstacked: Unstacked
    ) -> tuple[Slots, Made]:
        """See `Programs.decode`."""
        arguments = (weights, slots, prefix, unstacked, self.tables)
        return self._program("decode", *arguments)(*arguments)

    def memory(self, weights: nnx.State, rows: tuple[int, int], images: tuple[int, ...] | None) -> Memory:
        """What is needed, compiled but not run; the weights may be abstract.

        Args:
            rows, images: the shapes of the largest prefill.
        """
        largest = self.largest(weights, rows, images)
        programs = [self._program(name, *arguments) for name, arguments in largest.items()]
        _, slots, prefix, unstacked, _ = largest["decode"]
        return Memory(
            weights=bytes_held(weights) + bytes_held(unstacked),
            prefix=bytes_held(prefix),
            cache=bytes_held(slots),
            temporaries=max(program.memory_analysis().temp_size_in_bytes for program in programs),
        )

    def largest(
        self, weights: nnx.State, rows: tuple[int, int], images: tuple[int, ...] | None
    ) -> dict[str, tuple[Any, ...]]:
        """What the largest `prefill` and `decode` take, as shapes and places; see `memory`."""
        slots, prefix, unstacked = self._slots(weights, self.length), self._prefix(weights), self._unstacked(weights)
        row_RT = self._abstract(rows, np.int32, "batch", None)
        seen = None if images is None else self._abstract(images, np.float32, "batch", *[None] * (len(images) - 1))
        tables = jax.tree.map(lambda x: _abstract(x, self._whole), choose.numbers(self.grammar))
        return {
            "prefill": (weights, prefix, Rows(*[row_RT] * len(Rows._fields)), seen, unstacked),
            "decode": (weights, slots, prefix, unstacked, tables),
        }

    def traced(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """A program as it is compiled, traced only; but what it is given and does not use, it keeps."""
        return self._jitted(name, arguments, keep_unused=True).trace(*arguments)

    def _begun(self, slots: Slots, new: Cache, writes: Sequence[Writes], starts: Starts) -> Slots:
        """With new entries in the cache, and turns that begin."""
        made = list(slots.cache)
        for write in map(self._rows, writes):
            for n, more in enumerate(new):
                placed = functools.partial(_shardings, made[n])
                program = self._compile("written", written, made[n], more, *write, placed=placed, donated=0)
                made[n] = program(made[n], more, *write)
        others, starts = slots._replace(cache=()), self._put(starts)
        placed = functools.partial(_shardings, others)
        begun = self._compile("begun", self.programs.begun, others, starts, placed=placed)
        return begun(others, starts)._replace(cache=tuple(made))

    def _program(self, name: str, *arguments: Any) -> Any:
        """A method of `Programs` that runs the model, compiled for these arguments."""
        return self._kept((name, None), arguments, lambda: self._jitted(name, arguments))

    def _jitted(self, name: str, arguments: tuple[Any, ...], **options: Any) -> Any:
        weights, function = arguments[0], getattr(self.programs, name)
        placed: Any
        if name == "prefix":
            placed = _shardings(self._prefix(weights))
        elif name == "unstacked":
            placed = _shardings(self._unstacked(weights))
        elif name == "decode":
            placed = _shardings(arguments[1]), Made(self._whole, self._whole, self._whole)
        else:
            placed = _shardings(self._slots(weights, 1).cache)
        return jax.jit(function, out_shardings=placed, donate_argnums=1 if name == "decode" else (), **options)

    def _compile(
        self,
        name: str,
        function: Any,
        *arguments: Any,
        placed: Callable[[], Any],
        donated: int | None = None,
        static: Any = None,
    ) -> Any:
        """A function compiled for arguments of these shapes.

        Args:
            placed: gives the shardings of what it returns; asked only if it is not compiled yet.
            static: what else it depends on.
        """
        donate = () if donated is None else donated
        return self._kept(
            (name, static), arguments, lambda: jax.jit(function, out_shardings=placed(), donate_argnums=donate)
        )

    def _kept(self, name: tuple[str, Any], arguments: tuple[Any, ...], jitted: Callable[[], Any]) -> Any:
        key = (*name, *(leaf.shape for leaf in jax.tree.leaves(arguments)))
        if key not in self._compiled:
            self._compiled[key] = jitted().lower(*arguments).compile()
        return self._compiled[key]

    def _slots(self, weights: nnx.State, length: int) -> Slots:
        """Their shapes, types and places."""
        model = nnx.merge(self.programs.graph, weights)
        made = jax.eval_shape(lambda: empty(model.config, model.embed.embedding.dtype, self.slots, length))
        return jax.tree.map(_abstract, made, shardings(self.mesh, made))

    def _prefix(self, weights: nnx.State) -> Cache | None:
        if not (P := self.prefix_tokens.size):
            return None
        cache = self._slots(weights, 1).cache
        K, H = cache[0].v.shape[1], cache[0].v.shape[3]
        k, v = (self._abstract(shape, cache[0].v.dtype, "kv_heads", None, None) for shape in ((K, H, P), (K, P, H)))
        return tuple(KeyValues(k, v) for _ in cache)

    def _unstacked(self, weights: nnx.State) -> Unstacked:
        model = nnx.merge(self.programs.graph, weights)
        made = jax.eval_shape(self.programs.unstacked, weights)
        layer = sharding.layer_shardings(self.mesh, nnx.state(model.layers))
        layers = [jax.tree.map(_abstract, each, layer) for each in made.layers]
        head = made.head and [self._abstract(piece.shape, piece.dtype, "embed", "vocab") for piece in made.head]
        return Unstacked(layers, head)

    def _abstract(self, shape: tuple[int, ...], dtype: Any, *axes: str | None) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding.place(self.mesh, axes, shape))

    def _rows(self, tree: Any) -> Any:
        """On the devices, split along the first axis."""
        return jax.tree.map(
            lambda x: jax.device_put(x, sharding.place(self.mesh, ("batch", *[None] * (x.ndim - 1)), x.shape)), tree
        )

    def _put(self, tree: Any) -> Any:
        return jax.device_put(tree, self._whole)


def _abstract(leaf: Any, placed: Any) -> Any:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=placed)


def _shardings(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.sharding, tree)
