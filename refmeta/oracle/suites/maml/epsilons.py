"""Where an ε may stand in MAML: in a loss, or in the factors I − αH.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.epsilons import departures, slope
from refmeta.oracle.suite import Case, Effects
from refmeta.oracle.suites.maml.problem import answer, inner_path

__all__ = ["damped_gradient", "effects", "loss_effects"]


def loss_effects(problem: Any, value: Callable[[Any], Any]) -> Effects:
    """The slope of `value(problem)` in an ε in the losses of support and query, of both or of one."""

    def effect(change: Any, where: tuple[str, ...]) -> Array:
        def with_epsilon(epsilon: float) -> Any:
            return value(replace_fields(problem, **{side: change(getattr(problem, side), epsilon) for side in where}))

        return np.asarray(slope(with_epsilon))

    both, places = ("support", "query"), Effects()
    for name, change in departures(problem.support).items():
        places[name] = partial(effect, change, both)
        for side in both:
            places[f"{name}, in the {side} only"] = partial(effect, change, (side,))
    return places


def effects(case: Case, part: str) -> Effects:
    """An ε in the losses, or in every factor of the gradient's product."""
    problem = case.problem
    factors = {"I − α(H + ε·I)": lambda: slope(lambda e: damped_gradient(problem, e))} if part == "gradient" else {}
    return loss_effects(problem, lambda p: answer(part, p)) | factors


def damped_gradient(problem: Any, epsilon: float) -> Array:
    """∏(I − α(H + ε·I)) g."""
    points, alphas, g = inner_path(problem)
    for point, a in reversed(list(zip(points, alphas, strict=False))):
        g = g - point.hvp(a * g) - epsilon * a * g
    return g
