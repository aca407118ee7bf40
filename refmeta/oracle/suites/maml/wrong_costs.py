"""Known-wrong linear-quadratic costs, each behind the right meta-gradient.  Right: maml.gradient on `PolicyCost`; (N, d).

A case has theta = [K row by row, log σ], support, query, alpha and steps.
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


def _with_systems(case: Any, change: Callable[[Any], dict[str, Any]]) -> Array:
    """The meta-gradient with both systems changed."""
    changed = (PolicyCost(replace_fields(task.lq, **change(task.lq))) for task in (case.support, case.query))
    return maml.gradient(case.theta, *changed, alpha=case.alpha, steps=case.steps)


def _with_scaled_parameters(case: Any, by_gain: float, by_log: float) -> Array:
    """The meta-gradient of θ → F(Dθ), D diagonal: D∇F at Dθ with the step sizes αD²."""
    m = case.support.lq.actions
    D = np.array([by_gain] * (case.theta.size - m) + [by_log] * m)
    alphas = as_step_sizes(case.alpha, case.steps, case.theta.size) * D**2
    return D * maml.gradient(D * case.theta, case.support, case.query, alpha=alphas, steps=case.steps)


@wrong("lq-gain-negated", "a = −Kx + σε", cause="control's sign convention: the gain is that of u = −Kx", chapter="linear-quadratic-control")
def gain_negated(case: Any) -> Array:
    return _with_scaled_parameters(case, -1.0, 1.0)


@wrong("lq-variance-for-deviation", "σ = exp(θ_σ/2)", cause="the last parameters taken for logarithms of variances", chapter="linear-quadratic-control")
def variance_for_deviation(case: Any) -> Array:
    return _with_scaled_parameters(case, 1.0, 0.5)


@wrong("lq-exploration-dropped", "σ = 0", cause="the cost of the mean action: the policy's noise never enters", chapter="linear-quadratic-control")
def exploration_dropped(case: Any) -> Array:
    theta = np.array(case.theta)
    theta[-case.support.lq.actions :] = -400.0
    return maml.gradient(theta, case.support, case.query, alpha=case.alpha, steps=case.steps)


@wrong("lq-process-noise-dropped", "W = 0", cause="the noise of the dynamics is left out of the second moments", chapter="linear-quadratic-control")
def process_noise_dropped(case: Any) -> Array:
    return _with_systems(case, lambda lq: {"noise": 0 * lq.noise})


@wrong("lq-mean-start", "Σ_0 = E[x_0] E[x_0]ᵀ", cause="the start is taken at its mean; its covariance is lost", chapter="linear-quadratic-control")
def mean_start(case: Any) -> Array:
    return _with_systems(case, lambda lq: {"start": lq.start[..., -1:] * lq.start[..., -1:, :]})


@wrong("lq-undiscounted", "γ = 1", cause="the discount is missing in the sum over time; without a horizon, right", chapter="linear-quadratic-control")
def undiscounted(case: Any) -> Array:
    return _with_systems(case, lambda lq: {"gamma": 1.0} if lq.horizon else {})


@wrong(
    "lq-one-cost-too-many",
    "H + 1 costs",
    cause="the state after the last action is charged, too; without a horizon, right",
    chapter="linear-quadratic-control",
)
def one_cost_too_many(case: Any) -> Array:
    return _with_systems(case, lambda lq: {"horizon": lq.horizon and lq.horizon + 1})


ROWS = rows_in(globals())
