"""The library's answers to the cases: one implementation under test among others."""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import implicit, maml, reptile
from refmeta.oracle.agents import of_agent
from refmeta.oracle.batches import of_batch, of_expectation
from refmeta.oracle.learner import of_learner
from refmeta.oracle.models import of_model
from refmeta.tasks import fisher

OWN = {
    "gradient": maml.gradient,
    "objective": maml.objective,
    "first_order": maml.first_order_gradient,
    "step_size_gradient": maml.step_size_gradient,
}
GEOMETRY: dict[str, Callable[[Any, Array], Any]] = {
    "hvp": lambda point, v: point.hvp(v),
    "fisher": fisher.product,
    "natural_gradient": lambda point, v: fisher.natural_gradient(point),
    "kl": lambda point, v: _divergence(point, v).loss,
    "kl_grad": lambda point, v: _divergence(point, v).grad,
    "kl_hvp": lambda point, v: _divergence(point, v).hvp(v),
}
PARTS_OF: dict[str, Callable[[str, Any], Array]] = {
    "surrogates": of_batch, "expected-estimators": of_expectation, "meta-lstm": of_learner, "pearl": of_agent, "model": of_model,
}  # fmt: skip


def _divergence(point: Any, v: Array) -> fisher.PolicyKLPoint:
    """The KL from θ, at θ + v."""
    return fisher.PolicyKL(point).at(point.theta + v)


def own(suite: str, quantity: str, problem: Any) -> Array:
    """The library's answer, one implementation under test among others."""
    if suite == "reptile":
        return np.asarray(reptile.update(problem.theta, problem.adapted, epsilon=problem.epsilon))
    if suite == "policy-gradient":
        point = problem.task.at(problem.theta)
        return np.asarray(GEOMETRY[quantity](point, problem.v) if quantity in GEOMETRY else getattr(point, quantity))
    if suite == "implicit":
        return np.asarray(implicit_answer(quantity, problem))
    if suite in PARTS_OF:
        return PARTS_OF[suite](quantity, problem)
    return np.asarray(OWN[quantity](problem.theta, *problem.split, **problem.hyper))


def implicit_answer(quantity: str, problem: Any) -> Array:
    """Implicit MAML's gradient or objective, or ∇L_query(φ*), its first order."""
    if quantity == "first_order":
        phi = implicit.adapt(problem.theta, problem.support, strength=problem.strength).adapted
        return problem.query.at(phi).grad
    answer = implicit.gradient if quantity == "gradient" else implicit.objective
    return answer(problem.theta, *problem.split, strength=problem.strength)
