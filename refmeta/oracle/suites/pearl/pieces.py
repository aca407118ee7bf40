"""Bounds, sizes and means, with slopes by complex steps.  Derivation: derivations/pearl.md"""

import numpy as np

from refmeta.arrays import Array

__all__ = ["absolute", "between", "least", "most", "softplus"]


def softplus(x: Array) -> Array:
    """ln(1 + eˣ)."""
    return np.log1p(np.exp(x))


def absolute(x: Array) -> Array:
    """|x|, with its slope."""
    return np.where(np.real(x) < 0, -x, x)


def least(x: Array, y: Array | float) -> Array:
    """The smaller of two by the real part, with its slope."""
    return np.where(np.real(x) <= np.real(y), x, y)


def most(x: Array, y: Array | float) -> Array:
    """The larger of two by the real part, with its slope."""
    return np.where(np.real(x) >= np.real(y), x, y)


def between(x: Array, low: Array | float, high: Array | float) -> Array:
    """x, not below `low` and not above `high`."""
    return least(most(x, low), high)
