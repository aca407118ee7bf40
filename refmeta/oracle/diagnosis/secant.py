"""The search for one number that leaves nothing of a result.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable, Mapping

import numpy as np

from refmeta.arrays import Array

__all__ = ["LARGEST", "Residual", "root"]

Residual = Callable[[float], Array]
STEPS, LARGEST, ALWAYS = 14, 1e6, dict[int, float]()


def root(residual: Residual, start: float, falls: Mapping[int, float] = ALWAYS) -> float | None:
    """The secant method on the residual along its own change; None if it leads nowhere.

    falls : the share of the first residual to which it must have fallen after so many steps; else the search is given up.
    """
    old, r_old = start, residual(start)
    new, first = start * (1 + 1e-4) + 1e-4 * (start == 0), float(np.max(np.abs(r_old), initial=0.0))
    for k in range(STEPS):
        r_new = residual(new)
        change = r_new - r_old
        if not np.any(change):
            return old
        if not np.isfinite(change).all() or np.max(np.abs(r_new)) > falls.get(k, np.inf) * first:
            return None
        step = float(r_new @ change / (change @ change)) * (new - old)
        old, r_old, new = new, r_new, new - step
        if abs(step) <= 1e-14 * abs(new) + 1e-300 or abs(new) > LARGEST:
            break
    return new if abs(new) <= LARGEST else None
