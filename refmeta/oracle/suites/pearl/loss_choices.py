"""What implementations of PEARL choose in the losses, the right alternative first.  Derivation: derivations/pearl.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.pearl.pieces import absolute, best, between, least, log_sum, most

__all__ = ["ACTOR_LOSSES", "BATCHES", "CRITIC_LOSSES", "ENTROPIES", "FAMILIES_OF_LOSSES", "TEMPERATURE_LOSSES"]


def _but_last(x: Array, mask: Array) -> Array:
    """The mean over all transitions but the last."""
    kept = mask * (np.cumsum(mask[:, ::-1], axis=-1)[:, ::-1] > 1)
    return np.sum(np.where(kept > 0, x, 0), axis=-1) / np.sum(kept, axis=-1)


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
    "Q less its mean over actions": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - Q + np.mean(Q, axis=-1, keepdims=True)), axis=-1),
    "Q less its largest": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - Q), axis=-1) + best(Q + 0 * pi),
    "Q less that of the target critic": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - Q + target), axis=-1),
    "-ln pi of the best action": lambda pi, logs, Q, target, tau: -np.sum((np.real(Q) == np.max(np.real(Q), -1, keepdims=True)) * logs, axis=-1) + 0 * tau[..., 0],
    "KL(pi || softmax(Q/tau))": lambda pi, logs, Q, target, tau: np.sum(pi * (logs - Q / tau), axis=-1) + log_sum(Q / tau),
    "tau KL(pi || softmax(Q/tau))": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - Q), axis=-1) + tau[..., 0] * log_sum(Q / tau),
    "KL(softmax(Q/tau) || pi)": lambda pi, logs, Q, target, tau: -np.sum(_boltzmann(Q / tau) * (logs - np.log(_boltzmann(Q / tau))), axis=-1),
    "cross-entropy with softmax(Q/tau)": lambda pi, logs, Q, target, tau: -np.sum(_boltzmann(Q / tau) * logs, axis=-1),
    "mean over actions of log pi for the entropy": lambda pi, logs, Q, target, tau: np.sum(tau * logs / pi.shape[-1] - pi * Q, axis=-1),
    "1 - sum pi^2 for the entropy": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * (pi - 1) - Q), axis=-1),
    "half the entropy": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs / 2 - Q), axis=-1),
    "log tau for tau": lambda pi, logs, Q, target, tau: np.sum(pi * (np.log(tau) * logs - Q), axis=-1),
    "the larger of both critics": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs + least(-Q, -target)), axis=-1),
    "Q of both critics added": lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - Q - target), axis=-1),
}


def _boltzmann(x: Array) -> Array:
    """softmax over the actions."""
    e = np.exp(x - np.max(np.real(x), axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


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
    "tau (target - H), of which H is at most": lambda tau, H, wanted: tau * least(H - wanted, 0.0),
    "tau where H is above the target": lambda tau, H, wanted: tau * most(H - wanted, 0.0),
    "-target for H": lambda tau, H, wanted: -tau * wanted + 0 * H,
    "tau (H - target)^2 / 2": lambda tau, H, wanted: tau * (H - wanted) ** 2 / 2,
    "(H - target)/tau": lambda tau, H, wanted: (H - wanted) / tau,
    "softplus(log tau) for tau": lambda tau, H, wanted: np.log1p(tau) * (H - wanted),
    "tau (H/target - 1)": lambda tau, H, wanted: tau * (H / wanted - 1),
}
ENTROPIES: dict[str, Callable[..., Array] | None] = {
    "-sum_a pi ln pi": None,
    "-ln pi of the batch's action": lambda pi, logs, action: np.sum(-logs * action, axis=-1) + 0 * pi[..., 0],
    "mean over actions of -ln pi": lambda pi, logs, action: np.mean(-logs, axis=-1),
    "sum over actions of -ln pi": lambda pi, logs, action: np.sum(-logs, axis=-1),
    "mean over actions of -pi ln pi": lambda pi, logs, action: np.mean(-pi * logs, axis=-1),
    "sum_a pi ln pi": lambda pi, logs, action: np.sum(pi * logs, axis=-1),
    "1 - sum_a pi^2": lambda pi, logs, action: 1 - np.sum(pi**2, axis=-1),
    "over ln A": lambda pi, logs, action: -np.sum(pi * logs, axis=-1) / np.log(pi.shape[-1]),
    "ln A": lambda pi, logs, action: 0 * pi[..., 0] + np.log(pi.shape[-1]),
    "-ln of the likeliest": lambda pi, logs, action: -best(logs),
}


def _huber(e: Array, delta: float = 1.0) -> Array:
    """e²/2, from δ on δ (|e| − δ/2)."""
    return np.where(np.abs(np.real(e)) < delta, e**2 / 2, delta * (absolute(e) - delta / 2))


def _smooth(e: Array, beta: float) -> Array:
    """e²/(2β), from β on |e| − β/2."""
    return np.where(np.abs(np.real(e)) < beta, e**2 / (2 * beta), absolute(e) - beta / 2)


CRITIC_LOSSES: dict[str, Callable[[Array], Array] | None] = {
    "1/2 (Q - y)^2": None, "(Q - y)^2": lambda e: e**2, "|Q - y|": absolute, "Huber": _huber, "(Q - y)^2, of two critics": lambda e: 2 * e**2,
    "Huber, doubled": lambda e: 2 * _huber(e), "Q - y": lambda e: e, "y - Q": lambda e: -e, "(Q - y)^2 / 4": lambda e: e**2 / 4, "(Q - y)^4": lambda e: e**4,
    "clipped at 1": lambda e: least(absolute(e), 1.0) ** 2 / 2, "error held in its slope, 1/2 (Q - y)": lambda e: np.real(e) * e / 2 + 0 * e,
    "log cosh": lambda e: np.log(np.cosh(e)), "sqrt(1 + (Q - y)^2) - 1": lambda e: np.sqrt(1 + e**2) - 1, "where Q < y": lambda e: e**2 / 2 * (np.real(e) < 0),
    "where Q > y": lambda e: e**2 / 2 * (np.real(e) > 0), "sign of Q - y": lambda e: np.real(np.sign(np.real(e))) * e,
}  # fmt: skip
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
    "the last transition only": lambda x, mask: np.sum(np.where((mask > 0) & (np.cumsum(mask[:, ::-1], -1)[:, ::-1] == 1), x, 0), axis=-1),
    "sum over n - 1": lambda x, mask: np.sum(np.where(mask > 0, x, 0), axis=-1) / np.maximum(np.sum(mask, axis=-1) - 1, 1),
    "sum over n + 1": lambda x, mask: np.sum(np.where(mask > 0, x, 0), axis=-1) / (np.sum(mask, axis=-1) + 1),
    "sum over the largest number of transitions": lambda x, mask: np.sum(np.where(mask > 0, x, 0), axis=-1) / np.max(np.sum(mask, axis=-1)),
    "sum over the first task's number": lambda x, mask: np.sum(np.where(mask > 0, x, 0), axis=-1) / np.sum(mask, axis=-1)[0],
    "sum over the root of n": lambda x, mask: np.sum(np.where(mask > 0, x, 0), axis=-1) / np.sqrt(np.sum(mask, axis=-1)),
    "mask inverted": lambda x, mask: np.sum(np.where(mask > 0, 0, x), axis=-1) / np.sum(1 - mask, axis=-1),
    "mask of the first task": lambda x, mask: np.sum(np.where(mask[:1] > 0, x, 0), axis=-1) / np.sum(mask[:1], axis=-1),
    "mean over all tasks": lambda x, mask: np.sum(np.where(mask > 0, x, 0), axis=(-2, -1))[:, None] / np.sum(mask) + 0 * x[..., 0],
    "largest": lambda x, mask: np.take_along_axis(x, np.argmax(np.where(mask > 0, np.real(x), -np.inf), -1)[..., None], -1)[..., 0],
}


def _expectile(e: Array, share: float) -> Array:
    """Half the square, errors of Q below y weighted by the share."""
    return np.where(np.real(e) < 0, share, 1 - share) * e**2


FAMILIES_OF_LOSSES = {
    "Huber, delta {}": ("critic's loss", lambda c: lambda e: _huber(e, abs(c))),
    "smooth L1, beta {}": ("critic's loss", lambda c: lambda e: _smooth(e, abs(c))),
    "error clipped at {}, then squared": ("critic's loss", lambda c: lambda e: between(e, -abs(c), abs(c)) ** 2 / 2),
    "expectile {}": ("critic's loss", lambda c: lambda e: _expectile(e, c)),
    "entropy times {}": ("actor's loss", lambda c: lambda pi, logs, Q, target, tau: np.sum(pi * (c * tau * logs - Q), axis=-1)),
    "{} for tau": ("actor's loss", lambda c: lambda pi, logs, Q, target, tau: np.sum(pi * (c * logs - Q) + 0 * tau, axis=-1)),
    "{} of the target critic mixed in": ("actor's loss", lambda c: lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - (1 - c) * Q - c * target), axis=-1)),
    "{} Q": ("actor's loss", lambda c: lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - c * Q), axis=-1)),
    "Q clipped at {}": ("actor's loss", lambda c: lambda pi, logs, Q, target, tau: np.sum(pi * (tau * logs - between(Q, -abs(c), abs(c))), axis=-1)),
}
