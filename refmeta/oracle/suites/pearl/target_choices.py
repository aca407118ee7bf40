"""What implementations of PEARL choose for the target of the critic, the right alternative first.  Derivation: derivations/pearl.md

An alternative is what is computed instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.pearl.pieces import best, between, least, log_sum, most

__all__ = ["CRITICS", "ENDS", "FAMILIES_OF_TARGETS", "REWARDS", "TARGETS", "VALUES"]

VALUES: dict[str, Callable[..., Array] | None] = {
    "sum_a pi (Q - tau log pi)": None,
    "without entropy": lambda pi, logs, Q, tau: np.sum(pi * Q, axis=-1),
    "entropy without tau": lambda pi, logs, Q, tau: np.sum(pi * (Q - logs), axis=-1),
    "entropy subtracted": lambda pi, logs, Q, tau: np.sum(pi * (Q + tau * logs), axis=-1),
    "tau^2 for tau": lambda pi, logs, Q, tau: np.sum(pi * (Q - tau**2 * logs), axis=-1),
    "entropy over tau": lambda pi, logs, Q, tau: np.sum(pi * (Q - logs / tau), axis=-1),
    "log tau for tau": lambda pi, logs, Q, tau: np.sum(pi * (Q - np.log(tau) * logs), axis=-1),
    "half the entropy": lambda pi, logs, Q, tau: np.sum(pi * (Q - tau * logs / 2), axis=-1),
    "entropy alone": lambda pi, logs, Q, tau: np.sum(-pi * tau * logs + 0 * Q, axis=-1),
    "max_a Q": lambda pi, logs, Q, tau: best(Q + 0 * pi),
    "max_a (Q - tau log pi)": lambda pi, logs, Q, tau: best(Q - tau * logs),
    "max_a Q, and the entropy": lambda pi, logs, Q, tau: best(Q + 0 * pi) - np.sum(pi * tau * logs, axis=-1),
    "tau log sum exp(Q/tau)": lambda pi, logs, Q, tau: np.sum(tau, axis=-1) * log_sum(Q / tau),
    "sum over actions, without pi": lambda pi, logs, Q, tau: np.sum(Q - tau * logs, axis=-1),
    "mean over actions, without pi": lambda pi, logs, Q, tau: np.mean(Q - tau * logs, axis=-1),
    "divided by A once more": lambda pi, logs, Q, tau: np.mean(pi * (Q - tau * logs), axis=-1),
    "of the likeliest action": lambda pi, logs, Q, tau: np.sum((pi == np.max(np.real(pi), -1, keepdims=True)) * (Q - tau * logs), axis=-1),
    "of the first action": lambda pi, logs, Q, tau: (Q - tau * logs)[..., 0],
    "of the last action": lambda pi, logs, Q, tau: (Q - tau * logs)[..., -1],
    "entropy of a uniform policy": lambda pi, logs, Q, tau: np.sum(pi * (Q + tau * np.log(pi.shape[-1])), axis=-1),
    "1 - sum pi^2 for the entropy": lambda pi, logs, Q, tau: np.sum(pi * (Q + tau * (1 - pi)), axis=-1),
    "mean over actions of -log pi for the entropy": lambda pi, logs, Q, tau: np.sum(pi * Q - tau * logs / pi.shape[-1], axis=-1),
    "min_a Q": lambda pi, logs, Q, tau: -best(-Q + 0 * pi),
    "log sum exp Q": lambda pi, logs, Q, tau: log_sum(Q + 0 * pi),
    "Q without its mean over actions": lambda pi, logs, Q, tau: np.sum(pi * (Q - tau * logs), axis=-1) - np.mean(Q, axis=-1),
    "0": lambda pi, logs, Q, tau: np.sum(0 * pi * Q, axis=-1),
}
CRITICS: dict[str, Callable[[Array, Array], Array] | None] = {
    "the target's": None, "the critic itself": lambda own, other: other, "the smaller of both": least,
    "the larger of both": most, "the sum of both": lambda own, other: own + other,
    "the mean of both": lambda own, other: (own + other) / 2, "0.005 of the critic mixed in": lambda own, other: 0.995 * own + 0.005 * other,
    "the critic, held": lambda own, other: np.real(other), "the difference of both": lambda own, other: own - other,
}  # fmt: skip
TARGETS: dict[str, Callable[[Array, Array], Array] | None] = {
    "y": None,
    "y within -1 and 1": lambda y, mask: between(y, -1, 1), "y within -10 and 10": lambda y, mask: between(y, -10, 10), "at least 0": lambda y, mask: most(y, 0.0),
    "at most 0": lambda y, mask: least(y, 0.0), "mean over the batch": lambda y, mask: 0 * y + _mean(y, mask), "less its mean over the batch": lambda y, mask: y - _mean(y, mask),
    "normalised over the batch": lambda y, mask: _normalised(y, mask), "that of the transition before": lambda y, mask: np.roll(y, 1, -1),
    "that of the transition after": lambda y, mask: np.roll(y, -1, -1), "that of the next task": lambda y, mask: np.roll(y, -1, -2), "0": lambda y, mask: 0 * y,
    "that of the first task": lambda y, mask: 0 * y + y[:, :1], "tanh": lambda y, mask: np.tanh(y),
}  # fmt: skip


def _mean(x: Array, mask: Array) -> Array:
    """The mean over the transitions of a task, its axis kept."""
    return np.sum(np.where(mask > 0, x, 0), axis=-1, keepdims=True) / np.sum(mask, axis=-1, keepdims=True)


def _normalised(x: Array, mask: Array, more: float = 1e-8, less: int = 0) -> Array:
    """Less the mean over the transitions of a task, over the deviation."""
    off = x - _mean(x, mask)
    size = np.sum(np.where(mask > 0, off**2, 0), axis=-1, keepdims=True) / (np.sum(mask, axis=-1, keepdims=True) - less)
    return off / (np.sqrt(size) + more)


ENDS: dict[str, Callable[[Array, Array, Array], Array] | None] = {
    "no value after an end": None,
    "ignored": lambda r, value, end: r + value,
    "inverted": lambda r, value, end: r + end * value,
    "no reward at an end either": lambda r, value, end: (1 - end) * (r + value),
    "of the step before": lambda r, value, end: r + (1 - np.roll(end, 1, -1)) * value,
    "-1 for a value after an end": lambda r, value, end: r + (1 - end) * value - end,
    "without rewards": lambda r, value, end: 0 * r + (1 - end) * value,
    "of the step after": lambda r, value, end: r + (1 - np.roll(end, -1, -1)) * value,
    "0 from the first end on": lambda r, value, end: r + (np.cumsum(end, -1) == 0) * value,
    "value at an end only halved": lambda r, value, end: r + (1 - end / 2) * value,
    "value subtracted at an end": lambda r, value, end: r + (1 - 2 * end) * value,
    "those of the first task": lambda r, value, end: r + (1 - end[:1]) * value,
    "reward doubled at an end": lambda r, value, end: r + end * r + (1 - end) * value,
    "rewards at ends only": lambda r, value, end: end * r + (1 - end) * value,
}


def _normal(more: float, less: int) -> Callable[[Array, Array, Array], Array]:
    """Rewards normalised over the transitions of their task."""
    return lambda r, tau, mask: _normalised(r, mask, more, less)


REWARDS: dict[str, Callable[[Array, Array, Array], Array] | None] = {
    "r": None, "5 r": lambda r, tau, mask: 5 * r, "10 r": lambda r, tau, mask: 10 * r, "100 r": lambda r, tau, mask: 100 * r, "r/10": lambda r, tau, mask: r / 10,
    "r/tau": lambda r, tau, mask: r / tau, "tau r": lambda r, tau, mask: tau * r, "sign r": lambda r, tau, mask: np.sign(r), "tanh r": lambda r, tau, mask: np.tanh(r),
    "clipped at 1": lambda r, tau, mask: np.clip(r, -1, 1), "at least 0": lambda r, tau, mask: np.maximum(r, 0), "that of the step before": lambda r, tau, mask: np.roll(r, 1, -1),
    "that of the step after": lambda r, tau, mask: np.roll(r, -1, -1), "-r": lambda r, tau, mask: -r, "1 - r": lambda r, tau, mask: 1 - r,
    "the next task's": lambda r, tau, mask: np.roll(r, -1, 0), "the first task's": lambda r, tau, mask: 0 * r + r[:1],
    "normalised over all entries": lambda r, tau, mask: (r - np.mean(r)) / np.std(r), "their mean": lambda r, tau, mask: 0 * r + _mean(r, mask),
    "normalised over all tasks": lambda r, tau, mask: (r - np.mean(r[mask > 0])) / (np.std(r[mask > 0]) + 1e-8),
    "less their mean": lambda r, tau, mask: r - _mean(r, mask), "over their deviation": lambda r, tau, mask: _normalised(r, mask) + _mean(r, mask) / (np.sqrt(_mean((r - _mean(r, mask)) ** 2, mask)) + 1e-8),
    "over their largest size": lambda r, tau, mask: r / np.max(np.where(mask > 0, np.abs(r), 0), -1, keepdims=True),
    **{f"normalised, {more:g} added to the deviation{f' over n - {less}' * less}": _normal(more, less) for more in (0, 1e-8, 1e-6, 1e-5) for less in (0, 1)},
}  # fmt: skip
FAMILIES_OF_TARGETS = {
    "{} r in the target": ("reward", lambda c: lambda r, tau, mask: c * r),
    "r + {} in the target": ("reward", lambda c: lambda r, tau, mask: r + c),
    "r in the target clipped at {}": ("reward", lambda c: lambda r, tau, mask: np.clip(r, -abs(c), abs(c))),
    "r at most {}": ("reward", lambda c: lambda r, tau, mask: np.minimum(r, c)),
    "r/{} + 1, tanh of it": ("reward", lambda c: lambda r, tau, mask: np.tanh(r / c)),
    "{} of the critic mixed in": ("critic in the target", lambda c: lambda own, other: (1 - c) * own + c * other),
    "{} times that of the target's": ("critic in the target", lambda c: lambda own, other: c * own),
    "y within -{0} and {0}": ("target value", lambda c: lambda y, mask: between(y, -abs(c), abs(c))),
    "y at most {}": ("target value", lambda c: lambda y, mask: least(y, c)),
    "y at least {}": ("target value", lambda c: lambda y, mask: most(y, c)),
    "y + {}": ("target value", lambda c: lambda y, mask: y + c),
    "{} for a value after an end": ("ends", lambda c: lambda r, value, end: r + (1 - end) * value + c * end),
    "a value after an end times {}": ("ends", lambda c: lambda r, value, end: r + (1 - end + c * end) * value),
    "entropy in V times {}": ("value of s'", lambda c: lambda pi, logs, Q, tau: np.sum(pi * (Q - c * tau * logs), axis=-1)),
    "entropy in V with {} for tau": ("value of s'", lambda c: lambda pi, logs, Q, tau: np.sum(pi * (Q - c * logs) + 0 * tau, axis=-1)),
}
