"""The return with entropy as the library takes it.  Derivation: derivations/exact-policy-gradient.md"""

from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.common import policy_return
from refmeta.oracle.suites.policy_gradient.problem import Evaluation, answer
from refmeta.tasks import fisher
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["Evaluation", "answer", "problem", "terms"]


def problem(x: dict[str, Any]) -> Evaluation:
    """The inputs of the suite."""
    task = policy_return(x)
    return Evaluation(x["theta"], PolicyReturn(task.mdp, task.policy, x["temperature"]), x["v"])


def terms(part: str, problem: Evaluation, value: Array) -> Array:
    """The largest |Q| and τ log A; times max_s d(s) of a return, and the largest |v| of a product."""
    point = problem.task.at(problem.theta)
    largest = np.max(np.abs(point.action_value), axis=tuple(range(1, point.action_value.ndim)))
    largest = largest + problem.task.temperature * np.log(problem.task.mdp.actions)
    if part in ("value", "action_value", "advantage"):
        return np.asarray(largest)
    visits = np.max(fisher.visits(point), axis=-1)
    return np.asarray(visits * largest * (np.max(np.abs(problem.v)) if part == "hvp" else 1.0))
