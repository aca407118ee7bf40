"""Two bandits with three arms: the tasks on which the estimators of the meta-gradient are compared in training.

Derivation: derivations/sampled-meta-gradients.md
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.commands.experiments.record import Curves, ExperimentPart, NumberTable, named_numbers
from refmeta.meta import bayes_adaptive, sampled
from refmeta.meta.maml import MAML
from refmeta.meta.sampled_maml import DICE, EMAML, Curvature, EpisodeEstimator, ProMP, SampledMAML
from refmeta.meta.train import SGD, Iteration, Rule, meta_train
from refmeta.policies import TabularSoftmax
from refmeta.sampling.surrogates import reinforce
from refmeta.tasks.distributions import Split
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

__all__ = [
    "ALPHA", "EPISODES", "START", "Training", "TwoBandits", "bayes_bound", "each_bandit", "learning_curves", "mean_return",
    "training", "trainings", "two_bandits",
]  # fmt: skip

START = np.array([0.3, 0.0, 0.6])  # it favours arm 3
ALPHA, EPISODES, BETA, BATCH = 6.0, 2, 0.1, 20


def two_bandits() -> PolicyReturn:
    """Two tasks with three arms: each has a good arm of its own, and the third arm pays something in both."""
    rewards = np.array([[[1.0, 0.0, 0.4]], [[0.0, 1.0, 0.4]]])
    return PolicyReturn(FiniteMDP(np.ones((2, 1, 3, 1)), rewards, np.ones(1), 0.5, 1), TabularSoftmax(1, 3))


def each_bandit() -> tuple[PolicyReturn, ...]:
    """The tasks of the batch one by one: an enumeration takes one task."""
    tasks = two_bandits()
    return tuple(tasks[i] for i in range(*tasks.shape))


def mean_return(theta: Array, alpha: float, episodes: int) -> float:
    """The return after sampled adaptation, the mean of the two tasks."""
    size: dict[str, Any] = {"alpha": alpha, "episodes": episodes}
    return -float(np.mean([sampled.formulation_sampled(theta, task, **size).objective for task in each_bandit()]))


def bayes_bound(episodes: int) -> float:
    """What can be earned at most in one episode after `episodes` others, when the two tasks are equally likely."""
    return bayes_adaptive.optimum(two_bandits().mdp, episodes=episodes + 1, weights=np.eye(episodes + 1)[-1]).value


class TwoBandits:
    """The family of the two tasks, each with probability ½."""

    def sample(self, n: int, rng: Generator) -> Split:
        """n tasks."""
        tasks, which = two_bandits(), rng.integers(2, size=n)
        mdp = tasks.mdp
        return Split(PolicyReturn(FiniteMDP(mdp.P[which], mdp.R[which], mdp.rho, mdp.gamma, mdp.horizon), tasks.policy))


class Training(NamedTuple):
    """A rule and the step size of SGD along its direction."""

    rule: Rule
    beta: float


def trainings() -> dict[str, Training]:
    """Exact MAML, and the estimators that see nothing but episodes; ProMP makes two steps of half the size on each batch.

    Episodes have one step here, and there LVC is DiCE.
    """
    estimators: dict[str, EpisodeEstimator] = {"E-MAML": EMAML, "DiCE": DICE, "score term dropped": Curvature(reinforce)}
    rows = {name: Training(SampledMAML(ALPHA, e, EPISODES), BETA) for name, e in estimators.items()}
    promp = Training(SampledMAML(ALPHA, ProMP(BETA / 2, epochs=2), EPISODES), BETA / 2)
    return {"exact MAML": Training(MAML(ALPHA), BETA)} | rows | {"ProMP": promp}


def learning_curves(training: Training, *, seeds: Sequence[int], iterations: int, every: int) -> Array:
    """`mean_return` before training and after `every`, 2 `every`, … iterations; one row per seed."""
    rows: list[list[float]] = []
    fixed: dict[str, Any] = {"outer": SGD(training.beta), "iterations": iterations, "batch": BATCH}
    for seed in seeds:
        returns = [mean_return(START, ALPHA, EPISODES)]

        def watch(at: Iteration, returns: list[float] = returns) -> None:
            if at.done % every == 0:
                returns.append(mean_return(at.theta, ALPHA, EPISODES))

        meta_train(TwoBandits(), START, rule=training.rule, rng=seed, callback=watch, **fixed)
        rows.append(returns)
    return np.array(rows)


def training(rng: Generator, *, seeds: int = 3, iterations: int = 60) -> ExperimentPart:
    """The same tasks, and rules that see nothing but episodes, beside MAML with exact gradients."""
    every, starts = iterations // 6, [int(seed) for seed in rng.integers(2**63, size=seeds)]
    found = {name: learning_curves(each, seeds=starts, iterations=iterations, every=every) for name, each in trainings().items()}
    lines = {name: [float(x) for x in np.mean(curves, axis=0)] for name, curves in found.items()}
    last = {name: line[-1] for name, line in lines.items()}
    spread = {name: float(np.ptp(curves[:, -1])) for name, curves in found.items()}
    rows = {name: [*line[::2], spread[name]] for name, line in lines.items()}
    title = f"Two bandits with three arms: training on episodes, alpha = {ALPHA:g}, M = {EPISODES}"
    unit = f"mean return after one sampled step, mean of {seeds} seeds; spread: largest less smallest at the end"
    heads = (*(f"{i * every} iterations" for i in range(0, 7, 2)), "spread")
    x = [float(i * every) for i in range(7)]
    curves = Curves("Two bandits: training on episodes", "iterations", "mean return after adaptation", x, lines)
    return ExperimentPart((NumberTable(title, unit, "rule", heads, rows),), (curves,), (
        f"After {iterations} iterations: {named_numbers(last)}. Every rule but exact MAML sees {EPISODES} episodes before the "
        f"inner step and {EPISODES} after it, in each of 20 tasks.",
        f"The largest spread over the seeds is that of {max(spread, key=lambda name: spread[name])}. Exact MAML draws tasks, "
        "and no episodes.",
        "Episodes of these bandits have one step, and there LVC is DiCE. E-MAML alone has no bias for the return that is "
        "shown. What is dropped in 'score term dropped' is what tells the start that its episodes were informative.",
    ))  # fmt: skip
