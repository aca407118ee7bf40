"""Hypergradients that stop early: what stands for (I + ∇²L(φ*)/λ)⁻¹ ∇L_query(φ*) where few products are to be taken.

In all of them H = I + ∇²L/λ, and `eta` is the step size of φ ← φ − (η/λ)(∇L(φ) + λ(φ − θ)), whose Jacobian by φ is
I − ηH.  There is one result per task.  Derivation: derivations/implicit-and-zeroth-order.md
"""

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_count,
    as_numbers,
    as_parameters,
    as_positive,
    batch_shape,
    check_finite,
    dot,
    finite_result,
)
from refmeta.conjugate_gradients import check_numerics, max_abs
from refmeta.meta.arguments import Point, Task, as_query, as_task
from refmeta.meta.implicit.convergence import Product, check_converges
from refmeta.meta.implicit.exact import query_series
from refmeta.meta.implicit.proximal import RESIDUAL, slope, solve

__all__ = [
    "cg_gradient", "finite_difference_gradient", "neumann_gradient", "one_step_gradient", "truncated_gradient",
]  # fmt: skip

EPS = float(np.finfo(np.float64).eps)
CHORDS = 4  # steps to φ* of a complex θ; the imaginary part of a complex step is right after one


@finite_result
def neumann_gradient(
    theta: ArrayLike, support: Task, query: Task | None = None, *, strength: float, eta: float, terms: int
) -> Array:
    """v = η Σ_{j<k} (I − ηH)ʲ ∇L_query(φ*), k terms of Neumann's series for H⁻¹∇L_query; (..., d).

    Eq: neumann-hypergradient

    Exactly (I − ηH)ᵏ H⁻¹∇L_query is missing: the error falls by the factor ρ, the spectral radius of I − ηH, per term.

    Parameters
    ----------
    theta : (..., d) array
    support, query : tasks
    strength : float
        λ > 0.
    eta : float
        η in (0, 2/h), h the largest eigenvalue of H.
    terms : int
        k of at least 1; term 0 is η∇L_query and has no product.

    Raises
    ------
    ValueError
        For a theta, strength, eta or number of terms of the wrong shape or sign; where the series diverges.  Up to 64
        parameters the eigenvalues of H are computed for this, from d products; beyond, the residuals, from k products.
    FloatingPointError
        As `adapt`.
    """
    eta, terms = as_positive(eta, "eta"), as_count(terms, "terms", least=1)
    point, g = _at_minimum(theta, support, query, strength)
    product = _product_at(point, strength)
    check_converges(product, g, eta, terms)
    return _neumann(product, g, eta, terms)


@finite_result
def one_step_gradient(
    theta: ArrayLike, support: Task, query: Task | None = None, *, strength: float, eta: float
) -> Array:
    """η∇L_query(φ*), the derivative of one last step that starts from a φ* which is held; (..., d).

    Eq: one-step-hypergradient

    It is Neumann's series with one term, and has no product with H; only the check of η, and φ* itself, take products here.
    The errors raised are those of `neumann_gradient`.
    """
    return neumann_gradient(theta, support, query, strength=strength, eta=eta, terms=1)


@finite_result
def finite_difference_gradient(
    theta: ArrayLike, support: Task, query: Task | None = None, *, strength: float, eta: float, terms: int, delta: float
) -> Array:
    """v ← v + η(g − Ĥv), k − 1 times from v = ηg, with Ĥv = v + [∇L(φ* + δv) − ∇L(φ* − δv)]/(2δλ); (..., d).

    Eq: finite-difference-hypergradient

    With H instead of Ĥ this recursion is Neumann's series of k terms.  Ĥ is not linear in v, so that other ways to write
    the series give other numbers, O(δ²) apart.  The formula needs no Hessian; here φ* and the check of η take its products.  It is Neumann's series itself on a quadratic,
    for every δ, and O(δ²) off elsewhere; rounding adds some eps‖∇L‖/(δλ).

    Parameters
    ----------
    delta : float
        δ > 0, the same for every v.
    terms : int
        k of at least 1; with one term no difference is taken.

    Raises
    ------
    ValueError, FloatingPointError
        As `neumann_gradient`; if delta is not positive.
    """
    eta, terms, delta = as_positive(eta, "eta"), as_count(terms, "terms", least=1), as_positive(delta, "delta")
    point, g = _at_minimum(theta, support, query, strength)
    check_converges(_product_at(point, strength), g, eta, terms)
    return _neumann(_difference_product(support, point, strength, delta), g, eta, terms)


@finite_result
def cg_gradient(
    theta: ArrayLike, support: Task, query: Task | None = None, *, strength: float, steps: int
) -> Array:
    """x_k, k steps of conjugate gradients for Hx = ∇L_query(φ*) from x₀ = 0, every task on its own; (..., d).

    Eq: cg-hypergradient

    Without rounding x_k is H⁻¹∇L_query from the k on that is the number of different eigenvalues, at most d.  A task whose
    residual is at most eps² of ∇L_query stays where it is.  Between that and rounding, steps go on and move x by rounding
    only, so that nothing is decided on the digits of a rounded residual.

    Raises
    ------
    ValueError, TypeError
        For a theta or strength of the wrong shape, sign or type; if steps is not at least 1.
    FloatingPointError
        As `adapt`.
    """
    steps = as_count(steps, "steps", least=1)
    point, g = _at_minimum(theta, support, query, strength)
    size = _unit(g)
    return size * _conjugate_gradients(_product_at(point, strength), g / size, steps)


