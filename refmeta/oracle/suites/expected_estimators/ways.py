"""Every way to adapt on sampled trajectories, by enumeration, where a point departs from what is right.

Derivation: derivations/sampled-meta-gradients.md
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.expected_estimators.problem import Expectations
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.oracle.suites.surrogates.variants import Term, sums, terms
from refmeta.sampling.enumeration import paths
from refmeta.sampling.likelihood import Likelihood, likelihood_at
from refmeta.sampling.trajectories import Trajectories
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

__all__ = [
    "FORWARD", "OF_SURROGATES", "Draws", "InnerStep", "Ways", "draws", "end_point", "outer_loss", "step_count", "step_size", "subset",
    "undiscounted", "ways",
]  # fmt: skip

OF_SURROGATES = ("discount", "over time", "over trajectories", "return", "baseline", "advantages", "sums")
FORWARD = (*OF_SURROGATES, "surrogate", "later trajectories", "episodes", "alpha", "steps")
MOST = 10**5


class Draws(NamedTuple):
    """The batches from which an inner step may be made: tuples (n, M, H), their weights (n,), and the sums of a surrogate."""

    trajectories: Trajectories
    weight: Array
    terms: list[Term]
    scale: float


class InnerStep(NamedTuple):
    """An inner step: ln π of its batches at its θ, the surrogate's sums, their slopes in ln π, and the score of the batches."""

    like: Likelihood
    drawn: Draws
    slope: Array
    score: Array


class Ways(NamedTuple):
    """Every way to adapt: its probability, its steps, and φ."""

    p: Array
    steps: tuple[InnerStep, ...]
    phi: Array


def subset(point: Point, names: tuple[str, ...]) -> tuple[tuple[str, Any], ...]:
    """What of a point concerns some choices, to be remembered."""
    return tuple((name, point[name]) for name in names if name in point)


@lru_cache(maxsize=256)
def draws(problem: Expectations, i: int, M: int, name: str, departures: tuple[tuple[str, Any], ...]) -> Draws:
    """All tuples of M trajectories of a task, and the sums of a surrogate on each."""
    task, point = problem.tasks[i], dict(departures)
    batches, weights = zip(*paths(task.mdp, tuples_of=M).batches(M), strict=True)
    batch, weight = Trajectories(*map(np.concatenate, zip(*batches, strict=True))), np.concatenate(weights)
    case = Batches(problem.theta, problem.theta, task.policy, batch, np.zeros(batch.mask.shape), at_most_one(task.mdp.gamma), 1.0, problem.v)
    return Draws(batch, weight, terms(name, case, point), 1.0 if "over trajectories" in point else 1 / M)


@lru_cache(maxsize=64)
def ways(problem: Expectations, i: int, departures: tuple[tuple[str, Any], ...]) -> Ways:
    """Every way to adapt; the tuples of step k are along axis k."""
    task, point = problem.tasks[i], dict(departures)
    K, M = step_count(problem, point), 1 if "episodes" in point else problem.episodes
    drawn = draws(problem, i, M, point.get("surrogate", "reinforce"), subset(point, OF_SURROGATES))
    reused = point.get("later trajectories") == "reused"
    axes = min(K, 1) if reused else K
    if len(drawn.weight) ** axes > MOST:
        raise ValueError("too many ways to adapt")
    theta, p = problem.theta.reshape((1,) * axes + (-1,)), np.ones((1,) * axes)
    steps: list[InnerStep] = []
    for k in range(K):
        at = _along(drawn, 0 if reused else k, axes)
        like = likelihood_at(task.policy, theta, at.trajectories)
        if k == 0 or not reused:
            p = p * at.weight * np.exp(np.sum(like.log_prob, axis=(-2, -1)))
        _, slope, _ = sums(at.terms, 0 * like.log_prob, 0 * like.log_prob)
        steps.append(InnerStep(like, at, slope, like.pull(np.ones(at.trajectories.mask.shape))))
        theta = theta + step_size(problem, point) * at.scale * like.pull(slope)
    return Ways(p, tuple(steps), theta)


def _along(drawn: Draws, k: int, axes: int) -> Draws:
    """The batches along axis k of several."""
    later = (1,) * (axes - 1 - k)
    shaped: Callable[[Array], Array] = lambda x: x.reshape(len(x), *later, *x.shape[1:])
    each = [(shaped(w), C, link) for w, C, link in drawn.terms]
    return drawn._replace(trajectories=Trajectories(*map(shaped, drawn.trajectories)), weight=shaped(drawn.weight), terms=each)


@lru_cache(maxsize=64)
def end_point(problem: Expectations, i: int, departures: tuple[tuple[str, Any], ...], loss: str) -> Any:
    """The loss after adaptation at every φ."""
    return outer_loss(problem.tasks[i], loss).at(ways(problem, i, departures).phi)


def outer_loss(task: PolicyReturn, loss: str) -> PolicyReturn:
    """The loss after adaptation."""
    return undiscounted(task) if loss == "undiscounted" else task


@lru_cache(maxsize=64)
def undiscounted(task: PolicyReturn) -> PolicyReturn:
    """The same process with γ = 1."""
    return PolicyReturn(FiniteMDP(task.mdp.P, task.mdp.R, task.mdp.rho, 1.0, task.mdp.horizon), task.policy)


def step_count(problem: Expectations, point: Point) -> int:
    """K, or how many steps are taken instead."""
    return {"K + 1": problem.steps + 1, "K - 1": max(problem.steps - 1, 0)}.get(point.get("steps", ""), problem.steps)


def step_size(problem: Expectations, point: Point) -> float:
    """α, or what is used instead of it."""
    alpha = problem.alpha
    return {"squared": alpha**2, "negative": -alpha, "half": alpha / 2, "double": 2 * alpha, "over M": alpha / problem.episodes}.get(
        point.get("alpha", ""), alpha
    )
