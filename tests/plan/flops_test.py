"""Operations counted in a jaxpr, against hands and against XLA's count of the same thing without loops."""

import jax
import jax.numpy as jnp
import pytest

from reeval.models.remat import checkpointed
from reeval.plan.flops import flops

B, D, F, L = 3, 8, 20, 5
X_BD, IN_DF, OUT_FD = jnp.ones((B, D)), jnp.ones((D, F)), jnp.ones((F, D))
# Of one layer, forward.
LAYER = 2 * 2 * B * D * F


def layer(x_BD, weights):
    into_DF, out_FD = weights
    return jnp.tanh(x_BD @ into_DF) @ out_FD


def scanned(x_BD, stacked, policy="none"):
    one = checkpointed(lambda x, w: (layer(x, w), None), policy)
    return jax.lax.scan(one, x_BD, stacked)[0].sum()


STACKED = (jnp.ones((L, D, F)), jnp.ones((L, F, D)))


def test_a_scans_body_counts_as_often_as_it_runs():
    assert flops(jax.make_jaxpr(layer)(X_BD, (IN_DF, OUT_FD))) == LAYER
    assert flops(jax.make_jaxpr(scanned)(X_BD, STACKED)) == L * LAYER
    assert flops(jax.jit(scanned).trace(X_BD, STACKED).jaxpr) == L * LAYER


@pytest.mark.parametrize(("policy", "times"), [("none", 3), ("dots", 3), ("full", 4)])
def test_a_gradient_costs_two_forwards_and_a_recomputed_layer_another(policy, times):
    gradient = jax.grad(lambda x, w: scanned(x, w, policy), argnums=(0, 1))
    counted = flops(jax.make_jaxpr(gradient)(X_BD, STACKED))
    # The second product of a layer is not needed to go back, and not recomputed.
    recomputed = L * LAYER // 2 if policy == "full" else 0
    assert counted == 3 * L * LAYER + recomputed
    assert (counted > 3 * L * LAYER) == (times == 4)


def test_frozen_weights_cost_one_forward_more_and_not_two():
    counted = flops(jax.make_jaxpr(jax.grad(scanned))(X_BD, STACKED))
    assert counted == 2 * L * LAYER


def test_xla_counts_as_much_of_the_same_without_a_loop():
    def unrolled(x_BD, stacked):
        for n in range(L):
            x_BD = jnp.einsum("bd,df->bf", x_BD, stacked[0][n])
            x_BD = jnp.einsum("bf,fd->bd", x_BD, stacked[1][n])
        return x_BD

    cost = jax.jit(unrolled).lower(X_BD, STACKED).compile().cost_analysis()
    assert flops(jax.make_jaxpr(unrolled)(X_BD, STACKED)) == pytest.approx(cost["flops"], rel=0.02)


def test_convolutions_conditionals_and_loops_on_data():
    image, kernel = jnp.ones((2, 3, 9, 9)), jnp.ones((5, 3, 4, 4))
    convolve = jax.make_jaxpr(lambda x, k: jax.lax.conv(x, k, (1, 1), "VALID"))
    assert flops(convolve(image, kernel)) == 2 * (2 * 5 * 6 * 6) * (3 * 4 * 4)

    either = jax.make_jaxpr(lambda x, w: jax.lax.cond(x.sum() > 0, lambda: layer(x, w), lambda: x))
    assert flops(either(X_BD, (IN_DF, OUT_FD))) == LAYER
    until = jax.make_jaxpr(lambda x, w: jax.lax.while_loop(lambda x: x.sum() > 0, lambda x: layer(x, w), x))
    assert flops(until(X_BD, (IN_DF, OUT_FD))) == LAYER


def test_a_batch_of_products_and_a_mapped_function():
    many = jax.make_jaxpr(lambda a, b: jnp.einsum("nij,njk->nik", a, b))
    assert flops(many(jnp.ones((7, 2, 3)), jnp.ones((7, 3, 4)))) == 2 * 7 * 2 * 3 * 4
    each = jax.make_jaxpr(lambda x: jax.lax.map(lambda row: row @ IN_DF, x))
    assert flops(each(X_BD)) == 2 * B * D * F
