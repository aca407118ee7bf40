"""Implicit MAML: the meta-gradient of a proximal minimiser, without the path to it.

`support` and `query` are tasks with their batch in the leading axes; `query=None` is the support itself; `strength` is
λ > 0.  Results are one per task.  Derivation: derivations/implicit-and-zeroth-order.md
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_numbers, as_parameters, as_positive, batch_shape, check_finite, dot, finite_result
from refmeta.conjugate_gradients import check_numerics, conjugate_gradients, max_abs
from refmeta.meta.arguments import Point, Task, as_initialisation, as_query
from refmeta.meta.loop import sum_over_tasks

__all__ = ["ImplicitMAML", "Proximal", "adapt", "gradient", "objective", "refine", "solve"]

REACHED = 1e-10
MOST = 50
TRIALS = 200  # steps of the trust region: where values differ by rounding alone it shrinks by 4⁻²⁰⁰ and no further
SINGULAR = "I + H/strength is not positive definite, to rounding: a direction of curvature {:.3g}"


class Proximal(NamedTuple):
    """φ* (..., d), ‖∇L(φ*)/λ + φ* − θ‖∞ in units of max(‖∇L(θ)‖∞/λ, ‖φ*‖∞) (...), and the support's point at φ*."""

    adapted: Array
    residual: Array
    point: Point


@np.errstate(all="ignore")
def adapt(theta: ArrayLike, support: Task, *, strength: float) -> Proximal:
    """φ* = argmin_φ L(φ) + (λ/2)‖φ − θ‖², by Newton's method with conjugate gradients, from θ.

    Eq: implicit-maml

    A trust region leads to a minimum, for a loss that is not convex the one it finds; Newton steps go on there until the
    residual halves no more.

    Parameters
    ----------
    theta : (..., d) array, real
    support : task
    strength : float
        λ > 0; 1/λ stands where MAML has α times the number of steps.

    Raises
    ------
    ValueError, TypeError
        For a theta or strength of the wrong shape, sign or type.
    FloatingPointError
        If the residual reached is above 1e-10 of its scale, or I + ∇²L(φ*)/λ shows a direction of curvature that is not
        positive, to the query gradient or to one generic vector.
    """
    if np.iscomplexobj(as_numbers(theta, "theta")):
        raise TypeError("theta must be real: conjugate gradients conjugate, so a complex step would be wrong")
    if not isinstance(support, Task):
        raise TypeError(f"support must be a task with at(theta), got {type(support).__name__}")
    strength = as_positive(strength, "strength")
    theta = as_parameters(theta, dim=support.dim)
    batch = batch_shape(theta=theta.shape[:-1], task=support.shape)
    theta = np.broadcast_to(theta, (*batch, support.dim))

    def residual(phi: Array) -> tuple[Array, Point]:
        point = support.at(check_finite(phi, "the proximal steps left the finite numbers"))
        return _slope(point, phi, theta, strength), point

    def newton(r: Array, point: Point) -> Array:
        return _solution(point, r, strength, 1e-4)

    first = max_abs(residual(theta)[0])
    phi, r, point = refine(_near_minimum(theta, support, strength), residual, newton)
    scale = np.maximum(first, max_abs(phi))
    reached = max_abs(r) / np.where(scale > 0, scale, 1)
    check_numerics(reached <= REACHED, reached, "the proximal problem is not solved: its residual is {:.3g} of its scale")
    _solution(point, np.cos(np.arange(theta.size)).reshape(theta.shape), strength, 1e-6)
    return Proximal(np.array(phi), reached, point)


@finite_result
def objective(theta: ArrayLike, support: Task, query: Task | None = None, *, strength: float) -> Array:
    """F(θ) = L_query(φ*), (...).

    Eq: implicit-maml
    """
    return _query_series(theta, support, query, strength)[1]


@finite_result
def gradient(theta: ArrayLike, support: Task, query: Task | None = None, *, strength: float) -> Array:
    """∇F = (I + ∇²L(φ*)/λ)⁻¹ ∇L_query(φ*), by conjugate gradients; (..., d).

    Eq: implicit-maml

    Exact to the residuals that were reached, of φ* and of the linear system, both at most 1e-10 of their scale and as
    a rule near rounding.  The errors raised are those of `adapt`.
    """
    point, _, g = _query_series(theta, support, query, strength)
    return solve(point, g, strength)


@dataclass(frozen=True)
class ImplicitMAML:
    """Rule for `meta_train`: Σᵢ ∇Fᵢ(θ) of the proximal minimisers."""

    strength: float

    def direction(self, theta: ArrayLike, support: Task, query: Task | None = None) -> Array:
        """Σᵢ (I + ∇²Lᵢ/λ)⁻¹ ∇L_query(φᵢ*), (d,)."""
        return sum_over_tasks(gradient(as_initialisation(theta), support, query, strength=self.strength))


