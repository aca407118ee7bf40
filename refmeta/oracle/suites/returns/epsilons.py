"""Where an ε may stand in the targets of a batch.  Derivation: derivations/using-the-oracle.md"""

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.epsilons import slope
from refmeta.oracle.suite import Case, Effects
from refmeta.oracle.suites.returns.problem import TRACES, Batch, answer

__all__ = ["effects"]

OF_RATIOS = ("v_trace", "v_trace_advantage", "retrace", "importance_sampling")


def effects(case: Case, part: str) -> Effects:
    """π/μ + ε, or μ + ε in its denominator, where μ is the probability of the action over the ratio."""
    batch = case.problem

    def with_ratios(change: Array) -> Array:
        return slope(lambda h: answer(part, Batch(**vars(batch) | {"ratios": batch.ratios + h * change})))

    if part not in OF_RATIOS or part in TRACES and not np.all(batch.ratios > 0):
        return {}
    positive = np.where(batch.ratios > 0, batch.ratios, 0.0)
    return {
        "π/μ + ε": lambda: with_ratios(np.ones_like(positive)),
        "π/(μ + ε)": lambda: with_ratios(-(positive**2) / batch.probabilities),
    }
