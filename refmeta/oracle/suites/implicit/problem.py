"""Implicit MAML as the library takes it, and with dense Hessians.  Derivation: derivations/implicit-and-zeroth-order.md"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from refmeta.arrays import Array, matvec
from refmeta.meta import implicit
from refmeta.oracle.choices import unit_vectors
from refmeta.oracle.common import linear_regression, quadratic
from refmeta.tolerance import max_per_task

__all__ = ["Proximity", "answer", "dense_gradient", "hessian", "minimiser", "problem", "system", "terms"]


@dataclass(frozen=True, eq=False)
class Proximity:
    """An implicit meta-gradient: theta (d,), support, query, λ."""

    theta: Array
    support: Any
    query: Any
    strength: float

    @property
    def split(self) -> tuple[Any, Any]:
        """(support, query)."""
        return self.support, self.query


def problem(x: dict[str, Any]) -> Proximity:
    """The inputs of the suite."""
    return Proximity(x["theta"], _task(x, ""), _task(x, "query_"), x["strength"])


def _task(x: dict[str, Any], prefix: str) -> Any:
    """Linear regressions where A is None, else quadratics."""
    return (linear_regression if x[prefix + "A"] is None else quadratic)(x, prefix)


def answer(part: str, problem: Proximity) -> Array:
    """The library's gradient or objective, or ∇L_query(φ*), the first order."""
    if part == "first_order":
        phi = implicit.adapt(problem.theta, problem.support, strength=problem.strength).adapted
        return problem.query.at(phi).grad
    function = implicit.gradient if part == "gradient" else implicit.objective
    return function(problem.theta, *problem.split, strength=problem.strength)


def terms(part: str, problem: Proximity, value: Array) -> Array:
    """|L_query(θ)| of the objective, ‖∇L_query(φ*)‖∞ of a gradient."""
    if part == "objective":
        return max_per_task(problem.query.at(problem.theta).loss)
    return max_per_task(answer("first_order", problem))


def hessian(task: Any, phi: Array) -> Array:
    """∇²L of every task, (N, d, d)."""
    return np.stack([task.at(phi).hvp(e) for e in unit_vectors(task.dim)], axis=-1)


def minimiser(problem: Any, strength: float) -> Array:
    """argmin L + (strength/2)‖φ − θ‖² by Newton's method, (N, d), the nearest to θ where there are many."""
    task = problem.support
    phi = np.broadcast_to(problem.theta, (*task.shape, task.dim))
    for _ in range(20):
        slope = task.at(phi).grad + strength * (phi - problem.theta)
        phi = phi - matvec(np.linalg.pinv(hessian(task, phi) + strength * np.eye(task.dim), rcond=1e-12), slope)
    return phi


def system(task: Any, phi: Array, strength: float) -> Array:
    """I + ∇²L(φ)/λ of every task, (N, d, d)."""
    return np.eye(task.dim) + hessian(task, phi) / strength


def dense_gradient(support: Any, query: Any, phi: Array, strength: float) -> Array:
    """(I + ∇²L(φ)/λ)⁻¹ ∇L_query(φ), (N, d)."""
    return matvec(np.linalg.inv(system(support, phi, strength)), query.at(phi).grad)
