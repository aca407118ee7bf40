"""Eigenvalues of a symmetric matrix that is known by its products, and what of them is rounding.

Derivation: derivations/implicit-and-zeroth-order.md
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array, matvec, settled

EPS = float(np.finfo(np.float64).eps)


class Spectrum(NamedTuple):
    """V diag(μ) Vᵀ: μ (..., d) ascending, V (..., d, d), and the size up to which a μ may be rounding, (...)."""

    values: Array
    vectors: Array
    rounding: Array

    def weighted(self, weights: Array, b: Array) -> Array:
        """V diag(weights) Vᵀ b, (..., d)."""
        return matvec(self.vectors, weights * matvec(self.vectors.swapaxes(-1, -2), b))


def spectrum(product: Callable[[Array], Array], shape: tuple[int, ...], shift: float) -> Spectrum:
    """The eigenvalues and eigenvectors of shift·I + H, H by d products with vectors of the shape (..., d)."""
    d = shape[-1]
    columns = [np.broadcast_to(product(np.broadcast_to(e, shape)), shape) for e in np.eye(d)]
    H = settled(np.stack(columns, axis=-1), "the Hessian left the finite numbers")
    values, vectors = np.linalg.eigh(shift * np.eye(d) + (H + H.swapaxes(-1, -2)) / 2)
    return Spectrum(values, vectors, 4 * d * EPS * (shift + _size(H)) + _size(H - H.swapaxes(-1, -2)))


def _size(matrix: Array) -> Array:
    """The largest sum of absolute values in a row, (...): an upper bound of the eigenvalues."""
    return np.max(np.sum(np.abs(matrix), axis=-1), axis=-1)
