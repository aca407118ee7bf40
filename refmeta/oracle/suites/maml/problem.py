"""MAML's inputs as the library's own objects, and the library's answers.  Derivation: derivations/maml.md"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import maml
from refmeta.meta.arguments import Point, as_step_sizes
from refmeta.meta.inner import adapt
from refmeta.tolerance import max_per_task

__all__ = ["MetaProblem", "answer", "inner_path", "problem", "adjoint_product", "terms"]

ANSWERS: dict[str, Callable[..., Array]] = {
    "adapted": lambda theta, support, query, **hyper: adapt(theta, support, **hyper).adapted,
    "objective": maml.objective,
    "first_order": maml.first_order_gradient,
    "gradient": maml.gradient,
    "step_size_gradient": maml.step_size_gradient,
}


@dataclass(frozen=True, eq=False)
class MetaProblem:
    """Where to start (d,), N support and N query tasks, and how to adapt."""

    theta: Array
    support: Any
    query: Any
    alpha: Any
    steps: int

    @property
    def split(self) -> tuple[Any, Any]:
        """(support, query), as `maml.gradient` takes them."""
        return self.support, self.query

    @property
    def hyper(self) -> dict[str, Any]:
        """The keyword arguments `alpha` and `steps`."""
        return {"alpha": self.alpha, "steps": self.steps}


def problem(x: dict[str, Any], *, task: Callable[[dict[str, Any], str], Any]) -> MetaProblem:
    """The inputs of a suite, `task(x, prefix)` its support and its query."""
    return MetaProblem(x["theta"], task(x, ""), task(x, "query_"), x["alpha"], x["steps"])


def answer(part: str, problem: MetaProblem) -> Array:
    """The library's answer."""
    return ANSWERS[part](problem.theta, *problem.split, **problem.hyper)


def terms(part: str, problem: MetaProblem, value: Array) -> Array:
    """The largest |θ| of φ, |L_query(θ)| of the objective, ‖g_q‖∞ of a gradient."""
    if part == "adapted":
        return np.full(problem.support.shape, np.max(np.abs(problem.theta)))
    if part == "objective":
        return max_per_task(problem.query.at(problem.theta).loss)
    return max_per_task(answer("first_order", problem))


def inner_path(problem: Any) -> tuple[list[Point], Array, Array]:
    """The points θ⁽⁰⁾ … θ⁽ᴷ⁾ on the support, the step sizes row by row, and g_q."""
    inner = adapt(problem.theta, problem.support, alpha=problem.alpha, steps=problem.steps, optimiser=getattr(problem, "optimiser", None))
    alphas = as_step_sizes(problem.alpha, problem.steps, problem.support.dim)
    return list(inner.path), alphas, np.array(problem.query.at(inner.adapted).grad)


def adjoint_product(points: list[Point], alphas: Array, g: Array) -> Array:
    """(I − H_0α_0)(I − H_1α_1) … g over the points given: the last acts first."""
    for point, a in reversed(list(zip(points, alphas, strict=False))):
        g = g - point.hvp(a * g)
    return g
