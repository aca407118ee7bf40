"""Known-wrong linear-quadratic costs, each behind the right meta-gradient.  Right: maml.gradient on `PolicyCost`; (N, d).

A problem has theta = [K row by row, log σ], support, query, alpha and steps.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.meta import maml
from refmeta.meta.arguments import as_step_sizes
from refmeta.oracle.known import rows_in, wrong
from refmeta.tasks.policy_cost import PolicyCost

__all__ = ["ROWS"]


def _with_systems(problem: Any, change: Callable[[Any], dict[str, Any]]) -> Array:
    """The meta-gradient with both systems changed."""
    changed = (PolicyCost(replace_fields(task.lq, **change(task.lq))) for task in (problem.support, problem.query))
    return maml.gradient(problem.theta, *changed, alpha=problem.alpha, steps=problem.steps)


def _with_scaled_parameters(problem: Any, by_gain: float, by_log: float) -> Array:
    """The meta-gradient of θ → F(Dθ), D diagonal: D∇F at Dθ with the step sizes αD²."""
    m = problem.support.lq.actions
    D = np.array([by_gain] * (problem.theta.size - m) + [by_log] * m)
    alphas = as_step_sizes(problem.alpha, problem.steps, problem.theta.size) * D**2
    return D * maml.gradient(D * problem.theta, problem.support, problem.query, alpha=alphas, steps=problem.steps)


@wrong("lq-gain-negated", "a = −Kx + σε", cause="control's sign convention: the gain is that of u = −Kx", chapter="linear-quadratic-control")
def gain_negated(problem: Any) -> Array:
    return _with_scaled_parameters(problem, -1.0, 1.0)


@wrong("lq-variance-for-deviation", "σ = exp(θ_σ/2)", cause="the last parameters taken for logarithms of variances", chapter="linear-quadratic-control")
def variance_for_deviation(problem: Any) -> Array:
    return _with_scaled_parameters(problem, 1.0, 0.5)


@wrong("lq-exploration-dropped", "σ = 0", cause="the cost of the mean action: the policy's noise never enters", chapter="linear-quadratic-control")
def exploration_dropped(problem: Any) -> Array:
    theta = np.array(problem.theta)
    theta[-problem.support.lq.actions :] = -400.0
    return maml.gradient(theta, problem.support, problem.query, alpha=problem.alpha, steps=problem.steps)


@wrong("lq-process-noise-dropped", "W = 0", cause="the noise of the dynamics is left out of the second moments", chapter="linear-quadratic-control")
def process_noise_dropped(problem: Any) -> Array:
    return _with_systems(problem, lambda lq: {"noise": 0 * lq.noise})


@wrong("lq-mean-start", "Σ_0 = E[x_0] E[x_0]ᵀ", cause="the start is taken at its mean; its covariance is lost", chapter="linear-quadratic-control")
def mean_start(problem: Any) -> Array:
    return _with_systems(problem, lambda lq: {"start": lq.start[..., -1:] * lq.start[..., -1:, :]})


@wrong("lq-undiscounted", "γ = 1", cause="the discount is missing in the sum over time; without a horizon, right", chapter="linear-quadratic-control")
def undiscounted(problem: Any) -> Array:
    return _with_systems(problem, lambda lq: {"gamma": 1.0} if lq.horizon else {})


@wrong(
    "lq-one-cost-too-many",
    "H + 1 costs",
    cause="the state after the last action is charged, too; without a horizon, right",
    chapter="linear-quadratic-control",
)
def one_cost_too_many(problem: Any) -> Array:
    return _with_systems(problem, lambda lq: {"horizon": lq.horizon and lq.horizon + 1})


ROWS = rows_in(globals())
