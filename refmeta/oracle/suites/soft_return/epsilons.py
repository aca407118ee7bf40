"""Where an ε may stand in a return with entropy.  Derivation: derivations/using-the-oracle.md"""

from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.epsilons import slope
from refmeta.oracle.suite import Case, Effects
from refmeta.oracle.suites.soft_return.variants import Entropy, variant

__all__ = ["effects"]

LEAST = 1e-3  # a smaller probability would leave the reach of the difference


def effects(case: Case, part: str) -> Effects:
    """log(π + ε) in the entropy and in the advantage, as code has it that writes down the formulas."""
    problem = case.problem
    pi = problem.task.at(problem.theta).probabilities
    if np.min(pi) < LEAST or problem.task.temperature == 0:
        return {}

    def with_epsilon(epsilon: float) -> Any:
        def measure(pi: Array, logs: Array) -> Entropy:
            reward = -np.log(pi + epsilon)
            return Entropy(np.sum(pi * reward, axis=-1), reward, reward)

        return variant(part, problem, {"entropy": measure})

    return {"log(π + ε)": lambda: slope(with_epsilon, 1e-5)}
