"""Implicit MAML: the meta-gradient of a proximal minimiser, whatever path led to it.

`support` and `query` are tasks with their batch in the leading axes; `query=None` is the support itself; `strength` is
λ > 0.  There is one result per task.  Derivation: derivations/implicit-and-zeroth-order.md
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, batch_shape, dot, finite_result
from refmeta.meta.arguments import Point, Task, as_initialisation, as_query
from refmeta.meta.implicit.proximal import newton_step, slope, solve, trusted_proximal
from refmeta.meta.inner import trusted_point
from refmeta.meta.loop import sum_over_tasks

__all__ = ["ImplicitMAML", "gradient", "objective", "query_series"]


@finite_result
def objective(theta: ArrayLike, support: Task, query: Task | None = None, *, strength: float) -> Array:
    """F(θ) = L_query(φ*), (...).

    Eq: implicit-maml
    """
    return query_series(theta, support, query, strength)[1]


@finite_result
def gradient(theta: ArrayLike, support: Task, query: Task | None = None, *, strength: float) -> Array:
    """∇F = (I + ∇²L(φ*)/λ)⁻¹ ∇L_query(φ*), by conjugate gradients; (..., d).

    Eq: implicit-maml

    Exact up to the residuals of φ* and of the linear system.  Both are at most 1e-10 of their scale, and usually near
    rounding.  The errors raised are those of `adapt`.
    """
    point, _, g = query_series(theta, support, query, strength)
    return solve(point, g, strength)


@dataclass(frozen=True)
class ImplicitMAML:
    """Rule for `meta_train`: Σᵢ ∇Fᵢ(θ) of the proximal minimisers."""

    strength: float

    def direction(self, theta: ArrayLike, support: Task, query: Task | None = None) -> Array:
        """Σᵢ (I + ∇²Lᵢ/λ)⁻¹ ∇L_query(φᵢ*), (d,)."""
        return sum_over_tasks(gradient(as_initialisation(theta), support, query, strength=self.strength))


def query_series(theta: ArrayLike, support: Task, query: Task | None, strength: float) -> tuple[Point, Array, Array]:
    """The point of the support at φ, and the loss (...) and gradient (..., d) of the query at φ*.

    The Newton step −s from φ to φ* is smaller than the rounding of φ.  So it is taken in the Taylor series of the query
    instead: the loss is L − sᵀg + ½sᵀHs, and the gradient g − Hs.
    """
    inner, task = trusted_proximal(theta, support, strength), as_query(support, query)
    batch_shape(support=inner.adapted.shape[:-1], query=task.shape)
    try:
        point = inner.point if task is support else trusted_point(task, inner.adapted)
    except ValueError as error:
        raise FloatingPointError(f"the query has no loss at the adapted parameters: {error}") from None
    s = newton_step(inner.point, slope(inner.point, inner.adapted, np.asarray(theta), strength), strength)
    Hs = point.hvp(s)
    return inner.point, point.loss - dot(s, point.grad) + dot(s, Hs) / 2, point.grad - Hs
