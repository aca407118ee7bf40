"""Where a target of MAML may be right, besides what is said of every suite.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.oracle.choices import Predicate

__all__ = ["PREDICATES"]

Inputs = dict[str, Any]


def _of_alpha(name: str, reading: str, holds: Callable[[Any], bool], mean: Callable[[Any], Any]) -> Predicate:
    """A predicate on the shape of α, which a mean over an axis makes true."""

    def move(x: Inputs) -> Inputs | None:
        return x | {"alpha": mean(np.asarray(x["alpha"]))} if np.size(x["alpha"]) else None

    return Predicate(name, reading, lambda case: holds(case.arguments()["alpha"]), move)


def _tasks_alike(x: Inputs) -> Inputs:
    """Every task has the data of the first."""
    data = [name for name in x if f"query_{name}" in x]
    names = [*data, *(f"query_{name}" for name in data)]
    return x | {name: np.repeat(x[name][:1], len(x[name]), axis=0) for name in names if x[name] is not None}


def _are_alike(case: Any) -> bool:
    """Have all tasks the same data?"""
    x = case.arguments()
    return all(np.array_equal(each, x[name]) for name, each in _tasks_alike(x).items() if isinstance(each, np.ndarray))


PREDICATES = (
    _of_alpha(
        "alpha is the same in every step", "one alpha per step is read otherwise, or in another order",
        lambda alpha: np.ndim(alpha) < 2 or bool(np.all(alpha == alpha[:1])), lambda alpha: 0 * alpha + np.mean(alpha, axis=0),
    ),
    _of_alpha(
        "alpha is the same for every parameter", "one alpha per parameter is read otherwise, or not multiplied entry by entry",
        lambda alpha: np.ndim(alpha) == 0 or bool(np.all(alpha == alpha[..., :1])),
        lambda alpha: 0 * alpha + np.mean(alpha, axis=-1, keepdims=True),
    ),
    Predicate(
        "all tasks have the same data", "a task gets the data or the result of another", _are_alike, _tasks_alike
    ),
)  # fmt: skip
