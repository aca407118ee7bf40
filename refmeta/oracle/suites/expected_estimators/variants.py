"""Sampled meta-gradients and expected Hessians with some departures, by enumeration.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.expected_estimators.problem import SURROGATES, Expectations
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.oracle.suites.surrogates.variants import Term, concerned, sums, terms
from refmeta.sampling.enumeration import paths
from refmeta.sampling.likelihood import Likelihood, likelihood_at
from refmeta.sampling.trajectories import Trajectories, discounts
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["OF_ADAPTATION", "OF_SAMPLES", "OF_SURROGATES", "variant"]

OF_SURROGATES = ("discount", "over time", "over trajectories", "return", "baseline", "advantages", "statistics", "epsilon", "sums")
OF_SAMPLES = ("score term", "value of the score term", "later trajectories", "episodes")
OF_ADAPTATION = ("curvature", "alpha of the curvature", "alpha", "steps", "evaluated at", "loss")
FORWARD = (*OF_SURROGATES, "surrogate", "later trajectories", "episodes", "alpha", "steps")
MOST = 10**5


class Drawn(NamedTuple):
    """The batches from which an inner step may be made: tuples (n, M, H), their weights (n,), and the sums of a surrogate."""

    trajectories: Trajectories
    weight: Array
    terms: list[Term]
    scale: float


class Step(NamedTuple):
    """An inner step: ln π of its batches at its θ, the surrogate's sums, their slopes in ln π, and the score of the batches."""

    like: Likelihood
    drawn: Drawn
    slope: Array
    score: Array


class Adapted(NamedTuple):
    """Every way to adapt: its probability, its steps, and φ."""

    p: Array
    steps: tuple[Step, ...]
    phi: Array


def variant(part: str, problem: Expectations, point: Point) -> Array | None:
    """A part where a point departs from what is right, one row per task."""
    if not _concerned(part, problem, point):
        return None
    try:
        rows = [_row(part, problem, i, point) for i in range(len(problem.tasks))]
    except ValueError:  # numbers that are not finite, or too many ways to adapt
        return None
    scale = (1 / len(rows) if "over tasks" in point else 1.0) * (-1.0 if "sign" in point else 1.0)
    return scale * np.stack(rows)


def _concerned(part: str, problem: Expectations, point: Point) -> bool:
    """Does every departure of the point change this part, whatever the case?"""
    own = SURROGATES[part].__name__ if part in SURROGATES else "reinforce" if part == "formulation_sampled" else ""
    name = point.get("surrogate", own)
    here: tuple[str, ...] = ("surrogate", "over tasks", "sign")
    here += OF_SURROGATES if own else ()
    here += ("product",) if part in SURROGATES else OF_ADAPTATION
    here += OF_SAMPLES if part == "formulation_sampled" else ()
    if not set(point) <= set(here) or "surrogate" in point and (name == own or point.get("curvature") == "none" and not own):
        return False
    if "value of the score term" in point and point.get("score term") == "dropped":
        return False
    return not own or concerned(name, name, "hvp", {key: x for key, x in point.items() if key in OF_SURROGATES})


def _row(part: str, problem: Expectations, i: int, point: Point) -> Array:
    """The part of one task."""
    if part in SURROGATES:
        name = point.get("surrogate", SURROGATES[part].__name__)
        return _expected_product(name, problem, i, problem.theta, problem.v, point)
    if part == "formulation_exact":
        return _exact(problem, i, point)
    return _sampled(problem, i, point)


def _subset(point: Point, names: tuple[str, ...]) -> tuple[tuple[str, Any], ...]:
    """What of a point concerns some choices, to be remembered."""
    return tuple((name, point[name]) for name in names if name in point)


