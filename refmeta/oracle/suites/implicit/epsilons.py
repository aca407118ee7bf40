"""Where an ε may stand in implicit MAML.  Derivation: derivations/using-the-oracle.md"""

import numpy as np

from refmeta.arrays import Array, matvec, replace_fields
from refmeta.oracle.epsilons import slope
from refmeta.oracle.suite import Case, Effects
from refmeta.oracle.suites.implicit.problem import answer, minimiser, system

__all__ = ["effects"]


def effects(case: Case, part: str) -> Effects:
    """λ + ε, and a damped linear system."""
    problem, strength = case.problem, case.problem.strength

    def damped() -> Array:
        M = system(problem.support, minimiser(problem, strength), strength)
        return -matvec(np.linalg.inv(M), case.expected["gradient"].value)

    strength_effect = {"λ + ε": lambda: slope(lambda e: answer(part, replace_fields(problem, strength=strength + e)))}
    return strength_effect | ({"I + H/λ + ε·I": damped} if part == "gradient" else {})
