"""Known-wrong Reptile formulas.  Right: θ + ε · mean_i(φ_i − θ).

A case has theta (d,), and either adapted (N, d) and epsilon, or support, query, alpha (scalar) and steps, with ε = 1/2.
`quantity` is `update` (θ after it, batched), `serial` (θ after the serial one), `direction` (θ − φ)/α, or
`first-order step`.  Rows for which a case has not what they need raise AttributeError.
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import maml, reptile
from refmeta.meta.inner import adapt
from refmeta.oracle.wrong.row import rows, wrong

EPSILON = 0.5


def _epsilon(case: Any) -> float:
    return float(getattr(case, "epsilon", EPSILON))


def _step(case: Any) -> Array:
    """φ − θ, one row a task."""
    if hasattr(case, "adapted"):
        return np.asarray(case.adapted - case.theta)
    return adapt(case.theta, case.support, alpha=case.alpha, steps=case.steps).adapted - case.theta


@wrong("query-gradient-called-reptile", "mean ∇L_query(φ)", quantity="direction",
       cause="first-order MAML under the name of Reptile", seen="dragen1860/Reptile-Pytorch #2")  # fmt: skip
def query_gradient_called_reptile(case: Any) -> Array:
    return maml.first_order_gradient(case.theta, case.support, case.query, alpha=case.alpha, steps=case.steps)


@wrong("serial-from-one-start", "θ ← θ + ε(φ_i − θ), every φ_i from the first θ", quantity="serial",
       cause="serial and batched updates mixed: later tasks weigh more", seen="finninmunich/Maml-Reptile-RL #1")  # fmt: skip
def serial_from_one_start(case: Any) -> Array:
    theta = case.theta
    for phi in case.theta + _step(case):
        theta = reptile.update(theta, phi[None], epsilon=EPSILON)
    return theta


@wrong("sum-over-tasks", "N times the step", quantity="update", cause="a convention: sum where the mean is meant")
def sum_over_tasks(case: Any) -> Array:
    return case.theta + _epsilon(case) * np.sum(_step(case), axis=0)


@wrong("wrong-direction", "θ − ε · mean(φ − θ)", quantity="update", cause="φ − θ fed to an optimiser that descends")
def wrong_direction(case: Any) -> Array:
    return case.theta - _epsilon(case) * np.mean(_step(case), axis=0)


@wrong("alpha-divided", "θ + ε/α · mean(φ − θ)", quantity="update", cause="the gradient form (θ − φ)/α used as a step")
def alpha_divided(case: Any) -> Array:
    return case.theta + _epsilon(case) / case.alpha * np.mean(_step(case), axis=0)


@wrong("last-optimiser-step", "φ_K − φ_{K−1} in the place of −αg_q", quantity="first-order step",
       cause="the last optimiser step, on the support or by Adam, taken for the query's gradient", seen="openai/supervised-reptile reptile.py")  # fmt: skip
def last_optimiser_step(case: Any) -> Array:
    return -case.alpha * adapt(case.theta, case.support, alpha=case.alpha, steps=case.steps).path[-2].grad


ROWS = rows(globals())
