"""A softmax policy's return as the library takes it.  Derivation: derivations/exact-policy-gradient.md"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.common import policy_return
from refmeta.oracle.suites.policy_gradient.definition import TEMPERATURE
from refmeta.tasks import fisher
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.planning import optimal_values, soft_values
from refmeta.tolerance import max_per_task

__all__ = ["TAU", "Evaluation", "answer", "problem", "terms"]

TAU = TEMPERATURE[0] / TEMPERATURE[1]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A policy's return to be differentiated: theta (d,), a task, a direction (d,)."""

    theta: Array
    task: PolicyReturn
    v: Array


ANSWERS: dict[str, Callable[[Any, Array], Array]] = {
    "value": lambda point, v: point.value,
    "action_value": lambda point, v: point.action_value,
    "advantage": lambda point, v: point.advantage,
    "occupancy": lambda point, v: point.occupancy,
    "loss": lambda point, v: point.loss,
    "grad": lambda point, v: point.grad,
    "hvp": lambda point, v: point.hvp(v),
    "fisher": fisher.product,
    "natural_gradient": lambda point, v: fisher.natural_gradient(point),
    "kl": lambda point, v: _divergence(point, v).loss,
    "kl_grad": lambda point, v: _divergence(point, v).grad,
    "kl_hvp": lambda point, v: _divergence(point, v).hvp(v),
    "optimal_value": lambda point, v: optimal_values(point.mdp).value,
    "soft_value": lambda point, v: soft_values(point.mdp, temperature=TAU).value,
}


def problem(x: dict[str, Any]) -> Evaluation:
    """The inputs of the suite."""
    return Evaluation(x["theta"], policy_return(x), x["v"])


def answer(part: str, problem: Evaluation) -> Array:
    """The library's answer."""
    return ANSWERS[part](problem.task.at(problem.theta), problem.v)


def terms(part: str, problem: Evaluation, value: Array) -> Array:
    """max_s d(s), times the largest |Q| of a return, and the largest |v| of a product; of values |Q| or |R| alone."""
    point = problem.task.at(problem.theta)
    visits = np.max(fisher.visits(point), axis=-1)
    largest = np.max(np.abs(point.action_value), axis=tuple(range(1, point.action_value.ndim)))
    v = float(np.max(np.abs(problem.v)))
    if part in ("optimal_value", "soft_value"):
        return max_per_task(problem.task.mdp.expected_reward)
    of_returns = {**dict.fromkeys(("value", "action_value", "advantage"), largest), "occupancy": visits}
    of_returns |= {"loss": visits * largest, "grad": visits * largest, "hvp": visits * largest * v, "natural_gradient": largest}
    return of_returns.get(part, visits * max(1.0, v))


def _divergence(point: Any, v: Array) -> fisher.PolicyKLPoint:
    """The divergence from θ, at θ + v."""
    return fisher.PolicyKL(point).at(point.theta + v)
