"""Other fields of a process: horizons, discounts, weights of time.  Derivation: derivations/exact-policy-gradient.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.suites.maml.losses import Change, Side, scaled

__all__ = ["DISCOUNTS", "HORIZONS", "WEIGHTS_OF_TIME", "fields_changed", "least", "mixed", "one_state", "process", "weighted_by_time"]


def process(change: Callable[[Any], dict[str, Any]]) -> Change:
    """Other fields of the process."""
    return Change(lambda task, side: replace_fields(task, mdp=replace_fields(task.mdp, **change(task.mdp))))


def weighted_by_time(factor: Callable[[float, int | None], float]) -> Change:
    """The return times a factor of γ and H."""

    def of(side: Side) -> float:
        inner = side.own.mdp if hasattr(side.own, "mdp") else side.own.lq
        return factor(inner.gamma, inner.horizon)

    return scaled(of)


def one_state(size: int, which: int) -> Array:
    """All probability on one state."""
    return np.eye(size)[which]


HORIZONS = {
    "H": None,
    "H - 1": lambda x: {"horizon": x.horizon and x.horizon - 1},
    "H + 1": lambda x: {"horizon": x.horizon and x.horizon + 1},
    "2H": lambda x: {"horizon": x.horizon and 2 * x.horizon},
    "none": lambda x: {"horizon": None} if x.gamma < 1 else {},
}
DISCOUNTS = {
    "gamma^t": None,
    "none where there is a horizon": lambda x: {"gamma": 1.0} if x.horizon else {},
    "gamma^(2t)": lambda x: {"gamma": x.gamma**2},
    "sqrt(gamma)^t": lambda x: {"gamma": x.gamma**0.5},
    "0.99^t": lambda x: {"gamma": 0.99},
    "0.95^t": lambda x: {"gamma": 0.95},
    "0.9^t": lambda x: {"gamma": 0.9},
    "0^t": lambda x: {"gamma": 0.0},
}
WEIGHTS_OF_TIME = {
    "gamma^(t + 1)": weighted_by_time(lambda gamma, H: gamma),
    "gamma^(t - 1)": weighted_by_time(lambda gamma, H: 1 / gamma if gamma else np.nan),
    "(1 - gamma) gamma^t": weighted_by_time(lambda gamma, H: 1 - gamma),
    "(1 - gamma) gamma^t where there is no horizon": weighted_by_time(lambda gamma, H: 1.0 if H else 1 - gamma),
    "gamma^t/H": weighted_by_time(lambda gamma, H: 1 / (H or 1)),
    "gamma^t/(sum of gamma^t)": weighted_by_time(lambda gamma, H: (1 - gamma) / (1 - gamma**H if H else 1.0) if gamma < 1 else 1 / (H or 1)),
}


def least(x: Array) -> Array:
    """The least entry of every task."""
    return np.min(x, axis=(-1, -2), keepdims=True)


def fields_changed(table: dict[str, Any], change: Callable[[Any], Change]) -> dict[str, Change | None]:
    """Changes of fields, made of what they change."""
    return {words: each and change(each) for words, each in table.items()}


def mixed(x: Array, axis: int, c: float) -> Array:
    """(1 − c) x + c of what is uniform."""
    return (1 - c) * x + c / x.shape[axis]
