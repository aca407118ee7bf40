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
from refmeta.spectrum import Spectrum, spectrum

REACHED = 1e-10
MOST = 100
HALVINGS = 40


class Proximal(NamedTuple):
    """φ* (..., d), ‖∇L(φ*)/λ + φ* − θ‖∞ in units of max(‖∇L(θ)‖∞/λ, ‖φ*‖∞) (...), and the support's point at φ*."""

    adapted: Array
    residual: Array
    point: Point


class _Place(NamedTuple):
    """φ, L(φ)/λ + ½‖φ − θ‖², its gradient, and the support's point."""

    phi: Array
    value: Array
    slope: Array
    point: Point


def adapt(theta: ArrayLike, support: Task, *, strength: float) -> Proximal:
    """φ* = argmin_φ L(φ) + (λ/2)‖φ − θ‖², by Newton's method from θ.

    Eq: implicit-maml

    For a loss that is not convex it is the minimum that the descent finds.  A Newton step takes d Hessian products.

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
        If the smallest eigenvalue of I + ∇²L(φ*)/λ is not above its rounding, or if the residual reached is above 1e-10
        of its scale.  The message names the task.
    """
    return _adapted(theta, support, strength)[0]


@finite
def objective(theta: ArrayLike, support: Task, query: Task | None = None, *, strength: float) -> Array:
    """F(θ) = L_query(φ*), (...).

    Eq: implicit-maml
    """
    return _at_query(*_adapted(theta, support, strength), theta, support, query, strength)[0][()]


@finite
def gradient(theta: ArrayLike, support: Task, query: Task | None = None, *, strength: float) -> Array:
    """∇F = (I + ∇²L(φ*)/λ)⁻¹ ∇L_query(φ*), (..., d).

    Eq: implicit-maml

    Exact to the residuals that were reached, of φ* and of the linear system, both at most 1e-10 of their scale and as
    a rule near rounding.  The errors raised are those of `adapt`.
    """
    inner, matrix = _adapted(theta, support, strength)
    return solve(matrix, inner.point, _at_query(inner, matrix, theta, support, query, strength)[1], strength)


@dataclass(frozen=True)
class ImplicitMAML:
    """Rule for `meta_train`: Σᵢ ∇Fᵢ(θ) of the proximal minimisers."""

    strength: float

    def direction(self, theta: ArrayLike, support: Task, query: Task | None = None) -> Array:
        """Σᵢ (I + ∇²Lᵢ/λ)⁻¹ ∇L_query(φᵢ*), (d,)."""
        return summed(gradient(initialisation(theta), support, query, strength=self.strength))


def solve(matrix: Spectrum, point: Point, b: Array, strength: float) -> Array:
    """(I + ∇²L/λ)⁻¹ b for every task, b (..., d), by eigenvectors, refined to the floor of rounding."""
    size = np.where(_norm(b) > 0, _norm(b), 1)[..., None]
    inverse = 1 / matrix.values
    x, r = refined(
        matrix.weighted(inverse, b / size),
        lambda x: x + point.hvp(x) / strength - b / size,
        lambda r: matrix.weighted(inverse, r),
    )
    left = _norm(r) / (1 + (1 + np.max(np.abs(matrix.values), axis=-1)) * _norm(x))
    _require(left <= REACHED, left, "the linear system is not solved: its residual is {:.3g} of its terms")
    return x * size


def curvature(point: Point, shape: tuple[int, ...], strength: float) -> Spectrum:
    """The eigenvalues and eigenvectors of I + ∇²L/λ, at a point whose θ has the shape."""
    return spectrum(lambda v: np.asarray(point.hvp(v)) / strength, shape, 1.0)


def refined(
    x: Array, residual: Callable[[Array], Array], correction: Callable[[Array], Array]
) -> tuple[Array, Array]:
    """x ← x − correction(r(x)), for each task while it halves the residual; x and its residual."""
    r = residual(x)
    for _ in range(MOST):
        following = x - correction(r)
        nearer = residual(following)
        better = (_norm(nearer) <= _norm(r) / 2) & (_norm(r) > 0)
        if not np.any(better):
            break
        x, r = np.where(better[..., None], following, x), np.where(better[..., None], nearer, r)
    return x, r


