"""Where an ε may stand in hypergradients that stop early.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.epsilons import slope
from refmeta.oracle.suite import Case, Effects
from refmeta.oracle.suites.implicit_early.problem import answer

__all__ = ["effects"]


def effects(case: Case, part: str) -> Effects:
    """λ + ε, and η + ε."""
    problem = case.problem

    def moved(name: str) -> Callable[[], Array]:
        return lambda: slope(lambda e: answer(part, replace_fields(problem, **{name: getattr(problem, name) + e})))

    return {"λ + ε": moved("strength")} | ({} if part == "cg" else {"η + ε": moved("eta")})
