"""`python -m refmeta experiment estimators`: bias and deviation of sampled meta-gradients, enumerated exactly.

Derivation: derivations/sampled-meta-gradients.md
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.commands.bias.blocks import Block, blocks
from refmeta.commands.bias.estimators import ESTIMATORS, Estimator
from refmeta.commands.bias.processes import read_process
from refmeta.commands.experiments.record import (
    NOTHING_RANDOM,
    Curves,
    Experiment,
    ExperimentPart,
    NumberTable,
    difference_text,
    named_numbers,
)
from refmeta.commands.experiments.two_bandits import (
    START,
    bayes_bound,
    each_bandit,
    mean_return,
    training,
)
from refmeta.meta import sampled
from refmeta.tables import count_text
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["ESTIMATORS_EXPERIMENT", "against_alpha", "against_episodes", "joint_estimator", "learning", "learning_curve"]

NAMES = ("e-maml", "score-term-dropped", "first-order", "dice", "loaded-dice, exact V")
UNIT = "in % of |∇II|; bias: of the mean estimate; dev.: √tr Cov of one estimate"
PROCESS = "two-state"


def _percents(block: Block) -> dict[str, list[float]]:
    """Bias and deviation of the chosen estimators for ∇II, in percent of its length."""
    size, rows = float(np.linalg.norm(block.sampled)), {row.estimator.name: row.sampled for row in block.rows}
    return {name: [100 * rows[name].norm / size, 100 * rows[name].deviation / size] for name in NAMES}


def _against(
    title: str, symbol: str, settings: Sequence[float], every: Sequence[Block], shown: Sequence[float]
) -> tuple[NumberTable, tuple[Curves, ...]]:
    """Bias and deviation of every estimator along one setting: a table of some of its values, and two sets of curves."""
    percents = [_percents(block) for block in every]
    some = [each for x, each in zip(settings, percents, strict=True) if x in shown]
    rows = {name: [x for each in some for x in each[name]] for name in NAMES}
    heads = tuple(f"{symbol} = {x:g}\n{what}" for x in shown for what in ("bias", "dev."))
    table = NumberTable(title, UNIT, "estimator", heads, rows, (".2f", ".0f") * len(shown))
    kinds = (("bias", 0), ("deviation of one estimate", 1))
    lines = [{name: [each[name][i] for each in percents] for name in NAMES} for _, i in kinds]
    lines[0] = {name: line for name, line in lines[0].items() if max(line) > 1e-8}
    label = "step size alpha" if symbol == "α" else "trajectories per step M"
    pairs = zip(kinds, lines, strict=True)
    return table, tuple(Curves(f"{title}: {kind}", label, "% of the gradient", list(settings), each, log="xy") for (kind, _), each in pairs)


def against_alpha(
    rng: Generator, alphas: Sequence[float] = (0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0), episodes: int = 2
) -> ExperimentPart:
    """α: one inner step on two trajectories."""
    task, theta = read_process(PROCESS)
    every = list(blocks(task, theta, steps=[1], episodes=[episodes], alphas=alphas))
    title = f"The step size: process {PROCESS}, one step on M = {episodes} trajectories"
    table, curves = _against(title, "α", alphas, every, alphas[-5::2])
    return ExperimentPart((table,), curves, (*_bias_texts(table, "alpha"), _power_text(curves[0]), NOTHING_RANDOM))


def _power_text(curves: Curves) -> str:
    """By which power of α the bias grows, from the two smallest α."""
    ratio = np.log(curves.x[1] / curves.x[0])
    powers = {name: float(np.log(line[1] / line[0]) / ratio) for name, line in curves.lines.items()}
    return (
        f"Between alpha = {curves.x[0]:g} and {curves.x[1]:g} the bias grows as this power of alpha: "
        f"{named_numbers(powers, '.2f')}."
    )


def against_episodes(rng: Generator, counts: Sequence[int] = (1, 2, 3), alpha: float = 0.5) -> ExperimentPart:
    """M: one inner step on more and more trajectories."""
    task, theta = read_process(PROCESS)
    every = list(blocks(task, theta, steps=[1], episodes=list(counts), alphas=[alpha]))
    title = f"The number of trajectories: process {PROCESS}, one step, α = {alpha:g}"
    table, curves = _against(title, "M", counts, every, counts)
    distances = {f"M = {M}": _distance(block) for M, block in zip(counts, every, strict=True)}
    first, last = (curves[1].lines["e-maml"][i] for i in (0, -1))
    return ExperimentPart((table,), curves, (
        *_bias_texts(table, "M"),
        f"The deviation of e-maml is {first:.0f} % with M = {counts[0]} and {last:.0f} % with M = {counts[-1]}: its score "
        "term is a sum over all trajectories.",
        "∇I, the gradient with exact adaptation, is another goal than ∇II, with adaptation on M trajectories. Their "
        f"distance in % of ∇II: {named_numbers(distances, '.1f')}.",
        NOTHING_RANDOM,
    ))  # fmt: skip


def _distance(block: Block) -> float:
    """|∇I − ∇II| in percent of |∇II|."""
    return 100 * float(np.linalg.norm(block.exact - block.sampled) / np.linalg.norm(block.sampled))


def _bias_texts(table: NumberTable, symbol: str) -> tuple[str, ...]:
    """Which estimators have no bias, and which has the largest."""
    none = [name for name in NAMES if max(table.rows[name][::2]) < 1e-8]
    most = max((max(row[::2]), name) for name, row in table.rows.items())
    return (
        f"At every {symbol} of the table these have no bias for ∇II, up to rounding: {', '.join(none) or 'none'}.",
        f"The largest bias of the table is that of {most[1]}: {most[0]:.1f} %.",
        "The deviation falls when independent estimates are averaged: four of them halve it. The bias stays, however many "
        "are averaged.",
    )


def joint_estimator() -> Estimator:
    """Joint training as a row: the exact gradient of the return before adaptation."""
    return Estimator("joint training", "", ESTIMATORS[0].make, lambda task, theta, surrogates, alpha: np.array(task.at(theta).grad))


def _mean_estimate(e: Estimator, task: PolicyReturn, theta: Array, alpha: float, episodes: int) -> Array:
    """The exact mean of an estimator in one task."""
    estimate = lambda x, surrogates: e.estimate(task, x, surrogates, alpha)
    make = lambda x, batch: e.make(task, x, batch)
    return sampled.moments(estimate, make, theta, task, alpha=alpha, episodes=episodes, steps=1).mean


def learning_curve(
    e: Estimator, *, alpha: float, episodes: int, beta: float, iterations: int
) -> tuple[list[float], Array]:
    """The mean return after sampled adaptation along θ ← θ − β Σ E[estimate], and the last θ; the start favours arm 3."""
    theta, returns = START, []
    for _ in range(iterations + 1):
        returns.append(mean_return(theta, alpha, episodes))
        estimates = [_mean_estimate(e, task, theta, alpha, episodes) for task in each_bandit()]
        theta = theta - beta * np.sum(estimates, axis=0)
    return returns, theta


def learning(rng: Generator, *, alpha: float = 6.0, episodes: int = 2, beta: float = 2.0, iterations: int = 40) -> ExperimentPart:
    """What the bias does to training: the exact mean of each estimator is followed, so that no curve is the luck of a sample."""
    known = {e.name: e for e in ESTIMATORS}
    chosen = [joint_estimator(), *(known[name] for name in ("first-order", "score-term-dropped", "e-maml"))]
    size: dict[str, Any] = {"alpha": alpha, "episodes": episodes, "beta": beta, "iterations": iterations}
    lines = {e.name: learning_curve(e, **size)[0] for e in chosen}
    zeros = mean_return(np.zeros(3), alpha, episodes)
    lines = {"no training": [lines["e-maml"][0]] * (iterations + 1)} | lines
    bound = bayes_bound(episodes)
    shown = [0, iterations // 6, iterations // 3, iterations]
    rows = {name: [line[i] for i in shown] for name, line in lines.items()} | {"zeros": [zeros] * 4, "Bayes-adaptive optimum": [bound] * 4}
    title = f"Two bandits with three arms: training along the exact mean of an estimator, alpha = {alpha:g}, M = {episodes}"
    unit = "mean return after one sampled step; rewards (1, 0, 0.4) and (0, 1, 0.4)"
    table = NumberTable(title, unit, "direction", tuple(f"{i} iterations" for i in shown), rows)
    levels = {"zeros": zeros, "Bayes-adaptive optimum": bound}
    curves = Curves("Two bandits: training along an estimator's mean", "iterations", "mean return after adaptation", [float(i) for i in range(iterations + 1)], lines, levels)
    last = {name: line[-1] for name, line in lines.items()}
    return ExperimentPart((table,), (curves,), (
        f"After {iterations} iterations: {named_numbers(last)}. Zeros, untrained: {zeros:.3f}.",
        "Against e-maml, the one without bias: "
        + ", ".join(f"{name} {difference_text(value, last['e-maml'])}" for name, value in last.items() if name != "e-maml")
        + ". The score term of e-maml credits the start with what its own episodes find out.",
        f"The optimum is what the best learner earns after {count_text(episodes, 'episode')} of exploration: {bound:.3f}.",
        NOTHING_RANDOM,
    ))  # fmt: skip


ESTIMATORS_EXPERIMENT = Experiment(
    "estimators",
    "Estimators of the meta-gradient: bias, deviation, and what they do to training",
    "MAML with samples needs the gradient of the return after adaptation, and adaptation itself is random. Several "
    "estimators are in use; some leave out a term. How wrong are they on average, how much do they scatter, and does "
    "training with them end where it should?",
    "what happens in large tasks: all trajectories of tiny processes are enumerated, which is why nothing is random in the "
    "first three parts. There the gradient after the adaptation is exact, and only the inner batch is sampled. In the part "
    "training everything is sampled but the return that is shown.",
    {"step-size": against_alpha, "trajectories": against_episodes, "learning": learning, "training": training},
)
