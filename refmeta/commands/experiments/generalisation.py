"""`python -m refmeta experiment generalisation`: starts and priors in families of tasks that they were not made for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.commands.experiments.held_out import GoalFamilies, goal_families, goal_tasks
from refmeta.commands.experiments.record import (
    GREEDY,
    NOTHING_RANDOM,
    Curves,
    Experiment,
    ExperimentPart,
    NumberTable,
    named_choices,
    named_numbers,
)
from refmeta.commands.experiments.starts import best_alpha, mean_loss, name_in, trained_starts
from refmeta.commands.experiments.step_tables import geometric
from refmeta.meta import bayes_adaptive
from refmeta.meta.maml import MAML
from refmeta.meta.reptile import Reptile
from refmeta.tasks.distributions import GoalGridworlds, Navigation, Split
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP
from refmeta.tasks.planning import optimal_values

__all__ = ["GENERALISATION", "grid_shifts", "gridworlds", "navigation", "navigation_shifts", "scaled_rewards", "wrong_prior"]

AS_TRAINED, HELD_OUT, TRAINED_ON = "as trained", "held-out goals", "goals of the training"


def scaled_rewards(task: PolicyReturn, scale: float) -> PolicyReturn:
    """The task with all rewards times `scale`."""
    mdp = task.mdp
    return PolicyReturn(FiniteMDP(mdp.P, scale * mdp.R, mdp.rho, mdp.gamma, mdp.horizon, mdp.terminal), task.policy)


def grid_shifts(families: GoalFamilies) -> dict[str, tuple[PolicyReturn, float]]:
    """Tasks by name, and the unit of their rewards: the goals of the training, those held out, and shifts of the latter."""
    family, cells = families.held_out, families.held_out.cells
    far = sorted(cells, key=lambda cell: sum(divmod(cell, family.size)))[-(len(cells) // 2) :]
    here = goal_tasks(family)
    return {
        TRAINED_ON: (goal_tasks(families.training), 1.0),
        HELD_OUT: (here, 1.0),
        "slip 0.4": (goal_tasks(replace(family, slip=0.4)), 1.0),
        "slip 0.7": (goal_tasks(replace(family, slip=0.7)), 1.0),
        "episodes of 8 steps": (goal_tasks(replace(family, horizon=8)), 1.0),
        "rewards times 1/4": (scaled_rewards(here, 0.25), 0.25),
        "rewards times 4": (scaled_rewards(here, 4.0), 4.0),
        f"the {len(far)} farthest of them": (family.tasks(far), 1.0),
    }


def _returns(starts: dict[str, Array], task: PolicyReturn, alphas: dict[str, float], unit: float = 1.0) -> list[float]:
    """Every start's mean return after one step, and the optimum, in units of the rewards."""
    values = [-mean_loss(theta, Split(task), alpha=alphas[name], steps=1) / unit for name, theta in starts.items()]
    return [*values, float(np.mean(optimal_values(task.mdp).best_return)) / unit]


def gridworlds(rng: Generator, iterations: int = 100, alpha: float = 20.0) -> ExperimentPart:
    """Starts trained on goal gridworlds, in grids with other goals that slip more, pay otherwise, or end earlier."""
    families = goal_families(GoalGridworlds(), rng)
    family, zeros = families.training, np.zeros(families.training.dim)
    rules = {"joint": MAML(alpha, steps=0), "Reptile": Reptile(alpha, steps=3), "MAML": MAML(alpha)}
    starts = {"zeros": zeros, "random": rng.normal(size=family.dim)}
    starts |= trained_starts(family, zeros, rules, rng, iterations=iterations)
    training, shifts, alphas = families.splits[0], grid_shifts(families), geometric(alpha, 1 / 8, 64, 10)
    common = dict.fromkeys(starts, alpha)
    own = {name: best_alpha(theta, training, alphas, steps=1) for name, theta in starts.items()}
    unit = "mean return: 0.95^(moves - 1) at the goal, in units of the reward"
    tables = tuple(
        NumberTable(title, unit, "tasks", (*starts, "optimum"), {name: _returns(starts, task, chosen, c) for name, (task, c) in shifts.items()})
        for title, chosen in (
            (f"Goal gridworlds after one exact step, alpha = {alpha:g}", common),
            ("The same with the alpha that was best for each start on the goals of the training", own),
        )
    )  # fmt: skip
    slips = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    shifted = [goal_tasks(replace(families.held_out, slip=s)) for s in slips]
    curve = np.array([_returns(starts, task, common) for task in shifted]).T.tolist()
    curves = Curves(f"Goal gridworlds, alpha = {alpha:g}: trained at slip 0.1 for other goals", "slip of the new tasks", "mean return after one step", slips, dict(zip((*starts, "optimum"), curve, strict=True)))
    return ExperimentPart(tables, (curves,), (_rows_text(families), *_loss_texts(tables, ("zeros", "joint", "MAML")), _own_text(own, alphas)))