@finite_result
def truncated_gradient(
    theta: ArrayLike, support: Task, query: Task | None = None, *, strength: float, eta: float, steps: int, kept: int
) -> Array:
    """The gradient of L_query(φ_T) by θ through the last T' of T steps φ ← φ − (η/λ)(∇L(φ) + λ(φ − θ)) from θ; (..., d).

    Eq: truncated-unroll

    φ_{T−T'} is held, also where it is θ itself, T' = T: what moves with θ is the centre of the proximal term.  So at
    φ* this is Neumann's series of T' terms.  It is the exact derivative of what it says for every η; the minimum is not
    looked for.  T' − 1 Hessian products are taken.

    Parameters
    ----------
    steps, kept : int
        T and T', 1 ≤ T' ≤ T.

    Raises
    ------
    ValueError, TypeError
        For an argument of the wrong shape, sign or type; if kept is above steps.
    FloatingPointError
        If the steps leave the finite numbers: η is too large.
    """
    eta, strength, steps = as_positive(eta, "eta"), as_positive(strength, "strength"), as_count(steps, "steps", least=1)
    kept, task = as_count(kept, "kept", least=1), as_query(as_task(support, "support"), query)
    if kept > steps:
        raise ValueError(f"kept must be at most steps = {steps}, got {kept}: no more steps than are taken can be differentiated")
    theta = as_parameters(theta, dim=support.dim)
    batch = batch_shape(theta=theta.shape[:-1], support=support.shape, query=task.shape)
    phi, path = np.broadcast_to(theta, (*batch, support.dim)), list[Point]()
    for t in range(steps):
        point = support.at(phi)
        path += [point] if t > steps - kept else []
        phi = check_finite(phi - eta * slope(point, phi, theta, strength), "the steps left the finite numbers: eta is too large")
    adjoint = np.asarray(task.at(phi).grad)
    total = eta * adjoint
    for point in reversed(path):
        adjoint = adjoint - eta * (adjoint + np.asarray(point.hvp(adjoint)) / strength)
        total = total + eta * adjoint
    return total


def _neumann(product: Product, g: Array, eta: float, terms: int) -> Array:
    """v ← v + η(g − Hv), k times from 0; the first time v becomes ηg."""
    v = eta * g
    for _ in range(terms - 1):
        v = v + eta * (g - product(v))
    return v


def _conjugate_gradients(product: Product, g: Array, steps: int) -> Array:
    """k steps from 0; no number is conjugated, so that a complex step can be taken."""
    x, r, p = 0 * g, g, g
    rr, least = dot(r, r), EPS**4 * dot(g, g).real
    for _ in range(steps):
        going = rr.real > least
        Hp = product(p)
        length = np.where(going, rr, 0) / np.where(going, dot(p, Hp), 1)
        x, r = x + length[..., None] * p, r - length[..., None] * Hp
        rr, before = np.where(going, dot(r, r), rr), rr
        p = r + (rr / np.where(going, before, 1))[..., None] * p
    return x


def _product_at(point: Point, strength: float) -> Product:
    """v ↦ Hv = v + ∇²L(φ) v / λ."""
    return lambda v: v + np.asarray(point.hvp(v)) / strength


def _difference_product(support: Task, point: Point, strength: float, delta: float) -> Product:
    """v ↦ v + [∇L(φ + δv) − ∇L(φ − δv)]/(2δλ)."""

    def product(v: Array) -> Array:
        up, down = (np.array(support.at(point.theta + step * v).grad) for step in (delta, -delta))
        return v + (up - down) / (2 * delta * strength)

    return product


def _unit(g: Array) -> Array:
    """The size of each task's vector, (..., 1); 1 where it is 0."""
    size = max_abs(g)
    return np.where(size > 0, size, 1)[..., None]


def _at_minimum(theta: ArrayLike, support: Task, query: Task | None, strength: float) -> tuple[Point, Array]:
    """The support's point at φ*, and ∇L_query(φ*) of the common batch."""
    numbers = as_numbers(theta, "theta")
    point, _, g = query_series(numbers.real, support, query, strength=strength)
    if np.iscomplexobj(numbers):
        point, g = _at_complex_minimum(numbers, support, as_query(support, query), strength, point)
    return point, g


def _at_complex_minimum(theta: Array, support: Task, query: Task, strength: float, real: Point) -> tuple[Point, Array]:
    """The same for a complex θ with a small imaginary part: steps to φ* with the Hessian at the real φ*."""
    phi = real.theta + 0j
    for _ in range(CHORDS):
        r = slope(support.at(phi), phi, theta, strength)
        s = solve(real, r.real, strength) + 1j * solve(real, r.imag, strength)
        phi = phi - s
    off = max_abs(slope(support.at(phi), phi, theta, strength).imag) / np.maximum(max_abs(np.imag(theta)), 1e-300)
    check_numerics(off <= RESIDUAL, off, "the imaginary part of theta is too large: {:.3g} of it are left as a residual")
    point = support.at(phi)
    return point, np.asarray(query.at(phi).grad)
