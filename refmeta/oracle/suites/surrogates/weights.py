"""What stands before the ratio of each step, as implementations compute it.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.surrogates.jets import mask_of
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.sampling.returns import discounted_sum

__all__ = ["DICE", "advantages", "own_return"]

DICE = ("dice", "tmaml")
READ = ("mask", "return", "discount", "baseline", "baseline's place", "advantages", "over time")
AXES: dict[str, Any] = {"all tasks": (0, 1, 2), "trajectory": (2,), "each step": (1,)}


def advantages(name: str, problem: Batches, point: Point) -> tuple[Array, Array, Array]:
    """The weights of the ratios, those of a control variate, and the mask; (N, M, H) each."""
    return _advantages(name in DICE, problem, tuple((key, point[key]) for key in READ if key in point))


@lru_cache(maxsize=4096)
def _advantages(boxed: bool, problem: Batches, departures: tuple[tuple[str, Any], ...]) -> tuple[Array, Array, Array]:
    """The same, of surrogates with a magic box or without, to be remembered."""
    point, name = dict(departures), DICE[0] if boxed else ""
    mask = mask_of(problem, point.get("mask", "kept"))
    shown = mask | (point.get("mask") == "rewards")
    gamma = at_most_one(problem.gamma)
    rewards, given = (np.where(m, x, 0.0) for m, x in ((shown, problem.trajectories.rewards), (mask, problem.baseline)))
    R = _returns(point.get("return", own_return(name)), rewards, given, gamma, problem.lam)
    before, after = _discounts(point, gamma, mask.shape[-1])
    b = _baseline(point.get("baseline", "given"), given, R, mask)
    shift = b if not boxed or point.get("baseline's place") == "inside" else 0.0
    kind, *how = point.get("advantages", ("as they are",))
    A = before * R if kind.startswith("return") else before * R - shift
    A = A if kind == "as they are" else _normalised(A, mask, kind, *how)
    A = A - shift if kind.startswith("return") else A
    with np.errstate(all="ignore"):
        each = after * _over_time(point.get("over time", "sum"), mask) * mask
        return each * A, each * b, mask


def own_return(name: str) -> str:
    """The return that a surrogate multiplies ratios with, by itself."""
    return "reward" if name in DICE else "to go"


def _discounts(point: Point, gamma: float, H: int) -> tuple[Array, Array]:
    """What multiplies the return before the baseline is subtracted, and the difference after that."""
    t, kind = np.arange(H), point.get("discount", "kept")
    if kind == "on the return":
        return gamma**t, 1.0 + 0 * t
    dropped = kind == "dropped" or point.get("return") == "whole alone"
    powers = {"squared": 2 * t, "one more": t + 1}
    return 1.0 + 0 * t, 1.0 + 0 * t if dropped else gamma ** powers.get(kind, t)


def _returns(kind: str, r: Array, b: Array, gamma: float, lam: float) -> Array:
    """The return of each step, (N, M, H)."""
    t, G = np.arange(r.shape[-1]), discounted_sum(r, gamma)
    following = np.concatenate([b[..., 1:], 0 * b[..., :1]], axis=-1)
    if kind.startswith("whole"):
        return 0 * r + np.sum(gamma**t * r if kind != "whole undiscounted" else r, axis=-1, keepdims=True)
    if kind == "gae":
        return b + discounted_sum(r + gamma * following - b, gamma * lam)
    others: dict[str, Callable[[], Array]] = {
        "to go": lambda: G, "reward": lambda: r, "from the start": lambda: discounted_sum(gamma**t * r, 1.0),
        "undiscounted": lambda: discounted_sum(r, 1.0), "after": lambda: G - r,
        "next": lambda: np.concatenate([G[..., 1:], 0 * G[..., :1]], axis=-1), "one step": lambda: r + gamma * following,
        "past": lambda: discounted_sum(r[..., ::-1], gamma)[..., ::-1], "discounted reward": lambda: gamma**t * r,
    }  # fmt: skip
    return others[kind]()


def _baseline(kind: str, given: Array, R: Array, mask: Array) -> Array:
    """The baseline of each step, (N, M, H)."""
    M, kept = R.shape[1], np.sum(mask, axis=(1, 2), keepdims=True)
    with np.errstate(all="ignore"):
        others: dict[str, Callable[[], Any]] = {
            "given": lambda: given, "none": lambda: 0 * given, "twice": lambda: 2 * given, "added": lambda: -given,
            "mean of each step": lambda: np.mean(R * mask, axis=1, keepdims=True) + 0 * R,
            "mean": lambda: np.sum(R * mask, axis=(1, 2), keepdims=True) / kept + 0 * R,
            "leave one out": lambda: (np.sum(R * mask, axis=1, keepdims=True) - R * mask) / np.float64(M - 1),
            "of the next step": lambda: np.concatenate([given[..., 1:], 0 * given[..., :1]], axis=-1),
        }  # fmt: skip
        return np.asarray(others[kind]()) * mask


def _over_time(kind: str, mask: Array) -> Array:
    """1 for a sum over time, or one over a number of steps."""
    steps = np.sum(mask, axis=-1, keepdims=True)
    of = {"steps taken": np.mean(steps, axis=1, keepdims=True), "H": 0 * steps + mask.shape[-1], "own steps": steps}
    return 1 / of[kind] if kind in of else 0 * steps + 1.0


def _normalised(A: Array, mask: Array, kind: str, over: str, epsilon: float) -> Array:
    """The advantages by their mean and deviation; unchanged where one step is all there is."""
    if kind == "positive part":
        return np.maximum(A, 0.0)
    axes, q = AXES.get(over, (1, 2)), np.ones(A.shape) if over == "padding" else mask
    if kind == "shifted":
        return A - np.min(np.where(q, A, np.inf), axis=axes, keepdims=True) + epsilon
    with np.errstate(all="ignore"):
        q = q / np.sum(q, axis=-1, keepdims=True) if over == "means" else q
        n = np.sum(q, axis=axes, keepdims=True)
        centred = A - np.sum(q * A, axis=axes, keepdims=True) / n
        if kind == "centred":
            return centred
        free = n - kind.endswith("1")
        deviation = np.sqrt(np.sum(q * centred**2, axis=axes, keepdims=True) / free)
        scaled = (A if kind.startswith("scaled") else centred) / (deviation + epsilon)
    return np.where(free > 0, scaled, A)