@lru_cache(maxsize=256)
def _drawn(problem: Expectations, i: int, M: int, name: str, departures: tuple[tuple[str, Any], ...]) -> Drawn:
    """All tuples of M trajectories of a task, and the sums of a surrogate on each."""
    task, point = problem.tasks[i], dict(departures)
    batches, weights = zip(*paths(task.mdp, tuples_of=M).batches(M), strict=True)
    batch, weight = Trajectories(*map(np.concatenate, zip(*batches, strict=True))), np.concatenate(weights)
    case = Batches(problem.theta, problem.theta, task.policy, batch, np.zeros(batch.mask.shape), at_most_one(task.mdp.gamma), 1.0, problem.v)
    return Drawn(batch, weight, terms(name, case, point), 1.0 if "over trajectories" in point else 1 / M)


def _expected_product(name: str, problem: Expectations, i: int, theta: Array, u: Array, point: Point) -> Array:
    """E[∇²L̂ u] of a surrogate on a batch that was drawn at θ; a batch of M where its steps depend on each other."""
    M = problem.episodes if {"advantages", "baseline", "over trajectories"} & set(point) else 1
    drawn = _drawn(problem, i, M, name, _subset(point, OF_SURROGATES))
    like = likelihood_at(problem.tasks[i].policy, theta, drawn.trajectories)
    p = drawn.weight * np.exp(np.sum(like.log_prob, axis=(-2, -1)))
    _, slope, bent = sums(drawn.terms, 0 * like.log_prob, like.along(u))
    kind = point.get("product", "exact")
    if kind == "fisher":
        return p @ (drawn.scale * like.pull(like.along(u)))
    rows = like.pull(bent) * (kind != "inner") + like.curve(slope, u) * (kind != "outer")
    return -drawn.scale * (p @ rows)


def _exact(problem: Expectations, i: int, point: Point) -> Array:
    """The gradient of L(φ), φ adapted by exact gradients."""
    task, theta, path = problem.tasks[i], problem.theta, []
    alpha = _alpha(problem, point)
    for _ in range(_steps(problem, point)):
        path.append(theta)
        theta = theta - alpha * task.at(theta).grad
    u = _outer(task, point.get("loss", "")).at(problem.theta if "evaluated at" in point else theta).grad
    for k in reversed(range(len(path))):
        name = point.get("surrogate")
        Hu = task.at(path[k]).hvp(u) if name is None else _expected_product(name, problem, i, path[k], u, {})
        u = u - _factor(problem, point, k, len(path)) * Hu
    return u


def _sampled(problem: Expectations, i: int, point: Point) -> Array:
    """The gradient of E[L(φ)], φ adapted on M trajectories."""
    task, way = problem.tasks[i], _adapted(problem, i, _subset(point, FORWARD))
    end = _end(problem, i, _subset(point, FORWARD), point.get("loss", ""))
    u = end.grad if "evaluated at" not in point else _outer(task, point.get("loss", "")).at(problem.theta).grad + 0 * way.phi
    for k in reversed(range(len(way.steps))):
        like, drawn, slope, _ = way.steps[k]
        _, _, bent = sums(drawn.terms, 0 * like.log_prob, like.along(u))
        Hu = -drawn.scale * (like.pull(bent) + like.curve(slope, u))
        score = _score(problem, point, k, len(way.steps)) if k == 0 or "later trajectories" not in point else 0.0
        u = u - _factor(problem, point, k, len(way.steps)) * Hu + score * _score_term(end, way.steps[k], task, point)
    return np.asarray(np.sum(way.p[..., None] * u, axis=tuple(range(way.p.ndim))))


@lru_cache(maxsize=64)
def _adapted(problem: Expectations, i: int, departures: tuple[tuple[str, Any], ...]) -> Adapted:
    """Every way to adapt; the tuples of step k are along axis k."""
    task, point = problem.tasks[i], dict(departures)
    K, M = _steps(problem, point), 1 if "episodes" in point else problem.episodes
    drawn = _drawn(problem, i, M, point.get("surrogate", "reinforce"), _subset(point, OF_SURROGATES))
    reused = point.get("later trajectories") == "reused"
    axes = min(K, 1) if reused else K
    if len(drawn.weight) ** axes > MOST:
        raise ValueError("too many ways to adapt")
    theta, p = problem.theta.reshape((1,) * axes + (-1,)), np.ones((1,) * axes)
    steps: list[Step] = []
    for k in range(K):
        at = _along(drawn, 0 if reused else k, axes)
        like = likelihood_at(task.policy, theta, at.trajectories)
        if k == 0 or not reused:
            p = p * at.weight * np.exp(np.sum(like.log_prob, axis=(-2, -1)))
        _, slope, _ = sums(at.terms, 0 * like.log_prob, 0 * like.log_prob)
        steps.append(Step(like, at, slope, like.pull(np.ones(at.trajectories.mask.shape))))
        theta = theta + _alpha(problem, point) * at.scale * like.pull(slope)
    return Adapted(p, tuple(steps), theta)


