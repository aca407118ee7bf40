"""Where an ε may stand in Meta-LSTM.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import meta_lstm
from refmeta.oracle.decimals import ln, real
from refmeta.oracle.epsilons import departures
from refmeta.oracle.suite import Case, Effects
from refmeta.oracle.suites.meta_lstm.definition import Formulas, preprocessing
from refmeta.oracle.suites.meta_lstm.problem import LEAVES, Learner, all_parts

__all__ = ["effects"]

TINY = 1e-7


def effects(case: Case, part: str) -> Effects:
    """An ε in the learner's losses, or in the logarithm of the preprocessing."""
    return {name: lambda name=name: _slopes(case, name)[part] for name in _places(case.problem)}  # type: ignore[misc]


@lru_cache(maxsize=256)
def _slopes(case: Case, name: str) -> dict[str, Array]:
    """The derivative of every part by the ε at a place, by a central difference."""
    at = _places(case.problem)[name]
    with np.errstate(all="ignore"):
        up, down = at(TINY), at(-TINY)
    return {part: (up[part] - down[part]) / (2 * TINY) for part in up}


def _places(problem: Learner) -> dict[str, Callable[[float], dict[str, Array]]]:
    """Every part with an ε, by the place of the ε."""

    def logarithm(e: float) -> dict[str, Array]:
        def with_epsilon(x: Any) -> Any:
            size, sign = preprocessing(x)
            return [ln(sign * x + e) / 10 if real(size) != -1 else size, sign]

        return all_parts(problem, Formulas(preprocessing=with_epsilon))

    def in_losses(change: Callable[[Any, float], Any]) -> Callable[[float], dict[str, Array]]:
        tasks: Callable[[float], Any] = lambda e: [change(task, e) for task in (problem.support, problem.query)]
        return lambda e: _answers(problem.parameters, *tasks(e), steps=problem.steps)

    places = {name: in_losses(change) for name, change in departures(problem.support).items()}
    return places | {"log(|x| + ε) in the preprocessing": logarithm}


def _answers(*arguments: Any, steps: int) -> dict[str, Array]:
    """Every part by the library, each gradient computed once."""
    results = {"objective": np.asarray(meta_lstm.objective(*arguments, steps=steps))}
    for kind, gradient in (("exact", meta_lstm.gradient), ("independent", meta_lstm.gradient_independent)):
        slopes = gradient(*arguments, steps=steps)
        results |= {f"{kind}_{leaf}": getattr(slopes, leaf) for leaf in LEAVES}
    return results
