"""Known-wrong values, visits and best values.  Right: V = r_π + γP_πV, Q = R + γPV, A = Q − V, d = ρ + γP_πᵀd; the best by max_a Q.

A problem has theta (d,), task (a `PolicyReturn`) and v (d,).  With a horizon H the results have an axis of time.
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.known import rows_in, wrong
from refmeta.oracle.suites.policy_gradient.optima import (
    Maximum,
    largest,
    log_sum,
    optimum,
    soft,
    stopped,
    weighted_sum,
)
from refmeta.oracle.suites.policy_gradient.problem import TAU
from refmeta.oracle.suites.policy_gradient.readings import policy_at, read, run_of
from refmeta.oracle.suites.policy_gradient.value_choices import first_step_forever
from refmeta.oracle.suites.policy_gradient.visit_choices import VISITS
from refmeta.tasks.mdp import FiniteMDP
from refmeta.tasks.planning import optimal_values

__all__ = ["ROWS"]

GEOMETRY = "policy-geometry"


def _following(point: Any) -> Array:
    """V of the next state, by the time of the step: V_{t+1} with a horizon."""
    return np.asarray(point.value if point.mdp.horizon is None else point.value[:, 1:])


def _ahead(mdp: FiniteMDP, V: Array) -> Array:
    """Σ_s' P V, (N, S, A); with a horizon (N, H, S, A)."""
    return np.einsum("nsat,n...t->n...sa", np.broadcast_to(mdp.P, (len(V), *mdp.P.shape[-3:])), V)


def _visits(problem: Any, name: str) -> Array:
    """Visits as one of the choices counts them, (N, S); with a horizon (N, H, S)."""
    process, pi = read(problem, {}), policy_at(problem, {}, problem.theta).pi
    count = VISITS[name]
    assert count is not None
    return _in_time(problem, count(run_of(process, pi), process, pi))


def _best(problem: Any, maximum: Maximum) -> Array:
    """The fixed point of a maximum, (N, S); with a horizon (N, H+1, S)."""
    return _in_time(problem, optimum(read(problem, {}), policy_at(problem, {}, problem.theta).pi, maximum))


def _in_time(problem: Any, x: Array) -> Array:
    """(T, N, ...) as (N, T, ...), or its only time where there is no horizon."""
    return np.asarray(x[0] if problem.task.mdp.horizon is None else np.moveaxis(x, 0, 1))


@wrong("value-discounted-once-more", "γV", quantity="value", cause="the reward is discounted together with what follows it: γ(r + V')",
       source="pemami4911/POMDPy #18")  # fmt: skip
def value_discounted_once_more(problem: Any) -> Array:
    return np.asarray(problem.task.mdp.gamma * problem.task.at(problem.theta).value)


@wrong("next-value-undiscounted", "R + PV", quantity="action_value", cause="the value of the next state is not discounted",
       source="LyWangPX/Reinforcement-Learning-2nd-Edition-by-Sutton-Exercise-Solutions #31")  # fmt: skip
def next_value_undiscounted(problem: Any) -> Array:
    mdp, point = problem.task.mdp, problem.task.at(problem.theta)
    return point.action_value + (1 - mdp.gamma) * _ahead(mdp, _following(point))


@wrong("greedy-next-action", "R + γP max_a Q", quantity="action_value",
       cause="the next action is the best one instead of one of the policy: a step of Q-learning, not an evaluation")  # fmt: skip
def greedy_next_action(problem: Any) -> Array:
    mdp, point = problem.task.mdp, problem.task.at(problem.theta)
    best = np.max(point.action_value, axis=-1)
    after = best if mdp.horizon is None else np.concatenate([best[:, 1:], 0 * best[:, :1]], axis=1)
    return point.action_value + mdp.gamma * _ahead(mdp, after - _following(point))


@wrong("action-value-as-advantage", "Q", quantity="advantage", cause="V is not subtracted")
def action_value_as_advantage(problem: Any) -> Array:
    return np.asarray(problem.task.at(problem.theta).action_value)


@wrong("advantage-from-plain-mean", "Q − mean_a Q", quantity="advantage", source="the dueling networks of Wang et al. 2016",
       cause="the mean over the actions is not weighted by the policy", hint="Q.mean(-1)", repair="(pi * Q).sum(-1)")  # fmt: skip
def advantage_from_plain_mean(problem: Any) -> Array:
    Q = problem.task.at(problem.theta).action_value
    return np.asarray(Q - np.mean(Q, axis=-1, keepdims=True))


@wrong("occupancy-normalised", "d over its sum, which is 1/(1 − γ)", quantity="occupancy", kind="convention",
       cause="the visits are normalised to a distribution", source="Agarwal et al. 2021")  # fmt: skip
