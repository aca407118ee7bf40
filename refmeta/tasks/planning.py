"""Optimal values of a finite Markov decision process.  Derivation: derivations/exact-policy-gradient.md"""

from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array, dot
from refmeta.tasks.mdp import FiniteMDP

EPS = float(np.finfo(np.float64).eps)


class Optimum(NamedTuple):
    """The best return, its values, and a deterministic policy that attains them.

    Shapes: (...), (..., S), (..., S, A) and (..., S); with a horizon (...), (..., H+1, S), (..., H, S, A), (..., H, S).
    """

    best_return: Array
    value: Array
    action_value: Array
    action: Array


def optimal_values(mdp: FiniteMDP) -> Optimum:
    """V*(s) = max_a Q*(s, a), Q* = R + γPV*; with a horizon V*_t = max_a Q*_t, the best policy depending on time.

    Eq: optimal-values

    Infinite horizon: policy iteration.  An action is replaced only by one whose Q is larger by more than its rounding,
    8·eps·max|Q|, and only while Σ_s V rises, so that no policy comes back and the scale of the rewards does not matter.
    The values are then within 8·eps·max|Q|/(1 − γ) of the best, beside the rounding of their own evaluation.
    """
    solve = _policy_iteration if mdp.horizon is None else _backward_induction
    value, action_value, action = solve(mdp)
    start = value if mdp.horizon is None else value[..., 0, :]
    return Optimum(dot(mdp.rho, start), value, action_value, action)


def _backward_induction(mdp: FiniteMDP) -> tuple[Array, Array, Array]:
    value, action_value = [np.zeros((*mdp.shape, mdp.states))], []
    for _ in range(mdp.horizon or 0):
        action_value.append(mdp.expected_reward + mdp.gamma * mdp.expect(value[-1]))
        value.append(np.max(action_value[-1], axis=-1))
    Q = np.stack(action_value[::-1], axis=-3)
    return np.stack(value[::-1], axis=-2), Q, np.argmax(Q, axis=-1)


def _policy_iteration(mdp: FiniteMDP) -> tuple[Array, Array, Array]:
    action, total = np.zeros((*mdp.shape, mdp.states), dtype=np.intp), np.full(mdp.shape, -np.inf)
    while True:
        pi = np.eye(mdp.actions)[action]
        M = np.eye(mdp.states) - mdp.gamma * mdp.transitions(pi)
        value = np.linalg.solve(M, mdp.rewards(pi)[..., None])[..., 0]
        Q = mdp.expected_reward + mdp.gamma * mdp.expect(value)
        gain = np.max(Q, axis=-1) - np.sum(pi * Q, axis=-1)
        rounding, rises = 8 * EPS * np.max(np.abs(Q), axis=(-1, -2)), np.sum(value, axis=-1) > total
        better = (gain > rounding[..., None]) & rises[..., None]
        if not better.any():
            return value, Q, action
        action, total = np.where(better, np.argmax(Q, axis=-1), action), np.sum(value, axis=-1)
