"""`python -m refmeta experiment sample-efficiency`: what a few episodes are worth to each way of adapting."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.commands.experiments.bayes_rows import bayes_rows
from refmeta.commands.experiments.episode_tables import (
    CORNER,
    HEADS,
    episode_curves,
    learner_returns,
    own_step_sizes,
)
from refmeta.commands.experiments.held_out import goal_families, goal_tasks
from refmeta.commands.experiments.learners import EPISODES, Acting, mean_returns, trained_agent
from refmeta.commands.experiments.record import Experiment, ExperimentPart, NumberTable
from refmeta.meta import pearl
from refmeta.meta.task_posterior import entropy, optimal_plans, thompson_sampling
from refmeta.tasks.distributions import GoalGridworlds, RandomMDPs
from refmeta.tasks.planning import optimal_values

__all__ = ["SAMPLE_EFFICIENCY", "SmallReturns", "gridworlds", "random_mdps", "small_gridworlds", "small_returns", "sum_earned"]

GRIDWORLDS, RANDOM_MDPS, SMALL = GoalGridworlds(), RandomMDPs(), GoalGridworlds(size=3, horizon=4)
GRID_SETTINGS = pearl.Settings(gamma=0.95, beta=1e-4, target_entropy=0.5)


def gridworlds(
    rng: Generator, *, tasks: int = 300, iterations: int = 20, family: GoalGridworlds = GRIDWORLDS, horizon: int = 40
) -> ExperimentPart:
    """Goal gridworlds with goals that are held out, and exact Bayes over all goals."""
    families = goal_families(family, rng)
    acting, few = Acting(families.training, horizon, 0.95, 20.0), len(families.held_out.cells)
    options = {"tasks": 60, "horizon": horizon, "updates": 60, "iterations": iterations}
    agent = trained_agent(families.training, rng, settings=GRID_SETTINGS, latent=6, **options)
    held_out, every = families.held_out.sample(tasks, rng).support, goal_tasks(family).mdp
    returns, starts, ours = learner_returns(held_out, agent, acting, rng, noise=1e-2, iterations=3 * iterations)
    exact = thompson_sampling(held_out, every, optimal_plans(every), episodes=EPISODES, horizon=horizon, rng=rng)
    best = float(np.mean(optimal_values(held_out.mdp).best_return))
    rows = {name: mean_returns(row) for name, row in returns.items()}
    rows |= {"exact Bayes, Thompson sampling": mean_returns(exact.returns), "optimum, task known": [best] * len(HEADS)}
    rows["entropy of PEARL's belief"] = ours
    rows["entropy of exact Bayes"] = [float(np.mean(entropy(p))) for p in exact.beliefs]
    title = f"Goal gridworlds, {family.size} x {family.size}, episodes of {horizon} steps"
    unit = "mean exact return: 0.95^(moves - 1) at the goal"
    table = NumberTable(f"{title}: {tasks} tasks with held-out goals", f"{unit}; entropies in nats", CORNER, HEADS, rows)
    own, texts = own_step_sizes(starts, acting, families.held_out, rng, tasks=5 * tasks, unit=unit)
    about = (
        families.about,
        "PEARL acts on one draw of z per episode, and has learned by acting in 60 tasks with goals of the training. With another "
        "task's context it explores as much, but learns nothing about its own task. The learned model looks for the goal where "
        "its prior, fitted on 100 such tasks, still promises one: this prior is the same for all cells.",
        f"Exact Bayes is told all {every.shape[0]} tasks, the {few} held-out ones among them, and how to act in each: a yardstick, "
        "and no rival of those who were trained on others. PEARL's belief is a "
        "density over 6 variables, whose entropy may be negative; only how the two entropies fall can be compared.",
    )
    return ExperimentPart((table, own), (episode_curves(title, unit, rows, best),), (*texts, *about))


def random_mdps(rng: Generator, *, tasks: int = 300, iterations: int = 12, family: RandomMDPs = RANDOM_MDPS) -> ExperimentPart:
    """Random MDPs, of which there are too many for exact Bayes."""
    settings = pearl.Settings(gamma=0.9, beta=1e-3, target_entropy=float(np.log(family.actions)) / 2)
    options = {"tasks": 300, "horizon": family.horizon, "context": 60, "iterations": iterations}
    agent = trained_agent(family, rng, settings=settings, latent=30, **options)
    held_out, acting = family.sample(tasks, rng).support, Acting(family, family.horizon, 1.0, 10.0)
    noise = family.reward_noise**2
    returns, starts, ours = learner_returns(held_out, agent, acting, rng, noise=noise, iterations=3 * iterations)
    best = float(np.mean(optimal_values(held_out.mdp).best_return))
    rows = {name: mean_returns(row) for name, row in returns.items()}
    rows |= {"optimum, task known": [best] * len(HEADS), "entropy of PEARL's belief": ours}
    title = f"Random MDPs after RL^2, episodes of {family.horizon} steps"
    unit = f"mean exact return: sum of {family.horizon} expected rewards"
    table = NumberTable(f"{title}: {tasks} held-out tasks", f"{unit}; entropy in nats", CORNER, HEADS, rows)
    own, texts = own_step_sizes(starts, acting, family, rng, tasks=5 * tasks, unit=unit)
    about = (
        "No start has anything to gain before it adapts. The learned model is told that processes are Markov and rewards "
        "Gaussian, PEARL is not: it has to learn from 300 other tasks what a transition says of all the rest.",
    )
    return ExperimentPart((table, own), (episode_curves(title, unit, rows, best),), (*texts, *about))


class SmallReturns(NamedTuple):
    """The returns (E + 1, N) of every learner, every goal `repeats` times in turn; the starts of REINFORCE, and how it acts."""

    learners: dict[str, Array]
    starts: dict[str, Array]
    acting: Acting


def small_returns(rng: Generator, family: GoalGridworlds, *, repeats: int, iterations: int) -> SmallReturns:
    """Every learner in every goal of a small grid; all goals occur in the training, too."""
    horizon = family.horizon or 10
    acting, every = Acting(family, horizon, family.gamma, 20.0), goal_tasks(family)
    options = {"tasks": 40, "horizon": horizon, "updates": 60, "iterations": iterations}
    agent = trained_agent(family, rng, settings=GRID_SETTINGS, latent=4, **options)
    task = family.tasks(np.tile(family.cells, repeats))
    learners, starts, _ = learner_returns(task, agent, acting, rng, noise=1e-2, iterations=6 * iterations)
    plans = optimal_plans(goal_tasks(family, forever=True).mdp)
    exact = thompson_sampling(task, every.mdp, plans, episodes=EPISODES, horizon=horizon, rng=rng)
    return SmallReturns(learners | {"exact Bayes, Thompson sampling": exact.returns}, starts, acting)


def small_gridworlds(
    rng: Generator, *, repeats: int = 40, iterations: int = 10, family: GoalGridworlds = SMALL
) -> ExperimentPart:
    """Gridworlds so small that the best learner of all can be computed."""
    learners, starts, acting = small_returns(rng, family, repeats=repeats, iterations=iterations)
    every = goal_tasks(family)
    rows = {name: [*mean_returns(each), float(np.mean(sum_earned(name, each)))] for name, each in learners.items()}
    bounds = bayes_rows(every.mdp, episodes=EPISODES + 1)
    best = float(np.mean(optimal_values(every.mdp).best_return))
    rows |= bounds | {"optimum, task known": [best] * len(HEADS) + [best * len(HEADS)]}
    title, goals = f"Goal gridworlds, {family.size} x {family.size}, episodes of {acting.horizon} steps", every.shape[0]
    unit = "mean exact return: 0.95^(moves - 1) at the goal"
    table = NumberTable(f"{title}: {goals} goals, {repeats} times each", unit, CORNER, (*HEADS, "sum"), rows)
    own, texts = own_step_sizes(starts, acting, family, rng, tasks=goals * repeats * 5, unit=unit)
    about = (
        f"No goal is held out here: the optimum is that of a learner who knows all {goals} goals, and training meets them all, "
        "too. What is new in a task is only which of them it has.",
    )
    return ExperimentPart((table, own), (episode_curves(title, unit, rows, best),), (*about, *_bound_texts(rows, bounds), *texts))


def sum_earned(name: str, returns: Array) -> Array:
    """What a learner earns in all episodes; one that uses REINFORCE acts by its start until it has all EPISODES episodes."""
    return EPISODES * returns[0] + returns[-1] if name.startswith("REINFORCE") else np.sum(returns, axis=0)


def _bound_texts(rows: dict[str, list[float]], bounds: dict[str, list[float]]) -> tuple[str, ...]:
    """What the two optima are, and how far the best learner is from them."""
    learners = [name for name in rows if name not in bounds and not name.startswith("optimum")]
    most, last = (max(learners, key=lambda name: rows[name][i]) for i in (-1, -2))
    whole, final = bounds.values()
    return (
        "The Bayes-adaptive optimum knows the goals that there can be, but not which one it is; it explores on purpose, and "
        "nobody earns more on average in the six episodes together, which is the last column. The row below it is what can "
        "be earned at most in the episode of one column, if all earlier ones are given to exploration alone. A learner's "
        "entry is a mean over random episodes, so it may be a little above the bound by chance.",
        f"Of the learners, {most} earns most in six episodes: {rows[most][-1]:.3f} of {whole[-1]:.3f}. "
        f"After five episodes {last} is best: {rows[last][-2]:.3f} of {final[-2]:.3f}.",
        "The sum of a row with REINFORCE is that of five episodes by the start and one after the step.",
    )


SAMPLE_EFFICIENCY = Experiment(
    "sample-efficiency",
    "Return against episodes of experience",
    "An agent in a task that it has never seen can only try things. How much does it earn after one, two, … five episodes, "
    "and how much could it earn at best? The learners: one step of REINFORCE from a trained start; posterior sampling "
    "with PEARL; planning in a learned model; exact Bayes. In the smallest tasks the best possible learner is computed.",
    "how much experience the training needed; what deep networks would do; what tuning PEARL or the model would bring. "
    "PEARL is trained for seconds. One seed trains one learner of each kind, --seed shows how much that matters.",
    {"small-gridworlds": small_gridworlds, "gridworlds": gridworlds, "random-mdps": random_mdps},
)
