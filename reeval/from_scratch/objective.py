"""The loss of training from scratch: next tokens, and what happened to each token of the candidate.

Shape letters: B batch, T time, D model, V vocabulary, C tags. The tags (same, edited, inserted, after a loss)
are read off the third block by a linear head that is thrown away at the end. Verdicts alone teach comparing
slowly: their loss says that something differs, the tags say where.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from reeval.models.layers import place
from reeval.models.qwen3 import Qwen3, Qwen3Config
from reeval.train.objective import Sums

# What a token weighs in the loss: padding, prompt, reference, candidate, answer, severity (the order of data.py).
PART_WEIGHTS = (0.0, 0.0, 0.1, 0.3, 1.0, 2.0)
_FIRST_OF_ANSWER = 4
TAG_LAYER, TAG_WEIGHT = 2, 0.5


class TaggedJudge(nnx.Module):
    """A judge that is trained, and the head that is thrown away."""

    def __init__(self, config: Qwen3Config, tags: int, *, rngs: nnx.Rngs):
        self.judge = Qwen3(config, rngs=rngs)
        head_DC = 0.02 * jax.random.normal(rngs.params(), (config.d_model, tags))
        self.tag_head = nnx.Param(head_DC, axes=("embed", None))


def loss(tagged: TaggedJudge, batch: Mapping[str, jax.Array], key: jax.Array | None = None) -> tuple[jax.Array, Sums]:
    """The mean loss of a batch of data.make_batch ([B, T] each).

    Returns:
        that, and sums with what they are of: "loss"; losses of answer tokens, text tokens, tags and severities;
        right answer tokens.
    """
    model = tagged.judge
    tokens_BT, segments_BT = batch["tokens"].astype(jnp.int32), batch["segments"].astype(jnp.int32)
    x_BTD, tagging_BTD = _hidden(model, tokens_BT, batch["positions"].astype(jnp.int32), segments_BT)

    targets_BT, parts_BT = (jnp.roll(x, -1, axis=1) for x in (tokens_BT, batch["parts"].astype(jnp.int32)))
    goes_on_BT = (jnp.roll(segments_BT, -1, axis=1) == segments_BT).at[:, -1].set(False)
    weights_BT = jnp.asarray(PART_WEIGHTS)[parts_BT] * goes_on_BT
    logits_BTV = model.logits(x_BTD)
    losses_BT = _cross_entropy(logits_BTV, targets_BT)
    answer_BT = goes_on_BT & (parts_BT >= _FIRST_OF_ANSWER)

    tags_BT = batch["tags"].astype(jnp.int32)
    tagged_BT = tags_BT >= 0
    tag_loss = _sum(_cross_entropy(tagging_BTD @ tagged.tag_head[...], jnp.maximum(tags_BT, 0)), tagged_BT)

    tag_sum, tag_count = tag_loss
    total = jnp.sum(losses_BT * weights_BT) / jnp.sum(weights_BT) + TAG_WEIGHT * tag_sum / jnp.maximum(tag_count, 1)
    return total, {
        "loss": (total, jnp.ones(())),
        "answer": _sum(losses_BT, answer_BT),
        "text": _sum(losses_BT, goes_on_BT & ~answer_BT),
        "tags": tag_loss,
        "severity": _sum(losses_BT, goes_on_BT & (parts_BT > _FIRST_OF_ANSWER)),
        "accuracy": _sum(jnp.argmax(logits_BTV, axis=-1) == targets_BT, answer_BT),
    }


def _hidden(model: Qwen3, tokens_BT: jax.Array, positions_BT: jax.Array, segments_BT: jax.Array) -> tuple[Any, Any]:
    """What Qwen3.hidden gives, and the residual stream after the block that is tagged."""
    graph, stacked = nnx.split(model.layers)
    places = model.places(positions_BT, segments_BT)

    def layer(x_BTD: jax.Array, xs: tuple[Any, Any]) -> tuple[jax.Array, jax.Array]:
        state, reach = xs
        x_BTD, _ = nnx.merge(graph, state)(x_BTD, places, reach, None, None)
        return x_BTD, x_BTD

    x_BTD = place(model.embed(tokens_BT), "batch", None, None)
    x_BTD, all_LBTD = jax.lax.scan(layer, x_BTD, (stacked, model.reach()))
    return model.final_norm(x_BTD), all_LBTD[TAG_LAYER]


def _cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen


def _sum(x: jax.Array, where: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of what is there, and how many there are."""
    return jnp.sum(x * where), jnp.sum(where).astype(jnp.float32)
