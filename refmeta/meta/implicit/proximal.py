"""The proximal minimiser φ* = argmin L(φ) + (λ/2)‖φ − θ‖², and linear systems of its Hessian.

Derivation: derivations/implicit-and-zeroth-order.md
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_numbers, as_parameters, as_positive, batch_shape, check_finite
from refmeta.conjugate_gradients import check_numerics, conjugate_gradients, max_abs
from refmeta.meta.arguments import Point, Task, as_task
from refmeta.meta.inner import gradient_at, trusted_point

__all__ = ["RESIDUAL", "Proximal", "adapt", "newton_step", "refine", "slope", "solve", "trusted_proximal"]

RESIDUAL = 1e-10
MOST = 50
TRIALS = 200  # the most steps of the trust region; where values differ only by rounding it shrinks in every one
SINGULAR = "I + H/strength is not positive definite up to rounding: a direction has the curvature {:.3g}"


class Proximal(NamedTuple):
    """φ* (..., d), ‖∇L(φ*)/λ + φ* − θ‖∞ in units of max(‖∇L(θ)‖∞/λ, ‖φ*‖∞) (...), and the support's point at φ*."""

    adapted: Array
    residual: Array
    point: Point


def adapt(theta: ArrayLike, support: Task, *, strength: float) -> Proximal:
    """φ* = argmin_φ L(φ) + (λ/2)‖φ − θ‖², by Newton's method with conjugate gradients, from θ.

    Eq: implicit-maml

    A trust region leads to a minimum, which for a loss that is not convex may be a local one.  From there Newton steps
    are taken while they halve the residual.

    Parameters
    ----------
    theta : (..., d) array, real
    support : task
    strength : float
        λ > 0; 1/λ has the role of α times the number of steps in MAML.

    Raises
    ------
    ValueError, TypeError
        For a theta or strength of the wrong shape, sign or type.
    FloatingPointError
        If the final residual is above 1e-10 of its scale, or if conjugate gradients, for the query gradient or for one
        fixed vector, find a direction in which the curvature of I + ∇²L(φ*)/λ is not positive.
    """
    inner = trusted_proximal(theta, support, strength)
    return inner._replace(point=support.at(inner.adapted))


@np.errstate(all="ignore")
def trusted_proximal(theta: ArrayLike, support: Task, strength: float) -> Proximal:
    """As `adapt`, with a point that checks nothing again: it must not leave the library, and what comes of it is checked."""
    if np.iscomplexobj(as_numbers(theta, "theta")):
        raise TypeError("theta must be real: conjugate gradients use complex conjugates, so that a complex step is wrong")
    as_task(support, "support")
    strength = as_positive(strength, "strength")
    theta = as_parameters(theta, dim=support.dim)
    batch = batch_shape(theta=theta.shape[:-1], task=support.shape)
    theta = np.broadcast_to(theta, (*batch, support.dim))

    def residual(phi: Array) -> tuple[Array, Point]:
        point = trusted_point(support, check_finite(phi, "the proximal steps left the finite numbers"))
        return slope(point, phi, theta, strength), point

    def newton(r: Array, point: Point) -> Array:
        return _solution(point, r, strength, 1e-4)

    first, start = residual(theta)
    phi, r, point = refine(_near_minimum(start, first, theta, support, strength), residual, newton)
    scale = np.maximum(max_abs(first), max_abs(phi))
    size = max_abs(r) / np.where(scale > 0, scale, 1)
    check_numerics(size <= RESIDUAL, size, "the proximal problem is not solved: its residual is {:.3g} of its scale")
    _solution(point, np.cos(np.arange(theta.size)).reshape(theta.shape), strength, 1e-6)
    return Proximal(np.array(phi), size, point)


