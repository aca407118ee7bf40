"""`python -m refmeta experiment sample-efficiency`: what a few episodes are worth to each way of adapting."""

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.commands.experiments.bayes_rows import bayes_rows, goal_tasks
from refmeta.commands.experiments.learners import (
    EPISODES,
    Acting,
    after_reinforce,
    by_policy_gradient,
    gradient_starts,
    mean_returns,
    model_rows,
    own_step_size,
    pearl_rows,
    reinforce_batch,
    trained_agent,
)
from refmeta.commands.experiments.record import (
    Curves,
    Experiment,
    ExperimentPart,
    NumberTable,
    difference_text,
    named_numbers,
)
from refmeta.commands.experiments.step_tables import geometric
from refmeta.meta import pearl
from refmeta.meta.task_posterior import entropy, optimal_plans, thompson_sampling
from refmeta.tasks.distributions import GoalGridworlds, RandomMDPs
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.planning import optimal_values

__all__ = ["SAMPLE_EFFICIENCY", "gridworlds", "random_mdps", "small_gridworlds"]

GRIDWORLDS, RANDOM_MDPS, SMALL = GoalGridworlds(), RandomMDPs(), GoalGridworlds(size=3, horizon=4)
GRID_SETTINGS = pearl.Settings(gamma=0.95, beta=1e-4, target_entropy=0.5)
HEADS = tuple(str(n) for n in range(EPISODES + 1))
CORNER = "episodes of experience:"
REINFORCE = "REINFORCE takes one step from a start on the episodes of that start; the starts were trained on exact gradients."


def _learners(
    task: PolicyReturn, agent: pearl.Agent, acting: Acting, rng: Generator, *, noise: float, iterations: int
) -> tuple[dict[str, Array], dict[str, Array], list[float]]:
    """The returns (E + 1, N) of every way of adapting, the starts of REINFORCE, and the entropies of PEARL's belief."""
    rows, ours = pearl_rows(agent, task, acting, rng)
    starts = gradient_starts(acting, rng, iterations=iterations)
    joint = starts.get("joint training", np.zeros(task.dim))
    rows |= model_rows(task, joint, acting, rng, noise=noise, iterations=iterations)
    rows |= {f"REINFORCE, {name}": by_policy_gradient(task, theta, acting, rng) for name, theta in starts.items()}
    return rows, starts, [float(np.mean(q.entropy)) for q in ours.beliefs]


def _own_alphas(starts: dict[str, Array], acting: Acting, rng: Generator, *, tasks: int, unit: str) -> NumberTable:
    """REINFORCE on all EPISODES episodes with the α that is best for each start on as many training tasks."""
    training, task = (acting.family.sample(tasks, rng).support for _ in range(2))
    alphas, rows = geometric(acting.alpha, 1 / 16, 16, 9), {}
    for name, theta in starts.items():
        alpha = own_step_size(training, theta, acting, rng, alphas)
        batch = reinforce_batch(task, theta, acting, rng)
        common, own = (
            after_reinforce(task, theta, batch, acting, alpha=a, episodes=EPISODES) for a in (acting.alpha, alpha)
        )
        rows[name] = [float(np.mean(common)), alpha, float(np.mean(own)), float(np.std(own) / np.sqrt(tasks))]
    title = f"REINFORCE after {EPISODES} episodes with the common alpha and with each start's own: {tasks} other tasks"
    heads = (f"alpha = {acting.alpha:g}", "own alpha", "with its own", "std. error")
    formats = (".3f", ".4g", ".3f", ".3f")
    return NumberTable(title, f"{unit}; own alpha: best on {tasks} training tasks", "start", heads, rows, formats)


def _curves(title: str, unit: str, rows: dict[str, list[float]], optimum: float) -> Curves:
    """Return against episodes of experience."""
    lines = {name: row[: EPISODES + 1] for name, row in rows.items() if not name.startswith(("entropy", "optimum"))}
    x = [float(n) for n in range(EPISODES + 1)]
    return Curves(title, "episodes of experience", unit.partition(":")[0], x, lines, {"optimum, task known": optimum})


def _pretraining_texts(own: NumberTable) -> tuple[str, ...]:
    """What is left of the gain of MAML's start over zeros, with joint training as the rival."""
    names = ("zeros", "joint training", "MAML")
    common, mine = ({name: own.rows[name][i] for name in names} for i in (0, 2))

    def against(values: dict[str, float], name: str) -> str:
        return difference_text(values["MAML"], values[name])

    return (
        f"REINFORCE after {EPISODES} episodes at the common alpha: {named_numbers(common)}. MAML's start against zeros: "
        f"{against(common, 'zeros')}; against joint training's: {against(common, 'joint training')}.",
        f"With each start's own alpha: {named_numbers(mine)}. MAML's start against zeros: {against(mine, 'zeros')}; "
        f"against joint training's: {against(mine, 'joint training')}. The standard error of each mean is in the table.",
        REINFORCE,
    )


