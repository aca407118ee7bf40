"""Does Neumann's series for H⁻¹, H = I + ∇²L/λ, converge at a step size η?  Derivation: derivations/implicit-and-zeroth-order.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, dot, index_text

__all__ = ["Product", "check_converges"]

EPS = float(np.finfo(np.float64).eps)
DENSE = 64  # up to so many parameters the eigenvalues of H are computed
Product = Callable[[Array], Array]


def check_converges(product: Product, g: Array, eta: float, terms: int) -> None:
    """Refuse an η at which Neumann's series diverges: by the eigenvalues of H for few parameters, else by its residuals."""
    if g.shape[-1] <= DENSE:
        return _check_spectrum(np.stack([product(e + 0 * g).real for e in np.eye(g.shape[-1])], axis=-1), eta)
    r = g
    for _ in range(terms):
        r, before = r - eta * product(r), r
        _check_growth(r, before, g)


def _check_spectrum(H: Array, eta: float) -> None:
    """Refuse an H with an eigenvalue that is not positive, and an η that is not below 2/h, up to the rounding 8d·eps.

    A small η is no reason to refuse: 1 − ηh is then 1 up to rounding, but below it.
    """
    values, rounding = np.linalg.eigvalsh((H + H.swapaxes(-1, -2)) / 2), 8 * H.shape[-1] * EPS
    radius, largest = np.max(np.abs(1 - eta * values), axis=-1), np.max(np.abs(values), axis=-1)
    if np.any(flat := values[..., 0] <= rounding * largest):
        at = tuple(np.argwhere(flat)[0])
        raise ValueError(
            f"I + H/strength must be positive definite, or Neumann's series converges for no eta; it has the eigenvalue "
            f"{values[..., 0][at]:.3g}{_where(at)}"
        )
    diverges = eta * largest >= 2 - rounding * np.maximum(1, eta * largest)
    if np.any(diverges):
        at = np.unravel_index(np.argmax(np.where(diverges, radius, -np.inf)), radius.shape)
        raise ValueError(
            f"eta must be below {2 / largest[at]:.3g}, got {eta:g}: the spectral radius of I - eta (I + H/strength) is "
            f"{radius[at]:.3g}{_where(at)}, and Neumann's series converges only where it is below 1"
        )


def _check_growth(r: Array, before: Array, g: Array) -> None:
    """Refuse a residual (I − ηH)ʲg that is longer than the one before, as long as this is above √eps of g.

    The ratio of one length to the one before rises with j, and is at most ρ(I − ηH): above 1 it proves divergence.
    """
    a, b, size = (np.sqrt(dot(x.real, x.real)) for x in (r, before, g))
    ratio = a / np.where(b > 0, b, 1)
    grows = (ratio > 1 + np.sqrt(EPS)) & (b > np.sqrt(EPS) * size)
    if np.any(grows):
        at = tuple(np.argwhere(grows)[0])
        raise ValueError(
            f"eta must be smaller: the residual of Neumann's series grew to {ratio[at]:.3g} times the one before{_where(at)}, and "
            "the spectral radius of I - eta (I + H/strength) is at least that"
        )


def _where(index: tuple[Any, ...]) -> str:
    """The text " at task [1]"; nothing where there is one task without batch axes."""
    return f" at task {index_text(index)}" if index else ""
