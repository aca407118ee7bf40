"""Functions of the log ratio l with their slopes, as penalties have them, and others.  Derivation: derivations/sampled-policy-gradients.md"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array

__all__ = ["FUNCTIONS", "OTHERS"]

Function = Callable[[Array], tuple[Array, Array]]
FUNCTIONS: dict[str, Function] = {
    "kl_k1": lambda y: (y, np.ones_like(y)), "kl_k2": lambda y: (y**2 / 2, y), "kl_k3": lambda y: (np.expm1(-y) + y, -np.expm1(-y)),
}  # fmt: skip
OTHERS: dict[str, Function] = {
    "square": lambda y: (y**2, 2 * y), "absolute": lambda y: (np.abs(y), np.sign(y)), "log sign": lambda y: (np.exp(-y) - y - 1, -np.exp(-y) - 1),
    "without 1": lambda y: (np.exp(-y) + y, -np.expm1(-y)), "without l": lambda y: (np.expm1(-y), -np.exp(-y)),
    "ratio less 1": lambda y: (np.expm1(y), np.exp(y)), "weighted": lambda y: (y * np.exp(y), (1 + y) * np.exp(y)),
}  # fmt: skip