def gridworlds(
    rng: Generator, *, tasks: int = 300, iterations: int = 20, family: GoalGridworlds = GRIDWORLDS, horizon: int = 40
) -> ExperimentPart:
    """Goal gridworlds, with exact Bayes over their goals."""
    goals, acting = family.policy.states - 1, Acting(family, horizon, 0.95, 20.0)
    options = {"tasks": 60, "horizon": horizon, "updates": 60, "iterations": iterations}
    agent = trained_agent(family, rng, settings=GRID_SETTINGS, latent=6, **options)
    held_out, every = family.sample(tasks, rng).support, family.tasks(np.arange(1, goals + 1)).mdp
    returns, starts, ours = _learners(held_out, agent, acting, rng, noise=1e-2, iterations=3 * iterations)
    exact = thompson_sampling(held_out, every, optimal_plans(every), episodes=EPISODES, horizon=horizon, rng=rng)
    best = float(np.mean(optimal_values(held_out.mdp).best_return))
    rows = {name: mean_returns(row) for name, row in returns.items()}
    rows |= {"exact Bayes, Thompson sampling": mean_returns(exact.returns), "optimum, task known": [best] * len(HEADS)}
    rows["entropy of PEARL's belief"] = ours
    rows["entropy of exact Bayes"] = [float(np.mean(entropy(p))) for p in exact.beliefs]
    title, unit = f"Goal gridworlds, 5 x 5, episodes of {horizon} steps", "mean exact return: 0.95^(moves - 1) at the goal"
    title = title.replace("5 x 5", f"{family.size} x {family.size}")
    table = NumberTable(f"{title}: {tasks} held-out tasks", f"{unit}; entropies in nats", CORNER, HEADS, rows)
    own = _own_alphas(starts, acting, rng, tasks=5 * tasks, unit=unit)
    about = (
        "PEARL acts on one draw of z per episode, and has learned by acting in 60 other tasks. With another task's "
        "context it explores as much and learns nothing. The learned model looks for the goal where its prior, fitted on "
        "100 other tasks, still promises one.",
        f"Exact Bayes is told the {goals} tasks and how to act in each: a yardstick, not a bound. PEARL's belief is a "
        "density over 6 variables, whose entropy may be negative; only how the two entropies fall can be compared.",
    )
    return ExperimentPart((table, own), (_curves(title, unit, rows, best),), (*_pretraining_texts(own), *about))


def random_mdps(rng: Generator, *, tasks: int = 300, iterations: int = 12, family: RandomMDPs = RANDOM_MDPS) -> ExperimentPart:
    """Random MDPs, of which there are too many for exact Bayes."""
    settings = pearl.Settings(gamma=0.9, beta=1e-3, target_entropy=float(np.log(family.actions)) / 2)
    options = {"tasks": 300, "horizon": family.horizon, "context": 60, "iterations": iterations}
    agent = trained_agent(family, rng, settings=settings, latent=30, **options)
    held_out, acting = family.sample(tasks, rng).support, Acting(family, family.horizon, 1.0, 10.0)
    noise = family.reward_noise**2
    returns, starts, ours = _learners(held_out, agent, acting, rng, noise=noise, iterations=3 * iterations)
    best = float(np.mean(optimal_values(held_out.mdp).best_return))
    rows = {name: mean_returns(row) for name, row in returns.items()}
    rows |= {"optimum, task known": [best] * len(HEADS), "entropy of PEARL's belief": ours}
    title = f"Random MDPs after RL^2, episodes of {family.horizon} steps"
    unit = f"mean exact return: sum of {family.horizon} expected rewards"
    table = NumberTable(f"{title}: {tasks} held-out tasks", f"{unit}; entropy in nats", CORNER, HEADS, rows)
    own = _own_alphas(starts, acting, rng, tasks=5 * tasks, unit=unit)
    about = (
        "No start has anything to gain before it adapts. The learned model is told that processes are Markov and rewards "
        "Gaussian, PEARL is not: it has to learn from 300 other tasks what a transition says of all the rest.",
    )
    return ExperimentPart((table, own), (_curves(title, unit, rows, best),), (*_pretraining_texts(own), *about))


def small_gridworlds(
    rng: Generator, *, repeats: int = 40, iterations: int = 10, family: GoalGridworlds = SMALL
) -> ExperimentPart:
    """Gridworlds so small that the best learner of all can be computed: every goal is met in training, too."""
    horizon = family.horizon or 10
    acting, every = Acting(family, horizon, family.gamma, 20.0), goal_tasks(family)
    options = {"tasks": 40, "horizon": horizon, "updates": 60, "iterations": iterations}
    agent = trained_agent(family, rng, settings=GRID_SETTINGS, latent=4, **options)
    task = family.tasks(np.tile(np.arange(1, family.size**2), repeats))
    returns, starts, _ = _learners(task, agent, acting, rng, noise=1e-2, iterations=6 * iterations)
    plans = optimal_plans(goal_tasks(family, forever=True).mdp)
    exact = thompson_sampling(task, every.mdp, plans, episodes=EPISODES, horizon=horizon, rng=rng)
    earned = {name: mean_returns(row) for name, row in returns.items()} | {"exact Bayes, Thompson sampling": mean_returns(exact.returns)}
    rows = {name: [*row, _sum_earned(name, row)] for name, row in earned.items()}
    bounds = bayes_rows(every.mdp, episodes=EPISODES + 1)
    best = float(np.mean(optimal_values(every.mdp).best_return))
    rows |= bounds | {"optimum, task known": [best] * len(HEADS) + [best * len(HEADS)]}
    title, goals = f"Goal gridworlds, {family.size} x {family.size}, episodes of {horizon} steps", every.shape[0]
    unit = "mean exact return: 0.95^(moves - 1) at the goal"
    table = NumberTable(f"{title}: {goals} goals, {repeats} times each", unit, CORNER, (*HEADS, "sum"), rows)
    own = _own_alphas(starts, acting, rng, tasks=task.shape[0] * 5, unit=unit)
    return ExperimentPart((table, own), (_curves(title, unit, rows, best),), (*_bound_texts(rows, bounds), *_pretraining_texts(own)))


def _sum_earned(name: str, row: list[float]) -> float:
    """What a learner earns in all episodes; one that uses REINFORCE acts by its start until it has all EPISODES episodes."""
    return EPISODES * row[0] + row[-1] if name.startswith("REINFORCE") else sum(row)


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
