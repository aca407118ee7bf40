"""A check: a labelled formula, what it is judged against, and the error of the library's result."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.judges import complex_step
from refmeta.tolerance import condition_number, error_in_tolerances, max_per_task

__all__ = ["Check", "gradient_error", "hvp_error", "off"]


class Check(NamedTuple):
    """A labelled formula: `draw(rng)` is a random case, `judge(case)` its error in tolerances.

    Where `order` is set (expected, within), `judge` gives an observed order instead.
    """

    label: str
    formula: str
    against: str
    draw: Callable[[Generator], Any]
    judge: Callable[[Any], float]
    order: tuple[float, float] | None = None


def off(function: Callable[[Any], Any], inputs: Any, expected: ArrayLike, scale: Any = 0.0) -> float:
    """How many tolerances function(inputs) is off, the first axis that of the tasks; NaN where κ > 10⁶."""
    expected = np.asarray(expected)
    scale = np.maximum(np.maximum(scale, max_per_task(expected)), np.finfo(float).tiny)
    got = function(inputs)
    kappa = condition_number(function, inputs, scale, got)
    return float(np.max(error_in_tolerances(got, expected, kappa, scale))) if np.all(kappa <= 1e6) else np.nan


def gradient_error(case: Any) -> float:
    """The gradient of a task's loss against the complex step of the loss; the case is (task, theta, ...)."""
    task, theta, *_ = case
    return off(lambda z: z[0].at(z[1]).grad, (task, theta), complex_step(lambda t: task.at(t).loss, theta))


def hvp_error(case: Any) -> float:
    """The Hessian product against the complex step of the gradient; the case is (task, theta, v)."""
    task, theta, v = case
    expected = complex_step(lambda t: task.at(t).grad, theta, v)
    return off(lambda z: z[0].at(z[1]).hvp(z[2]), (task, theta, v), expected)
