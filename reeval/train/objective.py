"""What training minimises: the cross-entropy of verdict tokens, or a loss over preferred and rejected verdicts.

Shape letters: B batch, T time, D model, S segments.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from reeval.models.decoder import unembed
from reeval.train.cross_entropy import token_losses
from reeval.train.preference import Answers, Preference, kl, losses

# Of a name, a sum over a micro-batch and what the sum over all of them is to be divided by.
Sums = Mapping[str, tuple[jax.Array, jax.Array]]
# (model, micro-batch, key of dropout or None) -> the sum whose gradient is taken, and sums. Of these "loss" is that sum
# itself; what it is divided by, the gradient is, too. The rest is for the log.
Objective = Callable[[Any, Mapping[str, jax.Array], jax.Array | None], tuple[jax.Array, Sums]]


def sft_loss(
    model: Any, batch: Mapping[str, jax.Array], key: jax.Array | None, *, remat: str, chunk: int
) -> tuple[jax.Array, Sums]:
    """The summed, weighted loss of a batch and, as "loss", that and the sum of its weights.

    Args:
        batch: as `reeval.data.batches.packed` gives, each [B, T] but for images.
        chunk: of how many verdict tokens of a row logits exist at once.
    """
    weights_BT = batch["weights"]
    total = jnp.sum(weights_BT * verdict_losses(model, batch, key, remat=remat, chunk=chunk))
    return total, {"loss": (total, jnp.sum(weights_BT))}


def preference_loss(
    model: Any,
    batch: Mapping[str, jax.Array],
    key: jax.Array | None,
    *,
    options: Preference,
    segments: int,
    remat: str,
    chunk: int,
) -> tuple[jax.Array, Sums]:
    """The summed loss of a batch's preferences and, as "loss", that and their number.

    Args:
        batch: as `reeval.data.preferences.preferred` gives, each [B, T] but for images.
        segments: that a row has at most.
        chunk: of how many verdict tokens of a row logits exist at once.
    Returns:
        the sum, and beside "loss" what `preference.losses` says of each, and "kl": the reference's distance, see there.
    """
    counts_BT = batch["weights"] != 0
    policy_BT = -verdict_losses(model, batch, key, remat=remat, chunk=chunk)
    reference_BT = batch["reference"]

    def by_segment(x_BT: jax.Array) -> jax.Array:
        return jax.vmap(lambda x_T, ids_T: jax.ops.segment_sum(x_T, ids_T, segments + 1))(x_BT, batch["segments"])

    def answers(x_BS: jax.Array) -> Answers:
        # A preference is three segments, see `data.preferences`; 0 is padding.
        return Answers(x_BS[:, 2::3], x_BS[:, 3::3])

    policy, reference, tokens = (
        answers(by_segment(x_BT)) for x_BT in (policy_BT, reference_BT, counts_BT.astype(jnp.float32))
    )
    there_BP = tokens.chosen > 0
    losses_BP, said = losses(policy, reference, tokens, options)
    total, count = jnp.sum(jnp.where(there_BP, losses_BP, 0.0)), jnp.sum(there_BP).astype(jnp.float32)
    sums = {name: (jnp.sum(jnp.where(there_BP, x_BP, 0.0)), count) for name, x_BP in said.items()}
    kl_BT = jnp.where(counts_BT, kl(policy_BT, reference_BT), 0.0)
    return total, {"loss": (total, count), **sums, "kl": (jnp.sum(kl_BT), jnp.sum(tokens.chosen + tokens.rejected))}


def verdict_losses(
    model: Any, batch: Mapping[str, jax.Array], key: jax.Array | None, *, remat: str, chunk: int
) -> jax.Array:
    """Minus the log-probability of each target that has a weight, 0 of the others, [B, T] float32."""
    x_BTD = model.hidden(
        batch["tokens"],
        positions_BT=batch["positions"],
        segments_BT=batch["segments"],
        parents_BT=batch.get("parents"),
        images=batch.get("images"),
        key=key,
        remat=remat,
    )
    graph, state = nnx.split(model.head_module())
    arrays, treedef = jax.tree.flatten(state)

    def logits(arrays: Sequence[jax.Array], x_BCD: jax.Array) -> jax.Array:
        return unembed(nnx.merge(graph, jax.tree.unflatten(treedef, arrays)), x_BCD)

    return token_losses(logits, chunk, arrays, x_BTD, batch["targets"], batch["weights"] != 0)
