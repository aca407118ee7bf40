"""x of every step as implementations compute it, with its slopes and their change along v.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.surrogates.densities import densities
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.oracle.suites.surrogates.readings import READINGS
from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.policies.softmax import TabularSoftmax

__all__ = ["H", "MASKS", "PLACE", "Jets", "jets", "log_ratios", "mask_of", "orders"]

H = 1e-30
ORDER, LOG_PI, READ, RATIO = "order of theta", "log pi", "a step is read with", "log ratio"
MASK, EPISODES, DENOMINATORS, PLACE = "mask", "trajectories used", "denominators", "evaluated at"


def _earlier(m: Array) -> Array:
    """The mask of the next step."""
    return np.concatenate([m[..., 1:], 0 * m[..., :1]], axis=-1)


def _from(m: Array, first: int, last: int | None = None) -> Array:
    """The mask of some steps of every trajectory."""
    kept = np.zeros(m.shape[-1], bool)
    kept[first:last] = True
    return m & kept


MASKS: dict[str, Callable[[Array], Array]] = {
    "ignored": np.ones_like,
    "early": _earlier,
    "early, H kept": lambda m: np.concatenate([m[..., 1:], m[..., -1:]], axis=-1),
    "late": lambda m: np.concatenate([0 * m[..., :1] + 1, m[..., :-1]], axis=-1),
    "without step H": lambda m: _from(m, 0, m.shape[-1] - 1) if m.shape[-1] > 1 else m,
    "without the first step": lambda m: _from(m, 1) if m.shape[-1] > 1 else m,
    "first step": lambda m: _from(m, 0, 1), "last step": lambda m: m & ~_earlier(m).astype(bool),
    "first trajectory's": lambda m: 0 * m + m[:, :1], "last trajectory's": lambda m: 0 * m + m[:, -1:], "first task's": lambda m: 0 * m + m[:1],
    "shortest": lambda m: 0 * m + np.all(m, axis=1, keepdims=True),
    "that do not end early": lambda m: m & np.all(m, axis=-1, keepdims=True), "that end early": lambda m: m & ~np.all(m, axis=-1, keepdims=True),
}  # fmt: skip
TRAJECTORIES: dict[str, Callable[[Array, int], Array]] = {
    "but the last": lambda m, M: m < max(M - 1, 1), "but the first": lambda m, M: (m > 0) | (M == 1), "the first": lambda m, M: m == 0,
    "the last": lambda m, M: m == M - 1, "the first half": lambda m, M: m < (M + 1) // 2, "every second": lambda m, M: m % 2 == 0,
}  # fmt: skip


class Jets(NamedTuple):
    """x (N, M, H), its slopes in θ (N, M, H, d), its slope along v (N, M, H), and the change of the slopes along v."""

    x: Array
    slopes: Array
    along: Array
    bend: Array


def mask_of(problem: Batches, point: Point) -> Array:
    """The steps that are counted."""
    mask = np.asarray(problem.trajectories.mask, bool)
    mask = MASKS[point[MASK]](mask).astype(bool) if point.get(MASK) in MASKS else mask
    if name := point.get(EPISODES, ("",))[0]:
        M = mask.shape[1]
        mask = mask & TRAJECTORIES[name](np.arange(M), M)[:, None]
    return mask


def jets(problem: Batches, point: Point) -> Jets:
    """x and its derivatives, remembered for the choices that they depend on."""
    start = "theta_sampled" if PLACE in point else "theta"
    of = "theta" if point.get(PLACE) == "exchanged" else "theta_sampled"
    reading = point.get(ORDER, ""), point.get(LOG_PI, "own"), point.get(READ, "own")
    j = _jets(problem, point.get(MASK, ""), point.get(EPISODES, ("",)), (start, of), reading, point.get(DENOMINATORS, "held"))
    return _changed(j, mask_of(problem, point), point[RATIO]) if RATIO in point else j


@lru_cache(maxsize=4096)
def _jets(problem: Batches, mask: Any, episodes: Any, places: tuple[str, str], reading: tuple[Any, ...], denominators: str) -> Jets:
    """x_t = ln π − ln π_sampled, or what stands instead of it."""
    m = mask_of(problem, {MASK: mask, EPISODES: episodes})[..., None]
    logs, slopes = _log_prob(problem, places[0], reading)
    one = -1.0 if denominators == "upside down" else 1.0
    x, J = logs.real, slopes.real
    if denominators == "follow":
        x = 0 * x
    elif denominators == "even":
        x = x + np.log(problem.policy.actions)
    elif denominators == "left out with the constant":
        x = x + (problem.policy.actions * np.log(2 * np.pi) / 2 if isinstance(problem.policy, LinearGaussian) else 0.0)
    elif denominators != "left out":
        x = x - _log_prob(problem, places[1], reading)[0].real
    return Jets(np.where(m[..., 0], one * x, 0.0), one * J * m, one * (J @ problem.v) * m[..., 0], one * slopes.imag / H * m)


@lru_cache(maxsize=1024)
def _log_prob(problem: Batches, start: str, reading: tuple[Any, ...]) -> tuple[Array, Array]:
    """ln π (N, M, H) and its slopes (N, M, H, d) at θ + ihv: the imaginary parts are their changes along v."""
    order, kind, read = reading
    place = orders(problem).get(order, np.arange(len(problem.theta)))
    theta = (getattr(problem, start) + 1j * H * problem.v)[place]
    policy, (s, a, _, _) = problem.policy, problem.trajectories
    s, a = READINGS[read](np.asarray(s), np.asarray(a), policy.states, policy.actions)
    logs, slopes = densities(policy, theta, s, a, kind)
    back = np.empty_like(slopes)
    back[..., place] = slopes
    return logs, back


def log_ratios(problem: Batches, point: Point, held: str) -> tuple[Array, Array]:
    """ln π less that of other parameters, by their name, and its slopes, 0 after the end."""
    start = "theta_sampled" if PLACE in point else "theta"
    reading = point.get(ORDER, ""), point.get(LOG_PI, "own"), point.get(READ, "own")
    logs, slopes = _log_prob(problem, start, reading)
    y = logs.real - _log_prob(problem, held, reading)[0].real if held else logs.real
    m = mask_of(problem, point)
    return np.where(m, y, 0.0), slopes.real * m[..., None]


def _changed(j: Jets, mask: Array, how: Any) -> Jets:
    """x clamped, times a number, or less the logarithm of a mean of ratios."""
    name, number = how if isinstance(how, tuple) else (how, 0.0)
    if name == "times":
        return Jets(*(number * y for y in j))
    if name in ("clamped", "clamped above"):
        low = -number if name == "clamped" else -np.inf
        inside = (j.x >= low) & (j.x <= number)
        return Jets(np.clip(j.x, low, number), *(y * inside.reshape(inside.shape + (1,) * (y.ndim - 3)) for y in j[1:]))
    axis = {"each step": (1,), "padded": (1,), "task": (1, 2), "trajectory": (2,), "centred": (1, 2)}[name]
    p = (mask | (name == "padded")) * (1.0 if name == "centred" else np.exp(j.x))
    total = np.sum(p, axis=axis, keepdims=True)
    count = np.sum(mask | (name == "padded"), axis=axis, keepdims=True)
    p = np.where(total > 0, p / np.where(total > 0, total, 1.0), 0.0)
    mean = np.sum(p * j.x, axis=axis, keepdims=True) if name == "centred" else np.log(np.where(total > 0, total / np.maximum(count, 1), 1.0))
    turn = 0 * p if name == "centred" else p * (j.along - np.sum(p * j.along, axis=axis, keepdims=True))
    of: Callable[[Array, Array], Array] = lambda weight, y: np.sum(weight[..., None] * y, axis=axis, keepdims=True)
    along = j.along - np.sum(p * j.along, axis=axis, keepdims=True)
    moved = Jets(j.x - mean, j.slopes - of(p, j.slopes), along, j.bend - of(p, j.bend) - of(turn, j.slopes))
    return Jets(*(y * mask.reshape(mask.shape + (1,) * (y.ndim - 3)) for y in moved))


def orders(problem: Batches) -> dict[str, Array]:
    """Other orders of θ, by name: where each entry of ours stands in them."""
    policy = problem.policy
    if isinstance(policy, TabularSoftmax):
        return {"(A, S)": np.arange(policy.dim).reshape(policy.actions, policy.states).T.ravel(), "reversed": np.arange(policy.dim)[::-1]}
    if isinstance(policy, LinearGaussian):
        n, m = policy.states, policy.actions
        gains = np.arange(n * m).reshape(n, m).T.ravel()
        logs = np.arange(n * m, policy.dim)
        return {"(A, S)": np.append(gains, logs), "sigma first": np.append(m + np.arange(n * m), np.arange(m))}
    return {}
