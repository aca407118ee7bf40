"""What implementations of PEARL choose for the context that the encoder reads, the right alternative first.  Derivation: derivations/pearl.md

An alternative is what `beliefs` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices

__all__ = ["CONTEXT", "FAMILIES_OF_CONTEXT"]

Columns = list[Array]  # s, a, r, s' and the mask, (N, c) each


def _pooled(x: Columns) -> Columns:
    """The contexts of all tasks, one after another, for each."""
    return [np.tile(y.reshape(1, -1), (len(y), 1)) for y in x]


def _so_far(x: Columns) -> Columns:
    """The contexts of the tasks up to each."""
    (N, c), (*rest, mask) = x[0].shape, _pooled(x)
    return [*rest, mask * (np.arange(N * c) // c <= np.arange(N)[:, None])]


def _each(change: Callable[[Array], Array]) -> Callable[..., Columns]:
    """The same change of every column."""
    return lambda x, batch: [change(y) for y in x]


def _kept(keep: Callable[[Array, Array], Array]) -> Callable[..., Columns]:
    """The transitions that are kept by their number from the start and from the end, counted from 1."""

    def value(x: Columns, batch: Columns) -> Columns:
        mask = x[4]
        return [*x[:4], mask * keep(np.cumsum(mask, 1), np.cumsum(mask[:, ::-1], 1)[:, ::-1])]

    return value


def _once(x: Columns, batch: Columns, by: tuple[int, ...] = (0, 1, 2, 3)) -> Columns:
    """Every transition counts once, the first time."""
    same = np.all([x[i][:, :, None] == x[i][:, None, :] for i in by], axis=0) & (x[4][:, None, :] > 0)
    return [*x[:4], x[4] * ~np.any(np.tril(same, -1), axis=-1)]


def _centred(r: Array, mask: Array) -> Array:
    """Less the mean of the context."""
    return r - np.sum(r * mask, 1, keepdims=True) / np.maximum(np.sum(mask, 1, keepdims=True), 1)


def _normalised(r: Array, mask: Array, more: float = 1e-8, less: int = 0) -> Array:
    """Centred, over the deviation."""
    off = _centred(r, mask) * mask
    return off / (np.sqrt(np.sum(off**2, 1, keepdims=True) / np.maximum(np.sum(mask, 1, keepdims=True) - less, 1)) + more)


FEATURES: dict[str, Callable[..., list[Array]] | None] = {
    "1, e_sa, e_s', r e_sa, r e_s'": None,
    "without e_s' and r e_s'": lambda pair, after, r, *_: [1 + 0 * r, pair, 0 * after, r * pair, 0 * after],
    "without r e_s'": lambda pair, after, r, *_: [1 + 0 * r, pair, after, r * pair, 0 * after],
    "without r e_sa": lambda pair, after, r, *_: [1 + 0 * r, pair, after, 0 * pair, r * after],
    "without rewards": lambda pair, after, r, *_: [1 + 0 * r, pair, after, 0 * pair, 0 * after],
    "without e_sa and e_s' (rewards only)": lambda pair, after, r, *_: [1 + 0 * r, 0 * pair, 0 * after, r * pair, r * after],
    "without e_sa": lambda pair, after, r, *_: [1 + 0 * r, 0 * pair, after, r * pair, r * after],
    "without e_s'": lambda pair, after, r, *_: [1 + 0 * r, pair, 0 * after, r * pair, r * after],
    "without the constant": lambda pair, after, r, *_: [0 * r, pair, after, r * pair, r * after],
    "the constant alone": lambda pair, after, r, *_: [1 + 0 * r, 0 * pair, 0 * after, 0 * pair, 0 * after],
    "r for the constant": lambda pair, after, r, *_: [r, pair, after, r * pair, r * after],
    "e_s for e_s'": lambda pair, after, r, before, turned, other: [1 + 0 * r, pair, before, r * pair, r * before],
    "e_s for e_s' in r e_s' alone": lambda pair, after, r, before, turned, other: [1 + 0 * r, pair, after, r * pair, r * before],
    "e_s'a for e_sa": lambda pair, after, r, before, turned, other: [1 + 0 * r, other, after, r * other, r * after],
    "e_sa with entry a*S + s": lambda pair, after, r, before, turned, other: [1 + 0 * r, turned, after, r * turned, r * after],
    "1, e_s', e_sa, r e_s', r e_sa": lambda pair, after, r, *_: [1 + 0 * r, after, pair, r * after, r * pair],
    "1, e_sa, r e_sa, e_s', r e_s'": lambda pair, after, r, *_: [1 + 0 * r, pair, r * pair, after, r * after],
    "1, r e_sa, r e_s', e_sa, e_s'": lambda pair, after, r, *_: [1 + 0 * r, r * pair, r * after, pair, after],
    "1, e_sa, e_s', r e_s', r e_sa": lambda pair, after, r, *_: [1 + 0 * r, pair, after, r * after, r * pair],
    "the constant last": lambda pair, after, r, *_: [pair, after, r * pair, r * after, 1 + 0 * r],
}
CONTEXTS: dict[str, Callable[[Columns, Columns], Columns] | None] = {
    "its own": None,
    "that of all tasks": lambda x, batch: _pooled(x),
    "its own and those before": lambda x, batch: _so_far(x),
    "the first task's": _each(lambda y: np.repeat(y[:1], len(y), axis=0)),
    "the last task's": _each(lambda y: np.repeat(y[-1:], len(y), axis=0)),
    "the next task's": _each(lambda y: np.roll(y, -1, 0)),
    "the task's before": _each(lambda y: np.roll(y, 1, 0)),
    "the batch": lambda x, batch: batch,
    "itself and the batch": lambda x, batch: [np.concatenate(both, axis=1) for both in zip(x, batch, strict=True)],
    "all but the last transition": _kept(lambda front, back: back > 1),
    "all but the first transition": _kept(lambda front, back: front > 1),
    "the last transition only": _kept(lambda front, back: back == 1),
    "the first transition only": _kept(lambda front, back: front == 1),
    "the first two transitions": _kept(lambda front, back: front <= 2),
    "the last two transitions": _kept(lambda front, back: back <= 2),
    "every other transition": _kept(lambda front, back: front % 2 == 1),
    "every transition once": _once,
    "every (s, a) once": lambda x, batch: _once(x, batch, (0, 1)),
    "every transition twice": _each(lambda y: np.concatenate([y, y], axis=1)),
    "s and s' exchanged": lambda x, batch: [x[3], x[1], x[2], x[0], x[4]],
    "rewards of the step before": lambda x, batch: [*x[:2], np.roll(x[2], 1, axis=1), *x[3:]],
    "rewards of the step after": lambda x, batch: [*x[:2], np.roll(x[2], -1, axis=1), *x[3:]],
}
CONTEXT_REWARDS: dict[str, Callable[[Array, Array], Array] | None] = {
    "r": None,
    "less their mean": _centred,
    "normalised": _normalised,
    "normalised, without 1e-8": lambda r, m: _normalised(r, m, 0.0),
    "normalised, deviation over n - 1": lambda r, m: _normalised(r, m, 1e-8, 1),
    "less the mean over all tasks": lambda r, m: r - np.sum(r * m) / np.maximum(np.sum(m), 1),
    "clipped at 1": lambda r, m: np.clip(r, -1, 1),
    "sign": lambda r, m: np.sign(r),
    "tanh": lambda r, m: np.tanh(r),
    "negative": lambda r, m: -r,
    "5 r": lambda r, m: 5 * r,
    "their sum so far": lambda r, m: np.cumsum(r * m, axis=1),
    "their mean": lambda r, m: r - _centred(r, m),
}
MASKS: dict[str, Callable[[Array, Array], tuple[Array, Array]] | None] = {
    "kept": None,
    "ignored": lambda psi, n: (psi, 0 * n + 1),
    "features set to 0, their factors N(0, 1) kept": lambda psi, n: (psi * n, 0 * n + 1),
    "features set to 0, their factors N(0, 1) kept, the constant stays": lambda psi, n: (np.where(np.arange(psi.shape[-1]) == 0, psi, psi * n), 0 * n + 1),
    "inverted": lambda psi, n: (psi, 1 - n),
    "the first task's": lambda psi, n: (psi, 0 * n + n[:1]),
}
CONTEXT: Choices = {"features": FEATURES, "context of a task": CONTEXTS, "rewards of the context": CONTEXT_REWARDS, "context mask": MASKS}
FAMILIES_OF_CONTEXT = {
    "{} r": ("rewards of the context", lambda c: lambda r, m: c * r),
    "r + {}": ("rewards of the context", lambda c: lambda r, m: r + c),
    "r clipped at {}": ("rewards of the context", lambda c: lambda r, m: np.clip(r, -abs(c), abs(c))),
}
