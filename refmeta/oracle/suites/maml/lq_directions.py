"""Directions that stand for the gradient of a linear-quadratic cost.  Derivation: derivations/linear-quadratic-control.md"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array

__all__ = ["Pieces", "changed_cost", "correlated", "delayed", "early_noise", "free_noise", "one_noise", "pieces"]


class Pieces(NamedTuple):
    """The gain K, the variances, and for every time γᵗ (T,), γᵗΣ_t and the next value P; without a horizon T = 1, summed."""

    lq: Any
    gain: Array
    variance: Array
    weights: Array
    moments: Array
    values: Array

    @property
    def closed(self) -> Array:
        """A + BK, with an axis of times."""
        return (self.lq.A + self.lq.B @ self.gain)[..., None, :, :]

    @property
    def own(self) -> Array:
        """RK, with an axis of times."""
        return (self.lq.R @ self.gain)[..., None, :, :]

    @property
    def later(self) -> Array:
        """γBᵀP(A + BK)."""
        return self.lq.gamma * _turned(self.lq.B)[..., None, :, :] @ self.values @ self.closed

    def flat(self, by_gain: Array, by_log: Array) -> Array:
        """2 by_gain (..., m, p) and by_log (..., m) in the order of θ."""
        return np.concatenate([(2 * by_gain).reshape(*by_gain.shape[:-2], -1), by_log], axis=-1)

    def by_log(self, own: float = 1.0, later: float = 1.0) -> Array:
        """2σ² Σ_t γᵗ diag(R + γBᵀPB)."""
        B = self.lq.B[..., None, :, :]
        price = own * self.lq.R[..., None, :, :] + later * self.lq.gamma * _turned(B) @ self.values @ B
        return 2 * self.variance * np.einsum("t,...tjj->...j", self.weights, price)


def _turned(x: Array) -> Array:
    """xᵀ."""
    return x.swapaxes(-1, -2)


def pieces(lq: Any, theta: Array) -> Pieces:
    """What a gradient is made of."""
    m, p, g = lq.actions, lq.states, lq.gamma
    K, variance = theta[..., :-m].reshape(*theta.shape[:-1], m, p), np.exp(2 * theta[..., -m:])
    M = lq.A + lq.B @ K
    N, C = (lq.B * variance[..., None, :]) @ _turned(lq.B) + lq.noise, lq.Q + _turned(K) @ lq.R @ K
    if lq.horizon is None:
        both = np.einsum("...ij,...kl->...ikjl", M, M).reshape(*M.shape[:-2], p * p, p * p)
        system, start = np.eye(p * p) - g * both, lq.start + g / (1 - g) * N
        solve: Callable[[Array, Array], Array] = lambda A, b: np.linalg.solve(A, (b + 0 * M).reshape(*M.shape[:-2], p * p, 1)).reshape(M.shape)
        S, P = solve(system, start), solve(_turned(system), C)
        return Pieces(lq, K, variance, np.array([1 / (1 - g)]), S[..., None, :, :], P[..., None, :, :])
    moments, values = [lq.start + 0 * M], [0 * M]
    for _ in range(lq.horizon - 1):
        moments.append(M @ moments[-1] @ _turned(M) + N)
        values.insert(0, C + g * _turned(M) @ values[0] @ M)
    weights = g ** np.arange(lq.horizon)
    return Pieces(lq, K, variance, weights, np.stack(moments, axis=-3) * weights[:, None, None], np.stack(values, axis=-3))


def one_noise(lq: Any, theta: Array) -> tuple[Array, Array]:
    """J and its gradient where one noise drives all actions: BσσᵀBᵀ; each action's own charge stays."""
    x = pieces(lq, theta)
    sigma = np.sqrt(x.variance)
    cross = sigma[..., :, None] * sigma[..., None, :] * (1 - np.eye(lq.actions))
    more = lq.B @ cross @ _turned(lq.B)
    moved = pieces(_system(lq, lq.noise + more, lq.start), theta)
    pressure = lq.gamma * np.einsum("t,...tij->...ij", moved.weights, _turned(lq.B)[..., None, :, :] @ moved.values @ lq.B[..., None, :, :])
    by_log = moved.by_log() + 2 * np.sum(pressure * cross, axis=-1)
    return _cost(moved), moved.flat(np.sum((moved.own + moved.later) @ moved.moments, axis=-3), by_log)