def solve(point: Point, b: Array, strength: float) -> Array:
    """(I + ∇²L/λ)⁻¹ b for every task, b (..., d), by conjugate gradients, refined to the floor of rounding."""
    size = np.where(max_abs(b) > 0, max_abs(b), 1)[..., None]
    x, r, _ = refine(
        np.zeros(b.shape),
        lambda x: (b / size - x - point.hvp(x) / strength, None),
        lambda r, _: -_solution(point, r, strength, 1e-8),
    )
    sentence = "I + H/strength is too ill-conditioned: conjugate gradients left a residual of {:.3g} of the right side"
    check_numerics(max_abs(r) <= REACHED, max_abs(r), sentence)
    return x * size


def _solution(point: Point, b: Array, strength: float, rtol: float) -> Array:
    """(I + ∇²L/λ)⁻¹ b, to rtol of the norm of b."""
    product = lambda x: np.asarray(point.hvp(x)) / strength
    return conjugate_gradients(product, b, shift=1.0, rtol=rtol, refusal=SINGULAR)


def refine(
    x: Array, residual: Callable[[Array], tuple[Array, Any]], correction: Callable[[Array, Any], Array]
) -> tuple[Array, Array, Any]:
    """x ← x − correction(r(x)), for each task while it halves the residual; x, its residual and what came with it."""
    r, point = residual(x)
    for _ in range(MOST):
        following = x - correction(r, point)
        better = max_abs(residual(following)[0]) < max_abs(r) / 2
        if not np.any(better):
            break
        x = np.where(better[..., None], following, x)
        r, point = residual(x)
    return x, r, point


def _near_minimum(theta: Array, support: Task, strength: float) -> Array:
    """φ near the minimum: SciPy's trust-region Newton method with conjugate gradients, on all tasks at once.

    φ = θ + u y, u the size of a task's first gradient ∇L(θ)/λ: squares of y neither overflow nor vanish.
    """
    from scipy.optimize import minimize

    at, start = _keep_last_point(support, theta), support.at(theta)
    unit = max_abs(check_finite(start.grad / strength, "the gradient over strength left the finite numbers"))
    unit = np.where(unit > 0, unit, 1)[..., None]

    def value(y: Array) -> float:
        y = y.reshape(theta.shape)
        try:
            return float(np.sum((at(theta + unit * y).loss - start.loss) / strength / unit[..., 0] ** 2) + np.sum(y**2) / 2)
        except (FloatingPointError, ValueError):
            return np.inf

    def slope(y: Array) -> Array:
        y = y.reshape(theta.shape)
        return np.ravel(at(theta + unit * y).grad / strength / unit + y)

    def product(y: Array, v: Array) -> Array:
        return np.ravel(at(theta + unit * y.reshape(theta.shape)).hvp(v.reshape(theta.shape))) / strength + v

    first = float(np.linalg.norm(slope(np.zeros(theta.size))))
    if first == 0:
        return theta
    options = {"initial_trust_radius": first, "max_trust_radius": 1e8 * first, "gtol": 1e-6 * first, "maxiter": TRIALS}
    y = minimize(value, np.zeros(theta.size), jac=slope, hessp=product, method="trust-ncg", options=options).x
    return theta + unit * y.reshape(theta.shape)


def _keep_last_point(support: Task, theta: Array) -> Callable[[Array], Point]:
    """`support.at`, keeping the last point."""
    kept = [support.at(theta)]

    def at(phi: Array) -> Point:
        if not np.array_equal(kept[0].theta, phi):
            kept[0] = support.at(phi)
        return kept[0]

    return at


def _slope(point: Point, phi: Array, theta: Array, strength: float) -> Array:
    """∇L(φ)/λ + φ − θ."""
    return check_finite(point.grad / strength + (phi - theta), "the proximal gradient left the finite numbers")


def _query_series(theta: ArrayLike, support: Task, query: Task | None, strength: float) -> tuple[Point, Array, Array]:
    """The support's point at φ, and at φ* the query's loss and gradient, (...) and (..., d).

    The Newton step −s from φ to φ* is too small to be stored in φ.  It is made in the query's Taylor series instead:
    L − sᵀg + ½sᵀHs and g − Hs.
    """
    inner, task = adapt(theta, support, strength=strength), as_query(support, query)
    batch_shape(support=inner.adapted.shape[:-1], query=task.shape)
    try:
        point = inner.point if task is support else task.at(inner.adapted)
    except ValueError as error:
        raise FloatingPointError(f"the query has no loss at the adapted parameters: {error}") from None
    s = solve(inner.point, _slope(inner.point, inner.adapted, np.asarray(theta), strength), strength)
    Hs = point.hvp(s)
    return inner.point, point.loss - dot(s, point.grad) + dot(s, Hs) / 2, point.grad - Hs
