"""Bounds, sizes and means, with slopes by complex steps.  Derivation: derivations/pearl.md"""

import numpy as np

from refmeta.arrays import Array

__all__ = ["absolute", "best", "between", "least", "log_sum", "most", "softplus"]


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


def best(x: Array) -> Array:
    """The largest entry of the last axis, with its slope."""
    return np.take_along_axis(x, np.argmax(np.real(x), axis=-1)[..., None], axis=-1)[..., 0]


def log_sum(x: Array) -> Array:
    """ln Σ eˣ over the actions."""
    top = np.max(np.real(x), axis=-1, keepdims=True)
    return np.log(np.sum(np.exp(x - top), axis=-1)) + top[..., 0]
