"""What is computed instead of (I + H/λ)⁻¹ g.  Derivation: derivations/implicit-and-zeroth-order.md"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array, dot, matvec

__all__ = ["SOLUTIONS", "damped", "richardson", "weighted_curvature"]

MANY, TOLERANCES = 50, (0.1, 0.01, 1e-3, 1e-4)
Solution = Callable[[Array, Array, float], Array]  # H/λ, g and λ → a direction


def _inverse(matrix: Callable[[Array, Array, float], Array]) -> Solution:
    """Another matrix, inverted: a function of H/λ, I and λ."""
    return lambda M, g, strength: matvec(np.linalg.inv(matrix(M, np.eye(M.shape[-1]), strength)), g)


def _series(terms: int) -> Solution:
    """Σ_j (−H/λ)ʲ g with so many terms after g."""

    def solution(M: Array, g: Array, strength: float) -> Array:
        total, term = g, g
        for _ in range(terms):
            term = -matvec(M, term)
            total = total + term
        return total

    return solution


def _conjugate_gradients(steps: int, from_g: bool = False, least: float = 0.0, of: Callable[[Array], Array] = np.zeros_like) -> Solution:
    """So many steps of conjugate gradients on (I + H/λ)x = g, from x = 0 or from x = g, every task on its own.

    A task whose residual is not longer than `least` times the length of `of(g)` stays.
    """

    def solution(M: Array, g: Array, strength: float) -> Array:
        x = g if from_g else 0 * g
        r = g - x - matvec(M, x)
        p, enough = r, least**2 * dot(of(g), of(g))
        for _ in range(steps):
            product, square = p + matvec(M, p), dot(r, r)
            length = np.where(square > enough, 1.0, 0.0)[..., None] * _ratio(square, dot(p, product))
            x, r = x + length * p, r - length * product
            p = r + _ratio(dot(r, r), square) * p
        return x

    return solution


def _as_it_is(g: Array) -> Array:
    """g."""
    return g


def _unit(g: Array) -> Array:
    """A vector of length 1."""
    return np.eye(g.shape[-1])[0] + 0 * g


def _ratio(a: Array, b: Array) -> Array:
    """a/b for every task, and 0 where b is 0."""
    return np.where(b == 0, 0.0, a / np.where(b == 0, 1.0, b))[..., None]


def richardson(steps: int, rate: float) -> Solution:
    """So many steps x ← x + rate · (g − (I + H/λ)x) from x = 0."""

    def solution(M: Array, g: Array, strength: float) -> Array:
        x = 0 * g
        for _ in range(steps):
            x = x + rate * (g - x - matvec(M, x))
        return x

    return solution


def _descent(steps: int) -> Solution:
    """So many steps of the rate 1/(1 + the largest eigenvalue of H/λ) from x = 0."""

    def solution(M: Array, g: Array, strength: float) -> Array:
        x, rate = 0 * g, 1 / (1 + np.linalg.eigvalsh(M)[..., -1:])
        for _ in range(steps):
            x = x + rate * (g - x - matvec(M, x))
        return x

    return solution


def damped(c: float) -> Solution:
    """(I + H/λ + cI)⁻¹ g."""
    return _inverse(lambda M, one, strength: (1 + c) * one + M)


def weighted_curvature(c: float) -> Solution:
    """(I + cH/λ)⁻¹ g."""
    return _inverse(lambda M, one, strength: one + c * M)


def _by_singular_values(M: Array, g: Array, strength: float) -> Array:
    """V (1 + s)⁻¹ Uᵀg, H/λ = U diag(s) Vᵀ."""
    w, V = np.linalg.eigh(M)
    return np.asarray(np.einsum("nij,nj,nkj,nk->ni", V, np.where(w < 0, -1.0, 1.0) / (1 + np.abs(w)), V, g))


def _exponential(M: Array, g: Array, strength: float) -> Array:
    """exp(−H/λ) g."""
    w, V = np.linalg.eigh(M)
    return np.asarray(np.einsum("nij,nj,nkj,nk->ni", V, np.exp(-w), V, g))


SOLUTIONS: dict[str, Solution | None] = {
    "(I + H/lambda)^-1 g": None,
    "g (not solved)": lambda M, g, strength: g,
    "(I + H/lambda) g (not inverted)": lambda M, g, strength: g + matvec(M, g),
    **{f"{k} step{'s' * (k > 1)} of conjugate gradients": _conjugate_gradients(k) for k in (1, 2, 3, 4, 5)},
    **{f"{k} step{'s' * (k > 1)} of conjugate gradients from g": _conjugate_gradients(k, True) for k in (1, 2, 3)},
    **{f"conjugate gradients until the residual is {c:g} of g": _conjugate_gradients(MANY, False, c, _as_it_is) for c in (*TOLERANCES, 1e-5)},
    **{f"conjugate gradients until the residual is {c:g}": _conjugate_gradients(MANY, False, c, _unit) for c in TOLERANCES},
    **{f"Neumann's series with {k} Hessian{'s' * (k > 1)}": _series(k) for k in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 19, 20)},
    **{f"{k} steps of rate {rate:g}": richardson(k, rate) for rate in (0.01, 0.1, 0.5) for k in (1, 2, 3, 5, 8, 10, 16, 20, 32, 50, 100)},
    **{f"{k} step{'s' * (k > 1)} of the rate 1/(1 + L/lambda)": _descent(k) for k in (1, 2, 3, 5, 10, 20, 50)},
    "(2I + H/lambda)^-1 g (damped by 1)": _inverse(lambda M, one, strength: 2 * one + M),
    "(I + H/lambda + 0.1 I)^-1 g": _inverse(lambda M, one, strength: 1.1 * one + M),
    "(I + H/lambda + 0.01 I)^-1 g": _inverse(lambda M, one, strength: 1.01 * one + M),
    "(lambda I + H)^-1 g": _inverse(lambda M, one, strength: strength * (one + M)),
    "(I - H/lambda)^-1 g": _inverse(lambda M, one, strength: one - M),
    "(H/lambda)^-1 g": _inverse(lambda M, one, strength: M),
    "H^-1 g": _inverse(lambda M, one, strength: strength * M),
    "by the singular values of H/lambda": _by_singular_values,
    "exp(-H/lambda) g": _exponential,
    "(I + H/(2 lambda))^-2 g": _inverse(lambda M, one, strength: (one + M / 2) @ (one + M / 2)),
    "(I + (H/lambda)^2)^-1 g": _inverse(lambda M, one, strength: one + M @ M),
    "lambda (I + H/lambda)^-1 g": _inverse(lambda M, one, strength: (one + M) / strength),
    "(H + I)^-1 g": _inverse(lambda M, one, strength: one + strength * M),
    "lambda (H + I)^-1 g": _inverse(lambda M, one, strength: (one + strength * M) / strength),
    "(I + H/lambda)^-1 H/lambda g": lambda M, g, strength: matvec(np.linalg.inv(np.eye(M.shape[-1]) + M), matvec(M, g)),
    "-(I + H/lambda)^-1 g": _inverse(lambda M, one, strength: -one - M),
    "(I + H/lambda)^-2 g": _inverse(lambda M, one, strength: (one + M) @ (one + M)),
}
