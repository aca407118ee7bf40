"""Optimal and soft values of a finite Markov decision process.  Derivation: derivations/exact-policy-gradient.md"""

from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array, as_positive, check_all, dot, finite_result, index_text, one_hot
from refmeta.softmax import log_softmax, softmax
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["Optimum", "SoftOptimum", "optimal_values", "soft_values"]

EPS = float(np.finfo(np.float64).eps)
MOST, LONGEST = 1000, 2.0**29


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
    """V*(s) = max_a Q*(s, a), Q* = R + γPV*; with a horizon V*_t = max_a Q*_t, and the best policy depends on time.

    Eq: optimal-values

    Without a horizon: policy iteration.  An action is replaced only by one whose Q is larger by more than its rounding,
    8·eps·(|R| + γP|V|) of the centred rewards; so neither a scale nor a constant of all rewards matters.  The iteration
    ends when no action is replaced, or when rounding makes an earlier policy return, which cannot happen exactly.

    At γ = 1 the best of the policies that reach an end: the iteration starts from the uniform one, and the rounding of a
    gain is multiplied by the largest expected number of steps to an end.  Where all actions tie, `action` is one that
    leads nearer to an end.  In an end it is 0.

    Raises
    ------
    TypeError, FloatingPointError
        If `mdp` is not a `FiniteMDP`, or a value overflows.
    ValueError
        At γ = 1, if going on for ever pays, or the way to an end is too long for any digit.
    """
    _check_process(mdp, "optimal_values")
    solve = _backward_induction
    if mdp.horizon is None:
        solve = _proper_policy_iteration if mdp.undiscounted else _policy_iteration
    relative, relative_action, action = solve(mdp)
    value, action_value, start = _absolute_values(mdp, relative, relative_action)
    return Optimum(dot(mdp.rho, start), value, action_value, action)


class SoftOptimum(NamedTuple):
    """The best sum of return and τ times entropy, its values, and the policy softmax(Q/τ) that attains them.

    Shapes are as in `Optimum`; that of the policy is that of Q.
    """

    best_return: Array
    value: Array
    action_value: Array
    probabilities: Array


@finite_result
def soft_values(mdp: FiniteMDP, *, temperature: float) -> SoftOptimum:
    """V(s) = τ log Σ_a exp(Q(s, a)/τ), Q = R + γPV, 0 in an end; with a horizon V_t, V_H = 0.

    Eq: soft-values

    Without a horizon: soft policy iteration, which is Newton's method on this equation.  It ends one step after a sweep
    of the equation raises no value by more than its rounding, 8·S·eps·(|R| + γP|V| + τ log A); or when rounding makes
    earlier values return, which cannot happen exactly.

    Raises
    ------
    TypeError, ValueError
        If `mdp` is not a `FiniteMDP`, the temperature is not positive, or at γ = 1 going on for ever pays, entropy
        included.
    FloatingPointError
        If a value, or Q/τ, overflows.
    """
    _check_process(mdp, "soft_values")
    tau = as_positive(temperature, "temperature")
    relative, relative_action = (_soft_iteration if mdp.horizon is None else _soft_induction)(mdp, tau)
    value, action_value, start = _absolute_values(mdp, relative, relative_action)
    return SoftOptimum(dot(mdp.rho, start), value, action_value, softmax(relative_action / tau))


def _absolute_values(mdp: FiniteMDP, value: Array, action_value: Array) -> tuple[Array, Array, Array]:
    """V and Q from V − k and Q − k, and V at the start."""
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


def _check_steps(mdp: FiniteMDP, pi: Array) -> Array:
    """At γ = 1 the largest expected number of steps to an end, at least 1, (..., 1); ValueError if it has no bound.

    The policies that are met get better.  So where they take ever more steps, going on for ever pays.
    """
    if not mdp.undiscounted:
        return np.ones(1)
    mdp.check_ends_reached(pi, "going on for ever pays, and no end is reached")
    try:
        steps = np.maximum(1.0, np.max(_values(mdp, pi, 1.0 * ~mdp.terminal), axis=-1, keepdims=True))
    except FloatingPointError:
        steps = np.full(1, np.inf)
    check_all(
        (steps >= 1) & (steps <= LONGEST),
        lambda i: (
            f"gamma = 1 without a horizon: a better and better policy takes {steps[i]:.3g} steps to an end"
            f"{index_text(i[:-1]) and f' in task {index_text(i[:-1])}'}, expected at most {LONGEST:.3g}: going on for "
            "ever pays, or the way to an end is too long for any digit; give gamma < 1 or a horizon"
        ),
    )
    return steps


def _soft_maximum(mdp: FiniteMDP, Q: Array, tau: float) -> Array:
    """τ log Σ_a exp(Q/τ) = Q_b − τ log π_b, at the likeliest action b, and 0 in an end."""
    likeliest = np.argmax(Q, axis=-1)[..., None]
    return np.where(mdp.terminal, 0, np.take_along_axis(Q - tau * log_softmax(Q / tau), likeliest, axis=-1)[..., 0])


