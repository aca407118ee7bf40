"""What implementations do to advantages: by their mean and deviation, their range, or a function of each.

Derivation: derivations/sampled-meta-gradients.md
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array

__all__ = ["AXES", "FUNCTIONS", "normalised"]

AXES: dict[str, Any] = {
    "all tasks": (0, 1, 2), "trajectory": (2,), "each step": (1,), "each step of all tasks": (0, 1), "padding of all tasks": (0, 1, 2), "tasks": (0,),
    "padded trajectory": (2,), "padded step": (1,),
}  # fmt: skip
PADDED = ("padding", "padding of all tasks", "padded trajectory", "padded step")
FUNCTIONS: dict[str, Callable[[Array, Array, float], Array]] = {
    "positive part": lambda A, q, c: np.maximum(A, 0.0), "clipped": lambda A, q, c: np.clip(A, -c, c), "signs": lambda A, q, c: np.sign(A),
    "absolute": lambda A, q, c: np.abs(A), "tanh": lambda A, q, c: np.tanh(A), "plus": lambda A, q, c: A + c * q,
    "exponential": lambda A, q, c: np.exp(A / c), "exponential, capped": lambda A, q, c: np.minimum(np.exp(A / c), 20.0),
    "softmax": lambda A, q, c: _softmax(A / c, q), "above 0": lambda A, q, c: (A > 0) * 1.0, "squared": lambda A, q, c: A**2,
}  # fmt: skip


def _softmax(A: Array, q: Array) -> Array:
    """eᴬ over their sum over a task's batch."""
    e = q * np.exp(A - np.max(A, axis=(1, 2), keepdims=True))
    return e / np.sum(e, axis=(1, 2), keepdims=True)


def normalised(A: Array, mask: Array, kind: str, over: str, number: float) -> Array:
    """The advantages by their mean and deviation; unchanged where one step is all there is."""
    axes, q = AXES.get(over, (1, 2)), np.ones(A.shape) if over in PADDED else mask
    if kind in FUNCTIONS:
        return FUNCTIONS[kind](A, q, number)
    if kind in ("shifted", "range", "largest"):
        return _by_range(A, q, axes, kind, number)
    with np.errstate(all="ignore"):
        q = q / np.sum(q, axis=-1, keepdims=True) if over == "means" else q
        n = np.sum(q, axis=axes, keepdims=True)
        centred = A - np.sum(q * A, axis=axes, keepdims=True) / n
        if kind == "centred":
            return centred
        free = n - ("1" in kind)
        variance = np.sum(q * centred**2, axis=axes, keepdims=True) / free
        how = kind.split(", ")[-1]
        below = variance + number if how == "variance" else np.sqrt(variance + number) if how == "inside" else np.sqrt(variance) + number
        scaled = (A if kind.startswith("scaled") else centred) / below
    return np.where(free > 0, scaled, A)


def _by_range(A: Array, q: Array, axes: Any, kind: str, number: float) -> Array:
    """Less the smallest, or that divided by the range, or divided by the largest absolute value."""
    low, high = (f(np.where(q > 0, A, x), axis=axes, keepdims=True) for f, x in ((np.min, np.inf), (np.max, -np.inf)))
    if kind == "shifted":
        return A - low + number
    with np.errstate(all="ignore"):
        return (A - low) / (high - low + number) if kind == "range" else A / (np.maximum(high, -low) + number)
