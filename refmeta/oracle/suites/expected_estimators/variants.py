"""Sampled meta-gradients and expected Hessians with some departures, by enumeration.  Derivation: derivations/sampled-meta-gradients.md"""

from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.expected_estimators.problem import SURROGATES, Expectations
from refmeta.oracle.suites.expected_estimators.ways import (
    FORWARD,
    OF_SURROGATES,
    InnerStep,
    draws,
    end_point,
    outer_loss,
    step_count,
    step_size,
    subset,
    undiscounted,
    ways,
)
from refmeta.oracle.suites.surrogates.variants import concerned, sums
from refmeta.sampling.likelihood import likelihood_at
from refmeta.sampling.trajectories import discounts
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["variant"]

OF_SAMPLES = ("score term", "value of the score term", "later trajectories", "episodes")
OF_ADAPTATION = ("curvature", "alpha of the curvature", "alpha", "steps", "evaluated at", "loss")


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


def _expected_product(name: str, problem: Expectations, i: int, theta: Array, u: Array, point: Point) -> Array:
    """E[∇²L̂ u] of a surrogate on a batch that was drawn at θ; a batch of M where its steps depend on each other."""
    M = problem.episodes if {"advantages", "baseline", "over trajectories", "sums"} & set(point) else 1
    drawn = draws(problem, i, M, name, subset(point, OF_SURROGATES))
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
    alpha = step_size(problem, point)
    for _ in range(step_count(problem, point)):
        path.append(theta)
        theta = theta - alpha * task.at(theta).grad
    u = outer_loss(task, point.get("loss", "")).at(problem.theta if "evaluated at" in point else theta).grad
    for k in reversed(range(len(path))):
        name = point.get("surrogate")
        Hu = task.at(path[k]).hvp(u) if name is None else _expected_product(name, problem, i, path[k], u, {})
        u = u - _factor(problem, point, k, len(path)) * Hu
    return u


def _sampled(problem: Expectations, i: int, point: Point) -> Array:
    """The gradient of E[L(φ)], φ adapted on M trajectories."""
    task, way = problem.tasks[i], ways(problem, i, subset(point, FORWARD))
    end = end_point(problem, i, subset(point, FORWARD), point.get("loss", ""))
    u = end.grad if "evaluated at" not in point else outer_loss(task, point.get("loss", "")).at(problem.theta).grad + 0 * way.phi
    for k in reversed(range(len(way.steps))):
        like, drawn, slope, _ = way.steps[k]
        _, _, bent = sums(drawn.terms, 0 * like.log_prob, like.along(u))
        Hu = -drawn.scale * (like.pull(bent) + like.curve(slope, u))
        score = _score(problem, point, k, len(way.steps)) if k == 0 or "later trajectories" not in point else 0.0
        u = u - _factor(problem, point, k, len(way.steps)) * Hu + score * _score_term(end, way.steps[k], task, point)
    return np.asarray(np.sum(way.p[..., None] * u, axis=tuple(range(way.p.ndim))))


def _factor(problem: Expectations, point: Point, k: int, K: int) -> float:
    """What multiplies the Hessian product of step k of K."""
    alpha = step_size(problem, point)
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


def _score_term(end: Any, step: InnerStep, task: PolicyReturn, point: Point) -> Array:
    """The score of a batch times the loss after adaptation, or what is used instead of it."""
    kind, batch, value = point.get("value of the score term", ""), step.drawn.trajectories, end.loss
    M, H = batch.mask.shape[-2:]
    if kind == "batch":
        value = -np.sum(discounts(batch.mask, at_most_one(task.mdp.gamma)) * batch.rewards, axis=(-2, -1)) / M
    elif kind == "mean reward":
        value = undiscounted(task).at(end.theta).loss / H
    return np.asarray(value[..., None] * step.score)
