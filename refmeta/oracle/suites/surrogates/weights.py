"""What stands before the ratio of each step, as implementations compute it.  Derivation: derivations/sampled-meta-gradients.md"""

from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.surrogates.baselines import baseline
from refmeta.oracle.suites.surrogates.jets import mask_of
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.oracle.suites.surrogates.returns import StepRewards, returns
from refmeta.oracle.suites.surrogates.rewards import discounts, rewards
from refmeta.oracle.suites.surrogates.statistics import normalised

__all__ = ["DICE", "advantages", "own_return", "step_weights"]

DICE = ("dice", "tmaml")
READ = (
    "mask", "trajectories used", "rewards", "return", "discount", "baseline", "baseline's place", "advantages", "over time", "over trajectories",
    "over tasks",
)  # fmt: skip


def advantages(name: str, problem: Batches, point: Point) -> tuple[Array, Array, Array]:
    """The weights of the ratios, those of a control variate, and the mask; (N, M, H) each."""
    return _advantages(name in DICE, problem, tuple((key, point[key]) for key in READ if key in point))


@lru_cache(maxsize=4096)
def _advantages(boxed: bool, problem: Batches, departures: tuple[tuple[str, Any], ...]) -> tuple[Array, Array, Array]:
    """The same, of surrogates with a magic box or without, to be remembered."""
    point, name = dict(departures), DICE[0] if boxed else ""
    mask, seen = mask_of(problem, point), point.get("mask", "kept")
    gamma, every = at_most_one(problem.gamma), np.ones_like(mask)
    shown, used = (every if seen in kinds else mask for kinds in (("rewards", "all weights"), ("all weights",)))
    r, given = np.where(shown, problem.trajectories.rewards, 0.0), np.where(used, problem.baseline, 0.0)
    r = rewards(point.get("rewards", ""), r, mask) if "rewards" in point else r
    R = returns(point.get("return", own_return(name)), StepRewards(r, given, mask, gamma, at_most_one(problem.lam)))
    before, after = _discounts(point, gamma, mask)
    counted = every if seen == "all weights" else mask
    b = baseline(point.get("baseline", "given"), given, R, counted, gamma, problem)
    shift = b if not boxed or point.get("baseline's place") == "inside" else 0.0
    kind, *how = point.get("advantages", ("as they are",))
    A = before * R if kind.startswith("return") else before * R - shift
    if kind.startswith("weighted"):
        A, after = after * A, np.ones(1)
    A = A if kind == "as they are" else normalised(A, mask, kind.removeprefix("return "), *how)
    A = A - shift if kind.startswith("return") else A
    with np.errstate(all="ignore"):
        each = after * _over_time(point.get("over time", "sum"), mask) * _over_others(point, mask) * counted
        return each * A, each * b, mask


def step_weights(problem: Batches, point: Point) -> Array:
    """What stands before a function of each step that is no return: γᵗ, and 0 after the end; (N, M, H)."""
    mask = mask_of(problem, point)
    over = _over_time(point.get("over time", "sum"), mask) * _over_others(point, mask)
    return np.asarray(discounts(point.get("discount", "kept"), at_most_one(problem.gamma), mask) * over * mask)


def own_return(name: str) -> str:
    """The return that a surrogate multiplies ratios with, by itself."""
    return "reward" if name in DICE else "to go"


def _discounts(point: Point, gamma: float, mask: Array) -> tuple[Array, Array]:
    """What multiplies the return before the baseline is subtracted, and the difference after that."""
    kind = point.get("discount", "kept")
    one = np.ones(mask.shape[-1])
    if kind == "on the return":
        return discounts("kept", gamma, mask), one
    return one, discounts("dropped" if point.get("return") == "whole alone" else kind, gamma, mask)


def _over_time(kind: str, mask: Array) -> Array:
    """1 for a sum over time, or one over a number of steps."""
    steps = np.sum(mask, axis=-1, keepdims=True)
    of = {
        "steps taken": np.mean(steps, axis=1, keepdims=True), "H": 0 * steps + mask.shape[-1], "own steps": steps,
        "all steps taken": np.mean(steps, keepdims=True) + 0 * steps,
        "steps before": np.arange(1, mask.shape[-1] + 1) + 0 * steps, "steps left": np.maximum(steps - np.arange(mask.shape[-1]), 1),
        "root of the steps": np.sqrt(np.mean(steps, axis=1, keepdims=True)),
    }  # fmt: skip
    return 1 / of[kind] if kind in of else 0 * steps + 1.0


def _over_others(point: Point, mask: Array) -> Array:
    """What multiplies 1/M for another number of trajectories."""
    M, kind = mask.shape[1], point.get("over trajectories", "")
    living, ended = np.sum(mask, axis=1, keepdims=True), np.sum(np.all(mask, axis=-1, keepdims=True), axis=1, keepdims=True)
    of: dict[str, Any] = {"living": np.maximum(living, 1), "M - 1": max(M - 1, 1), "not ended": np.maximum(ended, 1), "root": M**0.5, "M + 1": M + 1}
    used = np.maximum(np.sum(np.any(mask, axis=-1, keepdims=True), axis=1, keepdims=True), 1) if point.get("trajectories used", ("", 0))[-1] else M
    return M / np.asarray(of.get(kind, used), float)
