"""MAML in JAX, as one would write it, and the classic ways to get it wrong.

Chapter: derivations/using-the-oracle.md
"""

import jax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)


def meta_gradient(loss, theta, support, query, alpha, steps):
    """∇ of the query's loss after the steps on the support, one row a task."""
    alphas = jnp.broadcast_to(alpha, (steps, len(theta)))

    def objective(theta, support, query):
        for k in range(steps):
            theta = theta - alphas[k] * jax.grad(loss)(theta, *support)
        return loss(theta, *query)

    return jax.jit(jax.vmap(jax.grad(objective), in_axes=(None, 0, 0)))(theta, support, query)


def squared(theta, X, y):
    return jnp.mean((X @ theta - y) ** 2) / 2


def regression(theta, X, y, query_X, query_y, alpha, steps):
    return meta_gradient(squared, theta, (X, y), (query_X, query_y), alpha, steps)


def minus_return(gamma, horizon):
    """−J of a table of logits: the Bellman system, or H steps of its recursion."""

    def loss(theta, P, R, rho):
        pi = jax.nn.softmax(theta.reshape(R.shape))
        r, T = jnp.sum(pi * R, axis=1), jnp.einsum("sa,sat->st", pi, P)
        if horizon is None:
            return -rho @ jnp.linalg.solve(jnp.eye(len(r)) - gamma * T, r)
        V = jnp.zeros_like(r)
        for _ in range(horizon):
            V = r + gamma * T @ V
        return -rho @ V

    return loss


def tabular(theta, P, R, rho, query_P, query_R, query_rho, gamma, horizon, alpha, steps):
    loss = minus_return(gamma, horizon)
    return meta_gradient(loss, theta, (P, R, rho), (query_P, query_R, query_rho), alpha, steps)


# The mistakes.


def detached_meta_gradient(loss, theta, support, query, alpha, steps, *, cut):
    """As `meta_gradient`, but with a stop_gradient in the inner steps k with cut(k)."""
    alphas = jnp.broadcast_to(alpha, (steps, len(theta)))

    def objective(theta, support, query):
        for k in range(steps):
            g = jax.grad(loss)(theta, *support)
            theta = theta - alphas[k] * (jax.lax.stop_gradient(g) if cut(k) else g)
        return loss(theta, *query)

    return jax.jit(jax.vmap(jax.grad(objective), in_axes=(None, 0, 0)))(theta, support, query)


def regression_first_order(theta, X, y, query_X, query_y, alpha, steps, cut=lambda k: True):
    return detached_meta_gradient(squared, theta, (X, y), (query_X, query_y), alpha, steps, cut=cut)


def tabular_first_order(
    theta, P, R, rho, query_P, query_R, query_rho, gamma, horizon, alpha, steps, cut=lambda k: True
):
    loss = minus_return(gamma, horizon)
    return detached_meta_gradient(loss, theta, (P, R, rho), (query_P, query_R, query_rho), alpha, steps, cut=cut)


def regression_first_step_detached(**inputs):
    return regression_first_order(**inputs, cut=lambda k: k == 0)


def tabular_first_step_detached(**inputs):
    return tabular_first_order(**inputs, cut=lambda k: k == 0)


def regression_one_split(theta, X, y, query_X, query_y, alpha, steps):
    return meta_gradient(squared, theta, (X, y), (X, y), alpha, steps)


def tabular_one_split(theta, P, R, rho, query_P, query_R, query_rho, gamma, horizon, alpha, steps):
    return meta_gradient(minus_return(gamma, horizon), theta, (P, R, rho), (P, R, rho), alpha, steps)


def regression_float32(**inputs):
    """The default of JAX: what is double on the way in is single inside."""
    with jax.enable_x64(False):
        return regression(**inputs)


def tabular_float32(**inputs):
    with jax.enable_x64(False):
        return tabular(**inputs)
