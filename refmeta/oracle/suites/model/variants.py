"""A learned model, its likelihood, and adaptation through it, with some departures.  Derivation: derivations/model-based.md"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.maml import variants as maml
from refmeta.oracle.suites.model.contexts import blend, joint, seen, sequence
from refmeta.oracle.suites.model.problem import ModelProblem
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["OnModel", "adaptation", "variant"]

H = 1e-30
CONTEXT = ("context mask", "context of a task")
TRANSITIONS, REWARDS = "transitions of the model", "rewards of the model"
OF_NEXT, OF_REWARDS, OVER = "likelihood of next states", "likelihood of rewards", "log marginal"
BY, FOLLOWED = "slope of concentration by", "variance followed"
SLOPES = {"concentration_grad": "slopes of concentration in", "reward_variance_grad": "slope of the variance in"}
PARTS = {
    "transition": (TRANSITIONS,), "reward": (REWARDS,), "log_marginal": (OF_NEXT, OF_REWARDS, OVER), "concentration_grad": (OF_NEXT, OVER, BY),
    "reward_mean_grad": (OF_REWARDS, OVER), "reward_variance_grad": (OF_REWARDS, OVER, FOLLOWED),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class OnModel:
    """Where to start (d,), the model as support, the true tasks as query, and how to adapt."""

    theta: Array
    support: PolicyReturn
    query: PolicyReturn
    alpha: Any
    steps: int


def variant(part: str, problem: ModelProblem, point: Point) -> Array | None:
    """A part where a point departs from what is right; None if it is not concerned."""
    if part in ("objective", "gradient"):
        with np.errstate(all="ignore"):
            return _adapted(part, problem, point)
    allowed = (*CONTEXT, *PARTS[part], SLOPES.get(part, ""))
    if any(name not in allowed for name in point):
        return None
    with np.errstate(all="ignore"):
        value = _posterior(problem, point)[part == "reward"] if part in ("transition", "reward") else _likelihood(part, problem, point)
    return np.array(value) if np.isfinite(value).all() else None


def _adapted(part: str, problem: ModelProblem, point: Point) -> Array | None:
    """MAML's objective or gradient, from the model to the true tasks."""
    mine = (*CONTEXT, TRANSITIONS, REWARDS)
    if any(name in (OF_NEXT, OF_REWARDS, OVER, BY, FOLLOWED, *SLOPES.values()) for name in point):
        return None
    learned = adaptation(problem, tuple(point.get(name) for name in mine))
    return None if learned is None else maml.variant(part, learned, {name: value for name, value in point.items() if name not in mine})


@lru_cache(maxsize=512)
def adaptation(problem: ModelProblem, reading: tuple[Any, ...] = (None, None, None, None)) -> OnModel | None:
    """OnModel through the model that a point learns; None if its transitions are not probabilities."""
    names = (*CONTEXT, TRANSITIONS, REWARDS)
    point = {name: value for name, value in zip(names, reading, strict=True) if value is not None}
    with np.errstate(all="ignore"):
        P, R = _posterior(problem, point)
    truth = problem.truth
    try:
        support = replace_fields(truth, mdp=replace_fields(truth.mdp, P=P, R=R))
    except ValueError:
        return None
    return OnModel(problem.theta, support, truth, problem.alpha, problem.steps)


def _posterior(problem: ModelProblem, point: Point) -> tuple[Array, Array]:
    """P = (c + n)/Σ(c + n) and R = (noise·mean + variance·n r̄)/(noise + variance·n), or what is used instead."""
    counts, rewards = seen(problem, tuple(point.get(name) for name in CONTEXT))
    prior, mdp = problem.prior, problem.task.mdp
    total = counts.c + counts.n
    P = point[TRANSITIONS](counts) if TRANSITIONS in point else total / np.sum(total, axis=-1, keepdims=True)
    mean, variance, noise = (np.asarray(x, float) for x in (prior.mean, prior.variance, prior.noise))
    if REWARDS in point:
        return P, point[REWARDS](rewards, mean, variance, noise, mdp.expected_reward)
    return P, blend(rewards.n, rewards.mean, mean, variance, noise)


def _likelihood(part: str, problem: ModelProblem, point: Point) -> Array:
    """The log marginal likelihood, (N,), or its slopes in a leaf of the prior by complex steps."""
    leaf, prior = part.removesuffix("_grad"), problem.prior
    if part == "log_marginal":
        return np.real(_log_marginal(problem, point, *_leaves(problem)))[0]
    value = np.asarray({"concentration": prior.concentration, "reward_mean": prior.mean, "reward_variance": prior.variance}[leaf], float)
    slope = point[SLOPES[part]](value) if SLOPES.get(part) in point else np.ones_like(value) if leaf == "reward_mean" else value
    steps = 1j * H * np.eye(value.size).reshape(-1, *value.shape) * slope
    slopes = np.imag(_log_marginal(problem, point, *_leaves(problem, **{leaf: value + steps}))) / H
    return np.broadcast_to(slopes, (value.size, slopes.shape[-1])).T.reshape(-1, *value.shape)


def _leaves(problem: ModelProblem, **changed: Array) -> tuple[Array, Array, Array, Array]:
    """Concentrations (P, S, A, S), means (P, S, A), variances (P, 1, 1) and the noise; P counts the perturbations."""
    prior, S, A = problem.prior, problem.task.mdp.states, problem.task.mdp.actions
    full = np.broadcast_to(np.asarray(prior.concentration, float), (S, A, S)), np.broadcast_to(np.asarray(prior.mean, float), (S, A))
    c, mean = (changed.get(name, value[None]) for name, value in zip(("concentration", "reward_mean"), full, strict=True))
    variance = changed.get("reward_variance", np.asarray(prior.variance, float).reshape(1))
    return c, mean, variance.reshape(-1, 1, 1), np.asarray(prior.noise, float)


def _log_marginal(problem: ModelProblem, point: Point, c: Array, mean: Array, variance: Array, noise: Array) -> Array:
    """That of the next states and that of the rewards, (P, N)."""
    counts, rewards = seen(problem, tuple(point.get(name) for name in CONTEXT))
    states = point.get(BY, point.get(OF_NEXT, sequence))(c[:, None], counts.n)
    found = point.get(FOLLOWED, point.get(OF_REWARDS, joint))(rewards, mean[:, None], variance[:, None], noise)
    value: Array = np.sum(states, axis=(-2, -1)) + np.sum(found, axis=(-2, -1))
    return point[OVER](value, np.sum(rewards.n, axis=(-2, -1)), rewards) if OVER in point else value
