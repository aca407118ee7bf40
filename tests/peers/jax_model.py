"""Adaptation through a learned model in JAX, beliefs updated one transition after another, and two mistakes.

Suite: model.
"""

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)


def observe(noise):
    """A transition's log probability under the belief, and the belief after it."""

    def step(belief, experience):
        counts, mean, variance = belief
        s, a, following, r, present = experience
        spread, error = variance[s, a] + noise, r - mean[s, a]
        log_p = jnp.log(counts[s, a, following] / counts[s, a].sum())
        log_p = log_p - (jnp.log(2 * jnp.pi * spread) + error**2 / spread) / 2
        after = (
            counts.at[s, a, following].add(1.0),
            mean.at[s, a].add(variance[s, a] / spread * error),
            variance.at[s, a].multiply(noise / spread),
        )
        kept = jax.tree_util.tree_map(lambda new, old: jnp.where(present, new, old), after, belief)
        return kept, jnp.where(present, log_p, 0.0)

    return step


def loss(theta, P, R, rho, gamma, horizon):
    """Minus the return."""
    pi = jax.nn.softmax(theta.reshape(R.shape), axis=-1)
    r, M = (pi * R).sum(-1), jnp.einsum("sa,sat->st", pi, P)
    if horizon is None:
        return -rho @ jnp.linalg.solve(jnp.eye(len(r)) - gamma * M, r)
    V = jnp.zeros(len(r))
    for _ in range(horizon):
        V = r + gamma * M @ V
    return -rho @ V


def model(theta, concentration, reward_mean, reward_variance, noise_variance, P, R, rho, gamma, horizon, alpha, steps,
          detached=False, believing=False, **context):  # fmt: skip
    alphas = jnp.broadcast_to(jnp.asarray(alpha), (steps, len(theta)))
    prior = jnp.log(concentration), jnp.asarray(reward_mean), jnp.log(reward_variance)
    there = context["context_mask"] != 0
    experience = [jnp.where(there, context[f"context_{name}"], 0) for name in ("states", "actions", "following", "rewards")]

    def infer(log_concentration, mean, log_variance, experience):
        belief = jnp.exp(log_concentration), mean, jnp.full(mean.shape, jnp.exp(log_variance))
        belief, log_p = jax.lax.scan(observe(noise_variance), belief, experience)
        return log_p.sum(), (belief[0] / belief[0].sum(-1, keepdims=True), belief[1])

    def objective(theta, learned, true, rho):
        phi = theta
        for k in range(steps):
            phi = phi - alphas[k] * jax.grad(loss)(phi, *learned, rho, gamma, horizon)
        phi = theta + jax.lax.stop_gradient(phi - theta) if detached else phi
        return loss(phi, *(learned if believing else true), rho, gamma, horizon)

    def one(experience, P, R, rho):
        values = jax.value_and_grad(infer, argnums=(0, 1, 2), has_aux=True)(*prior, experience)
        (log_marginal, learned), slopes = values
        value, slope = jax.value_and_grad(objective)(jnp.asarray(theta), learned, (P, R), rho)
        return {
            "transition": learned[0], "reward": learned[1], "log_marginal": log_marginal, "concentration_grad": slopes[0],
            "reward_mean_grad": slopes[1], "reward_variance_grad": slopes[2], "objective": value, "gradient": slope,
        }  # fmt: skip

    return {name: np.asarray(x) for name, x in jax.vmap(one)((*experience, there), P, R, rho).items()}


def model_detached(**inputs):
    """The inner step without its own derivative."""
    return model(**inputs, detached=True)


def model_believing(**inputs):
    """The query on the model."""
    return model(**inputs, believing=True)
