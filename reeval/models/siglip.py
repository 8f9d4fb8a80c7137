"""SigLIP's vision tower: a Flax NNX port with stacked, scanned layers. It is never trained here.

Shape letters: B images, T patches, C channels, D model, F hidden, N heads, H head size, L layers; g and h rows and
columns of patches, P and Q rows and columns within one. Source of the architecture: arXiv 2303.15343 and transformers'
SiglipVisionModel, without the pooling head.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from reeval.models.attention import attend
from reeval.models.layers import param, place


@dataclasses.dataclass(frozen=True)
class SiglipConfig:
    """The shape of a tower. Images are squares of `image_size` pixels; `num_heads` divides `d_model`."""

    image_size: int
    patch_size: int
    channels: int
    d_model: int
    hidden: int
    num_layers: int
    num_heads: int
    norm_eps: float

    @property
    def grid(self) -> int:
        """Patches along a side; pixels beyond the last whole patch are not seen."""
        return self.image_size // self.patch_size


class LayerNorm(nnx.Module):
    """Over the last axis, in float32, rounded at the end."""

    def __init__(self, size: int, *, eps: float, dtype: Any, stack: int | None, rngs: nnx.Rngs):
        self.scale = param(rngs, (size,), ("embed_norm",), dtype=dtype, stack=stack, stddev=None)
        self.bias = param(rngs, (size,), ("embed_norm",), dtype=dtype, stack=stack, stddev=0.0)
        self.eps = eps

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        x32 = x_BTD.astype(jnp.float32)
        x32 -= jnp.mean(x32, axis=-1, keepdims=True)
        x32 *= jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + self.eps)
        scale, bias = (x[...].astype(jnp.float32)[None, None] for x in (self.scale, self.bias))
        return (x32 * scale + bias).astype(x_BTD.dtype)


class Linear(nnx.Module):
    """`equation` of an input by `w`, plus a bias over the axes that `w` has and the input has not.

    No `layers.Einsum`: those get adapters.
    """

    def __init__(
        self,
        equation: str,
        shape: tuple[int, ...],
        axes: tuple[str, ...],
        *,
        dtype: Any,
        stack: int | None,
        rngs: nnx.Rngs,
    ):
        self.equation = equation
        x, w, _ = equation.replace("->", ",").split(",")
        kept = [i for i, letter in enumerate(w) if letter not in x]
        self.w = param(rngs, shape, axes, dtype=dtype, stack=stack)
        self.bias = param(
            rngs, tuple(shape[i] for i in kept), tuple(axes[i] for i in kept), dtype=dtype, stack=stack, stddev=0.0
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        y = jnp.einsum(self.equation, x, self.w[...].astype(x.dtype))
        bias = self.bias[...].astype(x.dtype)
        return y + bias.reshape(*(1,) * (y.ndim - bias.ndim), *bias.shape)


class Attention(nnx.Module):
    """Every patch sees every other."""

    def __init__(self, c: SiglipConfig, **made: Any):
        D, N, H = c.d_model, c.num_heads, c.d_model // c.num_heads
        self.q = Linear("BTD,DNH->BTNH", (D, N, H), ("embed", "heads", "head_dim"), **made)
        self.k = Linear("BTD,DNH->BTNH", (D, N, H), ("embed", "heads", "head_dim"), **made)
        self.v = Linear("BTD,DNH->BTNH", (D, N, H), ("embed", "heads", "head_dim"), **made)
        self.o = Linear("BTNH,NHD->BTD", (N, H, D), ("heads", "head_dim", "embed"), **made)
        self.scale = H**-0.5

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        k_BNTH, v_BNTH = (x.transpose(0, 2, 1, 3) for x in (self.k(x_BTD), self.v(x_BTD)))
        one_image_BT = jnp.ones(x_BTD.shape[:2], jnp.int32)
        return self.o(attend(self.q(x_BTD), k_BNTH, v_BNTH, scale=self.scale, images_BS=one_image_BT))


class Layer(nnx.Module):
    """All layers at once when made, one of them when called (see `Siglip`)."""

    def __init__(self, c: SiglipConfig, *, dtype: Any, rngs: nnx.Rngs):
        D, F = c.d_model, c.hidden
        made: dict[str, Any] = {"dtype": dtype, "stack": c.num_layers, "rngs": rngs}
        self.attn_norm = LayerNorm(D, eps=c.norm_eps, **made)
        self.attn = Attention(c, **made)
        self.mlp_norm = LayerNorm(D, eps=c.norm_eps, **made)
        self.up = Linear("BTD,DF->BTF", (D, F), ("embed", "mlp"), **made)
        self.down = Linear("BTF,FD->BTD", (F, D), ("mlp", "embed"), **made)

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        x_BTD = place(x_BTD + self.attn(self.attn_norm(x_BTD)), "batch", None, None)
        up_BTF = jax.nn.gelu(self.up(self.mlp_norm(x_BTD)), approximate=True)
        return place(x_BTD + self.down(up_BTF), "batch", None, None)


class Siglip(nnx.Module):
    """Pixels to one vector a patch."""

    def __init__(self, config: SiglipConfig, *, dtype: Any = jnp.float32, rngs: nnx.Rngs):
        c = config
        self.config = c
        patch = (c.channels, c.patch_size, c.patch_size, c.d_model)
        axes = ("channels", "patch", "patch", "embed")
        self.patch = Linear("BCgPhQ,CPQD->BghD", patch, axes, dtype=dtype, stack=None, rngs=rngs)
        self.position = param(rngs, (c.grid**2, c.d_model), ("patches", "embed"), dtype=dtype, stack=None)
        self.layers = Layer(c, dtype=dtype, rngs=rngs)
        self.final_norm = LayerNorm(c.d_model, eps=c.norm_eps, dtype=dtype, stack=None, rngs=rngs)

    def __call__(self, pixels: jax.Array) -> jax.Array:
        """[B, C, S, S], scaled as the image processor does -> [B, T, D], the patches row by row."""
        c = self.config
        B, seen = pixels.shape[0], c.grid * c.patch_size
        pixels = pixels[:, :, :seen, :seen].astype(self.position.dtype)
        patches = pixels.reshape(B, c.channels, c.grid, c.patch_size, c.grid, c.patch_size)
        x_BTD = self.patch(patches).reshape(B, c.grid**2, c.d_model) + self.position[...][None]
        graph, stacked = nnx.split(self.layers)

        def layer(x_BTD: jax.Array, state: Any) -> tuple[jax.Array, None]:
            return nnx.merge(graph, state)(x_BTD), None

        x_BTD, _ = jax.lax.scan(layer, place(x_BTD, "batch", None, None), stacked)
        return self.final_norm(x_BTD)
