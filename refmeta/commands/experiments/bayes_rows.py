"""The Bayes-adaptive optimum as rows of a table.  Derivation: derivations/best-possible.md"""

import numpy as np

from refmeta.meta import bayes_adaptive
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["bayes_rows"]

WHOLE, ALONE = "Bayes-adaptive optimum, all six", "the same, for this one alone"


def bayes_rows(tasks: FiniteMDP, *, episodes: int) -> dict[str, list[float]]:
    """What is earned in each episode when their sum is maximised, and when the one of the column alone is; and the sums."""
    returns = bayes_adaptive.optimum(tasks, episodes=episodes).returns.tolist()
    last = [bayes_adaptive.optimum(tasks, episodes=n + 1, weights=np.eye(n + 1)[n]).value for n in range(episodes)]
    return {WHOLE: [*returns, sum(returns)], ALONE: [*last, float("nan")]}
