"""Where an ε may stand in an estimator on trajectories.  Derivation: derivations/using-the-oracle.md"""

from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.bicomplex import complex_value
from refmeta.oracle.decimals import ln
from refmeta.oracle.epsilons import departures, slope
from refmeta.oracle.suite import Case, Effects
from refmeta.oracle.suites.expected_estimators.definition import define
from refmeta.oracle.suites.expected_estimators.problem import SURROGATES, answer, surrogate
from refmeta.oracle.suites.surrogates.epsilons import ratio_effects
from refmeta.sampling.enumeration import expectation

__all__ = ["effects"]


def effects(case: Case, part: str) -> Effects:
    """An ε in the losses of exact steps, in the logarithms of sampled ones, or in the ratios of a surrogate."""
    problem = case.problem
    if part == "formulation_exact":
        with_tasks: Any = lambda f, e: replace_fields(problem, tasks=tuple(f(task, e) for task in problem.tasks))
        changes = departures(problem.tasks[0])
        return {name: lambda f=f: slope(lambda e: answer(part, with_tasks(f, e))) for name, f in changes.items()}  # type: ignore[misc]
    if part == "formulation_sampled":
        one: Any = lambda e: complex_value(define, part, problem.inputs, lambda p: ln(p + e))
        return {"log(π + ε)": lambda: slope(one, 1e-5)} if problem.steps else {}

    def mean(task: Any, name: str) -> Array:
        f: Any = lambda batch: ratio_effects(surrogate(SURROGATES[part], task, problem.theta, batch), problem.theta, "hvp", problem.v)
        return expectation(lambda batch: f(batch)[name](), task.mdp, task.policy, problem.theta).mean

    places = ("log(π + ε)", "log(π + ε) but at the time of sampling")
    return {name: lambda name=name: np.stack([mean(task, name) for task in problem.tasks]) for name in places}  # type: ignore[misc]
