"""Causal attention by jax's splash kernel for TPUs: no logits leave the chip's fast memory, forward or back.

Blocks that the causal mask or a window hides are never computed. Elsewhere than on a TPU the kernel is interpreted,
which is for tests alone. Source: jax.experimental.pallas.ops.tpu.splash_attention.

Shape letters: B batch, T time, K key heads, G query heads of each, N = K*G, H head size.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu import splash_attention as kernels

# What the kernel's registers are wide: blocks and heads are padded to multiples of it.
_LANES = 128
# Of queries and of keys. Larger ones do not fit beside heads of 256 in the backward pass.
_BLOCK = 512


def splash(
    q_BKGTH: jax.Array,
    k_BKTH: jax.Array,
    v_BKTH: jax.Array,
    segments_BT: jax.Array,
    window: jax.Array | None,
    *,
    scale: float,
    windows: tuple[int, ...],
    interpret: bool,
) -> jax.Array:
    """As `attention.attend` of a call's own tokens; every device calls it on its own rows and heads.

    Args:
        window: int32 of no axes, one of `windows`; None if those are none.
        windows: what `window` may be, known while tracing: the kernel is made for one mask.
        interpret: run without a TPU, slowly.
    Returns:
        [B, K, G, T, H] in the dtype of q.
    """
    B, K, G, T, H = q_BKGTH.shape
    block = min(_BLOCK, T + -T % _LANES)
    wide, long = -H % _LANES, -T % block
    q_BNTH = q_BKGTH.reshape(B, K * G, T, H) * jnp.asarray(scale, q_BKGTH.dtype)
    padded = [jnp.pad(x, ((0, 0), (0, 0), (0, long), (0, wide))) for x in (q_BNTH, k_BKTH, v_BKTH)]
    # What is added at the end sees itself alone: ids of tokens are not negative.
    segments_BT = jnp.pad(segments_BT, ((0, 0), (0, long)), constant_values=-1)

    def masked(window: int | None) -> Callable[..., jax.Array]:
        kernel = _kernel(K * G, T + long, window, block, interpret)
        return lambda q, k, v, ids: jax.vmap(kernel)(q, k, v, kernels.SegmentIds(ids, ids))

    # A window that no query fills is none; those that are alike are one.
    bounds = sorted({min(each, T) for each in windows})
    choices = [masked(each if each < T else None) for each in bounds] or [masked(None)]
    if window is None or len(choices) == 1:
        out_BNTH = choices[0](*padded, segments_BT)
    else:
        chosen = jnp.searchsorted(jnp.asarray(bounds, jnp.int32), jnp.minimum(window, T))
        out_BNTH = jax.lax.switch(chosen, choices, *padded, segments_BT)
    return out_BNTH[:, :, :T, :H].reshape(B, K, G, T, H)


def _kernel(heads: int, length: int, window: int | None, block: int, interpret: bool) -> Callable[..., jax.Array]:
    shape = (length, length)
    # The kernel counts the keys before a query, not the query itself.
    mask = kernels.CausalMask(shape) if window is None else kernels.LocalMask(shape, (window - 1, 0), 0)
    sizes = kernels.BlockSizes(
        block_q=block,
        block_kv=block,
        block_q_dkv=block,
        block_kv_dkv=block,
        block_q_dq=block,
        block_kv_dq=block,
    )
    return kernels.make_splash_mha_single_device(
        kernels.MultiHeadMask([mask] * heads),
        block_sizes=sizes,
        residual_checkpoint_name="attention",
        interpret=interpret,
    )
