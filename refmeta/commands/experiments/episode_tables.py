"""Tables of a few episodes: every way of adapting, REINFORCE with its own step sizes, and the curves."""

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.commands.experiments.learners import (
    EPISODES,
    Acting,
    after_reinforce,
    by_policy_gradient,
    gradient_starts,
    model_rows,
    own_step_size,
    pearl_rows,
    reinforce_batch,
)
from refmeta.commands.experiments.record import Curves, NumberTable, difference_text, named_numbers
from refmeta.commands.experiments.step_tables import geometric
from refmeta.meta import pearl
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["CORNER", "HEADS", "episode_curves", "learner_returns", "own_step_sizes", "pretraining_texts"]

HEADS = tuple(str(n) for n in range(EPISODES + 1))
CORNER = "episodes of experience:"
REINFORCE = "REINFORCE takes one step from a start on the episodes of that start; the starts were trained on exact gradients."


def learner_returns(
    task: PolicyReturn, agent: pearl.Agent, acting: Acting, rng: Generator, *, noise: float, iterations: int
) -> tuple[dict[str, Array], dict[str, Array], list[float]]:
    """The returns (E + 1, N) of every way of adapting, the starts of REINFORCE, and the entropies of PEARL's belief."""
    rows, ours = pearl_rows(agent, task, acting, rng)
    starts = gradient_starts(acting, rng, iterations=iterations)
    joint = starts.get("joint training", np.zeros(task.dim))
    rows |= model_rows(task, joint, acting, rng, noise=noise, iterations=iterations)
    rows |= {f"REINFORCE, {name}": by_policy_gradient(task, theta, acting, rng) for name, theta in starts.items()}
    return rows, starts, [float(np.mean(q.entropy)) for q in ours.beliefs]


def own_step_sizes(starts: dict[str, Array], acting: Acting, rng: Generator, *, tasks: int, unit: str) -> NumberTable:
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


def episode_curves(title: str, unit: str, rows: dict[str, list[float]], optimum: float) -> Curves:
    """Return against episodes of experience."""
    lines = {name: row[: EPISODES + 1] for name, row in rows.items() if not name.startswith(("entropy", "optimum"))}
    x = [float(n) for n in range(EPISODES + 1)]
    return Curves(title, "episodes of experience", unit.partition(":")[0], x, lines, {"optimum, task known": optimum})


def pretraining_texts(own: NumberTable) -> tuple[str, ...]:
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
