"""What implementations choose for the horizon and the ends of a process, the right alternative first.  Derivation: derivations/exact-policy-gradient.md

An alternative is what is computed instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array

__all__ = ["ENDS", "at_most", "where_none"]



def at_most(n: int) -> Callable[[int | None], int]:
    """A horizon of at most n."""
    return lambda H: min(H or n, n)


def where_none(n: float) -> Callable[[int | None], float]:
    """A horizon of n where there is none."""
    return lambda H: n if H is None else H


def _dead(which: int, *, paid: bool = False) -> Callable[[Array, Array], tuple[Array, Array]]:
    """A state that is an end: nothing comes after it, and if not `paid`, it has no reward; an only state is none."""

    def value(P: Array, r: Array) -> tuple[Array, Array]:
        alive = 1.0 * (np.arange(P.shape[-1]) != which % P.shape[-1]) if P.shape[-1] > 1 else np.ones(1)
        return P * alive[:, None, None], r if paid else r * alive[:, None]

    return value


ENDS = {
    "none": None, "the last state: no reward, no value": _dead(-1), "the last state: no value after it": _dead(-1, paid=True), "the first state: no reward, no value": _dead(0),
    "the first state: no value after it": _dead(0, paid=True), "arriving in the last state": lambda P, r: (P * (np.arange(P.shape[-1]) < max(P.shape[-1] - 1, 1)), r),
    "arriving in the first state": lambda P, r: (P * ((np.arange(P.shape[-1]) > 0) | (P.shape[-1] == 1)), r),
}  # fmt: skip
