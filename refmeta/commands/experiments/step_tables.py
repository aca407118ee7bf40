"""Tables of adaptation: every start at one step size, every start at its own, and the curve in the step size."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.commands.experiments.record import AT_END, Curves, NumberTable, difference_text, is_end, named_numbers
from refmeta.commands.experiments.starts import best_alpha, mean_loss, name_in
from refmeta.tables import count_text
from refmeta.tasks.distributions import Split

__all__ = ["STEPS", "Setting", "alpha_curves", "alpha_sentences", "geometric", "losses_by_steps", "own_alphas", "steps_table"]

STEPS = (0, 1, 2, 3, 5)


class Setting(NamedTuple):
    """How a family is judged: the tasks, the common α, the α to choose from, and the sign of a loss in the tables."""

    title: str
    unit: str
    training: Split
    held_out: Split
    alpha: float
    alphas: list[float]
    sign: int = 1

    def value(self, theta: Array, alpha: float, steps: int) -> float:
        """The mean of the held-out tasks after some steps: a loss, or a return."""
        return self.sign * mean_loss(theta, self.held_out, alpha=alpha, steps=steps)


def losses_by_steps(theta: Array, setting: Setting) -> list[float]:
    """The values after each of STEPS at the common α."""
    return [setting.value(theta, setting.alpha, k) for k in STEPS]


def steps_table(setting: Setting, starts: dict[str, Array], optimum: float, **more: list[float]) -> NumberTable:
    """Every start after each of STEPS at the common α, more rows, and the optimum."""
    rows = {name: losses_by_steps(theta, setting) for name, theta in starts.items()} | more
    rows["optimum"] = [optimum] * len(STEPS)
    title = f"{setting.title}: {count_text(setting.held_out.support.shape[0], 'held-out task')}, alpha = {setting.alpha:g}"
    return NumberTable(title, setting.unit, "start", tuple(count_text(k, "step") for k in STEPS), rows)


def own_alphas(
    setting: Setting, starts: dict[str, Array], optimum: float, steps: Sequence[int] = (1, 5)
) -> NumberTable:
    """Every start with the α that is best for it on the training tasks, for each number of steps."""
    rows: dict[str, list[float]] = {}
    for name, theta in starts.items():
        chosen = [(best_alpha(theta, setting.training, setting.alphas, steps=k), k) for k in steps]
        rows[name] = [x for alpha, k in chosen for x in (alpha, setting.value(theta, alpha, k))]
    ends = {name: [i for i in range(0, len(row), 2) if is_end(row[i], setting.alphas)] for name, row in rows.items()}
    rows["optimum"] = [float("nan"), optimum] * len(steps)
    heads = tuple(head for k in steps for head in ("alpha", count_text(k, "step")))
    low, high = setting.alphas[0], setting.alphas[-1]
    title = f"The same starts, each with its own alpha: the best on {setting.training.support.shape[0]} training tasks"
    unit = f"{setting.unit}; alpha out of {len(setting.alphas)} from {low:.4g} to {high:.4g}; * {AT_END}"
    return NumberTable(title, unit, "start", heads, rows, (".4g", ".3f") * len(steps), ends)


def alpha_curves(setting: Setting, starts: dict[str, Array], optimum: float, log: str = "x") -> Curves:
    """The value after one step against α, on the held-out tasks."""
    lines = {name: [setting.value(theta, alpha, 1) for alpha in setting.alphas] for name, theta in starts.items()}
    title, quantity = f"{setting.title}: after one step", setting.unit.partition(":")[0]
    return Curves(title, "step size alpha", quantity, list(setting.alphas), lines, {"optimum": optimum}, log)


def alpha_sentences(table: NumberTable, own: NumberTable, best: str, others: Sequence[str], optimum: float) -> tuple[str, ...]:
    """What the tables say after one step: at the common α, at each start's own, and what is left of the differences."""
    one, names = table.heads.index("1 step"), [name_in(own.rows, name) for name in (best, *others)]
    common, tuned = ({n: rows[n][i] for n in names} for rows, i in ((table.rows, one), (own.rows, 1)))
    return (
        f"After one step at the common alpha: {named_numbers(common)}.",
        f"Each with its own alpha{_end_text(own, names)}: {named_numbers(tuned)}; the optimum is {optimum:.3f}.",
        *(
            f"'{best}' against '{other}': {difference_text(common[names[0]], common[other])} at the common alpha, "
            f"{difference_text(tuned[names[0]], tuned[other])} when each has its own."
            for other in names[1:]
        ),
    )


def _end_text(own: NumberTable, names: Sequence[str]) -> str:
    """Which of the own α for one step are an end of the grid."""
    ends = [name for name in names if 0 in own.ends.get(name, ())]
    return f", for {', '.join(ends)} {AT_END}" if ends else ""


def geometric(centre: float, below: float, above: float, count: int) -> list[float]:
    """`count` step sizes, evenly spaced in their logarithm, from centre·below to centre·above, and the centre itself."""
    return sorted({*np.geomspace(centre * below, centre * above, count).tolist(), centre})
