"""Where an ε may stand in a return with ends.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable
from typing import Any

from refmeta.arrays import replace_fields
from refmeta.oracle.epsilons import departures, slope
from refmeta.oracle.suite import Case, Effects
from refmeta.oracle.suites.episodic_return.problem import answer
from refmeta.oracle.suites.episodic_return.variants import variant

__all__ = ["effects"]


def effects(case: Case, part: str) -> Effects:
    """An ε in the policy's logarithm or probabilities, or in the discount, of the return and its derivatives; one on the diagonal."""
    diagonal = {} if case.problem.task.mdp.horizon is not None else {"(1 + ε)·I − γP": lambda: slope(lambda e: _on_diagonal(case, part, e), 1e-6)}
    if part not in ("loss", "grad", "hvp"):
        return diagonal if part == "value" else {}

    def effect(change: Callable[[Any, float], Any]) -> Any:
        return slope(lambda e: answer(part, replace_fields(case.problem, task=change(case.problem.task, e))))

    return diagonal | {name: lambda change=change: effect(change) for name, change in departures(case.problem.task).items()}


def _on_diagonal(case: Case, part: str, epsilon: float) -> Any:
    """V of ((1 + ε)I − γP) V = r, which is that of γ/(1 + ε), over 1 + ε; loss and slopes of it."""
    point = {"discount": lambda gamma: gamma / (1 + epsilon), "power of gamma": lambda gamma, horizon: 1 / (1 + epsilon)}
    return variant(part, case.problem, point)
