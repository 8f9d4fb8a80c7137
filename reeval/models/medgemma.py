"""MedGemma, the multimodal Gemma 3: a SigLIP tower and a projector that put images among the decoder's tokens.

Shape letters: B batch, T query time, I images of a row, C channels, S pixels along a side, P tokens of an image,
D model, E the tower's model. Source of the architecture: arXiv 2507.05201 and transformers'
Gemma3ForConditionalGeneration.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from reeval.models.gemma3 import Gemma3, Gemma3Config, Norm
from reeval.models.layers import param, place
from reeval.models.siglip import Siglip, SiglipConfig


@dataclasses.dataclass(frozen=True)
class MedGemmaConfig(Gemma3Config):
    """A decoder and its tower.

    Attributes:
        tokens_per_image: a square number; the tower's patches are averaged down to it.
        image_token: the token whose embedding an image takes the place of.
    """

    vision: SiglipConfig
    tokens_per_image: int
    image_token: int


class Projector(nnx.Module):
    """The tower's patches to soft tokens: averaged, normed and projected."""

    def __init__(self, c: MedGemmaConfig, *, dtype: Any, rngs: nnx.Rngs):
        self.grid, self.side = c.vision.grid, math.isqrt(c.tokens_per_image)
        assert self.side**2 == c.tokens_per_image and self.grid // (self.grid // self.side) == self.side
        E, norm_eps = c.vision.d_model, c.vision.norm_eps
        self.norm = Norm(E, axis="embed_norm", eps=norm_eps, dtype=dtype, stack=None, rngs=rngs)
        # Not an `Einsum`: those get adapters.
        self.w = param(rngs, (E, c.d_model), ("vision_embed", "embed"), dtype=dtype, stack=None)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, patches, E] -> [B, P, D]."""
        B, _, E = x.shape
        step = self.grid // self.side
        # What does not fill a square, at the right and at the bottom, is left out.
        whole = x.reshape(B, self.grid, self.grid, E)[:, : self.side * step, : self.side * step]
        squares = whole.reshape(B, self.side, step, self.side, step, E)
        pooled = jnp.mean(squares, axis=(2, 4), dtype=jnp.float32).astype(x.dtype)
        return jnp.einsum("BPE,ED->BPD", self.norm(pooled.reshape(B, self.side**2, E)), self.w[...].astype(x.dtype))


class MedGemma(Gemma3):
    """A `Gemma3` whose calls take images too.

    `images` is [B, I, C, S, S], pixel values as the Hugging Face image processor gives them. The n-th image token of a
    row takes the n-th of the I * P soft tokens of that row's images; what no token asks for is not used. Image tokens
    that follow each other are one image and see each other both ways.
    """

    def __init__(self, config: MedGemmaConfig, *, dtype: Any = jnp.float32, rngs: nnx.Rngs):
        super().__init__(config, dtype=dtype, rngs=rngs)
        self.vision = Siglip(config.vision, dtype=dtype, rngs=rngs)
        self.projector = Projector(config, dtype=dtype, rngs=rngs)

    def inputs(self, tokens_BT: jax.Array, images: jax.Array | None) -> tuple[jax.Array, jax.Array | None]:
        if images is None:
            return super().inputs(tokens_BT, None)
        is_image_BT = tokens_BT == self.config.image_token
        # The image token may lie outside the vocabulary; what it would embed is not used.
        x_BTD, _ = super().inputs(jnp.where(is_image_BT, 0, tokens_BT), None)
        soft = self.soft_tokens(images)
        index_BT = jnp.clip(jnp.cumsum(is_image_BT, axis=1) - 1, 0, soft.shape[1] - 1)
        soft_BTD = jnp.take_along_axis(soft, index_BT[:, :, None], axis=1)
        x_BTD = jnp.where(is_image_BT[:, :, None], soft_BTD.astype(x_BTD.dtype), x_BTD)
        return x_BTD, _runs(is_image_BT)

    def soft_tokens(self, images: jax.Array) -> jax.Array:
        """[B, I, C, S, S] -> [B, I * P, D]."""
        B = images.shape[0]
        flat = place(images.reshape(-1, *images.shape[2:]), "batch", None, None, None)
        return place(self.projector(self.vision(flat)).reshape(B, -1, self.config.d_model), "batch", None, None)


def _runs(is_image_BT: jax.Array) -> jax.Array:
    """Numbers runs of image tokens from 1 in each row; 0 elsewhere. [B, T] int32."""
    before_BT = jnp.pad(is_image_BT[:, :-1], ((0, 0), (1, 0)))
    number_BT = jnp.cumsum(is_image_BT & ~before_BT, axis=1, dtype=jnp.int32)
    return jnp.where(is_image_BT, number_BT, 0)
