"""Where an ε may stand in a learned model.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.oracle.epsilons import slope
from refmeta.oracle.suite import Case, Effects
from refmeta.oracle.suites.model.problem import answer, parts_from_model

__all__ = ["effects"]


def effects(case: Case, part: str) -> Effects:
    """An ε in the posterior mean, or in a variance of the prior."""
    problem = case.problem
    prior, n, model = problem.prior, np.asarray(problem.statistics.counts), problem.model
    rows = np.sum(prior.concentration + n, axis=-1, keepdims=True)
    both = prior.noise + prior.variance * np.sum(n, axis=-1)
    none = 0 * case.expected[part].value
    of_model: Callable[..., Any] = lambda change: (
        lambda: slope(lambda e: parts_from_model(problem, model._replace(**change(e))).get(part, none))
    )
    of_prior: Callable[..., Any] = lambda change: (
        lambda: slope(lambda e: answer(part, problem._replace(prior=prior._replace(**change(e)))), 1e-5)
    )
    return {
        "1/(Σ(c + n) + ε)": of_model(lambda e: {"P": model.P / (1 + e / rows)}),
        "1/(noise + n·variance + ε)": of_model(lambda e: {"R": model.R / (1 + e / both)}),
        "noise + ε": of_prior(lambda e: {"noise": prior.noise + e}),
        "variance + ε": of_prior(lambda e: {"variance": prior.variance + e}),
    }
