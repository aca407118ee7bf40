"""A check: a labelled formula, what it is judged against, and the error of the library's result."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.judges import complex_step
from refmeta.tolerance import PATTERNS, condition_number, error_in_tolerances, max_per_task

__all__ = ["Check", "Error", "gradient_error", "hvp_error", "off", "worst"]


@dataclass(frozen=True, eq=False)
class Error:
    """An error in tolerances, which is measured only as far as a question needs it.

    `above(least)` is the error where it is above `least`; else a number that the error is not above, and that is at most
    `least`.  As a number it is the error itself; NaN where κ > 10⁶.
    """

    above: Callable[[float], float]

    def __float__(self) -> float:
        return self.above(-np.inf)

    def __lt__(self, other: Any) -> bool:
        return float(self) < float(other)

    def __le__(self, other: Any) -> bool:
        return float(self) <= float(other)

    def __gt__(self, other: Any) -> bool:
        return float(self) > float(other)

    def __ge__(self, other: Any) -> bool:
        return float(self) >= float(other)


class Check(NamedTuple):
    """A labelled formula: `draw(rng)` is a random case, `judge(case)` its error in tolerances.

    Where `order` is set (expected, within), `judge` gives an observed order instead.
    """

    label: str
    formula: str
    against: str
    draw: Callable[[Generator], Any]
    judge: Callable[[Any], Error | float]
    order: tuple[float, float] | None = None


def off(function: Callable[[Any], Any], inputs: Any, expected: ArrayLike, scale: Any = 0.0) -> Error:
    """How many tolerances function(inputs) is off, the first axis that of the tasks; NaN where κ > 10⁶.

    κ is the largest of eight patterns.  So each of them is a lower bound of κ, and an upper bound of the error.  A result
    that is not finite is infinitely many tolerances off.
    """
    expected = np.asarray(expected)
    scale = np.maximum(np.maximum(scale, max_per_task(expected)), np.finfo(float).tiny)
    return Error(partial(_above, function, inputs, expected, scale))


def _above(function: Callable[[Any], Any], inputs: Any, expected: Any, scale: Any, least: float) -> float:
    """The error of `off`; one pattern of κ after another, until the error is known to be at most `least`."""
    got, kappa = function(inputs), np.zeros(len(expected))
    if not np.isfinite(got).all():
        return np.inf
    for pattern in PATTERNS:
        if (bound := float(np.max(error_in_tolerances(got, expected, kappa, scale)))) <= least:
            return bound
        kappa = np.maximum(kappa, condition_number(function, inputs, scale, got, (pattern,)))
    return float(np.max(error_in_tolerances(got, expected, kappa, scale))) if np.all(kappa <= 1e6) else np.nan


def worst(errors: Iterable[Error | float]) -> Error:
    """The largest of several errors; NaN if one of them is."""
    each = tuple(errors)
    return Error(lambda least: float(np.max([e.above(least) if isinstance(e, Error) else e for e in each])))


def gradient_error(case: Any) -> Error:
    """The gradient of a task's loss against the complex step of the loss; the case is (task, theta, ...)."""
    task, theta, *_ = case
    return off(lambda z: z[0].at(z[1]).grad, (task, theta), complex_step(lambda t: task.at(t).loss, theta))


def hvp_error(case: Any) -> Error:
    """The Hessian product against the complex step of the gradient; the case is (task, theta, v)."""
    task, theta, v = case
    expected = complex_step(lambda t: task.at(t).grad, theta, v)
    return off(lambda z: z[0].at(z[1]).hvp(z[2]), (task, theta, v), expected)
