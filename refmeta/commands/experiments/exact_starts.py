"""Tasks on which the best start of MAML is computed exactly, since the training objective is a quadratic.

Derivation: derivations/best-possible.md
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.commands.experiments.starts import mean_loss
from refmeta.meta import maml, sensitivity
from refmeta.meta.loop import sum_over_tasks
from refmeta.tasks.distributions import RadialSinusoids, Split
from refmeta.tasks.quadratic import Quadratic
from refmeta.tasks.regression import LinearRegression

__all__ = ["TaskSets", "Valleys", "maml_start", "noisy", "sampled_tasks", "sinusoids"]


@dataclass(frozen=True)
class Valleys:
    """L(θ) = Σ aⱼ(θⱼ − cⱼ)²/2 with aⱼ ~ U[¼, 2] and cⱼ = aⱼ + 0.3 N(0, 1): the minimum depends on the curvature.

    If they were independent, MAML and joint training would have the same best start.
    """

    dim: int = 3

    def sample(self, n: int, rng: Generator) -> Split:
        """n tasks; nothing is sampled in a task, so the query is the support."""
        a = rng.uniform(0.25, 2.0, (n, self.dim))
        return Split(Quadratic(a[..., None] * np.eye(self.dim), a + 0.3 * rng.normal(size=a.shape)))


class TaskSets(NamedTuple):
    """Training tasks, held-out tasks, the start of joint training, and what the best parameters of each task cost."""

    training: Split
    held_out: Split
    joint: Array
    optimum: float

    def start(self, alpha: float, steps: int = 1) -> Array:
        """MAML's start: the exact minimum of the training objective, which is a quadratic here."""
        return maml_start(self.training, alpha, steps)

    def value(self, theta: Array, alpha: float, steps: int = 1) -> float:
        """The mean query loss of the held-out tasks after adaptation."""
        return mean_loss(theta, self.held_out, alpha=alpha, steps=steps)


def maml_start(training: Split, alpha: float, steps: int) -> Array:
    """argmin Σᵢ Fᵢ(θ); with no step it is joint training."""
    slope = lambda t: sum_over_tasks(maml.gradient(t, *training, alpha=alpha, steps=steps))
    return sensitivity.minimiser(np.zeros(training.support.dim), slope)


def sampled_tasks(family: Any, rng: Generator, tasks: int) -> TaskSets:
    """`tasks` training tasks and five times as many held-out ones."""
    training, held_out = family.sample(tasks, rng), family.sample(5 * tasks, rng)
    query = held_out.query
    if query is None:
        return TaskSets(training, held_out, maml_start(training, 0.0, 0), 0.0)
    best = [np.linalg.lstsq(X, y, rcond=None)[0] for X, y in zip(query.X, query.y, strict=True)]
    return TaskSets(training, held_out, maml_start(training, 0.0, 0), float(np.mean(query.at(np.stack(best)).loss)))


def noisy(tasks: Split, rng: Generator, deviation: float) -> Split:
    """Regression tasks with noise in the outputs of the support; what the query asks for has none."""
    X, y = tasks.support.X, tasks.support.y
    return Split(LinearRegression(X, y + deviation * rng.normal(size=y.shape)), tasks.query)


def sinusoids() -> RadialSinusoids:
    """Regression that each task can fit well, with a query of 50 points."""
    return RadialSinusoids(query_shots=50)
