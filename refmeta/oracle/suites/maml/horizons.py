"""Horizons that implementations take where there is none.  Derivation: derivations/exact-policy-gradient.md"""

from collections.abc import Callable

import numpy as np

__all__ = ["ENDLESS"]

CAP = 2000


def _until(share: float, more: int = 0, most: int = CAP) -> Callable[[float], int]:
    """The steps until γᵗ falls below a share, rounded down, and more; at most so many."""
    return lambda gamma: min(max(int(np.log(share) / np.log(gamma)) + more, 1), most) if 0 < gamma < 1 else 1


def _always(horizon: int) -> Callable[[float], int]:
    """The same for every discount."""
    return lambda gamma: horizon


ENDLESS: dict[str, Callable[[float], int]] = {
    **{f"{H}": _always(H) for H in (5, 10, 15, 20, 25, 30, 40, 50, 60, 64, 80, 100, 128, 150, 200, 250, 300, 500, 1000)},
    **{f"log({share:g})/log(gamma), rounded down,": _until(share) for share in (0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8)},
    **{f"log({share:g})/log(gamma), rounded up,": _until(share, 1) for share in (0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8)},
    **{
        f"log({share:g})/log(gamma), rounded {'up' if more else 'down'}, at most {most},": _until(share, more, most)
        for share in (0.01, 1e-3, 1e-4, 1e-6) for more in (0, 1) for most in (50, 100, 200, 500, 1000)
    },
    "1/(1 - gamma), rounded,": lambda gamma: max(round(1 / (1 - gamma)), 1) if gamma < 1 else 1,
    "5/(1 - gamma), rounded,": lambda gamma: max(round(5 / (1 - gamma)), 1) if gamma < 1 else 1,
    "10/(1 - gamma), rounded,": lambda gamma: max(round(10 / (1 - gamma)), 1) if gamma < 1 else 1,
}  # fmt: skip
