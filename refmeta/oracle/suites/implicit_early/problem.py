"""Hypergradients that stop early as the library takes them.  Derivation: derivations/implicit-and-zeroth-order.md"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import implicit
from refmeta.oracle.suites.implicit.problem import Proximity
from refmeta.oracle.suites.implicit.problem import answer as exact_answer
from refmeta.oracle.suites.implicit.problem import problem as proximity
from refmeta.tolerance import max_per_task

__all__ = ["Early", "answer", "problem", "terms"]

COUNTS = ("terms", "cg_steps", "steps", "kept")


@dataclass(frozen=True, eq=False)
class Early:
    """theta (d,), support, query, λ; η, the number of terms, of steps of conjugate gradients, of unrolled and of kept steps, and δ."""

    theta: Array
    support: Any
    query: Any
    strength: float
    eta: float
    terms: int
    cg_steps: int
    steps: int
    kept: int
    delta: float

    @property
    def split(self) -> tuple[Any, Any]:
        """(support, query)."""
        return self.support, self.query


def problem(x: dict[str, Any]) -> Early:
    """The inputs of the suite."""
    return Early(**vars(proximity(x)), eta=x["eta"], delta=x["delta"], **{name: x[name] for name in COUNTS})


ANSWERS: dict[str, Callable[..., Array]] = {
    "neumann": lambda p, **at: implicit.neumann_gradient(p.theta, *p.split, eta=p.eta, terms=p.terms, **at),
    "one_step": lambda p, **at: implicit.one_step_gradient(p.theta, *p.split, eta=p.eta, **at),
    "cg": lambda p, **at: implicit.cg_gradient(p.theta, *p.split, steps=p.cg_steps, **at),
    "truncated": lambda p, **at: implicit.truncated_gradient(p.theta, *p.split, eta=p.eta, steps=p.steps, kept=p.kept, **at),
    "finite_difference": lambda p, **at: implicit.finite_difference_gradient(
        p.theta, *p.split, eta=p.eta, terms=p.terms, delta=p.delta, **at
    ),
}


def answer(part: str, problem: Early) -> Array:
    """The library's result."""
    return ANSWERS[part](problem, strength=problem.strength)


def terms(part: str, problem: Early, value: Array) -> Array:
    """‖∇L_query(φ*)‖∞; of unrolled steps also that at θ."""
    size = max_per_task(exact_answer("first_order", Proximity(problem.theta, *problem.split, problem.strength)))
    if part == "truncated":
        return np.maximum(size, max_per_task(problem.query.at(np.broadcast_to(problem.theta, value.shape)).grad))
    return size
