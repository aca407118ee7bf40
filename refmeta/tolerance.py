"""One tolerance for vectors, tests and `verify`: 30 · eps · max(1, κ) · scale, for each task.

κ is the measured condition number: how far F moves when every number of its input moves by δ = 2⁻²⁶, relatively, in
eight fixed patterns of signs.  `scale` is the size of the answer and of the terms in its sum.  Where an iteration may
end at a relative residual above 30 · eps, as in implicit MAML, the residual is used instead of 30 · eps.
Derivation: derivations/judges.md
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from refmeta.arrays import Array, as_read_only, replace_fields

__all__ = ["DELTA", "PATTERNS", "condition_number", "error_in_tolerances", "max_per_task", "perturbed_input", "signs", "tolerance"]

DELTA = 2.0**-26
PATTERNS = ("+", "-", "+-", "-+", "++-", "+--", "+++-", "+--+")


@functools.lru_cache(4096)
def signs(pattern: str, n: int) -> Array:
    """n signs, ±1, that repeat the pattern of + and −."""
    return as_read_only(np.resize([1.0 if sign == "+" else -1.0 for sign in pattern], n))


def perturbed_input(value: Any, pattern: str, delta: float = DELTA) -> Any:
    """The value, every float times 1 ± δ, in arrays, records and tuples; integers stay.  Nothing is validated again."""
    if isinstance(value, (float, np.floating)):
        return float(value * (1 + delta * signs(pattern, 1)[0]))
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return value * (1 + delta * signs(pattern, value.size).reshape(value.shape))
    if isinstance(value, (tuple, list)):
        moved = [perturbed_input(entry, pattern, delta) for entry in value]
        return type(value)(*moved) if hasattr(value, "_fields") else tuple(moved)
    if is_dataclass(value) and not isinstance(value, type):
        return replace_fields(value, **{f.name: perturbed_input(getattr(value, f.name), pattern, delta) for f in fields(value)})
    return value


def max_per_task(difference: Array) -> Array:
    """The largest magnitude of each task; the first axis is that of the tasks."""
    difference = np.abs(np.asarray(difference))
    return np.max(difference.reshape(len(difference), -1), axis=1, initial=0.0)


def condition_number(
    function: Callable[[Any], Array],
    problem: Any,
    scale: Array,
    start: Array | None = None,
    patterns: Sequence[str] = PATTERNS,
    moved: Sequence[Any] | None = None,
) -> Array:
    """κ of each task, rounded up to two digits: max over patterns of |F(x + δ·s⊙x) − F(x)| / (δ·scale).

    `start` is F(x), and `moved` are the perturbed problems, where several functions share them.
    """
    start = function(problem) if start is None else start
    moved = [perturbed_input(problem, pattern) for pattern in patterns] if moved is None else moved
    moves = [max_per_task(function(each) - start) for each in moved]
    kappa = np.max(moves, axis=0) / (DELTA * scale)
    exponents = np.floor(np.log10(np.maximum(kappa, 1e-300))) - 1
    unit = np.array([float(f"1e{e:.0f}") for e in exponents])  # NumPy's powers differ in the last bit between processors
    return np.where(kappa > 0, np.ceil(kappa / unit) * unit, 0.0)


def tolerance(kappa: Array, scale: Array, dtype: Any = "float64", residual: float = 0.0) -> Array:
    """max(30 · eps(dtype), residual) · max(1, κ) · scale."""
    return max(30 * float(np.finfo(dtype).eps), residual) * np.maximum(1, kappa) * scale


def error_in_tolerances(got: Array, expected: Array, kappa: Array, scale: Array, residual: float = 0.0) -> Array:
    """The error of each task, in units of its tolerance."""
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape:
        raise ValueError(f"the result has shape {got.shape}, expected {expected.shape}")
    return max_per_task(got - expected) / tolerance(kappa, scale, residual=residual)
