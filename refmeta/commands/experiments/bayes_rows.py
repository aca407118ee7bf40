"""The Bayes-adaptive optimum as rows of a table.  Derivation: derivations/best-possible.md"""

from dataclasses import replace

import numpy as np

from refmeta.meta import bayes_adaptive
from refmeta.tasks.distributions import GoalGridworlds
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["bayes_rows", "goal_tasks"]

WHOLE, ALONE = "Bayes-adaptive optimum, all six", "the same, for this one alone"


def goal_tasks(family: GoalGridworlds, *, forever: bool = False) -> PolicyReturn:
    """The tasks of all goals of a family, perhaps without the horizon."""
    grids = replace(family, horizon=None) if forever else family
    return grids.tasks(np.arange(1, grids.size**2))


def bayes_rows(tasks: FiniteMDP, *, episodes: int) -> dict[str, list[float]]:
    """What is earned in each episode when their sum is maximised, and when the one of the column alone is; and the sums."""
    returns = bayes_adaptive.optimum(tasks, episodes=episodes).returns.tolist()
    last = [bayes_adaptive.optimum(tasks, episodes=n + 1, weights=np.eye(n + 1)[n]).value for n in range(episodes)]
    return {WHOLE: [*returns, sum(returns)], ALONE: [*last, float("nan")]}
