"""Returns of processes as both recursions say, of any policy.  Derivation: derivations/exact-policy-gradient.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, dot
from refmeta.oracle.suites.maml.changed import holomorphic
from refmeta.oracle.suites.maml.losses import Change, Side
from refmeta.oracle.suites.maml.policy_directions import flow
from refmeta.softmax import softmax

__all__ = ["by_hand", "over_states"]


def by_hand(axis: int = -1, visits: bool = True, horizon: Callable[[float], int] | None = None) -> Change:
    """−J of a softmax over an axis of the table; with −Σ_t d_t π Q_t for its gradient if visits are not discounted.

    `horizon` makes that of a process without one of its discount; else such a process is right.
    """

    def of(task: Any, side: Side) -> Any:
        H = task.mdp.horizon or horizon and horizon(task.mdp.gamma)
        right = axis == -1 and (horizon and task.mdp.horizon or not horizon and not H)
        return task if right else holomorphic(lambda theta: _return(task, theta, axis, visits, H))

    return Change(of, stage=1)


def _return(task: Any, theta: Array, axis: int, visits: bool, horizon: int | None) -> tuple[Array, Array]:
    """−J and its gradient, for policies whose rows need not add to 1."""
    z = task.policy.table(theta)
    pi = softmax(z) if axis == -1 else softmax(z.swapaxes(-1, -2)).swapaxes(-1, -2)
    J, G = _discounted(task.mdp, pi) if horizon is None else _finite(task.mdp, pi, visits, horizon)
    mean = np.sum(pi * G, axis=axis, keepdims=True)
    return -J, -task.policy.pullback(pi * (G - mean))


def _discounted(mdp: Any, pi: Array) -> tuple[Array, Array]:
    """J, and ∂J/∂π = d Q."""
    M = np.eye(mdp.states) - mdp.gamma * mdp.transitions(pi)
    V = np.linalg.solve(M, dot(pi, mdp.expected_reward)[..., None])[..., 0]
    rho = np.broadcast_to(mdp.rho, V.shape)
    d = np.linalg.solve(M.swapaxes(-1, -2), rho[..., None])[..., 0]
    return dot(rho, V), d[..., None] * (mdp.expected_reward + mdp.gamma * mdp.expect(V))


def _finite(mdp: Any, pi: Array, visits: bool, horizon: int) -> tuple[Array, Array]:
    """J, and ∂J/∂π = Σ_t γᵗd_t Q_t or that without γᵗ, Q_t = R + γP V_{t+1}, from the powers of P_π."""
    powers, discounts = _powers(mdp.transitions(pi), horizon), mdp.gamma ** np.arange(horizon)[:, None, None]
    d = (mdp.rho[..., None, :] @ powers)[..., 0, :] * (discounts if visits else 1.0)
    V = np.cumsum(discounts * (powers @ dot(pi, mdp.expected_reward)[..., None])[..., 0], axis=0)
    following = np.concatenate([V[:-1][::-1], 0 * V[:1]])
    both = np.einsum("tns,tnu->nsu", d, following)
    G = np.sum(d, axis=0)[..., None] * mdp.expected_reward + mdp.gamma * np.einsum("nsau,nsu->nsa", mdp.P, both)
    return dot(mdp.rho, V[-1]), G


def _powers(M: Array, count: int) -> Array:
    """I, M, M² … by doubling, (count, N, S, S)."""
    powers = np.broadcast_to(np.eye(M.shape[-1]), (1, *M.shape))
    while len(powers) < count:
        powers, M = np.concatenate([powers, powers @ M]), M @ M
    return powers[:count]


def over_states(task: Any, side: Side) -> Any:
    """A softmax over the states, each state's row scaled to add up to 1."""

    def both(theta: Array) -> tuple[Array, Array]:
        mdp, policy = side.own.mdp, side.own.policy
        p = softmax(policy.table(theta).swapaxes(-1, -2)).swapaxes(-1, -2)
        total = np.sum(p, axis=-1, keepdims=True)
        f = flow(mdp, p / total, mdp.horizon)
        by_pi = np.sum(f.visits[..., None] * f.values, axis=-3)
        by_p = (by_pi - np.sum(by_pi * p / total, axis=-1, keepdims=True)) / total
        J = np.sum(mdp.rho * np.sum(p / total * f.values[..., 0, :, :], axis=-1), axis=-1)
        return -J, -policy.pullback(p * (by_p - np.sum(p * by_p, axis=-2, keepdims=True)))

    return holomorphic(both)
