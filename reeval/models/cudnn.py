"""Causal attention by cuDNN's fused kernels: no logits leave a GPU's fast memory, forward or back.

What a query sees goes in as one mask a row, shared by all heads, whatever makes it: packed sequences, what continues
them, windows. Elsewhere than on a GPU XLA computes the same call, which is for tests alone. Source:
jax.nn.dot_product_attention.

Shape letters: B batch, T query time, S key time, K key heads, G query heads of each, N = K*G, H head size.
"""

import jax
import jax.numpy as jnp

# The oldest GPUs that cuDNN has these kernels for, and those of them that take heads of 256.
OLDEST, WIDE = (8, 0), (9, 0)


def takes(head_dim: int, dtype: jnp.dtype, capability: tuple[int, ...]) -> bool:
    """Whether there is a kernel for heads of this size on a GPU of this CUDA compute capability."""
    # Of wide heads jax asks the GPU at hand: a program that is compiled where there is none does without.
    most = 256 if capability >= WIDE and jax.default_backend() == "gpu" else 128
    return capability >= OLDEST and dtype in (jnp.bfloat16, jnp.float16) and head_dim <= most and head_dim % 8 == 0


def cudnn(
    q_BKGTH: jax.Array,
    k_BKSH: jax.Array,
    v_BKSH: jax.Array,
    segments_BT: jax.Array,
    parents_BT: jax.Array | None = None,
    positions_BT: jax.Array | None = None,
    window: jax.Array | None = None,
    *,
    scale: float,
    fused: bool,
) -> jax.Array:
    """As `attention.attend` of a call's own tokens; every device calls it on its own rows and heads.

    Args:
        window: int32 of no axes.
        fused: by cuDNN; else by XLA, on any platform.
    Returns:
        [B, K, G, T, H] in the dtype of q.
    Raises:
        ValueError: if cuDNN is missing, or has no such kernel.
    """
    B, K, G, T, H = q_BKGTH.shape
    alike_BTS = segments_BT[:, :, None] == segments_BT[:, None]
    if parents_BT is not None:
        alike_BTS |= parents_BT[:, :, None] == segments_BT[:, None]
    if window is not None:
        # Indices say how far apart two tokens are, unless what continues a segment stands elsewhere.
        line_BT = jnp.arange(T, dtype=jnp.int32)[None] if positions_BT is None else positions_BT
        alike_BTS &= line_BT[:, :, None] - line_BT[:, None] < window
    q_BTNH = q_BKGTH.reshape(B, K * G, T, H).transpose(0, 2, 1, 3)
    k_BSKH, v_BSKH = (x.transpose(0, 2, 1, 3) for x in (k_BKSH, v_BKSH))
    # The kernels take even lengths alone; nothing before it sees what is added at the end.
    odd = T % 2
    q, k, v = (jnp.pad(x, ((0, 0), (0, odd), (0, 0), (0, 0))) for x in (q_BTNH, k_BSKH, v_BSKH))
    mask_B1TS = jnp.pad(alike_BTS, ((0, 0), (0, odd), (0, odd)))[:, None]
    try:
        out_BTNH = jax.nn.dot_product_attention(
            q, k, v, mask=mask_B1TS, is_causal=True, scale=scale, implementation="cudnn" if fused else "xla"
        )
    except (NotImplementedError, RuntimeError) as error:
        if not fused:
            raise
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(
            f"cudnn attention cannot be had: {reason} (pip install -e '.[cuda]'); --config.train.attention=blockwise "
            "does without"
        ) from error
    return out_BTNH[:, :T].transpose(0, 2, 1, 3).reshape(B, K, G, T, H)