def _along(drawn: Drawn, k: int, axes: int) -> Drawn:
    """The batches along axis k of several."""
    later = (1,) * (axes - 1 - k)
    shaped: Callable[[Array], Array] = lambda x: x.reshape(len(x), *later, *x.shape[1:])
    each = [(shaped(w), C, link) for w, C, link in drawn.terms]
    return drawn._replace(trajectories=Trajectories(*map(shaped, drawn.trajectories)), weight=shaped(drawn.weight), terms=each)


@lru_cache(maxsize=64)
def _end(problem: Expectations, i: int, departures: tuple[tuple[str, Any], ...], loss: str) -> Any:
    """The loss after adaptation at every φ."""
    return _outer(problem.tasks[i], loss).at(_adapted(problem, i, departures).phi)


def _outer(task: PolicyReturn, loss: str) -> PolicyReturn:
    """The loss after adaptation."""
    return _undiscounted(task) if loss == "undiscounted" else task


@lru_cache(maxsize=64)
def _undiscounted(task: PolicyReturn) -> PolicyReturn:
    """The same process with γ = 1."""
    return PolicyReturn(FiniteMDP(task.mdp.P, task.mdp.R, task.mdp.rho, 1.0, task.mdp.horizon), task.policy)


def _steps(problem: Expectations, point: Point) -> int:
    """K, or how many steps are taken instead."""
    return {"K + 1": problem.steps + 1, "K - 1": max(problem.steps - 1, 0)}.get(point.get("steps", ""), problem.steps)


def _alpha(problem: Expectations, point: Point) -> float:
    """α, or what is used instead of it."""
    alpha = problem.alpha
    return {"squared": alpha**2, "negative": -alpha, "half": alpha / 2, "double": 2 * alpha, "over M": alpha / problem.episodes}.get(
        point.get("alpha", ""), alpha
    )


def _factor(problem: Expectations, point: Point, k: int, K: int) -> float:
    """What multiplies the Hessian product of step k of K."""
    alpha = _alpha(problem, point)
    alpha = {"one": 1.0, "squared": alpha**2, "negative": -alpha}.get(point.get("alpha of the curvature", ""), alpha)
    kept = {"none": False, "first": k == 0, "last": k == K - 1}.get(point.get("curvature", ""), True)
    return alpha * kept


def _score(problem: Expectations, point: Point, k: int, K: int) -> float:
    """What multiplies the score term of step k of K."""
    M, H = problem.episodes, problem.tasks[0].mdp.horizon or 1
    factors = {
        "dropped": 0.0, "alpha": problem.alpha, "over M": 1 / M, "over M H": 1 / (M * H), "first": float(k == 0), "last": float(k == K - 1),
        "negative": -1.0, "twice": 2.0,
    }  # fmt: skip
    return factors.get(point.get("score term", ""), 1.0)


def _score_term(end: Any, step: Step, task: PolicyReturn, point: Point) -> Array:
    """The score of a batch times the loss after adaptation, or what is used instead of it."""
    kind, batch, value = point.get("value of the score term", ""), step.drawn.trajectories, end.loss
    M, H = batch.mask.shape[-2:]
    if kind == "batch":
        value = -np.sum(discounts(batch.mask, at_most_one(task.mdp.gamma)) * batch.rewards, axis=(-2, -1)) / M
    elif kind == "mean reward":
        value = _undiscounted(task).at(end.theta).loss / H
    return np.asarray(value[..., None] * step.score)
