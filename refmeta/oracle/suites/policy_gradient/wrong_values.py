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
from refmeta.oracle.suites.policy_gradient.readings import policy_at, read
from refmeta.oracle.suites.policy_gradient.value_choices import first_step_forever
from refmeta.oracle.suites.policy_gradient.visit_choices import VISITS
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["ROWS"]

GEOMETRY = "policy-geometry"


def _following(point: Any) -> Array:
    """V of the next state, by the time of the step: V_{t+1} with a horizon."""
    return np.asarray(point.value if point.mdp.horizon is None else point.value[:, 1:])


def _ahead(mdp: FiniteMDP, V: Array) -> Array:
    """Σ_s' P V, (N, S, A); with a horizon (N, H, S, A)."""
    return np.einsum("nsat,n...t->n...sa", np.broadcast_to(mdp.P, (len(V), *mdp.P.shape[-3:])), V)


def _visits(problem: Any, name: str) -> Array:
    """Visits that are one of the choices, (N, S); with a horizon (N, H, S)."""
    return np.asarray(problem.variant("occupancy", name))


def _best(problem: Any, maximum: Maximum) -> Array:
    """The fixed point of a maximum, (N, S); with a horizon (N, H+1, S)."""
    V = optimum(read(problem, {}), policy_at(problem, {}, problem.theta).pi, maximum)
    return V[0] if problem.task.mdp.horizon is None else np.moveaxis(V, 0, 1)
