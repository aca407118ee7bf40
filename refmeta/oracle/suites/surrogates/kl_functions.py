"""Functions of the log ratio l with their slopes, as penalties have them, and others.  Derivation: derivations/sampled-policy-gradients.md"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array

__all__ = ["FUNCTIONS", "OTHERS"]

Function = Callable[[Array], tuple[Array, Array]]
FUNCTIONS: dict[str, Function] = {
    "kl_k1": lambda y: (y, np.ones_like(y)), "kl_k2": lambda y: (y**2 / 2, y), "kl_k3": lambda y: (np.expm1(-y) + y, -np.expm1(-y)),
}  # fmt: skip


def _clamped(y: Array) -> tuple[Array, Array]:
    """k3, at most 10, of the log ratio between −20 and 20, with slopes of 0 where it is clamped: verl's low_var_kl."""
    inside = np.abs(y) <= 20
    k, slope = FUNCTIONS["kl_k3"](np.clip(y, -20, 20))
    return np.minimum(k, 10), np.where(inside & (k <= 10), slope, 0.0)


OTHERS: dict[str, Function] = {
    "square": lambda y: (y**2, 2 * y), "absolute": lambda y: (np.abs(y), np.sign(y)), "log sign": lambda y: (np.exp(-y) - y - 1, -np.exp(-y) - 1),
    "without 1": lambda y: (np.exp(-y) + y, -np.expm1(-y)), "without l": lambda y: (np.expm1(-y), -np.exp(-y)),
    "ratio less 1": lambda y: (np.expm1(y), np.exp(y)), "clamped": _clamped, "weighted": lambda y: (y * np.exp(y), (1 + y) * np.exp(y)),
    "k1 with the slope of k2": lambda y: (y, y), "k3 with the slope of k2": lambda y: (np.expm1(-y) + y, y),  # verl's k1+ and k3+, straight-through
}  # fmt: skip
