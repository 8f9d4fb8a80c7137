"""The operations that LoRA fine-tuning needs, whatever a program recomputes or wastes; shares of peak are of them."""

import math
from typing import Any

import jax


def flops_per_token(base: Any, *, tied: bool) -> float:
    """4 for each parameter of the decoder that multiplies: 2 forward and 2 back, since frozen weights need no gradient.

    Attention among tokens, adapters and images are not counted; a head of its own is, the embedding is not.

    Args:
        base: its frozen weights, which may be abstract.
        tied: whether the embedding is the head, too.
    """
    return 4.0 * parameters(base, tied=tied)[0]


def parameters(base: Any, *, tied: bool) -> tuple[int, int]:
    """Those that multiply: of the decoder, and of what sees images."""
    decoder = seeing = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(base):
        name = jax.tree_util.keystr(path)
        if "vision" in name or "projector" in name:
            seeing += math.prod(leaf.shape)
        elif tied or "'embed'" not in name:
            decoder += math.prod(leaf.shape)
    return decoder, seeing
