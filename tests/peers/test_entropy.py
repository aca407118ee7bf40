"""The return with entropy beside JAX, which differentiates its definition: a sum over time, and the entropy written out.

`make test-peers` installs JAX and runs this; `make test` does not.
"""

import numpy as np
import pytest

pytest.importorskip("jax")

import jax
import jax.numpy as jnp

import refmeta as rm

jax.config.update("jax_enable_x64", True)

STEPS = 700  # rewards without a horizon: 0.9^700 and 0.7^700 are below 1e-31


def soft_return(theta, P, R, rho, gamma, tau, alive, features, steps):
    """Σ_t γᵗ E[r + τH] of one task; `alive` is 0 in an end."""
    logits = features @ theta
    weights = jnp.exp(logits - jnp.max(logits, axis=-1, keepdims=True))
    pi = weights / jnp.sum(weights, axis=-1, keepdims=True)
    paid = (jnp.sum(pi * R, axis=-1) - tau * jnp.sum(pi * jnp.log(pi), axis=-1)) * alive
    moves = jnp.einsum("sa,sat->st", pi, P)
    return jnp.sum(jax.lax.scan(lambda w, _: (gamma * (w @ moves) * alive, w @ paid), rho * alive, None, length=steps)[1])


def adapted_loss(theta, support, query, steps):
    """−J of the query after two steps of size 0.07 on the support."""
    for _ in range(2):
        theta = theta + 0.07 * jax.grad(soft_return)(theta, *support, steps)
    return -soft_return(theta, *query, steps)


VALUE = jax.jit(soft_return, static_argnums=8)
GRADIENT = jax.jit(jax.grad(soft_return), static_argnums=8)
PRODUCT = jax.jit(lambda theta, v, *task: jax.jvp(lambda t: jax.grad(soft_return)(t, *task), (theta,), (v,))[1], static_argnums=9)
META = jax.jit(jax.grad(adapted_loss), static_argnums=3)


def random_problem(rng, kind):
    """P, R and ρ of support and query, two tasks each; γ, H, the flags of the ends and the features."""
    P, R, rho = rng.dirichlet(np.ones(3), (2, 2, 3, 3)), 0.5 + rng.normal(size=(2, 2, 3, 3)), rng.dirichlet(np.ones(3), (2, 2))
    gamma, horizon, end = float(rng.uniform(0.3, 0.9)), 4 if kind == "horizon" else None, np.zeros(3, bool)
    if kind == "ends":
        gamma, end[-1] = 1.0, True
        P = 0.7 * P + 0.3 * np.eye(3)[-1]
        P[..., -1, :, :], R[..., -1, :] = np.eye(3)[-1], 0
    features = rng.normal(size=(3, 3, 4)) if kind == "features" else np.eye(9).reshape(3, 3, 9)
    return P, R, rho, gamma, horizon, end, features


@pytest.mark.parametrize("kind", ["discounted", "horizon", "ends", "features"])
@pytest.mark.parametrize("seed", range(3))
def test_return_gradient_hessian_product_and_meta_gradient_agree(kind, seed):
    rng = np.random.default_rng(seed)
    P, R, rho, gamma, horizon, end, features = random_problem(rng, kind)
    policy = rm.LinearSoftmax(features) if kind == "features" else rm.TabularSoftmax(3, 3)
    tau, (theta, v) = float(rng.uniform(0.2, 3)), rng.normal(size=(2, policy.dim))
    support, query = (
        rm.PolicyReturn(rm.FiniteMDP(P[k], R[k], rho[k], gamma, horizon, end), policy, tau) for k in (0, 1)
    )
    point, meta = support.at(theta), rm.maml.gradient(theta, support, query, alpha=0.07, steps=2)
    for i in range(2):
        one, other = ((P[k, i], R[k, i], rho[k, i], gamma, tau, 1.0 - end, features) for k in (0, 1))
        steps = horizon or STEPS
        for got, expected in (
            (-point.loss[i], VALUE(theta, *one, steps)),
            (-point.grad[i], GRADIENT(theta, *one, steps)),
            (-point.hvp(v)[i], PRODUCT(theta, v, *one, steps)),
            (meta[i], META(theta, one, other, steps)),
        ):
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * np.max(np.abs(expected)))