def occupancy_normalised(problem: Any) -> Array:
    return _visits(problem, "normalised to 1")


@wrong("occupancy-undiscounted", "visits without γᵗ: their long-run share, over 1 − γ", quantity="occupancy", kind="convention",
       cause="γᵗ dropped from the visits")  # fmt: skip
def occupancy_undiscounted(problem: Any) -> Array:
    return _visits(problem, "undiscounted")


@wrong("occupancy-transposed", "(I − γP_π)⁻¹ρ", quantity="occupancy", cause="P_π instead of its transpose: the system of the values",
       hint="solve(I - gamma * P, rho)", repair="solve(I - gamma * P.T, rho): d is a row vector")  # fmt: skip
def occupancy_transposed(problem: Any) -> Array:
    return _visits(problem, "by the transposed P")


@wrong("stationary-best-actions", "the value of the actions that are best in the first step", quantity="optimal_value",
       cause="with a horizon the best action depends on the time that is left", repair="keep one table of actions for each t")  # fmt: skip
def stationary_best_actions(problem: Any) -> Array:
    if problem.task.mdp.horizon is None:
        return optimal_values(problem.task.mdp).value
    return _in_time(problem, first_step_forever(read(problem, {}), policy_at(problem, {}, problem.theta).pi, largest))


@wrong("value-iteration-stopped", "sweeps from 0 until none moves a value by more than 0.01", quantity="optimal_value",
       cause="a small move is taken for a small error, which is up to γ/(1 − γ) times as large",
       source="sawcordwell/pymdptoolbox #39")  # fmt: skip
def value_iteration_stopped(problem: Any) -> Array:
    if problem.task.mdp.horizon is not None:
        return optimal_values(problem.task.mdp).value
    return stopped(read(problem, {}), policy_at(problem, {}, problem.theta).pi, largest, 0.01)[0]


@wrong("soft-value-without-temperature", "log Σ exp Q", quantity="soft_value", chapter=GEOMETRY, cause="τ is left out: it is 1",
       source="haarnoja/softqlearning #5")  # fmt: skip
def soft_value_without_temperature(problem: Any) -> Array:
    return _best(problem, soft(1.0))


@wrong("soft-policy-without-temperature", "Σ w (Q − τ log w), w = softmax(Q)", quantity="soft_value", chapter=GEOMETRY,
       cause="the weights are softmax(Q) instead of softmax(Q/τ)", source="BY571/Munchausen-RL #2")  # fmt: skip
def soft_policy_without_temperature(problem: Any) -> Array:
    return _best(problem, weighted_sum(1.0, TAU))


@wrong("soft-value-hard-maximum", "max_a Q", quantity="soft_value", chapter=GEOMETRY, cause="the maximum instead of the soft maximum",
       source="MatthewJA/Inverse-Reinforcement-Learning #4")  # fmt: skip
def soft_value_hard_maximum(problem: Any) -> Array:
    return _best(problem, largest)


@wrong("soft-value-log-mean", "τ log mean exp(Q/τ)", quantity="soft_value", chapter=GEOMETRY, kind="convention",
       cause="the mean over the actions instead of the sum: τ log A less in each step", source="the mellowmax of Asadi and Littman 2017")  # fmt: skip
def soft_value_log_mean(problem: Any) -> Array:
    return _best(problem, lambda Q, pi: TAU * (log_sum(Q / TAU) - np.log(Q.shape[-1])))


@wrong("soft-value-entropy-missing", "Σ w Q, w = softmax(Q/τ)", quantity="soft_value", chapter=GEOMETRY,
       cause="the mean of Q alone, without τ times the entropy of w")  # fmt: skip
def soft_value_entropy_missing(problem: Any) -> Array:
    return _best(problem, weighted_sum(TAU, 0.0))


@wrong("soft-value-entropy-sign", "Σ w (Q + τ log w), w = softmax(Q/τ)", quantity="soft_value", chapter=GEOMETRY,
       cause="the sign of the entropy: + α log π in the target", repair="in soft actor-critic: q - alpha * log_pi")  # fmt: skip
def soft_value_entropy_sign(problem: Any) -> Array:
    return _best(problem, weighted_sum(TAU, -TAU))


@wrong("soft-value-mean-over-actions", "Σ w (Q − τ log w)/A, w = softmax(Q/τ)", quantity="soft_value", chapter=GEOMETRY,
       cause="a mean over the actions where the weights already add to 1",
       source="p-christ/Deep-Reinforcement-Learning-Algorithms-with-PyTorch #54")  # fmt: skip
def soft_value_mean_over_actions(problem: Any) -> Array:
    return _best(problem, lambda Q, pi: weighted_sum(TAU, TAU)(Q, pi) / Q.shape[-1])


ROWS = rows_in(globals())
