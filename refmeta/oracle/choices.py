"""What implementations choose: independent choices, each with its alternatives, the right one first.

A point of their product is a dict of departures from what is right.  Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array

__all__ = [
    "Choices", "Point", "Predicate", "no_layouts", "no_numbers", "no_terms_added", "no_variant", "singles", "unit_vectors", "words",
]  # fmt: skip

AXES = 300

Choices = Mapping[str, Mapping[str, Any]]
Point = Mapping[str, Any]


class Predicate(NamedTuple):
    """A statement on a case that may tell where a target is right.

    name : "K <= 1".
    reading : what follows if the target is right exactly where it holds: "from the second inner step on something differs".
    holds : does it hold for a case?
    move : the inputs of a case for which it does not hold, changed in as little as possible so that it holds; None if that
        cannot be done.
    """

    name: str
    reading: str
    holds: Callable[[Any], bool]
    move: Callable[[dict[str, Any]], dict[str, Any] | None]


def unit_vectors(d: int) -> Array:
    """The axes of θ, for a formula that needs every direction; ValueError of more than three hundred, which would take too long."""
    if d > AXES:
        raise ValueError(f"a formula along every axis is for {AXES} parameters at most, got {d}")
    return np.eye(d)


def singles(choices: Choices) -> list[tuple[str, str]]:
    """Every departure: the name of a choice and the words of an alternative that is not the right one."""
    return [(name, each) for name, alternatives in choices.items() for each in list(alternatives)[1:]]


def words(departures: tuple[tuple[str, str], ...]) -> str:
    """A point in words: "Hessian factors: none; reduction: mean"."""
    return "; ".join(f"{name}: {alternative}" for name, alternative in departures)


def no_variant(part: str, problem: Any, point: Point) -> Any:
    """A suite without choices has no variants."""
    return None


def no_terms_added(part: str, problem: Any) -> dict[str, Callable[[], Any]]:
    """A suite that names no terms which may be added by mistake."""
    return {}


def no_numbers(problem: Any) -> dict[str, float]:
    """A suite whose sizes and number inputs are all that a factor may be made of."""
    return {}


def no_layouts(problem: Any) -> dict[str, Any]:
    """A suite whose parameters have no second layout."""
    return {}
