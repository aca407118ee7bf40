"""Tables of a few episodes: every way of adapting, REINFORCE with its own step sizes, and the curves."""

from typing import Any

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
from refmeta.commands.experiments.record import AT_END, Curves, NumberTable, is_end, named_numbers, paired_text
from refmeta.commands.experiments.starts import name_in
from refmeta.commands.experiments.step_tables import geometric
from refmeta.meta import pearl
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["CORNER", "HEADS", "episode_curves", "learner_returns", "own_step_sizes"]

HEADS = tuple(str(n) for n in range(EPISODES + 1))
CORNER = "episodes of experience:"
REINFORCE = (
    "REINFORCE takes one step from a start on the episodes of that start. The starts 'E-MAML' and 'LVC' were trained on such "
    f"episodes, {EPISODES} before the step and {EPISODES} after it, and the others on exact gradients."
)


def learner_returns(
    task: PolicyReturn, agent: pearl.Agent, acting: Acting, rng: Generator, *, noise: float, iterations: int
) -> tuple[dict[str, Array], dict[str, Array], list[float]]:
    """The returns (E + 1, N) of every way of adapting, the starts of REINFORCE, and the entropies of PEARL's belief."""
    rows, ours = pearl_rows(agent, task, acting, rng)
    starts = gradient_starts(acting, rng, iterations=iterations)
    joint = starts[name_in(starts, "joint training")]
    rows |= model_rows(task, joint, acting, rng, noise=noise, iterations=iterations)
    rows |= {f"REINFORCE, {name}": by_policy_gradient(task, theta, acting, rng) for name, theta in starts.items()}
    return rows, starts, [float(np.mean(q.entropy)) for q in ours.beliefs]


def own_step_sizes(
    starts: dict[str, Array], acting: Acting, test: Any, rng: Generator, *, tasks: int, unit: str
) -> tuple[NumberTable, tuple[str, ...]]:
    """REINFORCE on all EPISODES episodes of tasks of the family `test`, with the common α and with the one that is best for
    each start on as many training tasks; and what is left of the gain of exact MAML's start.
    """
    training, task = (family.sample(tasks, rng).support for family in (acting.family, test))
    alphas = geometric(acting.alpha, 1 / 16, 16, 9)
    alpha = {name: own_step_size(training, theta, acting, rng, alphas) for name, theta in starts.items()}
    common, own = {}, {}
    for name, theta in starts.items():
        batch = reinforce_batch(task, theta, acting, rng)
        common[name], own[name] = (
            after_reinforce(task, theta, batch, acting, alpha=a, episodes=EPISODES) for a in (acting.alpha, alpha[name])
        )
    rows = {n: [_mean(common[n]), alpha[n], _mean(own[n]), float(np.std(own[n]) / np.sqrt(tasks))] for n in starts}
    title = f"REINFORCE after {EPISODES} episodes with the common alpha and with each start's own: {tasks} tasks drawn anew"
    heads = (f"alpha = {acting.alpha:g}", "own alpha", "with its own", "std. error")
    unit = f"{unit}; own alpha: best on {tasks} training tasks; * {AT_END}"
    ends = {name: [1] for name in starts if is_end(alpha[name], alphas)}
    table = NumberTable(title, unit, "start", heads, rows, (".3f", ".4g", ".3f", ".3f"), ends)
    return table, _pretraining_texts(common, own)


def _mean(values: Array) -> float:
    """The mean over the tasks."""
    return float(np.mean(values))


def episode_curves(title: str, unit: str, rows: dict[str, list[float]], optimum: float) -> Curves:
    """Return against episodes of experience."""
    lines = {name: row[: EPISODES + 1] for name, row in rows.items() if not name.startswith(("entropy", "optimum"))}
    x = [float(n) for n in range(EPISODES + 1)]
    return Curves(title, "episodes of experience", unit.partition(":")[0], x, lines, {"optimum, task known": optimum})


def _pretraining_texts(common: dict[str, Array], own: dict[str, Array]) -> tuple[str, ...]:
    """What is left of the gain of exact MAML's start over zeros, with joint training as the rival; returns of every task."""
    return (
        _against_text(f"REINFORCE after {EPISODES} episodes at the common alpha", common),
        _against_text("With each start's own alpha", own),
        "The standard errors are those of the differences, task by task. A difference below two of them may be chance.",
        REINFORCE,
    )


def _against_text(words: str, returns: dict[str, Array]) -> str:
    """The means of three starts, and exact MAML's against the others'."""
    zeros, joint, maml = (name_in(returns, name) for name in ("zeros", "joint training", "exact MAML"))
    return (
        f"{words}: {named_numbers({name: _mean(returns[name]) for name in (zeros, joint, maml)})}. Exact MAML's start against zeros: "
        f"{paired_text(returns[maml], returns[zeros])}; against joint training's: {paired_text(returns[maml], returns[joint])}."
    )