@np.errstate(all="ignore")
def _adapted(theta: ArrayLike, support: Task, strength: float) -> tuple[Proximal, Spectrum]:
    """`adapt`, and the curvature at φ*."""
    if np.iscomplexobj(numbers(theta, "theta")):
        raise TypeError("theta must be real: complex numbers have no minimum, and a complex step would be wrong")
    if not isinstance(support, Task):
        raise TypeError(f"support must be a task with at(theta), got {type(support).__name__}")
    strength = positive(strength, "strength")
    theta = parameters(theta, dim=support.dim)
    batch = batch_shape(theta=theta.shape[:-1], task=support.shape)
    theta = np.broadcast_to(theta, (*batch, support.dim))

    def at(phi: Array) -> _Place:
        return _place(phi, theta, support, strength)

    phi, first = theta, _norm(at(theta).slope)
    for _ in range(MOST):
        place = at(phi)
        matrix, scale = curvature(place.point, phi.shape, strength), np.maximum(first, _norm(phi))
        phi = _descended(place, matrix, at, scale)
        if np.array_equal(phi, place.phi):
            break
    sentence = "I + H/strength is not positive definite, to rounding: its smallest eigenvalue is {:.3g}"
    _require(matrix.values[..., 0] > matrix.rounding, matrix.values[..., 0], sentence)
    reached = _norm(place.slope) / np.where(scale > 0, scale, 1)
    _require(reached <= REACHED, reached, "the proximal problem is not solved: its residual is {:.3g} of its scale")
    return Proximal(np.array(place.phi), reached, place.point), matrix


def _place(phi: Array, theta: Array, support: Task, strength: float) -> _Place:
    """The proximal objective at φ, divided by λ."""
    point, away = support.at(phi), phi - theta
    value, slope = point.loss / strength + dot(away, away) / 2, point.grad / strength + away
    sentence = "the proximal objective over strength left the finite numbers"
    return _Place(phi, settled(value, sentence), settled(slope, sentence), point)


def _descended(place: _Place, matrix: Spectrum, at: Callable[[Array], _Place], scale: Array) -> Array:
    """φ after a step of every task: Newton's where the curvature is positive, the gradient's in the other directions.

    A step is halved until the value falls, or until it halves the gradient; near the minimum, where differences of
    values are rounding, only the gradient counts.  A task without such a step stays where it is.
    """
    left, upward = _norm(place.slope), matrix.values > matrix.rounding[..., None]
    weights = 1 / np.where(upward, matrix.values, np.maximum(1, np.abs(matrix.values)))
    step = matrix.weighted(weights, place.slope)
    near, fall, size = left <= REACHED * scale, dot(place.slope, step), np.where(left > 0, 1.0, 0.0)
    for _ in range(HALVINGS):
        value, remains = _tried(place.phi - size[..., None] * step, place, at)
        halved = (remains <= left / 2) & (value <= place.value + 1e-8 * np.abs(place.value))
        taken = halved | ~near & (value <= place.value - 1e-4 * size * fall)
        size = np.where(taken, size, np.where(near, 0, size / 2))
        if np.all(taken | (size == 0)):
            break
    return place.phi - np.where(taken, size, 0)[..., None] * step


def _tried(phi: Array, place: _Place, at: Callable[[Array], _Place]) -> tuple[Array, Array]:
    """The value and the size of its gradient at φ, infinite for a task whose loss cannot be computed there."""
    try:
        there = at(phi)
        return there.value, _norm(there.slope)
    except (ArithmeticError, ValueError):
        value, remains = np.full(phi.shape[:-1], np.inf), np.full(phi.shape[:-1], np.inf)
    for i in np.ndindex(value.shape):
        alone = place.phi.copy()
        alone[i] = phi[i]
        try:
            there = at(alone)
        except (ArithmeticError, ValueError):
            continue
        value[i], remains[i] = there.value[i], _norm(there.slope)[i]
    return value, remains


def _at_query(
    inner: Proximal, matrix: Spectrum, theta: ArrayLike, support: Task, query: Task | None, strength: float
) -> tuple[Array, Array]:
    """L_query and its gradient at φ*, (...) and (..., d).

    One more Newton step −s, which is too small to be stored in φ*, is made in the query's Taylor series:
    L − sᵀg + ½sᵀHs and g − Hs.
    """
    task = query_task(support, query)
    batch_shape(support=inner.adapted.shape[:-1], query=task.shape)
    try:
        point = inner.point if task is support else task.at(inner.adapted)
    except ValueError as error:
        raise FloatingPointError(f"the query has no loss at the adapted parameters: {error}") from None
    s = solve(matrix, inner.point, inner.point.grad / strength + (inner.adapted - theta), strength)
    Hs = point.hvp(s)
    return point.loss - dot(s, point.grad) + dot(s, Hs) / 2, point.grad - Hs


def _norm(x: Array) -> Array:
    """‖x‖∞ of each task: no square of it may overflow or vanish."""
    return np.max(np.abs(x), axis=-1)


def _require(ok: Array, value: Array, sentence: str) -> None:
    """FloatingPointError with the sentence, the number and the task, unless all is well."""
    if not np.all(ok):
        index = tuple(np.argwhere(~np.asarray(ok))[0])
        where = f" at task {index_text(index)}" if index else ""
        raise FloatingPointError(sentence.format(np.asarray(value)[index]) + where)
