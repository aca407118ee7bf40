"""Known-wrong Reptile formulas.  Right: θ + ε · mean_i(φ_i − θ).

A problem has theta (d,), and either adapted (N, d) and epsilon, or support, query, alpha (scalar) and steps, with ε = 1/2.
`quantity` is `update` (θ after it, batched), `serial` (θ after the serial one), `direction` (θ − φ)/α, or
`first-order step`.  A row raises AttributeError on a problem without its inputs.
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import maml, reptile
from refmeta.meta.inner import adapt
from refmeta.oracle.known import rows_in, wrong
from refmeta.oracle.limits import NORM

__all__ = ["EPSILON", "FALSE_ALARMS", "ROWS"]

EPSILON = 0.5
FALSE_ALARMS = {
    "reptile-sign": "θ + ε(φ − θ) and an optimiser step on (θ − φ)/α agree: under plain SGD no sign is missing",
    "reptile-one-step": "with K = 1 and one inner step size Reptile is gradient descent on the mean loss: a reduction, not a bug",
}


def _epsilon(problem: Any) -> float:
    """ε of the problem, ½ where it has none."""
    return float(getattr(problem, "epsilon", EPSILON))


def _step(problem: Any) -> Array:
    """φ − θ, one row per task."""
    if hasattr(problem, "adapted"):
        return np.asarray(problem.adapted - problem.theta)
    return adapt(problem.theta, problem.support, alpha=problem.alpha, steps=problem.steps).adapted - problem.theta


@wrong("query-gradient-called-reptile", "mean ∇L_query(φ)", quantity="direction",
       cause="first-order MAML under the name of Reptile", source="dragen1860/Reptile-Pytorch #2")  # fmt: skip
def query_gradient_called_reptile(problem: Any) -> Array:
    return maml.first_order_gradient(problem.theta, problem.support, problem.query, alpha=problem.alpha, steps=problem.steps)


@wrong("serial-from-one-start", "θ ← θ + ε(φ_i − θ), every φ_i from the first θ", quantity="serial",
       cause="serial and batched updates mixed: later tasks weigh more", source="finninmunich/Maml-Reptile-RL #1")  # fmt: skip
def serial_from_one_start(problem: Any) -> Array:
    theta = problem.theta
    for phi in problem.theta + _step(problem):
        theta = reptile.update(theta, phi[None], epsilon=EPSILON)
    return theta


@wrong("sum-over-tasks", "N times the step", quantity="update", kind="convention", cause="a convention: sum where the mean is meant",
       hint="a sum, or accumulated .backward() calls, over the tasks", repair="the mean over the tasks; or say --reduce sum, if you mean it")  # fmt: skip
def sum_over_tasks(problem: Any) -> Array:
    return problem.theta + _epsilon(problem) * np.sum(_step(problem), axis=0)


@wrong("wrong-direction", "θ − ε · mean(φ − θ)", quantity="update", cause="φ − θ fed to an optimiser that descends",
       hint="theta.grad = phi - theta, with an optimiser that descends", repair="theta.grad = theta - phi")  # fmt: skip
def wrong_direction(problem: Any) -> Array:
    return problem.theta - _epsilon(problem) * np.mean(_step(problem), axis=0)


@wrong("alpha-divided", "θ + ε/α · mean(φ − θ)", quantity="update", cause="the gradient form (θ − φ)/α used as a step")
def alpha_divided(problem: Any) -> Array:
    return problem.theta + _epsilon(problem) / problem.alpha * np.mean(_step(problem), axis=0)


@wrong("last-optimiser-step", "φ_K − φ_{K−1} instead of −αg_q", quantity="first-order step",
       cause="the last optimiser step, on the support or by Adam, taken for the query's gradient", source="openai/supervised-reptile reptile.py")  # fmt: skip
def last_optimiser_step(problem: Any) -> Array:
    return -problem.alpha * adapt(problem.theta, problem.support, alpha=problem.alpha, steps=problem.steps).path[-2].grad


@wrong("gradient-clipped", "a step θ − mean φ of at most norm 10", quantity="update", cause="the step is clipped as a gradient is",
       hint="PyTorch: clip_grad_norm_ on theta.grad = theta - phi")  # fmt: skip
def gradient_clipped(problem: Any) -> Array:
    step = np.mean(_step(problem), axis=0)
    norm = np.linalg.norm(step)
    return problem.theta + _epsilon(problem) * step * min(1.0, NORM / norm if norm > 0 else 1.0)


ROWS = rows_in(globals())
