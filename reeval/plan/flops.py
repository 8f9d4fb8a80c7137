"""The floating-point operations of a program, counted in its jaxpr: what is asked for, whatever compiles it."""

import math
from collections.abc import Iterator
from typing import Any


def flops(jaxpr: Any) -> int:
    """Of products of matrices and of convolutions, 2 for a multiplication and an addition; nothing else is counted.

    A scan's body counts as often as it runs, a recomputed layer as often as it is computed. A while loop whose end
    depends on data counts once, a conditional as its dearest branch, and a mapped shard as one of all. A Pallas kernel
    counts in each cell of its grid, also where it passes over a block that a mask hides.

    Args:
        jaxpr: of `jax.jit(f).trace(...)` or `jax.make_jaxpr(f)(...)`.
    """
    total = 0
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        name, params = equation.primitive.name, equation.params
        inner = [flops(each) for each in _inside(params)]
        if name == "dot_general":
            (contracted, _), _ = params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)
        elif name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            outputs = kernel[params["dimension_numbers"].rhs_spec[0]]
            total += 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(kernel) // outputs
        elif name == "scan":
            total += params["length"] * sum(inner)
        elif name == "cond":
            total += max(inner)
        elif name == "shard_map":
            total += params["mesh"].size * sum(inner)
        elif name == "pallas_call":
            total += math.prod(params["grid_mapping"].grid) * sum(inner)
        else:
            total += sum(inner)
    return total


def _inside(params: dict[str, Any]) -> Iterator[Any]:
    """The jaxprs that an equation holds."""
    for value in params.values():
        for each in value if isinstance(value, tuple | list) else [value]:
            if hasattr(getattr(each, "jaxpr", each), "eqns"):
                yield each
