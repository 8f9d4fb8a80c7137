"""What the backward pass recomputes instead of keeping, by name."""

from collections.abc import Callable
from typing import Any

import jax

POLICIES: dict[str, Any] = {
    "full": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}
NAMES = ("none", *POLICIES)


def checkpointed(layer: Callable[..., Any], name: str) -> Callable[..., Any]:
    """`layer` under the policy: "none" keeps all, "dots" keeps the products of weights, "full" keeps nothing."""
    if name == "none":
        return layer
    return jax.checkpoint(layer, policy=POLICIES[name], prevent_cse=False)
