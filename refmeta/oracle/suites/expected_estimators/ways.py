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
from refmeta.sampling.enumeration import Paths
from refmeta.sampling.likelihood import Likelihood, likelihood_at
from refmeta.sampling.trajectories import Trajectories
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

__all__ = [
    "FORWARD", "OF_SURROGATES", "Draws", "InnerStep", "Ways", "draws", "end_point", "every_path", "outer_loss", "step_count", "step_size", "subset",
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


@lru_cache(maxsize=64)
def every_path(mdp: FiniteMDP) -> Paths:
    """All trajectories of H steps, also through states that are never left and pay nothing: nothing declares an end."""
    s = np.flatnonzero(mdp.rho)
    weight, past, H = mdp.rho[s], np.zeros((len(s), 0, 3)), mdp.horizon or 1
    for t in range(H):
        merged = t == H - 1 and mdp.R.ndim == 2
        P = np.broadcast_to(np.eye(mdp.states)[0], mdp.P[s].shape) if merged else mdp.P[s]
        source, a, following = np.nonzero(P)
        reward = mdp.R[s[source], a] if mdp.R.ndim == 2 else mdp.R[s[source], a, following]
        past = np.concatenate([past[source], np.stack([s[source], a, reward], axis=-1)[:, None]], axis=1)
        weight, s = weight[source] * P[source, a, following], following
    states, actions = (past[..., i].astype(np.intp) for i in (0, 1))
    return Paths(Trajectories(states, actions, past[..., 2], np.ones(states.shape, bool)), weight)


@lru_cache(maxsize=256)
def draws(problem: Expectations, i: int, M: int, name: str, departures: tuple[tuple[str, Any], ...]) -> Draws:
    """All tuples of M trajectories of a task, and the sums of a surrogate on each."""
    task, point = problem.tasks[i], dict(departures)
    batches, weights = zip(*every_path(task.mdp).batches(M), strict=True)
    batch, weight = Trajectories(*map(np.concatenate, zip(*batches, strict=True))), np.concatenate(weights)
    case = Batches(problem.theta, problem.theta, task.policy, batch, np.zeros(batch.mask.shape), at_most_one(task.mdp.gamma), 1.0, problem.v)
    return Draws(batch, weight, terms(name, case, point), 1.0 if "over trajectories" in point else 1 / M)


@lru_cache(maxsize=24)
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
