"""Where an ε may stand in a return, a Fisher matrix or a divergence.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, matvec, replace_fields
from refmeta.judges import complex_step
from refmeta.oracle.epsilons import departures, slope
from refmeta.oracle.suite import Case, Effects
from refmeta.oracle.suites.policy_gradient.problem import Evaluation, answer
from refmeta.softmax import log_softmax
from refmeta.tasks import fisher

__all__ = ["effects"]


def effects(case: Case, part: str) -> Effects:
    """An ε in an exact return and its derivatives, in a Fisher matrix, or in a divergence; none in values and visits."""
    if part in ("loss", "grad", "hvp"):
        return _return_effects(case.problem, part)
    if part not in ("fisher", "natural_gradient", "kl", "kl_grad", "kl_hvp"):
        return {}
    return (_divergence_effects if part.startswith("kl") else _metric_effects)(case.problem, part)


def _return_effects(problem: Evaluation, part: str) -> Effects:
    """An ε in the policy's logarithm or probabilities."""

    def effect(change: Callable[[Any, float], Any]) -> Any:
        return slope(lambda e: answer(part, replace_fields(problem, task=change(problem.task, e))))

    return {name: lambda change=change: effect(change) for name, change in departures(problem.task).items()}  # type: ignore[misc]


def _metric_effects(problem: Evaluation, part: str) -> Effects:
    """F + ε·I, and the scores of log(π + ε) in F."""
    point = problem.task.at(problem.theta)
    F = np.stack([fisher.product(point, e) for e in np.eye(problem.task.dim)], axis=-1)
    if part == "natural_gradient":
        inverse = np.linalg.pinv(F, rcond=1e-10, hermitian=True)
        return {"F + ε·I": lambda: matvec(inverse, matvec(inverse, point.grad))}

    def scores() -> Array:
        pi, x = point.probabilities, problem.task.policy.table(problem.v)
        along = x - np.sum(pi * x, axis=-1, keepdims=True)
        terms = -2 * fisher.visits(point)[..., None] * (along - pi * np.sum(along, axis=-1, keepdims=True))
        return np.asarray(problem.task.policy.pullback(terms))

    return {"F + ε·I": lambda: np.broadcast_to(problem.v, F.shape[:-1]), "log(π + ε) in the scores": scores}


def _divergence_effects(problem: Evaluation, part: str) -> Effects:
    """Σ d π_old (log π_old − log π_new), with π + ε in one logarithm or in both."""
    old, theta = problem.task.at(problem.theta), problem.theta + problem.v
    d, pi, policy = fisher.visits(old)[..., None], old.probabilities, problem.task.policy

    def new(theta: Array) -> Array:
        return np.asarray(-np.sum(d * pi * np.exp(-log_softmax(policy.table(theta))), axis=(-2, -1)))

    def grad(theta: Array) -> Array:
        return complex_step(new, theta)

    if part == "kl_grad":
        return {"log(π_new + ε)": lambda: grad(theta)}
    if part == "kl_hvp":
        return {"log(π_new + ε)": lambda: slope(lambda h: grad(theta + h * problem.v))}
    constant = np.sum(d * np.ones_like(pi), axis=(-2, -1))
    return {
        "log(π_new + ε)": lambda: new(theta),
        "log(π_old + ε)": lambda: constant,
        "log(π + ε)": lambda: new(theta) + constant,
    }
