"""Losses over preferences: a verdict is to be likelier than another, against what a reference policy gives both.

Shape letters: any axes before, P preferences. Log-probabilities are of whole answers, summed over their tokens.

    delta     what the policy gives the chosen more than the rejected, less what the reference does
    sigmoid   -log sigmoid(beta delta)                                   (DPO, arXiv 2305.18290)
              smoothed: a share of the labels is taken to be wrong       (cDPO, the same authors' note)
    robust    sigmoid with the bias of smoothing taken out               (rDPO, arXiv 2403.00409)
    ipo       (delta - 1 / (2 beta))^2                                   (arXiv 2310.12036, eq. 17)

With `length_normalised` each answer's log-probability counts per token, as IPO's authors had it.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

KINDS = ("sigmoid", "robust", "ipo")


class Answers(NamedTuple):
    """Something of the chosen and the rejected answer of each preference, [..., P]."""

    chosen: jax.Array
    rejected: jax.Array


@dataclasses.dataclass(frozen=True)
class Preference:
    """
    Attributes:
        kind: one of KINDS.
        beta: how much the reference holds; IPO's tau.
        label_smoothing: the share of preferences that are taken to be the wrong way round, below 1/2.
        length_normalised: whether log-probabilities count per token.
        sft_weight: of the chosen answer's mean negative log-probability, added to the loss (arXiv 2404.19733).
    """

    kind: str
    beta: float
    label_smoothing: float
    length_normalised: bool
    sft_weight: float

    def __post_init__(self) -> None:
        assert self.kind in KINDS
        if self.kind == "ipo" and self.label_smoothing:
            raise ValueError("config.preference.kind='ipo' knows no label smoothing; set label_smoothing to 0.0")


def losses(
    policy: Answers, reference: Answers, tokens: Answers, options: Preference
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The loss of each preference, and what is said of it: margin, accuracy, log-probabilities of both answers.

    Args:
        policy, reference: log-probabilities.
        tokens: how many each answer has; where it has none, what is given means nothing.
    """
    least = jnp.ones(())
    size = Answers(*(jnp.maximum(n, least) for n in tokens)) if options.length_normalised else Answers(least, least)
    ratio = Answers(*((p - r) / n for p, r, n in zip(policy, reference, size, strict=True)))
    delta = ratio.chosen - ratio.rejected
    if options.kind == "ipo":
        loss = (delta - 1.0 / (2.0 * options.beta)) ** 2
    else:
        right, wrong = (-jax.nn.log_sigmoid(sign * options.beta * delta) for sign in (1.0, -1.0))
        e = options.label_smoothing
        loss = (1.0 - e) * right + e * wrong if options.kind == "sigmoid" else _unbiased(right, wrong, e)
    if options.sft_weight:
        loss += options.sft_weight * -policy.chosen / jnp.maximum(tokens.chosen, least)
    return loss, {
        "margin": options.beta * delta,
        "accuracy": (delta > 0).astype(jnp.float32),
        "chosen_log_probability": policy.chosen,
        "rejected_log_probability": policy.rejected,
    }


def kl(policy: jax.Array, reference: jax.Array) -> jax.Array:
    """Of tokens, from both log-probabilities: an estimate of the policy's KL divergence to the reference.

    r - 1 - log r for r = reference / policy, never negative (J. Schulman, "Approximating KL Divergence", 2020). It is
    unbiased on the policy's own samples; on answers that are given it says how far the policy has gone, not how far it
    is everywhere.
    """
    log_r = reference - policy
    return jnp.expm1(log_r) - log_r


def _unbiased(right: jax.Array, wrong: jax.Array, share: float) -> jax.Array:
    return ((1.0 - share) * right - share * wrong) / (1.0 - 2.0 * share)
