"""LoRA adapters, derived from each projection's einsum.

`BTNH,NHD->BTD` becomes `BTNH,NHR->BTR` (A) and `BTR,RD->BTD` (B), R being the rank. Adapters are float32 variables
of a type of their own, so that gradients and optimizer state exist for them alone, whatever the base's dtype.
Source: arXiv 2106.09685; rank-stabilised scaling: arXiv 2312.03732.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from reeval.models.layers import Einsum


class LoRAParam(nnx.Param):
    """An adapter's weight."""


# All that full fine-tuning changes: the decoder's weights, and not what sees.
DECODER: Any = nnx.All(nnx.Param, nnx.Not(nnx.Any(nnx.PathContains("vision"), nnx.PathContains("projector"))))


@dataclasses.dataclass(frozen=True)
class LoRAConfig:
    """`targets` is a regex that the whole Hugging Face module name must match, e.g. `self_attn.q_proj`."""

    rank: int = 16
    alpha: float = 32.0
    rslora: bool = False
    dropout: float = 0.0
    targets: str = r"self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj"

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"lora.rank must be at least 1, not {self.rank}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"lora.dropout must be in [0, 1), not {self.dropout}")
        try:
            re.compile(self.targets)
        except re.error as error:
            raise ValueError(f"lora.targets is no regular expression: {error}") from None

    @property
    def scale(self) -> float:
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


