"""Meta-LSTM in JAX, as one would write it, and two of its mistakes.  Suite: meta-lstm."""

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
LEAVES = ("W", "b", "W_I", "b_I", "W_F", "b_F", "c0")


def loss(theta, X, labels, classes, ridge):
    log_p = jax.nn.log_softmax(X @ theta.reshape(classes, -1).T)
    return -jnp.mean(log_p[jnp.arange(len(labels)), labels]) + ridge / 2 * theta @ theta


def preprocess(x):
    large = jnp.abs(x) >= jnp.exp(-10.0)
    safe = jnp.where(large, x, 1.0)
    return jnp.stack(
        [jnp.where(large, jnp.log(jnp.abs(safe)) / 10, -1.0), jnp.where(large, jnp.sign(x), jnp.exp(10.0) * x)], axis=-1
    )


def query_loss(weights, support, query, classes, ridge, steps, detached, released):
    W, b, W_I, b_I, W_F, b_F, theta = weights
    d, H = len(theta), len(W_I) - 2
    h = c = jnp.zeros((d, H))
    told_i = told_f = jnp.zeros(d)
    for _ in range(steps):
        value, g = jax.value_and_grad(loss)(theta, *support, classes, ridge)
        if detached:
            value, g = jax.lax.stop_gradient((value, g))
        x = jnp.concatenate([preprocess(g), jnp.broadcast_to(preprocess(value), (d, 2)), h], axis=1)
        i, f, o, candidate = jnp.split(x @ W.T + b, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(candidate)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        z_i = jnp.concatenate([h, theta[:, None], told_i[:, None]], axis=1) @ W_I + b_I
        z_f = jnp.concatenate([h, theta[:, None], told_f[:, None]], axis=1) @ W_F + b_F
        told_i, told_f = (z_i, z_f) if released else (jax.nn.sigmoid(z_i), jax.nn.sigmoid(z_f))
        theta = jax.nn.sigmoid(z_f) * theta - jax.nn.sigmoid(z_i) * g
    return loss(theta, *query, classes, ridge)


def meta_lstm(X, labels, query_X, query_labels, classes, ridge, steps, released=False, detached=False, **leaves):
    weights, parts = tuple(jnp.asarray(leaves[name]) for name in LEAVES), {"objective": []}
    for n in range(len(X)):
        rest = (X[n], labels[n]), (query_X[n], query_labels[n]), classes, ridge, steps
        parts["objective"].append(query_loss(weights, *rest, False, released))
        for kind, cut in (("exact", detached), ("independent", True)):
            slopes = jax.grad(query_loss)(weights, *rest, cut, released)
            for name, slope in zip(LEAVES, slopes, strict=True):
                parts.setdefault(f"{kind}_{name}", []).append(slope)
    return {name: np.stack(rows) for name, rows in parts.items()}


def meta_lstm_released(**inputs):
    """The gates' pre-activations are fed back."""
    return meta_lstm(**inputs, released=True)


def meta_lstm_detached(**inputs):
    """The learner's gradient and loss cut off where the exact gradient is wanted."""
    return {k: v for k, v in meta_lstm(**inputs, detached=True).items() if k.startswith("exact")}
