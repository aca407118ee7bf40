"""Where an ε may stand in the meta-gradient of sampled batches.  Derivation: derivations/using-the-oracle.md"""

from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.epsilons import slope
from refmeta.oracle.suite import Case, Effects
from refmeta.oracle.suites.maml_sampled.problem import SampledBatches, answer

__all__ = ["effects"]


def effects(case: Case, part: str) -> Effects:
    """α + ε, and M + ε trajectories in every mean."""
    problem = case.problem
    return {
        "α + ε": lambda: slope(lambda e: answer(part, replace_fields(problem, alpha=np.asarray(problem.alpha) + e))),
        "1/(M + ε)": lambda: slope(lambda e: _with_weights(part, problem, e)),
    }


def _with_weights(part: str, problem: SampledBatches, e: float) -> Array:
    """The part with sums over trajectories divided by M + e: rewards and baselines stand in every surrogate as factors."""

    def scaled(batch: Any, b: Array) -> tuple[Any, Array]:
        M = batch.rewards.shape[-2]
        return batch._replace(rewards=np.asarray(batch.rewards) * M / (M + e)), np.asarray(b) * M / (M + e)

    (support, b), (query, c) = scaled(problem.trajectories, problem.baseline), scaled(problem.query, problem.query_baseline)
    return answer(part, replace_fields(problem, trajectories=support, baseline=b, query=query, query_baseline=c))
