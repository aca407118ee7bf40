"""Implicit MAML: the meta-gradient of a proximal minimiser, without the path to it.

`support` and `query` are tasks with their batch in the leading axes; `query=None` is the support itself; `strength` is
λ > 0.  Results are one per task.  Derivation: derivations/implicit-and-zeroth-order.md
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, batch_shape, dot, finite, index_text, numbers, parameters, positive, settled
from refmeta.meta.inner import Point, Task, initialisation, query_task, summed

REACHED = 1e-10
MOST = 50


class Proximal(NamedTuple):
    """φ* (..., d), ‖∇L(φ*)/λ + φ* − θ‖∞ in units of max(‖∇L(θ)‖∞/λ, ‖φ*‖∞) (...), and the support's point at φ*."""

    adapted: Array
    residual: Array
    point: Point


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
    if np.iscomplexobj(numbers(theta, "theta")):
        raise TypeError("theta must be real: conjugate gradients conjugate, so a complex step would be wrong")
    if not isinstance(support, Task):
        raise TypeError(f"support must be a task with at(theta), got {type(support).__name__}")
    strength = positive(strength, "strength")
    theta = parameters(theta, dim=support.dim)
    batch = batch_shape(theta=theta.shape[:-1], task=support.shape)
    theta = np.broadcast_to(theta, (*batch, support.dim))

    def residual(phi: Array) -> tuple[Array, Point]:
        point = support.at(phi)
        return settled(point.grad / strength + (phi - theta), "the proximal gradient left the finite numbers"), point

    def newton(r: Array, point: Point) -> Array:
        return _conjugate_gradients(point, r, strength, 1e-4)

    first, near = _norm(residual(theta)[0]), _minimised(theta, support, strength)
    phi, r, point = refined(near, residual, newton)
    scale = np.maximum(first, _norm(phi))
    reached = _norm(r) / np.where(scale > 0, scale, 1)
    _require(reached <= REACHED, reached, "the proximal problem is not solved: its residual is {:.3g} of its scale")
    _conjugate_gradients(point, np.cos(np.arange(theta.size)).reshape(theta.shape), strength, 1e-6)
    return Proximal(np.array(phi), reached, point)


@finite
def objective(theta: ArrayLike, support: Task, query: Task | None = None, *, strength: float) -> Array:
    """F(θ) = L_query(φ*), (...).

    Eq: implicit-maml
    """
    return np.array(_at_query(adapt(theta, support, strength=strength), support, query).loss)[()]


@finite
def gradient(theta: ArrayLike, support: Task, query: Task | None = None, *, strength: float) -> Array:
    """∇F = (I + ∇²L(φ*)/λ)⁻¹ ∇L_query(φ*), by conjugate gradients; (..., d).

    Eq: implicit-maml

    Exact to the residuals that were reached, of φ* and of the linear system, both at most 1e-10 of their scale and as
    a rule near rounding.  The errors raised are those of `adapt`.
    """
    inner = adapt(theta, support, strength=strength)
    g = np.asarray(_at_query(inner, support, query).grad)
    return solve(inner.point, g + np.zeros(inner.adapted.shape), strength)


@dataclass(frozen=True)
class ImplicitMAML:
    """Rule for `meta_train`: Σᵢ ∇Fᵢ(θ) of the proximal minimisers."""

    strength: float

    def direction(self, theta: ArrayLike, support: Task, query: Task | None = None) -> Array:
        """Σᵢ (I + ∇²Lᵢ/λ)⁻¹ ∇L_query(φᵢ*), (d,)."""
        return summed(gradient(initialisation(theta), support, query, strength=self.strength))


def solve(point: Point, b: Array, strength: float) -> Array:
    """(I + ∇²L/λ)⁻¹ b for every task, b (..., d), by conjugate gradients, refined to the floor of rounding."""
    size = _norm(b)[..., None]
    size = np.where(size > 0, size, 1)
    x, r, _ = refined(
        np.zeros(b.shape),
        lambda x: (b / size - _product(point, x, strength), None),
        lambda r, _: -_conjugate_gradients(point, r, strength, 1e-8),
    )
    sentence = "conjugate gradients did not converge: their residual is {:.3g} of the right side"
    _require(_norm(r) <= REACHED, _norm(r), sentence)
    return x * size


