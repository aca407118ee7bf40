"""`python -m refmeta experiment generalisation`: starts and priors in families of tasks that they were not made for."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.commands.experiments.bayes_rows import goal_tasks
from refmeta.commands.experiments.record import Curves, Experiment, ExperimentPart, NumberTable, named_numbers
from refmeta.commands.experiments.starts import best_alpha, mean_loss, trained_starts
from refmeta.commands.experiments.step_tables import geometric
from refmeta.meta import bayes_adaptive
from refmeta.meta.maml import MAML
from refmeta.meta.reptile import Reptile
from refmeta.tasks.distributions import GoalGridworlds, Navigation, Split
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP
from refmeta.tasks.planning import optimal_values

__all__ = ["GENERALISATION", "grid_shifts", "gridworlds", "navigation", "navigation_shifts", "scaled_rewards", "wrong_prior"]

AS_TRAINED = "as trained"


def scaled_rewards(task: PolicyReturn, scale: float) -> PolicyReturn:
    """The task with all rewards times `scale`."""
    mdp = task.mdp
    return PolicyReturn(FiniteMDP(mdp.P, scale * mdp.R, mdp.rho, mdp.gamma, mdp.horizon, mdp.terminal), task.policy)


def grid_shifts(family: GoalGridworlds, rng: Generator, tasks: int) -> dict[str, tuple[PolicyReturn, float]]:
    """Tasks of shifted families by name, and the unit of their rewards; the first is the family of the training."""
    goals, cells = rng.integers(1, family.size**2, tasks), np.arange(1, family.size**2)
    far = cells[cells // family.size + cells % family.size >= family.size + 1]
    here = family.tasks(goals)
    return {
        AS_TRAINED: (here, 1.0),
        "slip 0.4": (replace(family, slip=0.4).tasks(goals), 1.0),
        "slip 0.7": (replace(family, slip=0.7).tasks(goals), 1.0),
        "episodes of 8 steps": (replace(family, horizon=8).tasks(goals), 1.0),
        "rewards times 1/4": (scaled_rewards(here, 0.25), 0.25),
        "rewards times 4": (scaled_rewards(here, 4.0), 4.0),
        f"only the {len(far)} far goals": (family.tasks(rng.choice(far, tasks)), 1.0),
    }


def _returns(starts: dict[str, Array], task: PolicyReturn, alphas: dict[str, float], unit: float = 1.0) -> list[float]:
    """Every start's mean return after one step, and the optimum, in units of the rewards."""
    values = [-mean_loss(theta, Split(task), alpha=alphas[name], steps=1) / unit for name, theta in starts.items()]
    return [*values, float(np.mean(optimal_values(task.mdp).best_return)) / unit]


def gridworlds(rng: Generator, tasks: int = 100, iterations: int = 100, alpha: float = 20.0) -> ExperimentPart:
    """Starts trained on goal gridworlds, in grids that slip more, pay otherwise, end earlier, or have other goals."""
    family = GoalGridworlds()
    zeros = np.zeros(family.dim)
    rules = {"joint": MAML(alpha, steps=0), "Reptile": Reptile(alpha, steps=3), "MAML": MAML(alpha)}
    starts = {"zeros": zeros, "random": rng.normal(size=family.dim)}
    starts |= trained_starts(family, zeros, rules, rng, iterations=iterations)
    training, shifts = family.sample(tasks, rng), grid_shifts(family, rng, tasks)
    common = dict.fromkeys(starts, alpha)
    own = {name: best_alpha(theta, training, geometric(alpha, 1 / 8, 64, 10), steps=1) for name, theta in starts.items()}
    unit = "mean return: 0.95^(moves - 1) at the goal, in units of the reward"
    tables = tuple(
        NumberTable(title, unit, "tasks", (*starts, "optimum"), {name: _returns(starts, task, alphas, c) for name, (task, c) in shifts.items()})
        for title, alphas in (
            (f"Goal gridworlds after one exact step, alpha = {alpha:g}: {tasks} tasks per row", common),
            ("The same with the alpha that was best for each start on training tasks", own),
        )
    )  # fmt: skip
    slips = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    goals = rng.integers(1, family.size**2, tasks)
    curve = np.array([_returns(starts, replace(family, slip=s).tasks(goals), common) for s in slips]).T.tolist()
    curves = Curves(f"Goal gridworlds, alpha = {alpha:g}: trained at slip 0.1", "slip of the new tasks", "mean return after one step", slips, dict(zip((*starts, "optimum"), curve, strict=True)))
    return ExperimentPart(tables, (curves,), _loss_texts(tables, ("zeros", "joint", "MAML"), own))


