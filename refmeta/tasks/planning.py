"""Optimal values of a finite Markov decision process.  Derivation: derivations/exact-policy-gradient.md"""

from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array, dot, finite
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


@finite
def optimal_values(mdp: FiniteMDP) -> Optimum:
    """V*(s) = max_a Q*(s, a), Q* = R + γPV*; with a horizon V*_t = max_a Q*_t, the best policy depending on time.

    Eq: optimal-values

    Infinite horizon: policy iteration.  An action is replaced only by one whose Q is larger by more than its rounding,
    8·eps·(|R| + γP|V|), so the scale of the rewards does not matter; it ends where no action is, or where rounding makes
    a policy come back, which exactly none does.

    Raises
    ------
    TypeError, FloatingPointError
        If it is given something else than a `FiniteMDP`, or a value overflows.
    """
    if not isinstance(mdp, FiniteMDP):
        raise TypeError(f"optimal_values takes a FiniteMDP, got {type(mdp).__name__}")
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
    action, seen = np.zeros((*mdp.shape, mdp.states), dtype=np.intp), set()
    while action.tobytes() not in seen:
        seen.add(action.tobytes())
        pi = np.eye(mdp.actions)[action]
        M = np.eye(mdp.states) - mdp.gamma * mdp.transitions(pi)
        value = np.linalg.solve(M, mdp.rewards(pi)[..., None])[..., 0]
        Q = mdp.expected_reward + mdp.gamma * mdp.expect(value)
        rounding = 8 * EPS * (np.abs(mdp.expected_reward) + mdp.gamma * mdp.expect(np.abs(value)))
        gain = Q - rounding - np.sum(pi * (Q + rounding), axis=-1, keepdims=True)
        action = np.where(np.max(gain, axis=-1) > 0, np.argmax(gain, axis=-1), action)
    return value, Q, action
