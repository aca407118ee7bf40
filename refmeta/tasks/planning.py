"""Optimal and soft values of a finite Markov decision process.  Derivation: derivations/exact-policy-gradient.md"""

from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array, as_positive, dot, finite_result
from refmeta.softmax import log_softmax, softmax
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["Optimum", "SoftOptimum", "optimal_values", "soft_values"]

EPS = float(np.finfo(np.float64).eps)
MOST = 1000


class Optimum(NamedTuple):
    """The best return, its values, and a deterministic policy that attains them.

    Shapes: (...), (..., S), (..., S, A) and (..., S); with a horizon (...), (..., H+1, S), (..., H, S, A), (..., H, S).
    """

    best_return: Array
    value: Array
    action_value: Array
    action: Array


@finite_result
def optimal_values(mdp: FiniteMDP) -> Optimum:
    """V*(s) = max_a Q*(s, a), Q* = R + γPV*; with a horizon V*_t = max_a Q*_t, the best policy depending on time.

    Eq: optimal-values

    Infinite horizon: policy iteration.  An action is replaced only by one whose Q is larger by more than its rounding,
    8·eps·(|R| + γP|V|) of the centred rewards, so the scale of the rewards does not matter, nor a constant in all of
    them; it ends where no action is, or where rounding makes a policy come back, which exactly none does.

    Raises
    ------
    TypeError, FloatingPointError
        If it is given something else than a `FiniteMDP`, or a value overflows.
    """
    _check_process(mdp, "optimal_values")
    solve = _policy_iteration if mdp.horizon is None else _backward_induction
    relative, relative_action, action = solve(mdp)
    value, action_value, start = _absolute_values(mdp, relative, relative_action)
    return Optimum(dot(mdp.rho, start), value, action_value, action)


class SoftOptimum(NamedTuple):
    """The best return plus τ times the entropy of the policy, its values, and the policy softmax(Q/τ) that attains them.

    Shapes as in `Optimum`; the policy has that of Q.
    """

    best_return: Array
    value: Array
    action_value: Array
    probabilities: Array


@finite_result
def soft_values(mdp: FiniteMDP, *, temperature: float) -> SoftOptimum:
    """V(s) = τ log Σ_a exp(Q(s, a)/τ), Q = R + γPV; with a horizon V_t, V_H = 0.

    Eq: soft-values

    Infinite horizon: soft policy iteration, which is Newton's method on this equation.  It ends where a sweep of the
    equation raises no value by more than its rounding, 8·S·eps·(|R| + γP|V| + τ log A), and one Newton step later; or
    where rounding makes the values come back, which exactly none does.

    Raises
    ------
    TypeError, ValueError
        If it is given something else than a `FiniteMDP`, or a temperature that is not positive.
    FloatingPointError
        If a value, or Q/τ, overflows.
    """
    _check_process(mdp, "soft_values")
    tau = as_positive(temperature, "temperature")
    relative, relative_action = (_soft_iteration if mdp.horizon is None else _soft_induction)(mdp, tau)
    value, action_value, start = _absolute_values(mdp, relative, relative_action)
    return SoftOptimum(dot(mdp.rho, start), value, action_value, softmax(relative_action / tau))


def _absolute_values(mdp: FiniteMDP, value: Array, action_value: Array) -> tuple[Array, Array, Array]:
    """V and Q out of V − k and Q − k, and V at the start."""
    if mdp.horizon is None:
        value = value + mdp.levels[..., None]
        return value, action_value + mdp.levels[..., None, None], value
    value = value + mdp.levels[..., None]
    return value, action_value + mdp.levels[..., :-1, None, None], value[..., 0, :]


def _values(mdp: FiniteMDP, pi: Array, rewards: Array) -> Array:
    """(I − γP_π)⁻¹ rewards, (..., S)."""
    try:
        return np.linalg.solve(np.eye(mdp.states) - mdp.gamma * mdp.transitions(pi), rewards[..., None])[..., 0]
    except np.linalg.LinAlgError:
        raise FloatingPointError("I - gamma P is singular to rounding: 1 - gamma is too small; give a horizon") from None


def _soft_maximum(Q: Array, tau: float) -> Array:
    """τ log Σ_a exp(Q/τ) = Q_b − τ log π_b, at the likeliest action b."""
    likeliest = np.argmax(Q, axis=-1)[..., None]
    return np.take_along_axis(Q - tau * log_softmax(Q / tau), likeliest, axis=-1)[..., 0]


def _soft_induction(mdp: FiniteMDP, tau: float) -> tuple[Array, Array]:
    value, action_value = [np.zeros((*mdp.shape, mdp.states))], []
    for t in range(mdp.horizon or 0, 0, -1):
        action_value.append(mdp.relative_reward(mdp.levels[..., t]) + mdp.gamma * mdp.expect(value[-1]))
        value.append(_soft_maximum(action_value[-1], tau))
    return np.stack(value[::-1], axis=-2), np.stack(action_value[::-1], axis=-3)


def _soft_iteration(mdp: FiniteMDP, tau: float) -> tuple[Array, Array]:
    R = mdp.relative_reward(mdp.levels)
    Q = np.broadcast_to(R, (*mdp.shape, mdp.states, mdp.actions))
    settled, seen = False, set[bytes]()
    for _ in range(MOST):
        pi, log_pi = softmax(Q / tau), log_softmax(Q / tau)
        bonus = -tau * np.sum(np.where(pi > 0, pi * log_pi, 0), axis=-1)
        value = _values(mdp, pi, dot(pi, R) + bonus)
        Q = R + mdp.gamma * mdp.expect(value)
        raised = _soft_maximum(Q, tau)
        if settled or Q.tobytes() in seen:
            return raised, Q
        seen.add(Q.tobytes())
        size = np.max(np.abs(R) + mdp.gamma * mdp.expect(np.abs(value)), axis=-1)
        settled = not np.any(raised - value > 8 * mdp.states * EPS * (size + tau * np.log(mdp.actions)))
    raise FloatingPointError(f"soft policy iteration did not settle in {MOST} steps")


def _check_process(mdp: FiniteMDP, name: str) -> None:
    if not isinstance(mdp, FiniteMDP):
        raise TypeError(f"{name} takes a FiniteMDP, got {type(mdp).__name__}")


def _backward_induction(mdp: FiniteMDP) -> tuple[Array, Array, Array]:
    value, action_value = [np.zeros((*mdp.shape, mdp.states))], []
    for t in range(mdp.horizon or 0, 0, -1):
        action_value.append(mdp.relative_reward(mdp.levels[..., t]) + mdp.gamma * mdp.expect(value[-1]))
        value.append(np.max(action_value[-1], axis=-1))
    Q = np.stack(action_value[::-1], axis=-3)
    return np.stack(value[::-1], axis=-2), Q, np.argmax(Q, axis=-1)


def _policy_iteration(mdp: FiniteMDP) -> tuple[Array, Array, Array]:
    R = mdp.relative_reward(mdp.levels)
    action, seen = np.zeros((*mdp.shape, mdp.states), dtype=np.intp), set()
    while action.tobytes() not in seen:
        seen.add(action.tobytes())
        pi = np.eye(mdp.actions)[action]
        value = _values(mdp, pi, dot(pi, R))
        Q = R + mdp.gamma * mdp.expect(value)
        rounding = 8 * EPS * (np.abs(R) + mdp.gamma * mdp.expect(np.abs(value)))
        gain = Q - rounding - np.sum(pi * (Q + rounding), axis=-1, keepdims=True)
        action = np.where(np.max(gain, axis=-1) > 0, np.argmax(gain, axis=-1), action)
    return value, Q, action