class LoRA(nnx.Module):
    """The adapter of one `Einsum`: noise in A and zeros in B, so that it starts as nothing."""

    def __init__(self, einsum: Einsum, config: LoRAConfig, *, rngs: nnx.Rngs):
        axes = dict(zip(einsum.w.get_metadata("axes"), einsum.w.shape, strict=True))
        stack = {"layers": axes.pop("layers")} if "layers" in axes else {}
        x, w, out = _letters(einsum.equation)
        names = dict(zip(w, axes, strict=True))
        contracted = [letter for letter in w if letter not in out]
        kept = [letter for letter in w if letter in out]
        assert "R" not in einsum.equation
        self.a_equation = f"{x},{''.join(contracted)}R->{_prefix(x, contracted)}R"
        self.b_equation = f"{_prefix(x, contracted)}R,R{''.join(kept)}->{out}"
        self.scale, self.dropout = config.scale, config.dropout
        a_axes = stack | {names[c]: axes[names[c]] for c in contracted} | {"rank": config.rank}
        b_axes = stack | {"rank": config.rank} | {names[c]: axes[names[c]] for c in kept}
        fan_in = math.prod(axes[names[c]] for c in contracted)
        # PEFT's default start (Kaiming uniform with a = sqrt 5): uniform within 1 / sqrt(fan in).
        bound = 1.0 / math.sqrt(fan_in)
        noise = jax.random.uniform(rngs.params(), tuple(a_axes.values()), jnp.float32, -bound, bound)
        self.a = LoRAParam(noise, axes=tuple(a_axes))
        self.b = LoRAParam(jnp.zeros(tuple(b_axes.values()), jnp.float32), axes=tuple(b_axes))

    def __call__(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        """The adapter's share of the output; dropout on its input where a key is given."""
        if key is not None and self.dropout:
            kept = jax.random.bernoulli(key, 1.0 - self.dropout, x.shape)
            x = jnp.where(kept, x / (1.0 - self.dropout), 0).astype(x.dtype)
        low_rank = _thin(self.a_equation, x, self.a[...].astype(x.dtype))
        return _thin(self.b_equation, low_rank, self.b[...].astype(x.dtype)) * jnp.asarray(self.scale, x.dtype)

    def delta(self) -> jax.Array:
        """What the adapter adds to the weight, float32, of the weight's shape."""
        a = self.a[...].reshape(*self._stack(self.a), -1, self.a.shape[-1] if self.a.ndim else 1)
        b = self.b[...].reshape(*self._stack(self.b), a.shape[-1], -1)
        shape = (*self._stack(self.a), *self.a.shape[len(self._stack(self.a)) : -1])
        kept = self.b.shape[len(self._stack(self.b)) + 1 :]
        return (jnp.matmul(a, b, precision="highest") * self.scale).reshape(*shape, *kept)

    @staticmethod
    def _stack(variable: LoRAParam) -> tuple[int, ...]:
        return variable.shape[:1] if "layers" in variable.get_metadata("axes") else ()


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _thin(equation: str, x: jax.Array, w: jax.Array) -> jax.Array:
    """An einsum over or to the rank. On the way back the thin operand stands first in the product that gives w's
    gradient: XLA transposes the first, which on a CPU takes longer than the product if it is the wide one."""
    return jnp.einsum(equation, x, w)


def _thin_forward(equation: str, x: jax.Array, w: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _thin(equation, x, w), (x, w)


def _thin_backward(equation: str, kept: tuple[jax.Array, jax.Array], d_out: jax.Array) -> tuple[jax.Array, jax.Array]:
    (x, w), (of_x, of_w, out) = kept, _letters(equation)
    first, second = ((d_out, out), (x, of_x)) if "R" in out else ((x, of_x), (d_out, out))
    d_w = jnp.einsum(f"{first[1]},{second[1]}->{of_w}", first[0], second[0])
    return jnp.einsum(f"{out},{of_w}->{of_x}", d_out, w), d_w


_thin.defvjp(_thin_forward, _thin_backward)


def add(model: nnx.Module, config: LoRAConfig, module_names: Callable[[str], str | None], *, rngs: nnx.Rngs) -> None:
    """Give an adapter to each projection of `model` whose Hugging Face name matches `config.targets`.

    Args:
        module_names: from a projection's path here (`layers.attn.q`) to its name there (`self_attn.q_proj`), None
            if it has none.
    Raises:
        ValueError: if no projection matches.
    """
    found = [name for path, _ in projections(model) if (name := module_names(path)) is not None]
    chosen = {name for name in found if re.fullmatch(config.targets, name)}
    if not chosen:
        raise ValueError(f"lora.targets {config.targets!r} matches no module; there are {', '.join(found)}")
    for path, einsum in projections(model):
        if module_names(path) in chosen:
            einsum.lora = LoRA(einsum, config, rngs=rngs)


def merge(model: nnx.Module) -> None:
    """Add each adapter to its weight, in float32, and drop it."""
    for _, einsum in projections(model):
        if einsum.lora is not None:
            merged = einsum.w[...].astype(jnp.float32) + einsum.lora.delta()
            einsum.w[...] = merged.astype(einsum.w.dtype)
            einsum.lora = nnx.data(None)


def projections(model: nnx.Module) -> Iterator[tuple[str, Einsum]]:
    """Each `Einsum` of the model with its dotted path, in a fixed order."""
    for path, module in nnx.iter_modules(model):
        if isinstance(module, Einsum):
            yield ".".join(map(str, path)), module


def _letters(equation: str) -> tuple[str, str, str]:
    operands, out = equation.split("->")
    x, w = operands.split(",")
    return x, w, out


def _prefix(x: str, contracted: list[Any]) -> str:
    return "".join(letter for letter in x if letter not in contracted)


@dataclasses.dataclass(frozen=True)
class Parts:
    """The fixed half of a model taken apart by `take_apart`, which puts it together again."""

    graph: nnx.GraphDef
    treedef: Any
    names: tuple[str, ...]

    def assemble(self, trained: Mapping[str, jax.Array], rest: nnx.State) -> Any:
        """The model with these trained weights, by the names that `take_apart` gave, over the rest."""
        state = jax.tree.unflatten(self.treedef, [trained[name] for name in self.names])
        return nnx.merge(self.graph, state, rest)


def take_apart(model: nnx.Module, which: Any = LoRAParam) -> tuple[Parts, dict[str, Any], nnx.State]:
    """Split a model for functional steps: what never changes, trained weights by dotted path, and the rest.

    Works on abstract models too. The dict is what gradients are taken of and what checkpoints hold.

    Args:
        which: an nnx filter of what is trained; `LoRAParam`, or `DECODER` for all of it.
    """
    graph, trained, rest = nnx.split(model, which, ...)
    leaves, treedef = jax.tree.flatten_with_path(trained)
    names = tuple(".".join(str(key.key) for key in path if hasattr(key, "key")) for path, _ in leaves)
    assert len(set(names)) == len(names)
    return Parts(graph, treedef, names), {name: leaf for name, (_, leaf) in zip(names, leaves, strict=True)}, rest


def merge_weights(parts: Parts, adapter: Mapping[str, jax.Array], base: nnx.State) -> nnx.State:
    """The weights of the model with its adapter merged, each where the base's lies; the base is used up."""
    placed = jax.tree.map(lambda x: x.sharding, base)

    def merged(adapter: Mapping[str, jax.Array], base: nnx.State) -> nnx.State:
        model = parts.assemble(adapter, base)
        merge(model)
        return nnx.state(model)

    return jax.jit(merged, donate_argnums=1, out_shardings=placed)(adapter, base)
