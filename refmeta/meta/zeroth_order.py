"""Meta-gradients without Hessians: from differences of gradients, or of objectives.

`support` and `query` are tasks with their batch in the leading axes; `query=None` is the support itself.  There is
one result per task.  Derivation: derivations/implicit-and-zeroth-order.md
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_parameters, as_positive, as_real, as_scalar, finite_result
from refmeta.meta.arguments import Task, Tasks, as_initialisation, as_step_tasks
from refmeta.meta.inner import query_point, trusted_adaptation
from refmeta.meta.loop import sum_over_tasks

__all__ = ["ESMAML", "evolution_gradient", "hessian_free_gradient"]


@finite_result
def hessian_free_gradient(
    theta: ArrayLike, support: Tasks, query: Task | None = None, *, alpha: float, delta: float
) -> Array:
    """g − (α/2δ) [∇L(θ + δg) − ∇L(θ − δg)], g = ∇L_query(θ − α∇L(θ)): one step of MAML; (..., d).

    Eq: hessian-free-maml

    The remainder is −(α δ²/6) ∇⁴L[g, g, g] + O(δ⁴), zero for a quadratic; rounding adds eps·α(‖∇L‖ + ‖∇²L‖‖θ‖)/δ.

    Raises
    ------
    ValueError
        If delta is not positive, or alpha not one number.
    """
    alpha, delta = as_scalar(alpha, "alpha"), as_positive(delta, "delta")
    theta, task = as_parameters(theta), as_step_tasks(support, 1)[0]
    g = np.asarray(query_point(trusted_adaptation(theta, support, alpha=alpha, steps=1), support, query).grad)
    return g - alpha / (2 * delta) * (task.at(theta + delta * g).grad - task.at(theta - delta * g).grad)


@finite_result
def evolution_gradient(
    theta: ArrayLike, support: Tasks, query: Task | None = None, *,
    alpha: ArrayLike, steps: int = 1, sigma: float, directions: ArrayLike,
) -> Array:  # fmt: skip
    """(1/2Mσ) Σ_m [F(θ + σe_m) − F(θ − σe_m)] e_m, F(θ) = L_query(φ), directions e_m (M, d); (..., d).

    Eq: es-maml

    For e_m ~ N(0, I) its mean is the gradient of F smoothed by N(0, σ²I).  For the d directions √d e_j it is the
    central difference of F, which for a quadratic F is the gradient.

    Raises
    ------
    ValueError
        If sigma is not positive, or directions not (M, d) with M at least 1.
    """
    theta, sigma, e = as_parameters(theta), as_positive(sigma, "sigma"), as_real(directions, "directions")
    if e.ndim != 2 or e.shape[-1] != theta.shape[-1] or len(e) == 0:
        raise ValueError(f"directions has shape {e.shape}, expected (M, {theta.shape[-1]}) with M at least 1")
    total: Any = 0
    for row in e:
        up, down = (
            query_point(trusted_adaptation(theta + step * row, support, alpha=alpha, steps=steps), support, query).loss
            for step in (sigma, -sigma)
        )
        total = total + np.asarray(up - down)[..., None] * row
    return total / (2 * len(e) * sigma)


@dataclass(frozen=True, eq=False)
class ESMAML:
    """Rule for `meta_train`: Σᵢ of `evolution_gradient`.

    `directions` is an array (M, d), or a function without arguments that returns one and is called in every iteration:
    `lambda: rng.normal(size=(M, d))`.
    """

    alpha: Any
    sigma: float
    directions: Any
    steps: int = 1

    def direction(self, theta: ArrayLike, support: Tasks, query: Task | None = None) -> Array:
        """Σᵢ (1/2Mσ) Σ_m [Fᵢ(θ + σe_m) − Fᵢ(θ − σe_m)] e_m, (d,)."""
        e: Callable[[], Any] | Any = self.directions
        e = e() if callable(e) else e
        hyper = {"alpha": self.alpha, "steps": self.steps, "sigma": self.sigma, "directions": e}
        return sum_over_tasks(evolution_gradient(as_initialisation(theta), support, query, **hyper))
