"""The return with entropy: steps counted one by one, the formulas written out, hyper-dual numbers, differences."""

import numpy as np

from tests.oracle.right.complex_step import slopes
from tests.oracle.right.differences import central
from tests.oracle.right.duals import log
from tests.oracle.right.forward import hyper, policy

__all__ = ["RIGHT", "by_formulas", "by_steps"]

ENOUGH = 1500  # steps without a horizon, on vectors with γ of at most 0.94


def _policy(theta, R, features):
    """π and log π of every state."""
    logits = theta.reshape(R.shape[1:]) if features is None else features @ theta
    logs = logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))
    return np.exp(logs), logs


def by_steps(theta, P, R, rho, gamma, horizon, features, temperature, v, slopes=slopes):
    """Where the chain is at each t, times what it is paid there; the gradient by a complex step."""

    def loss(theta):
        pi, logs = _policy(theta, R, features)
        paid, now, total = np.einsum("sa,nsa->ns", pi, R) - temperature * np.sum(pi * logs, axis=-1), rho, 0.0
        for t in range(ENOUGH if horizon is None else horizon):
            total, now = total + gamma**t * np.sum(now * paid, axis=-1), np.einsum("ns,sa,nsat->nt", now, pi, P)
        return -total

    return {"loss": loss(theta), "grad": slopes(loss, theta)}


def by_formulas(theta, P, R, rho, gamma, horizon, features, temperature, v):
    """Values backwards in time or by a system, whole advantages, and visits forwards."""
    pi, logs = _policy(theta, R, features)
    S, M, steps = R.shape[1], np.einsum("sa,nsat->nst", pi, P), 1 if horizon is None else horizon
    mean = np.einsum("sa,nsa->ns", pi, R) - temperature * np.sum(pi * logs, axis=-1)
    if horizon is None:
        V = np.linalg.solve(np.eye(S) - gamma * M, mean[..., None])[..., 0]
        d, values = [np.linalg.solve(np.eye(S) - gamma * M.swapaxes(1, 2), rho[..., None])[..., 0]], [V, V]
    else:
        values, d = [0 * rho], [rho]
        for _ in range(horizon):
            values.insert(0, mean + gamma * np.einsum("nst,nt->ns", M, values[0]))
            d.append(gamma * np.einsum("nst,ns->nt", M, d[-1]))
    Q = np.stack([R + gamma * np.einsum("nsat,nt->nsa", P, V) for V in values[1:]], axis=1)
    A = Q - temperature * logs - np.stack(values[:-1], axis=1)[..., None]
    g = sum(d[t][..., None] * pi * A[:, t] for t in range(steps))
    grad = -g.reshape(len(g), -1) if features is None else -np.einsum("nsa,sad->nd", g, features)
    parts = {"loss": -np.sum(rho * values[0], axis=-1), "grad": grad}
    if horizon is None:
        return parts | {"value": V, "action_value": Q[:, 0], "advantage": A[:, 0]}
    return parts | {"value": np.stack(values, axis=1), "action_value": Q, "advantage": A}


def by_duals(theta, P, R, rho, gamma, horizon, features, temperature, v):
    """Steps of the values, backwards, in numbers that carry both slopes."""
    S, A = R.shape[1:]

    def loss(theta):
        pi = policy(theta, S, A, features)
        paid = [sum(p * (R[:, s, a] - temperature * log(p)) for a, p in enumerate(pi[s])) for s in range(S)]
        kernel = [[sum(p * (gamma * P[:, s, a, t]) for a, p in enumerate(pi[s])) for t in range(S)] for s in range(S)]
        V = paid
        for _ in range((600 if horizon is None else horizon) - 1):
            V = [paid[s] + sum(M * x for M, x in zip(kernel[s], V, strict=True)) for s in range(S)]
        return -sum(V[s] * rho[:, s] for s in range(S))

    return dict(zip(("loss", "grad", "hvp"), hyper(loss, np.tile(theta, (len(P), 1)), v), strict=True))


def by_differences(**inputs):
    """The gradient as central differences of the loss."""
    return by_steps(**inputs, slopes=lambda f, x: central(lambda t: f(t), x))


RIGHT = [
    ("soft-return", "steps one by one", by_steps, {}, False),
    ("soft-return", "formulas written out", by_formulas, {}, False),
    ("soft-return", "hyper-dual numbers", by_duals, {}, False),
    ("soft-return", "central differences", by_differences, {}, True),
]
