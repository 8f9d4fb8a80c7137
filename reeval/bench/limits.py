"""What this device can do at most, measured: bytes a second of a large copy, and operations a second of a large
matrix product. What a program reaches is said as a share of these, not of a data sheet."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

# Calls of a program, of which the best counts, and what it does in each so often.
_REPETITIONS, _TIMES = 5, 4
# Bytes of one array of the copy, far beyond any cache, and sizes of square matrices; the best of these counts.
_BYTES = {"cpu": 2**28, "gpu": 2**31, "tpu": 2**30}
_SIZES = {"cpu": (2048,), "gpu": (4096, 8192), "tpu": (4096, 8192)}


class Limits(NamedTuple):
    """bandwidth: bytes a second, read and written; matmul: floating-point operations a second."""

    bandwidth: float
    matmul: float


class Limit:
    """Measures in a process of its own, see `bench.worker`."""

    def platform(self) -> str:
        """cpu, gpu or tpu."""
        return jax.devices()[0].platform

    def measure(self, dtype: str) -> Limits:
        """The limits of the first device; matrices are of `dtype`."""
        platform = self.platform()
        return Limits(_bandwidth(_BYTES[platform]), max(_matmul(n, dtype) for n in _SIZES[platform]))


def _bandwidth(size: int) -> float:
    """The better of a copy, which moves two arrays, and a triad, which moves three; in memory that is not new."""
    n, times = size // 4, _TIMES
    a, b = jnp.ones(n, jnp.float32), jnp.ones(n, jnp.float32)
    copy = jax.jit(lambda a: jax.lax.fori_loop(0, times, lambda _, a: -a, a))
    triad = jax.jit(lambda a, b: jax.lax.fori_loop(0, times, lambda _, a: 0.5 * a + b, a))
    return max(2 * size * times / _fastest(copy, a), 3 * size * times / _fastest(triad, a, b))


def _matmul(n: int, dtype: str) -> float:
    # Random: of some devices the clock depends on the numbers.
    a, b = (jax.random.normal(key, (n, n), jnp.float32).astype(dtype) for key in jax.random.split(jax.random.key(0)))
    product = jax.jit(lambda a, b: jax.lax.fori_loop(0, _TIMES, lambda _, a: (a @ b) * n**-0.5, a))
    return _TIMES * 2 * n**3 / _fastest(product, a, b)


def _fastest(program: Callable[..., Any], *arguments: Any) -> float:
    """Seconds of a call, which is long enough for the host's own time not to count."""
    jax.block_until_ready(program(*arguments))
    best = float("inf")
    for _ in range(_REPETITIONS):
        began = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        best = min(best, time.perf_counter() - began)
    return best
