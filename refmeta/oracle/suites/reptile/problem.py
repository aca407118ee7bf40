"""Reptile's outer step as the library takes it.  Derivation: derivations/reptile.md"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import reptile

__all__ = ["Interpolation", "answer", "problem", "terms"]


@dataclass(frozen=True, eq=False)
class Interpolation:
    """Reptile's update: theta (d,), adapted (N, d), ε."""

    theta: Array
    adapted: Array
    epsilon: float


def problem(x: dict[str, Any]) -> Interpolation:
    """The inputs of the suite."""
    return Interpolation(x["theta"], x["adapted"], x["epsilon"])


def answer(part: str, problem: Interpolation) -> Array:
    """The library's update."""
    return reptile.update(problem.theta, problem.adapted, epsilon=problem.epsilon)


def terms(part: str, problem: Interpolation, value: Array) -> Any:
    """The largest adapted parameter."""
    return np.max(np.abs(problem.adapted))