def _product(point: Point, x: Array, strength: float) -> Array:
    """(I + ∇²L/λ) x, refused where its curvature along x is not positive; squares below 1e-300 tell nothing."""
    Ax = x + point.hvp(x) / strength
    curvature = dot(x, Ax)
    _require(
        (curvature > 0) | (_norm(x) < 1e-150),
        curvature,
        "I + H/strength is not positive definite: a direction of curvature {:.3g}",
    )
    return Ax


def _conjugate_gradients(point: Point, b: Array, strength: float, rtol: float) -> Array:
    """(I + ∇²L/λ)⁻¹ b, to rtol of the norm of b, by SciPy on all tasks at once: they are the blocks of one matrix."""
    from scipy.sparse.linalg import LinearOperator, cg

    matrix = LinearOperator(
        (b.size, b.size), matvec=lambda x: _product(point, x.reshape(b.shape), strength).ravel(), dtype=float
    )
    return cg(matrix, b.ravel(), rtol=rtol, atol=0.0, maxiter=10 * b.size)[0].reshape(b.shape)


def refined(
    x: Array, residual: Callable[[Array], tuple[Array, Any]], correction: Callable[[Array, Any], Array]
) -> tuple[Array, Array, Any]:
    """x ← x − correction(r(x)) while it halves the largest residual of a task; x, its residual and what came with it."""
    r, point = residual(x)
    for _ in range(MOST):
        if not np.any(r):
            break
        following = x - correction(r, point)
        nearer, there = residual(following)
        if not np.max(_norm(nearer)) <= np.max(_norm(r)) / 2:
            break
        x, r, point = following, nearer, there
    return x, r, point


def _minimised(theta: Array, support: Task, strength: float) -> Array:
    """φ near the minimum: SciPy's trust-region Newton method with conjugate gradients, on all tasks at once."""
    from scipy.optimize import minimize

    at, shape = _latest(support, theta), theta.shape

    def value(x: Array) -> float:
        phi = x.reshape(shape)
        try:
            return float(np.sum(at(phi).loss / strength) + np.sum((phi - theta) ** 2) / 2)
        except (FloatingPointError, ValueError):
            return np.inf

    def slope(x: Array) -> Array:
        return (at(x.reshape(shape)).grad / strength + (x.reshape(shape) - theta)).ravel()

    def product(x: Array, v: Array) -> Array:
        return at(x.reshape(shape)).hvp(v.reshape(shape)).ravel() / strength + v

    start = theta.ravel()
    first = float(
        settled(np.asarray(np.linalg.norm(slope(start))), "the gradient over strength left the finite numbers")
    )
    if first == 0:
        return theta
    options = {"initial_trust_radius": first, "max_trust_radius": 1e8 * first, "gtol": 1e-6 * first}
    return minimize(value, start, jac=slope, hessp=product, method="trust-ncg", options=options).x.reshape(shape)


def _latest(support: Task, theta: Array) -> Callable[[Array], Point]:
    """`support.at`, keeping the last point."""
    kept = [support.at(theta)]

    def at(phi: Array) -> Point:
        if not np.array_equal(kept[0].theta, phi):
            kept[0] = support.at(phi)
        return kept[0]

    return at


def _at_query(inner: Proximal, support: Task, query: Task | None) -> Point:
    task = query_task(support, query)
    batch_shape(support=inner.adapted.shape[:-1], query=task.shape)
    return inner.point if task is support else task.at(inner.adapted)


def _norm(x: Array) -> Array:
    """‖x‖∞ of each task: no square of it may overflow or vanish."""
    return np.max(np.abs(x), axis=-1)


def _require(ok: Array, value: Array, sentence: str) -> None:
    """FloatingPointError with the sentence, the number and the task, unless all is well."""
    if not np.all(ok):
        index = tuple(np.argwhere(~np.asarray(ok))[0])
        where = f" at task {index_text(index)}" if index else ""
        raise FloatingPointError(sentence.format(np.asarray(value)[index]) + where)
