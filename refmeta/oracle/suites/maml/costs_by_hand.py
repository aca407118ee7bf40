"""Linear-quadratic costs with other weights and other noise, as both recursions say.  Derivation: derivations/linear-quadratic-control.md"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array

__all__ = ["Weights", "cost"]


class Weights(NamedTuple):
    """The weights of the costs of states 0 … H and of actions 0 … H − 1, whether noise is charged and acts, σ² of θ_σ and its slope."""

    states: Callable[[int, float], Array] = lambda H, gamma: np.append(np.ones(H), 0.0)
    actions: Callable[[int], Array] = np.ones
    charged: float = 1.0
    driven: float = 1.0
    variance: Callable[[Array], tuple[Array, Array]] = lambda x: (np.exp(2 * x), 2 * np.exp(2 * x))


def cost(lq: Any, theta: Array, weights: Weights) -> tuple[Array, Array]:
    """J = Σ_t γᵗ [q_t tr(QΣ_t) + r_t (tr(KᵀRKΣ_t) + R·σ²)] with t = 0 … H, and its gradient."""
    K = theta[..., : -lq.actions].reshape(*theta.shape[:-1], lq.actions, lq.states)
    variance, slope = weights.variance(theta[..., -lq.actions :])
    q, r = weights.states(lq.horizon, lq.gamma), np.append(weights.actions(lq.horizon), 0.0)
    S = _moments(lq, lq.A + lq.B @ K, weights.driven * variance)
    discounts = lq.gamma ** np.arange(lq.horizon + 1)
    control, noise = _transpose(K) @ lq.R @ K, np.einsum("...jj,...j->...", lq.R, variance)
    each = [_trace(q[t] * lq.Q + r[t] * control, S[t]) + weights.charged * r[t] * noise for t in range(lq.horizon + 1)]
    J = sum(w * x for w, x in zip(discounts, each, strict=True))
    by_gain, by_variance = _slopes(lq, K, S, q, r, weights)
    flat = (2 * by_gain).reshape(*theta.shape[:-1], -1)
    return J, np.concatenate([flat, by_variance * slope], axis=-1)


def _moments(lq: Any, M: Array, variance: Array) -> list[Array]:
    """Σ_0 … Σ_H."""
    step = (lq.B * variance[..., None, :]) @ _transpose(lq.B) + lq.noise
    S = [lq.start + 0 * M]
    for _ in range(lq.horizon):
        S.append(M @ S[-1] @ _transpose(M) + step)
    return S


def _slopes(lq: Any, K: Array, S: list[Array], q: Array, r: Array, weights: Weights) -> tuple[Array, Array]:
    """½ ∂J/∂K and ∂J/∂σ², with the values P_t from the last to the first."""
    M, P = lq.A + lq.B @ K, q[-1] * lq.Q + 0 * (lq.A + lq.B @ K)
    by_gain, by_variance = 0 * K, 0 * K[..., 0]
    for t in reversed(range(lq.horizon)):
        pressure = lq.gamma * _transpose(lq.B) @ P
        by_gain = by_gain + lq.gamma**t * (r[t] * lq.R @ K + pressure @ M) @ S[t]
        price = weights.charged * r[t] * lq.R + weights.driven * pressure @ lq.B
        by_variance = by_variance + lq.gamma**t * np.einsum("...jj->...j", price)
        P = q[t] * lq.Q + r[t] * _transpose(K) @ lq.R @ K + lq.gamma * _transpose(M) @ P @ M
    return by_gain, by_variance


def _trace(A: Array, B: Array) -> Array:
    """tr(AB) of symmetric matrices."""
    return np.asarray(np.einsum("...ij,...ij->...", A, B))


def _transpose(x: Array) -> Array:
    """xᵀ."""
    return x.swapaxes(-1, -2)