def _soft_induction(mdp: FiniteMDP, tau: float) -> tuple[Array, Array]:
    """V_t − k_t and Q_t − k_t of the soft equation, backwards in time."""
    value, action_value = [np.zeros((*mdp.shape, mdp.states))], []
    for t in range(mdp.horizon or 0, 0, -1):
        action_value.append(mdp.relative_reward(mdp.levels[..., t]) + mdp.gamma * mdp.expect(value[-1]))
        value.append(_soft_maximum(mdp, action_value[-1], tau))
    return np.stack(value[::-1], axis=-2), np.stack(action_value[::-1], axis=-3)


def _soft_iteration(mdp: FiniteMDP, tau: float) -> tuple[Array, Array]:
    """V − k and Q − k of the soft equation, by soft policy iteration."""
    R = mdp.relative_reward(mdp.levels)
    Q = np.broadcast_to(0 * R if mdp.undiscounted else R, (*mdp.shape, mdp.states, mdp.actions))
    converged, earlier = False, set[bytes]()
    for _ in range(MOST):
        pi, log_pi = softmax(Q / tau), log_softmax(Q / tau)
        _check_steps(mdp, pi)
        bonus = -tau * np.sum(np.where(pi > 0, pi * log_pi, 0), axis=-1)
        value = _values(mdp, pi, dot(pi, R) + bonus)
        Q = R + mdp.gamma * mdp.expect(value)
        raised = _soft_maximum(mdp, Q, tau)
        if converged or Q.tobytes() in earlier:
            return raised, Q
        earlier.add(Q.tobytes())
        size = np.max(np.abs(R) + mdp.gamma * mdp.expect(np.abs(value)), axis=-1)
        converged = not np.any(raised - value > 8 * mdp.states * EPS * (size + tau * np.log(mdp.actions)))
    raise FloatingPointError(f"soft policy iteration did not converge in {MOST} steps")


def _check_process(mdp: FiniteMDP, name: str) -> None:
    """TypeError unless `mdp` is a `FiniteMDP`; `name` is the function that needs it."""
    if not isinstance(mdp, FiniteMDP):
        raise TypeError(f"{name} takes a FiniteMDP, got {type(mdp).__name__}")


def _backward_induction(mdp: FiniteMDP) -> tuple[Array, Array, Array]:
    """V*_t − k_t, Q*_t − k_t and the best actions, backwards in time."""
    value, action_value = [np.zeros((*mdp.shape, mdp.states))], []
    for t in range(mdp.horizon or 0, 0, -1):
        action_value.append(mdp.relative_reward(mdp.levels[..., t]) + mdp.gamma * mdp.expect(value[-1]))
        value.append(np.max(action_value[-1], axis=-1))
    Q = np.stack(action_value[::-1], axis=-3)
    return np.stack(value[::-1], axis=-2), Q, np.argmax(Q, axis=-1)


def _policy_iteration(mdp: FiniteMDP) -> tuple[Array, Array, Array]:
    """V* − k, Q* − k and the best actions, by policy iteration."""
    R = mdp.relative_reward(mdp.levels)
    action, earlier = np.zeros((*mdp.shape, mdp.states), dtype=np.intp), set()
    while action.tobytes() not in earlier:
        earlier.add(action.tobytes())
        pi = np.eye(mdp.actions)[action]
        value = _values(mdp, pi, dot(pi, R))
        Q = R + mdp.gamma * mdp.expect(value)
        rounding = 8 * EPS * (np.abs(R) + mdp.gamma * mdp.expect(np.abs(value)))
        gain = Q - rounding - np.sum(pi * (Q + rounding), axis=-1, keepdims=True)
        action = np.where(np.max(gain, axis=-1) > 0, np.argmax(gain, axis=-1), action)
    return value, Q, action


def _proper_policy_iteration(mdp: FiniteMDP) -> tuple[Array, Array, Array]:
    """V*, Q* and the best actions at γ = 1, by policy iteration that keeps what stands at a tie, the mixture included."""
    R = mdp.relative_reward(mdp.levels)
    pi, earlier = np.full((*mdp.shape, mdp.states, mdp.actions), 1 / mdp.actions), set()
    while pi.tobytes() not in earlier:
        earlier.add(pi.tobytes())
        steps = _check_steps(mdp, pi)
        value = _values(mdp, pi, dot(pi, R))
        Q = R + mdp.expect(value)
        rounding = 8 * EPS * steps[..., None] * (np.abs(R) + mdp.expect(np.abs(value)))
        gain = Q - rounding - np.sum(pi * (Q + rounding), axis=-1, keepdims=True)
        better = np.max(gain, axis=-1, keepdims=True) > 0
        pi = np.where(better, one_hot(np.argmax(gain, axis=-1), mdp.actions), pi)
    return value, Q, _nearer_to_an_end(mdp, pi)


def _nearer_to_an_end(mdp: FiniteMDP, pi: Array) -> Array:
    """For every state an action of π that can lead to a state nearer to an end; 0 in an end; (..., S)."""
    action, moves = np.zeros(pi.shape[:-1], dtype=np.intp), (pi[..., None] > 0) & (mdp.P > 0)
    reached = np.broadcast_to(mdp.terminal, action.shape)
    while True:
        leads = np.any(moves & reached[..., None, None, :], axis=-1)
        if not np.any(new := ~reached & leads.any(-1)):
            return action
        action, reached = np.where(new, np.argmax(leads, axis=-1), action), reached | new