def _loss_texts(tables: tuple[NumberTable, ...], names: tuple[str, ...], own: dict[str, float]) -> tuple[str, ...]:
    """How far each start is from the optimum: as trained, and in the row where it is farthest."""
    texts = []
    for table, words in zip(tables, ("At the common alpha", "With each start's own alpha"), strict=True):
        gaps = {row: {n: cells[-1] - cells[table.heads.index(n)] for n in names} for row, cells in table.rows.items()}
        worst = max(gaps, key=lambda row: gaps[row]["MAML"])
        texts.append(
            f"{words}, the distance from the optimum is, {AS_TRAINED}: {named_numbers(gaps[AS_TRAINED])}; and for "
            f"'{worst}', where MAML's is largest: {named_numbers(gaps[worst])}."
        )
        texts.append(f"{words}, MAML is better than zeros in {_times_better(table, 'zeros')} rows, and than joint training in {_times_better(table, 'joint')}.")
    alphas = f"The own alpha: {named_numbers(own, '.4g')}. Scaled rewards scale the gradient, and so the step."
    return (*texts, alphas)


def _times_better(table: NumberTable, rival: str) -> str:
    """In how many rows MAML's return is higher than a rival's, as printed: "5 of 7"."""
    maml, other = (table.heads.index(name) for name in ("MAML", rival))
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
    own = {name: best_alpha(theta, training, geometric(alpha, 1 / 4, 16, 37), steps=1) for name, theta in starts.items()}
    rows = {name: _costs(starts, task, own) for name, task in navigation_shifts(family, rng, tasks).items()}
    table = NumberTable(
        f"2-D navigation after one exact step, trained on {horizon} steps and goals in [-0.5, 0.5]^2: {tasks} tasks per row",
        f"mean cost: sum of squared distances; own alpha: {named_numbers(own, '.3g')}", "tasks", (*starts, "optimum"), rows,
    )  # fmt: skip
    factors, goals = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0], rng.uniform(*family.goals, (tasks, 2))
    lines = np.array([_costs(starts, family.tasks(k * goals), own) for k in factors]).T.tolist()
    curves = Curves("2-D navigation after one step, each start with its own alpha", "distance of the goals, in that of the training", "mean cost", factors, dict(zip((*starts, "optimum"), lines, strict=True)), log="y")
    names = ("joint", "MAML")
    ratios = {row: {n: cells[table.heads.index(n)] / cells[-1] for n in names} for row, cells in rows.items() if all(n in table.heads for n in names)}
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
        f"The largest price in each column: {named_numbers(loss)}.",
        f"The price where the truth is uniform: {named_numbers({f'k = {k:g}': x for k, x in zip(tilts[::3], prices[::3], strict=True)}, '.4f')}. "
        "A wrong prior costs something only where it makes the learner act otherwise.",
    ))  # fmt: skip


GENERALISATION = Experiment(
    "generalisation",
    "Tasks of another kind than those of the training",
    "A start or a prior was made for one family of tasks. How much does it lose in tasks that slip more, pay otherwise, "
    "end earlier, or have their goals elsewhere, and is it then still better than no training at all? The step size "
    "stays the one that was best in training.",
    "what happens when the new tasks have other states or actions; what more than one step brings; how much a learner "
    "that notices the shift could save. Gradients are exact.",
    {"gridworlds": gridworlds, "navigation": navigation, "wrong-prior": wrong_prior},
)
