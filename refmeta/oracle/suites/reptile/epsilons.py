"""Where an ε may stand in Reptile's outer step.  Derivation: derivations/using-the-oracle.md"""

from refmeta.oracle.suite import Case, Effects

__all__ = ["effects"]


def effects(case: Case, part: str) -> Effects:
    """A mean over N + ε tasks."""
    problem = case.problem
    return {"1/(N + ε)": lambda: -(case.expected[part].value - problem.theta) / len(problem.adapted)}
