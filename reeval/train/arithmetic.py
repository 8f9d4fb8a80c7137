"""The operations that training needs, whatever a program recomputes or wastes; shares of peak are of them."""

import math
from typing import Any

import jax


def flops_per_token(model: Any, *, tied: bool, frozen: bool = True) -> float:
    """4 for each parameter of the decoder that multiplies, 2 forward and 2 back, if they are frozen, as LoRA has them;
    6 where they need gradients of their own.

    Attention among tokens, adapters and images are not counted; a head of its own is, the embedding is not.

    Args:
        model: its weights without adapters, which may be abstract.
        tied: whether the embedding is the head, too.
    """
    return (4.0 if frozen else 6.0) * parameters(model, tied=tied)[0]


def parameters(model: Any, *, tied: bool) -> tuple[int, int]:
    """Those that multiply: of the decoder, and of what sees images."""
    decoder = seeing = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(model):
        name = jax.tree_util.keystr(path)
        if "vision" in name or "projector" in name:
            seeing += math.prod(leaf.shape)
        elif tied or "'embed'" not in name:
            decoder += math.prod(leaf.shape)
    return decoder, seeing