def _rows_text(families: GoalFamilies) -> str:
    """Which goals stand in which row."""
    known, others = len(families.training.cells), len(families.held_out.cells)
    return (
        f"Training knows {known} of the {known + others} goals of the grid, and '{TRAINED_ON}' is the mean over these. All other "
        f"rows are about the {others} goals that were held out."
    )


def _own_text(own: dict[str, float], alphas: Sequence[float]) -> str:
    """The α of each start, and why it is the largest where it is."""
    return (
        f"The own alpha: {named_choices(own, alphas)}. {GREEDY} Scaled rewards scale the gradient, and so the step."
    )


def _loss_texts(tables: tuple[NumberTable, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """How far each start is from the optimum: for held-out goals, and in the row where it is farthest."""
    texts = []
    for table, words in zip(tables, ("At the common alpha", "With each start's own alpha"), strict=True):
        gaps = {row: {n: cells[-1] - cells[table.heads.index(name_in(table.heads, n))] for n in names} for row, cells in table.rows.items()}
        worst = max(gaps, key=lambda row: gaps[row]["MAML"])
        texts.append(
            f"{words}, the distance from the optimum is, for '{HELD_OUT}': {named_numbers(gaps[HELD_OUT])}; and for "
            f"'{worst}', where MAML's is largest: {named_numbers(gaps[worst])}."
        )
        texts.append(f"{words}, MAML is better than zeros in {_times_better(table, 'zeros')} rows, and than joint training in {_times_better(table, 'joint')}.")
    return tuple(texts)


def _times_better(table: NumberTable, rival: str) -> str:
    """In how many rows MAML's return is higher than a rival's, as printed: "5 of 7"."""
    maml, other = (table.heads.index(name_in(table.heads, name)) for name in ("MAML", rival))
    return f"{sum(round(row[maml], 3) > round(row[other], 3) for row in table.rows.values())} of {len(table.rows)}"


def navigation_shifts(family: Navigation, rng: Generator, tasks: int) -> dict[str, Any]:
    """Tasks of shifted families: goals from a larger box, and longer or shorter episodes."""
    goals = rng.uniform(*family.goals, (tasks, 2))
    boxes = {f"goals {k:g} times as far": family.tasks(k * goals) for k in (1.5, 2.0, 4.0)}
    horizons = {f"{k} steps": replace(family, horizon=k).tasks(goals) for k in (family.horizon * 9 // 10, family.horizon * 11 // 10)}
    return {AS_TRAINED: family.tasks(goals), **boxes, **horizons}


def navigation(rng: Generator, tasks: int = 50, iterations: int = 250, alpha: float = 1e-3, horizon: int = 100) -> ExperimentPart:
    """Starts trained for goals in a box, with the step size that was best there."""
    family = Navigation(horizon)
    start = family.start(rng)
    rules = {"joint": MAML(alpha, steps=0), "MAML": MAML(alpha)}
    starts = {"random": start} | trained_starts(family, start, rules, rng, iterations=iterations, max_norm=1.0)
    training = family.sample(tasks, rng)
    alphas = geometric(alpha, 1 / 4, 16, 37)
    own = {name: best_alpha(theta, training, alphas, steps=1) for name, theta in starts.items()}
    rows = {name: _costs(starts, task, own) for name, task in navigation_shifts(family, rng, tasks).items()}
    table = NumberTable(
        f"2-D navigation after one exact step, trained on {horizon} steps and goals in [-0.5, 0.5]^2: {tasks} tasks per row",
        f"mean cost: sum of squared distances; own alpha: {named_choices(own, alphas, '.3g')}", "tasks", (*starts, "optimum"), rows,
    )  # fmt: skip
    factors, goals = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0], rng.uniform(*family.goals, (tasks, 2))
    lines = np.array([_costs(starts, family.tasks(k * goals), own) for k in factors]).T.tolist()
    curves = Curves("2-D navigation after one step, each start with its own alpha", "distance of the goals, in that of the training", "mean cost", factors, dict(zip((*starts, "optimum"), lines, strict=True)), log="y")
    columns = {name: table.heads.index(name_in(table.heads, name)) for name in ("joint", "MAML")}
    ratios = {row: {name: cells[i] / cells[-1] for name, i in columns.items()} for row, cells in rows.items()}
    texts = [f"Cost in units of the optimum, {row}: {named_numbers(each, '.1f')}." for row, each in ratios.items()]
    return ExperimentPart((table,), (curves,), tuple(texts))


def _costs(starts: dict[str, Array], task: Any, alphas: dict[str, float]) -> list[float]:
    """Every start's mean cost after one step with its α, and the least cost of any policy."""
    values = [mean_loss(theta, Split(task), alpha=alphas[name], steps=1) for name, theta in starts.items()]
    return [*values, float(np.mean(task.lq.Q[:, 2, 2]))]


def wrong_prior(rng: Generator, episodes: int = 3, horizon: int = 4, size: int = 3) -> ExperimentPart:
    """The exact price of a wrong prior: the best learner for one prior, in tasks drawn from another."""
    family = GoalGridworlds(size=size, horizon=horizon)
    mdp, cells = goal_tasks(family).mdp, np.arange(1, size**2)
    distance = cells // size + cells % size
    priors = {name: np.exp(k * distance) / np.sum(np.exp(k * distance)) for name, k in (("near goals", -1.5), ("uniform", 0.0), ("far goals", 1.5))}
    best = {name: bayes_adaptive.optimum(mdp, p, episodes=episodes) for name, p in priors.items()}
    rows = {f"prior {q}": [float(bayes_adaptive.value_of(best[q].policy, p)) for p in priors.values()] for q in priors}
    title = f"Goal gridworlds, {size} x {size}, {episodes} episodes of {horizon} steps: the best learner for a prior, where the truth is another"
    table = NumberTable(title, f"expected sum of {episodes} returns, exact", "believed", tuple(f"true: {p}" for p in priors), rows)
    tilts = np.linspace(-3, 3, 13).tolist()
    prices = [bayes_adaptive.price(mdp, np.exp(k * distance) / np.sum(np.exp(k * distance)), episodes=episodes) for k in tilts]
    curves = Curves("The price of a wrong prior; the truth is uniform", "k, of the believed prior exp(k distance)", "return lost", tilts, {f"{episodes} episodes": prices})
    loss = {name: best[name].value - min(row[i] for row in rows.values()) for i, name in enumerate(priors)}
    return ExperimentPart((table,), (curves,), (
        "The diagonal is the Bayes-adaptive optimum of each truth: no other row of its column can be larger.",
        f"A price is the return that a wrong prior costs. The largest in each column: {named_numbers(loss)}.",
        "A believed prior may be tilted: a goal has a probability in proportion to exp(k distance), so that k = 0 is uniform and "
        f"k > 0 expects far goals. Its price where the truth is uniform: {named_numbers({f'k = {k:g}': x for k, x in zip(tilts[::3], prices[::3], strict=True)}, '.4f')}. "
        "A wrong prior costs something only where it makes the learner act otherwise.",
        NOTHING_RANDOM,
    ))  # fmt: skip


GENERALISATION = Experiment(
    "generalisation",
    "Tasks of another kind than those of the training",
    "A start or a prior was made for one family of tasks. How much does it lose in tasks that slip more, pay otherwise, "
    "end earlier, or have their goals elsewhere, and is it then still better than no training at all? The step size "
    "stays that of the training, or the one that was best there for each start.",
    "what happens when the new tasks have other states or actions; what more than one step brings; how much a learner "
    "that notices the shift could save. Gradients are exact.",
    {"gridworlds": gridworlds, "navigation": navigation, "wrong-prior": wrong_prior},
)
