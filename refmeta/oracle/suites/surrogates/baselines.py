"""Baselines of every step, as implementations compute them.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.oracle.suites.surrogates.rewards import following
from refmeta.policies.linear_gaussian import LinearGaussian

__all__ = ["BASELINES", "Read", "baseline"]


class Read(NamedTuple):
    """What a baseline is made of: what is given, the return and the mask (N, M, H), γ, the problem, and a number."""

    given: Array
    R: Array
    mask: Array
    gamma: float
    problem: Batches
    number: float = 0.0


def _mean(s: Read, axis: Any, padded: bool = False, of: str = "R") -> Array:
    """The mean over the steps taken, or over all."""
    x = getattr(s, of) * s.mask
    n = np.sum(np.ones_like(x) if padded else s.mask, axis=axis, keepdims=True)
    return 0 * x + np.sum(x, axis=axis, keepdims=True) / np.maximum(n, 1)


def _others(s: Read, axis: Any, padded: bool = False) -> Array:
    """The mean of the others."""
    x = s.R * s.mask
    n = np.sum(np.ones_like(x) if padded else s.mask, axis=axis, keepdims=True)
    return (np.sum(x, axis=axis, keepdims=True) - x) / np.maximum(n - 1, 1)


def _running(s: Read, padded: bool) -> Array:
    """A moving average of the mean returns of the tasks before, kept with a number; 0 at first."""
    means, kept, out = _mean(s, (1, 2), padded), 0.0, 0 * s.R
    for i, mean in enumerate(means[:, 0, 0]):
        out[i] = kept
        kept = s.number * kept + (1 - s.number) * mean
    return out


def _of_state(s: Read) -> Array:
    """The mean return of the steps of a task's batch in the same state; of each its own where states are rows of numbers."""
    if isinstance(s.problem.policy, LinearGaussian):
        return s.given
    states, out = np.asarray(s.problem.trajectories.states), 0 * s.R
    for i in range(len(out)):
        for state in range(s.problem.policy.states):
            here = (states[i] == state) & s.mask[i].astype(bool)
            if np.any(here):
                out[i][here] = np.mean(s.R[i][here])
    return out


def _fitted(s: Read, powers: int) -> Array:
    """The least-squares fit of the returns by powers of t over a task's batch."""
    t, out = np.arange(s.R.shape[-1]) + 0 * s.mask[0], 0 * s.R
    for i, m in enumerate(s.mask.astype(bool)):
        X = np.stack([(1.0 * t) ** k for k in range(powers)], axis=-1)
        out[i] = X @ np.linalg.lstsq(X[m], s.R[i][m], rcond=None)[0]
    return out


def _last(s: Read) -> Array:
    """The baseline of the last step of each trajectory."""
    last = np.maximum(np.sum(s.mask, axis=-1, keepdims=True) - 1, 0).astype(int)
    return 0 * s.given + np.take_along_axis(s.given, last, axis=-1)


BASELINES: dict[str, Callable[[Read], Any]] = {
    "given": lambda s: s.given, "none": lambda s: 0 * s.given, "twice": lambda s: 2 * s.given, "added": lambda s: -s.given,
    "half": lambda s: s.given / 2, "times": lambda s: s.number * s.given, "plus": lambda s: s.given + s.number, "absolute": lambda s: np.abs(s.given),
    "mean of each step": lambda s: _mean(s, 1, True), "mean": lambda s: _mean(s, (1, 2)), "padded mean": lambda s: _mean(s, (1, 2), True),
    "mean of the living": lambda s: _mean(s, 1), "mean of each trajectory": lambda s: _mean(s, 2), "mean of all": lambda s: _mean(s, (0, 1, 2)),
    "mean of each step in all": lambda s: _mean(s, (0, 1), True), "mean of each step over tasks": lambda s: _mean(s, (0,), True),
    "mean of first steps": lambda s: _mean(s, 1, True)[..., :1] + 0 * s.R, "median": lambda s: 0 * s.R + np.median(s.R, axis=1, keepdims=True),
    "largest": lambda s: 0 * s.R + np.max(s.R, axis=1, keepdims=True), "first trajectory's return": lambda s: 0 * s.R + s.R[:, :1],
    "leave one out": lambda s: _others(s, 1, True), "leave one out of the living": lambda s: _others(s, 1), "leave one out of all": lambda s: _others(s, (1, 2)),
    "leave one out of the trajectory": lambda s: _others(s, 2), "mean of each state": lambda s: _of_state(s),
    "fitted line": lambda s: _fitted(s, 2), "fitted square": lambda s: _fitted(s, 3),
    "of the next step": lambda s: following(s.given), "next times gamma": lambda s: s.gamma * following(s.given), "of the step before": lambda s: np.concatenate([0 * s.given[..., :1], s.given[..., :-1]], axis=-1),
    "of the first step": lambda s: 0 * s.given + s.given[..., :1], "of the last step": _last, "of step H": lambda s: 0 * s.given + s.given[..., -1:],
    "mean over time": lambda s: _mean(s, 2, False, "given"), "mean over trajectories": lambda s: _mean(s, 1, False, "given"),
    "mean of the given": lambda s: _mean(s, (1, 2), False, "given"), "next trajectory's": lambda s: np.roll(s.given, -1, axis=1),
    "first trajectory's": lambda s: 0 * s.given + s.given[:, :1], "first task's": lambda s: 0 * s.given + s.given[:1],
    "discounted once more": lambda s: s.gamma ** np.arange(s.R.shape[-1]) * s.given, "times gamma": lambda s: s.gamma * s.given,
    "undiscounted": lambda s: s.given / np.where(s.gamma > 0, s.gamma, 1.0) ** np.arange(s.R.shape[-1]),
    "around": lambda s: np.roll(s.given, 1, axis=-1), "around, next": lambda s: np.roll(s.given, -1, axis=-1),
    "reversed": lambda s: s.given[..., ::-1], "running": lambda s: _running(s, False), "running, padded": lambda s: _running(s, True),
    "plus running": lambda s: s.given + _running(s, False), "plus running, padded": lambda s: s.given + _running(s, True),
}  # fmt: skip


def baseline(kind: Any, given: Array, R: Array, mask: Array, gamma: float, problem: Batches) -> Array:
    """The baseline of each step, (N, M, H), 0 where none was taken."""
    name, number = kind if isinstance(kind, tuple) else (kind, 0.0)
    return np.asarray(BASELINES[name](Read(given, R, mask, gamma, problem, number))) * mask
