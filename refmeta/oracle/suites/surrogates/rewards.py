"""Rewards of every step, and what discounts them, as implementations compute them.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array

__all__ = ["REWARDS", "discounts", "following", "is_last", "rewards"]


def following(x: Array, end: Array | float = 0.0) -> Array:
    """That of the next step; at the last one what is said."""
    return np.concatenate([x[..., 1:], 0 * x[..., :1] + end], axis=-1)


def _before(x: Array) -> Array:
    """That of the step before; 0 at the first."""
    return np.concatenate([0 * x[..., :1], x[..., :-1]], axis=-1)


def is_last(mask: Array) -> Array:
    """The last step of each trajectory."""
    m = mask.astype(bool)
    return m & ~following(mask).astype(bool)


def _spread(r: Array, mask: Array, centre: bool, ddof: int = 0) -> Array:
    """Rewards by their mean and deviation over the steps taken by a task."""
    n = np.sum(mask, axis=(1, 2), keepdims=True)
    off = (r - np.sum(r, axis=(1, 2), keepdims=True) / n) * mask
    deviation = np.sqrt(np.sum(off**2, axis=(1, 2), keepdims=True) / np.maximum(n - ddof, 1))
    return (off if centre else r) / (deviation + 1e-8)


REWARDS: dict[str, Callable[[Array, Array, float], Array]] = {
    "next": lambda r, m, c: following(r), "before": lambda r, m, c: _before(r) * m, "reversed": lambda r, m, c: r[..., ::-1],
    "around": lambda r, m, c: np.roll(r, 1, axis=-1) * m, "around, next": lambda r, m, c: np.roll(r, -1, axis=-1) * m,
    "clipped": lambda r, m, c: np.clip(r, -c, c), "clipped above 0": lambda r, m, c: np.clip(r, 0, c), "plus": lambda r, m, c: r + c * m,
    "signs": lambda r, m, c: np.sign(r), "positive": lambda r, m, c: np.maximum(r, 0), "absolute": lambda r, m, c: np.abs(r),
    "centred": lambda r, m, c: (r - np.sum(r, axis=(1, 2), keepdims=True) / np.sum(m, axis=(1, 2), keepdims=True)) * m,
    "normalised 0": lambda r, m, c: _spread(r, m, True), "normalised 1": lambda r, m, c: _spread(r, m, True, 1),
    "scaled 0": lambda r, m, c: _spread(r, m, False), "scaled 1": lambda r, m, c: _spread(r, m, False, 1),
    "first": lambda r, m, c: r * (np.arange(r.shape[-1]) == 0), "last": lambda r, m, c: r * is_last(m),
    "without the first": lambda r, m, c: r * (np.arange(r.shape[-1]) > 0), "without the last": lambda r, m, c: r * ~is_last(m),
    "without H": lambda r, m, c: r * (np.arange(r.shape[-1]) < max(r.shape[-1] - 1, 1)),
    "cumulated": lambda r, m, c: np.cumsum(r, axis=-1) * m, "over H": lambda r, m, c: r / r.shape[-1],
    "first trajectory's": lambda r, m, c: 0 * r + r[:, :1], "first task's": lambda r, m, c: 0 * r + r[:1],
    "mean of trajectories": lambda r, m, c: 0 * r + np.mean(r, axis=1, keepdims=True),
    "next trajectory's": lambda r, m, c: np.roll(r, -1, axis=1), "log": lambda r, m, c: np.sign(r) * np.log1p(np.abs(r)),
}  # fmt: skip


def rewards(kind: Any, r: Array, mask: Array) -> Array:
    """The rewards, or what is used instead, (N, M, H)."""
    name, number = kind if isinstance(kind, tuple) else (kind, 1.0)
    return REWARDS[name](r, mask, number) if name in REWARDS else r


def discounts(kind: Any, gamma: float, mask: Array) -> Array:
    """What stands for γᵗ, (H,), (M, H) or (N, M, H)."""
    M, H = mask.shape[-2:]
    t, taken = np.arange(H), np.sum(mask, axis=-1, keepdims=True)
    name, number = kind if isinstance(kind, tuple) else (kind, 0.0)
    others: dict[str, Callable[[], Array]] = {
        "dropped": lambda: 1.0 + 0 * t, "squared": lambda: gamma ** (2 * t), "one more": lambda: gamma ** (t + 1), "of": lambda: np.power(number, t),
        "one less": lambda: gamma ** np.maximum(t - 1, 0), "running": lambda: gamma ** np.arange(M * H).reshape(M, H),
        "running over steps": lambda: gamma ** (np.cumsum(mask.reshape(len(mask), -1), axis=-1) - mask.reshape(len(mask), -1)).reshape(mask.shape),
        "running over trajectories": lambda: gamma ** np.arange(M)[:, None] + 0.0 * t, "reversed": lambda: gamma ** (H - 1 - t),
        "to the end": lambda: gamma ** np.maximum(taken - 1 - t, 0), "to the horizon": lambda: gamma ** (H - t), "half": lambda: gamma ** (t / 2),
        "normalised": lambda: gamma**t / np.sum(gamma**t), "harmonic": lambda: 1 / (1.0 + t),
        "first step": lambda: 1.0 * (t == 0), "last step": lambda: gamma**t * (t == taken - 1), "first alone": lambda: np.where(t == 0, 1.0, gamma),
    }  # fmt: skip
    return np.asarray(others[name]() if name in others else gamma**t, float)
