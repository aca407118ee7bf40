"""Goals that are held out: a gridworld has few of them, and tasks drawn anew would be those of the training."""

from dataclasses import replace
from typing import NamedTuple

from numpy.random import Generator

from refmeta.tasks.distributions import GoalGridworlds, Split
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["GoalFamilies", "goal_families", "goal_tasks"]


class GoalFamilies(NamedTuple):
    """The same gridworld with the goals to train on, and with the goals that are held out."""

    training: GoalGridworlds
    held_out: GoalGridworlds

    @property
    def splits(self) -> tuple[Split, Split]:
        """Every goal of both once, as tasks whose query is the support."""
        return Split(goal_tasks(self.training)), Split(goal_tasks(self.held_out))

    @property
    def about(self) -> str:
        """How the goals are divided, as a sentence."""
        few, every = len(self.held_out.cells), len(self.training.cells) + len(self.held_out.cells)
        return (
            f"The grid has {every} goals. Training knows {every - few} of them; the {few} others are held out, and all numbers of "
            "the tables are means over these."
        )


def goal_families(family: GoalGridworlds, rng: Generator) -> GoalFamilies:
    """A third of the goals, drawn at random, is held out."""
    cells = rng.permutation(family.cells).tolist()
    few = len(cells) // 3
    return GoalFamilies(*(replace(family, goals=tuple(sorted(part))) for part in (cells[few:], cells[:few])))


def goal_tasks(family: GoalGridworlds, *, forever: bool = False) -> PolicyReturn:
    """One task for every goal of a family, perhaps without the horizon."""
    return (replace(family, horizon=None) if forever else family).tasks(family.cells)
