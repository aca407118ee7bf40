"""MAML on a network in JAX: sinusoids, two hidden layers of 40, a pytree; and the classic ways to get it wrong.

`problem(steps)` is what one writes to have it judged.  Chapter: derivations/using-the-oracle.md
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import refmeta as rm

jax.config.update("jax_enable_x64", True)

TASKS, SHOTS, ALPHA, MOMENTUM, EPSILON = 3, 10, 0.01, 0.9, 1e-5
WIDTHS = (1, 40, 40, 1)
RNG = np.random.default_rng(1)
PARAMETERS = [{"W": RNG.normal(size=(n, m)) / np.sqrt(n), "b": RNG.normal(size=m) * 0.1} for n, m in zip(WIDTHS[:-1], WIDTHS[1:], strict=True)]
FLAT, tree = ravel_pytree(PARAMETERS)
THETA = np.asarray(FLAT)

X = RNG.uniform(-5, 5, (2, TASKS, SHOTS, 1))
Y = RNG.uniform(0.1, 5, (TASKS, 1, 1)) * np.sin(X - RNG.uniform(0, np.pi, (TASKS, 1, 1)))


def apply(layers, x, statistic=None):
    """The network, and the mean and variance of its first layer, which are taken out if a `statistic` is asked for or given."""
    h = x @ layers[0]["W"] + layers[0]["b"]
    own = jnp.mean(h, axis=0), jnp.var(h, axis=0)
    if statistic is not None:
        mean, variance = own if statistic == "own" else statistic
        h = (h - mean) / jnp.sqrt(variance + EPSILON)
    h = jnp.tanh(jnp.tanh(h) @ layers[1]["W"] + layers[1]["b"])
    return h @ layers[2]["W"] + layers[2]["b"], own


def loss(layers, split, task, statistic=None):
    """The mean squared error on one task; `layers` is a pytree."""
    x, y = (jnp.asarray(a)[split, task].astype(layers[0]["W"].dtype) for a in (X, Y))
    return jnp.mean((apply(layers, x, statistic)[0] - y) ** 2)


def flat_loss(theta, split, task, statistic=None):
    """The loss of a flat θ."""
    return loss(tree(theta), split, task, statistic)


def black_box(split, statistic=None, dtype=jnp.float64, hvp=False):
    """The losses of all tasks, with their gradients by automatic differentiation."""
    value = jax.jit(lambda theta, task: flat_loss(theta, split, task, statistic))
    slope = jax.jit(jax.grad(lambda theta, task: flat_loss(theta, split, task, statistic)))
    product = jax.jit(lambda theta, v, task: jax.jvp(lambda t: slope(t, task), (theta,), (v,))[1])
    cast = lambda f: lambda *arrays_and_task: f(*(jnp.asarray(a, dtype) for a in arrays_and_task[:-1]), arrays_and_task[-1])
    return rm.BlackBox(cast(value), THETA.size, grad=cast(slope), hvp=cast(product) if hvp else None, shape=(TASKS,))


def step(layers, g, alpha):
    """One step of gradient descent on a pytree."""
    return jax.tree_util.tree_map(lambda p, slope: p - alpha * slope, layers, g)


def maml(theta, alpha, steps, statistic=None, dtype=jnp.float64, cut=lambda k: False, query=1, scale=1.0, momentum=0.0, share=False):
    """One row per task: ∇ of the query's loss after `steps` steps on the support.  What follows `dtype` is a mistake each."""
    layers = tree(jnp.asarray(theta, dtype)) if dtype == jnp.float64 else jax.tree_util.tree_map(dtype, tree(jnp.asarray(theta)))
    kept, velocity = statistic, jax.tree_util.tree_map(jnp.zeros_like, layers)

    def objective(start, task, kept, velocity):
        phi = start
        for k in range(steps):
            g = jax.grad(loss)(phi, 0, task, kept)
            g = jax.lax.stop_gradient(g) if cut(k) else g
            velocity = jax.tree_util.tree_map(lambda m, slope: momentum * m + slope, velocity, g)
            phi = step(phi, velocity, alpha)
        _, seen = apply(phi, jnp.asarray(X[query, task], dtype))
        return scale * loss(phi, query, task, kept), (seen, velocity)

    rows = []
    for task in range(TASKS):
        row, (seen, after) = jax.grad(objective, has_aux=True)(layers, task, kept, velocity)
        rows.append(ravel_pytree(row)[0])
        velocity, kept = after if momentum else velocity, seen if share else kept
    return jnp.stack(rows)


MISTAKES = {
    "detached": lambda steps: {"cut": lambda k: True},
    "last_step_only": lambda steps: {"cut": lambda k: k < steps - 1},
    "one_step_too_few": lambda steps: {"steps": steps - 1},
    "statistic_shared": lambda steps: {"share": True},
    "momentum_carried": lambda steps: {"momentum": MOMENTUM},
    "query_is_support": lambda steps: {"query": 0},
    "loss_scaled": lambda steps: {"scale": 0.5},
}


def problem(steps=5, mistake="", dtype=jnp.float64, hvp=False):
    """MAML on this network, right, or with one of the mistakes; a statistic is shared where the network has one."""
    statistic, wrong = "own" if mistake == "statistic_shared" else None, MISTAKES[mistake](steps) if mistake else {}
    return rm.oracle.Problem(
        THETA, black_box(0, statistic, dtype, hvp), black_box(1, statistic, dtype, hvp), ALPHA, steps,
        lambda theta: maml(theta, ALPHA, statistic=statistic, dtype=dtype, **{"steps": steps, **wrong}),
    )  # fmt: skip