def solve(point: Point, b: Array, strength: float) -> Array:
    """(I + ∇²L/λ)⁻¹ b for every task, b (..., d), by conjugate gradients, refined down to rounding."""
    size = np.where(max_abs(b) > 0, max_abs(b), 1)[..., None]
    x, r, _ = refine(
        _solution(point, b / size, strength, 1e-8),
        lambda x: (b / size - x - point.hvp(x) / strength, None),
        lambda r, _: -_solution(point, r, strength, 1e-8),
    )
    sentence = "I + H/strength is too ill-conditioned: conjugate gradients left a residual of {:.3g} of the right side"
    check_numerics(max_abs(r) <= RESIDUAL, max_abs(r), sentence)
    return x * size


def newton_step(point: Point, r: Array, strength: float) -> Array:
    """(I + ∇²L/λ)⁻¹ r of a residual r that is rounding already, to eight of its digits."""
    return _solution(point, r, strength, 1e-8)


def _solution(point: Point, b: Array, strength: float, rtol: float) -> Array:
    """(I + ∇²L/λ)⁻¹ b, to a residual of rtol·‖b‖."""
    product = lambda x: np.asarray(point.hvp(x)) / strength
    return conjugate_gradients(product, b, shift=1.0, rtol=rtol, refusal=SINGULAR)


def refine(
    x: Array, residual: Callable[[Array], tuple[Array, Any]], correction: Callable[[Array, Any], Array]
) -> tuple[Array, Array, Any]:
    """x ← x − correction(r(x)), for each task while this halves the residual; x, its residual and its point."""
    r, point = residual(x)
    for _ in range(MOST):
        following = x - correction(r, point)
        rest, at = residual(following)
        better = max_abs(rest) < max_abs(r) / 2
        if not np.any(better):
            break
        if not np.all(better):
            following = np.where(better[..., None], following, x)
            rest, at = residual(following)
        x, r, point = following, rest, at
    return x, r, point


def _near_minimum(start: Point, first: Array, theta: Array, support: Task, strength: float) -> Array:
    """φ near the minimum, by SciPy's trust-region Newton method with conjugate gradients, for all tasks at once.

    `start` and `first` are the point and the slope at θ.  The unknown is y, φ = θ + u y, with u the size of ∇L(θ)/λ of each
    task: squares of y do not overflow or underflow.
    """
    from scipy.optimize import minimize

    at, unit = _keep_last_point(support, start, theta), max_abs(first)
    unit = np.where(unit > 0, unit, 1)[..., None]

    def value(y: Array) -> float:
        y = y.reshape(theta.shape)
        try:
            loss = np.sum((at(theta + unit * y).loss - start.loss) / strength / unit[..., 0] ** 2) + np.sum(y**2) / 2
        except (FloatingPointError, ValueError):
            return np.inf
        return float(loss) if np.isfinite(loss) else np.inf

    def slope(y: Array) -> Array:
        y = y.reshape(theta.shape)
        return np.ravel(gradient_at(at(theta + unit * y), theta.shape[-1]) / strength / unit + y)

    def product(y: Array, v: Array) -> Array:
        Hv = np.ravel(at(theta + unit * y.reshape(theta.shape)).hvp(v.reshape(theta.shape))) / strength
        return check_finite(Hv + v, "the proximal Hessian left the finite numbers")

    size = float(np.linalg.norm(first / unit))
    if size == 0:
        return theta
    options = {"initial_trust_radius": size, "max_trust_radius": 1e8 * size, "gtol": 1e-6 * size, "maxiter": TRIALS}
    y = minimize(value, np.zeros(theta.size), jac=slope, hessp=product, method="trust-ncg", options=options).x
    return theta + unit * y.reshape(theta.shape)


def _keep_last_point(support: Task, start: Point, theta: Array) -> Callable[[Array], Point]:
    """The support's point, with a memory of one; before the first it is that at θ."""
    last = (theta, start)

    def at(phi: Array) -> Point:
        nonlocal last
        if not np.array_equal(last[0], phi):
            last = (phi, trusted_point(support, check_finite(phi, "the proximal steps left the finite numbers")))
        return last[1]

    return at


def slope(point: Point, phi: Array, theta: Array, strength: float) -> Array:
    """∇L(φ)/λ + φ − θ."""
    return check_finite(gradient_at(point, phi.shape[-1]) / strength + (phi - theta), "the proximal gradient left the finite numbers")
