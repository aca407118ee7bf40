"""The directions of `SampledMAML` on given episodes, in JAX: one scalar each, differentiated by jax.grad through the inner steps.

`one` task is support batches (θ_sampled, (states, actions, mask), rewards), one per inner step, and a query of the same form.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax_sampled import discounted, log_probabilities, loss


def _batch_loss(name, theta, drawn_at, batch, rewards, gamma, sizes):
    return loss(name, theta, drawn_at, batch, rewards, jnp.zeros_like(rewards), gamma, 1.0, sizes)


def _path(name, theta, support, alphas, gamma, sizes):
    """θ⁽⁰⁾ … θ⁽ᴷ⁾; every batch and the parameters at which it was drawn are numbers."""
    path = [theta]
    for each, alpha in zip(support, alphas, strict=True):
        path.append(path[-1] - alpha * jax.grad(lambda t, each=each: _batch_loss(name, t, *each, gamma, sizes))(path[-1]))
    return path


def composed(name, theta, one, alphas, gamma, sizes):
    """L̂_query(φ(θ)): its slope is the direction of MAML through a surrogate."""
    support, query = one
    return _batch_loss(name, _path(name, theta, support, alphas, gamma, sizes)[-1], *query, gamma, sizes)


def with_score(name, theta, one, alphas, gamma, sizes):
    """The same plus minus the mean return of the query, a number, times log p of all support batches at the moving θ⁽ᵏ⁾: E-MAML."""
    support, (_, (_, _, mask), rewards) = one
    mean_return = jnp.mean(jnp.sum(gamma ** jnp.arange(mask.shape[1]) * mask * rewards, axis=1))
    path = _path(name, theta, support, alphas, gamma, sizes)
    log_p = sum(jnp.sum(log_probabilities(at, *batch, *sizes)) for at, (_, batch, _) in zip(path, support, strict=False))
    return composed(name, theta, one, alphas, gamma, sizes) - mean_return * log_p


def clipped_loss(theta, drawn_at, batch, rewards, gamma, epsilon, sizes):
    mask = batch[2]
    ratio = jnp.exp(log_probabilities(theta, *batch, *sizes) - log_probabilities(drawn_at, *batch, *sizes))
    G = discounted(rewards * mask, gamma)
    each = jnp.minimum(G * ratio, G * jnp.clip(ratio, 1 - epsilon, 1 + epsilon))
    return -jnp.mean(jnp.sum(gamma ** jnp.arange(mask.shape[1]) * each * mask, axis=1))


def divergence(theta, drawn_at, batch, sizes):
    """(1/M) Σ KL(π_θ_sampled(·|s) ‖ π_θ(·|s)) at the states of the batch."""
    states, _, mask = batch
    S, A, features = sizes
    if states.ndim == 3:
        of = lambda t: (states @ t[: A * S].reshape(A, S).T, t[A * S :])
        (mean, log_s), (mean_0, log_s0) = of(theta), of(drawn_at)
        each = jnp.sum(log_s - log_s0 + (jnp.exp(2 * log_s0) + (mean_0 - mean) ** 2) / (2 * jnp.exp(2 * log_s)) - 0.5, axis=-1)
    else:
        logs = [jax.nn.log_softmax(t.reshape(S, A) if features is None else features @ t) for t in (theta, drawn_at)]
        each = jnp.sum(jnp.exp(logs[1]) * (logs[1] - logs[0]), axis=-1)[states]
    return jnp.mean(jnp.sum(each * mask, axis=1))


def promp(theta, one, alphas, gamma, epsilon, penalty, sizes):
    support, query = one
    phi = _path("likelihood_ratio", theta, support, alphas, gamma, sizes)[-1]
    return clipped_loss(phi, *query, gamma, epsilon, sizes) + penalty * divergence(theta, support[0][0], support[0][1], sizes)


def direction(objective, theta, tasks):
    """The sum over the tasks of the slopes of a scalar."""
    return np.asarray(sum(jax.grad(lambda t, one=one: objective(t, one))(theta) for one in tasks))


def promp_direction(theta, tasks, alphas, gamma, beta, epsilon, penalty, epochs, sizes):
    """(θ₀ − θ_E)/β, where θ_E is what `epochs` steps on the same episodes lead to."""
    at = theta
    for _ in range(epochs):
        at = at - beta * direction(lambda t, one: promp(t, one, alphas, gamma, epsilon, penalty, sizes), at, tasks)
    return (theta - at) / beta
