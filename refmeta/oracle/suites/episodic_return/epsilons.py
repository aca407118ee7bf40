"""Where an ε may stand in a return with ends.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable
from typing import Any

from refmeta.arrays import replace_fields
from refmeta.oracle.epsilons import departures, slope
from refmeta.oracle.suite import Case, Effects
from refmeta.oracle.suites.episodic_return.problem import answer

__all__ = ["effects"]


def effects(case: Case, part: str) -> Effects:
    """An ε in the policy's logarithm or probabilities, or in the discount, of the return and its derivatives."""
    if part not in ("loss", "grad", "hvp"):
        return {}

    def effect(change: Callable[[Any, float], Any]) -> Any:
        return slope(lambda e: answer(part, replace_fields(case.problem, task=change(case.problem.task, e))))

    return {name: lambda change=change: effect(change) for name, change in departures(case.problem.task).items()}  # type: ignore[misc]