def early_noise(lq: Any, theta: Array, process: float, policy: bool = True) -> tuple[Array, Array]:
    """J and its gradient where the noise of the policy, and of the process, is in the start, too."""
    x = pieces(lq, theta)
    driven = (lq.B * x.variance[..., None, :]) @ _turned(lq.B) * policy
    moved = pieces(_system(lq, lq.noise, lq.start + driven + process * lq.noise), theta)
    value = moved.values[..., 0, :, :] if lq.horizon is None else _first_value(moved)
    own = 2 * x.variance * np.einsum("...jj->...j", _turned(lq.B) @ value @ lq.B) * policy
    return _cost(moved), moved.flat(np.sum((moved.own + moved.later) @ moved.moments, axis=-3), moved.by_log() + own)


def _first_value(x: Pieces) -> Array:
    """P_0 of a process with a horizon."""
    lq, K = x.lq, x.gain
    M = lq.A + lq.B @ K
    return np.asarray(lq.Q + _turned(K) @ lq.R @ K + lq.gamma * _turned(M) @ x.values[..., 0, :, :] @ M)


def _cost(x: Pieces) -> Array:
    """J."""
    lq, K = x.lq, x.gain
    C = lq.Q + _turned(K) @ lq.R @ K
    noise = np.einsum("...jj,...j->...", lq.R, x.variance)
    return np.asarray(np.einsum("...ij,...tij->...", C, x.moments) + np.sum(x.weights) * noise)


def correlated(x: Pieces, theta: Array) -> Pieces:
    """The pieces where one noise drives all actions."""
    sigma = np.sqrt(x.variance)
    cross = sigma[..., :, None] * sigma[..., None, :] * (1 - np.eye(x.lq.actions))
    return pieces(_system(x.lq, x.lq.noise + x.lq.B @ cross @ _turned(x.lq.B), x.lq.start), theta)


def delayed(x: Pieces, theta: Array) -> Pieces:
    """The pieces where the noises are in the start, too; with a horizon, the process's only."""
    policy = (x.lq.B * x.variance[..., None, :]) @ _turned(x.lq.B) * (x.lq.horizon is None)
    return pieces(_system(x.lq, x.lq.noise, x.lq.start + x.lq.noise + policy), theta)


def free_noise(lq: Any, theta: Array) -> tuple[Array, Array]:
    """J and its gradient without Rσ²."""
    x = pieces(lq, theta)
    noise = np.sum(x.weights) * np.einsum("...jj,...j->...", lq.R, x.variance)
    return _cost(x) - noise, x.flat(np.sum((x.own + x.later) @ x.moments, axis=-3), x.by_log(own=0.0))


def changed_cost(lq: Any, theta: Array, changes: dict[str, Any]) -> tuple[Array, Array]:
    """J and its gradient for a system with other fields, whose last coordinate need not stay 1."""
    system = _system(lq, lq.noise, lq.start)
    vars(system).update(changes)
    x = pieces(system, theta)
    return _cost(x), x.flat(np.sum((x.own + x.later) @ x.moments, axis=-3), x.by_log())


def _system(lq: Any, noise: Array, start: Array) -> Any:
    """A system with another noise and start, which may be complex."""
    same = {name: getattr(lq, name) for name in ("A", "B", "Q", "R", "gamma", "horizon", "states", "actions")}
    return SimpleNamespace(**same, noise=noise, start=start)
