"""What implementations of PEARL choose in the losses, the right alternative first.  Derivation: derivations/pearl.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.pearl.belief_choices import absolute, least

__all__ = ["ACTOR_LOSSES", "BATCHES", "ENDS", "REWARDS", "TEMPERATURE_LOSSES", "VALUES"]


def _best(x: Array) -> Array:
    """The largest entry of the last axis, with its slope."""
    return np.take_along_axis(x, np.argmax(np.real(x), axis=-1)[..., None], axis=-1)[..., 0]


def _log_sum(x: Array) -> Array:
    """ln Σ eˣ over the actions."""
    top = np.max(np.real(x), axis=-1, keepdims=True)
    return np.log(np.sum(np.exp(x - top), axis=-1)) + top[..., 0]


def _but_last(x: Array, mask: Array) -> Array:
    """The mean over all transitions but the last."""
    kept = mask * (np.cumsum(mask[:, ::-1], axis=-1)[:, ::-1] > 1)
    return np.sum(np.where(kept > 0, x, 0), axis=-1) / np.sum(kept, axis=-1)


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
    "max_a Q": lambda pi, logs, Q, tau: _best(Q + 0 * pi),
    "max_a (Q - tau log pi)": lambda pi, logs, Q, tau: _best(Q - tau * logs),
    "max_a Q, and the entropy": lambda pi, logs, Q, tau: _best(Q + 0 * pi) - np.sum(pi * tau * logs, axis=-1),
    "tau log sum exp(Q/tau)": lambda pi, logs, Q, tau: np.sum(tau, axis=-1) * _log_sum(Q / tau),
    "sum over actions, without pi": lambda pi, logs, Q, tau: np.sum(Q - tau * logs, axis=-1),
    "mean over actions, without pi": lambda pi, logs, Q, tau: np.mean(Q - tau * logs, axis=-1),
    "divided by A once more": lambda pi, logs, Q, tau: np.mean(pi * (Q - tau * logs), axis=-1),
    "of the likeliest action": lambda pi, logs, Q, tau: np.sum((pi == np.max(np.real(pi), -1, keepdims=True)) * (Q - tau * logs), axis=-1),
    "of the first action": lambda pi, logs, Q, tau: (Q - tau * logs)[..., 0],
    "0": lambda pi, logs, Q, tau: np.sum(0 * pi * Q, axis=-1),
}
ACTOR_LOSSES: dict[str, Callable[..., Array] | None] = {
    "sum_a pi (tau log pi - Q)": None,
    "without entropy": lambda pi, logs, Q, target, tau: np.sum(pi * (-Q), axis=-1),
    "entropy without tau": lambda pi, logs, Q, target, tau: np.sum(pi * (logs - Q), axis=-1),
    "entropy subtracted": lambda pi, logs, Q, target, tau: np.sum(pi * (-tau * logs - Q), axis=-1),
    "negative": lambda pi, logs, Q, target, tau: np.sum(pi * (Q - tau * logs), axis=-1),
    "tau^2 for tau": lambda pi, logs, Q, target, tau: np.sum(pi * (tau**2 * logs - Q), axis=-1),
    "divided by tau": lambda pi, logs, Q, target, tau: np.sum(pi * (logs - Q / tau), axis=-1),
    "Q over tau, entropy with tau": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - Q / tau), axis=-1),
    "Q added": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs + Q), axis=-1),
    "without Q": lambda pi, logs, Q, target, tau: np.sum(pi * tau * logs + 0 * Q, axis=-1),
    "Q of the target critic": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - target), axis=-1),
    "the smaller of both critics": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - least(Q, target)), axis=-1),
    "the mean of both critics": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - (Q + target) / 2), axis=-1),
    "mean over actions": lambda pi, logs, Q, target, tau: np.mean(pi * (tau * logs - Q), axis=-1),
    "mean over actions, without pi": lambda pi, logs, Q, target, tau: np.mean(tau * logs - Q, axis=-1),
    "sum over actions, without pi": lambda pi, logs, Q, target, tau: np.sum(tau * logs - Q, axis=-1),
    "pi held, -Q log pi": lambda pi, logs, Q, target, tau: np.sum(np.real(pi) * (tau * logs - np.real(Q) * logs), -1),
    "pi held": lambda pi, logs, Q, target, tau: np.sum(np.real(pi) * (tau * logs - Q), axis=-1),
    "advantage for Q": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - Q + np.real(np.sum(pi * Q, -1, keepdims=True))), axis=-1),
}
TEMPERATURE_LOSSES: dict[str, Callable[..., Array] | None] = {
    "tau (H - target)": None,
    "log tau (H - target)": lambda tau, H, wanted: np.log(tau) * (H - wanted),
    "-tau (H - target)": lambda tau, H, wanted: -tau * (H - wanted),
    "-log tau (H - target)": lambda tau, H, wanted: -np.log(tau) * (H - wanted),
    "tau (H + target)": lambda tau, H, wanted: tau * (H + wanted),
    "log tau (H + target)": lambda tau, H, wanted: np.log(tau) * (H + wanted),
    "-log tau (H + target)": lambda tau, H, wanted: -np.log(tau) * (H + wanted),
    "-tau (H + target)": lambda tau, H, wanted: -tau * (H + wanted),
    "tau H": lambda tau, H, wanted: tau * H,
    "tau^2 (H - target)": lambda tau, H, wanted: tau**2 * (H - wanted),
    "tau H - target": lambda tau, H, wanted: tau * H - wanted,
    "H - target": lambda tau, H, wanted: H - wanted + 0 * tau,
    "tau (tau H - target)": lambda tau, H, wanted: tau * (np.real(tau) * H - wanted),
    "(H - target)^2": lambda tau, H, wanted: (H - wanted) ** 2 + 0 * tau,
    "tau (H - target)^2": lambda tau, H, wanted: tau * (H - wanted) ** 2,
    "tau |H - target|": lambda tau, H, wanted: tau * absolute(H - wanted),
}
BATCHES: dict[str, Callable[[Array, Array], Array] | None] = {
    "mean over its transitions": None,
    "sum": lambda x, mask: np.sum(np.where(mask > 0, x, 0), axis=-1),
    "sum over b, padding included": lambda x, mask: np.sum(np.where(mask > 0, x, 0), axis=-1) / mask.shape[-1],
    "mask ignored": lambda x, mask: np.mean(x, axis=-1),
    "mask ignored, sum": lambda x, mask: np.sum(x, axis=-1),
    "mask ignored in the sum only": lambda x, mask: np.sum(x, axis=-1) / np.sum(mask, axis=-1),
    "sum over the number of transitions of all tasks": lambda x, mask: np.sum(np.where(mask > 0, x, 0), axis=-1) / np.sum(mask),
    "sum over the mean number of transitions": lambda x, mask: np.sum(np.where(mask > 0, x, 0), axis=-1) / np.mean(np.sum(mask, axis=-1)),
    "the first transition only": lambda x, mask: np.sum(np.where((mask > 0) & (np.cumsum(mask, -1) == 1), x, 0), axis=-1),
    "all but the last transition": _but_last,
}
ENDS: dict[str, Callable[[Array, Array, Array], Array] | None] = {
    "no value after an end": None,
    "ignored": lambda r, value, end: r + value,
    "inverted": lambda r, value, end: r + end * value,
    "no reward at an end either": lambda r, value, end: (1 - end) * (r + value),
    "of the step before": lambda r, value, end: r + (1 - np.roll(end, 1, -1)) * value,
    "-1 for a value after an end": lambda r, value, end: r + (1 - end) * value - end,
    "without rewards": lambda r, value, end: 0 * r + (1 - end) * value,
}
REWARDS: dict[str, Callable[[Array, Array], Array] | None] = {
    "r": None, "5 r": lambda r, tau: 5 * r, "10 r": lambda r, tau: 10 * r, "100 r": lambda r, tau: 100 * r, "r/10": lambda r, tau: r / 10,
    "r/tau": lambda r, tau: r / tau, "tau r": lambda r, tau: tau * r, "sign r": lambda r, tau: np.sign(r),
    "clipped at 1": lambda r, tau: np.clip(r, -1, 1), "that of the step before": lambda r, tau: np.roll(r, 1, -1), "-r": lambda r, tau: -r,
    "normalised over the batch": lambda r, tau: (r - np.mean(r)) / np.std(r),
}  # fmt: skip
