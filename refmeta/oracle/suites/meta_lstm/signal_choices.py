"""What implementations of Meta-LSTM choose for what the first layer reads, the right alternative first.  Derivation: derivations/meta-lstm.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.meta.lstm import preprocessing

__all__ = ["GRADIENTS", "LOSSES", "PREPROCESSINGS"]

Pair = tuple[Array, Array]


def _size(x: Array) -> Array:
    """|x|, with its slope."""
    return np.where(np.real(x) < 0, -x, x)


def _sign(x: Array) -> Array:
    """±1."""
    return np.where(np.real(x) < 0, -1.0, 1.0)


def _both(large: Callable[[Array], Pair], small: Callable[[Array], Pair], p: float = 10.0) -> Callable[[Array], Array]:
    """One pair where |x| ≥ e^−p, another elsewhere."""

    def value(x: Array) -> Array:
        where = np.real(_size(x)) >= np.exp(-p)
        pairs = zip(large(np.where(where, x, 1)), small(x), strict=True)
        return np.stack(np.broadcast_arrays(*(np.where(where, a, b) for a, b in pairs)), axis=-1)

    return value


def _log(p: float) -> Callable[[Array], Pair]:
    """(ln|x|/p, ±1)."""
    return lambda x: (np.log(_size(x)) / p, _sign(x))


def _linear(p: float) -> Callable[[Array], Pair]:
    """(−1, eᵖ x)."""
    return lambda x: (-1.0 + 0 * x, np.exp(p) * x)


def _everywhere(pair: Callable[[Array], Pair]) -> Callable[[Array], Array]:
    """One pair for every x."""
    return lambda x: np.stack(np.broadcast_arrays(*pair(x)), axis=-1)


PREPROCESSINGS: dict[str, Callable[[Array], Array] | None] = {
    "(ln|x|/10, sign x), or (-1, e^10 x) below e^-10": None,
    "without the sign": _both(lambda x: (np.log(_size(x)) / 10, 0 * x), _linear(10)),
    "the sign alone": _both(lambda x: (0 * x, _sign(x)), lambda x: (0 * x, np.exp(10) * x)),
    "the first entry alone": lambda x: preprocessing(x) * np.array([1, 0]),
    "the second entry alone": lambda x: preprocessing(x) * np.array([0, 1]),
    "entries exchanged": lambda x: preprocessing(x)[..., ::-1],
    "(x, 0)": _everywhere(lambda x: (x, 0 * x)),
    "(x, x)": _everywhere(lambda x: (x, x)),
    "(0, x)": _everywhere(lambda x: (0 * x, x)),
    "(x, sign x)": _everywhere(lambda x: (x, _sign(x))),
    "(|x|, sign x)": _everywhere(lambda x: (_size(x), _sign(x))),
    "(0, 0)": _everywhere(lambda x: (0 * x, 0 * x)),
    "p = 7": _both(_log(7), _linear(7), 7),
    "p = 5": _both(_log(5), _linear(5), 5),
    "p = 1": _both(_log(1), _linear(1), 1),
    "ln not divided by p": _both(_log(1), _linear(10)),
    "log10": _both(lambda x: (np.log10(_size(x)) / 10, _sign(x)), _linear(10)),
    "log2": _both(lambda x: (np.log2(_size(x)) / 10, _sign(x)), _linear(10)),
    "-ln|x|/10": _both(lambda x: (-np.log(_size(x)) / 10, _sign(x)), _linear(10)),
    "sign reversed": _both(lambda x: (np.log(_size(x)) / 10, -_sign(x)), _linear(10)),
    "ln(1 + |x|)/10": _everywhere(lambda x: (np.log1p(_size(x)) / 10, _sign(x))),
    "ln(|x| + 1e-8)/10": _everywhere(lambda x: (np.log(_size(x) + 1e-8) / 10, _sign(x))),
    "the first branch everywhere": _everywhere(_log(10)),
    "the second branch everywhere": _everywhere(_linear(10)),
    "branches exchanged": _both(lambda x: _linear(10)(x), _log(10)),
    "(0, e^10 x) below e^-10": _both(_log(10), lambda x: (0 * x, np.exp(10) * x)),
    "(1, e^10 x) below e^-10": _both(_log(10), lambda x: (0 * x + 1, np.exp(10) * x)),
    "(-1, e^-10 x) below e^-10": _both(_log(10), lambda x: (0 * x - 1, np.exp(-10) * x)),
    "(-1, sign x) below e^-10": _both(_log(10), lambda x: (0 * x - 1, _sign(x))),
    "(-1, 0) below e^-10": _both(_log(10), lambda x: (0 * x - 1, 0 * x)),
    "(-1, x) below e^-10": _both(_log(10), lambda x: (0 * x - 1, x)),
}
GRADIENTS: dict[str, Callable[..., Array] | None] = {
    "of the support's loss": None,
    "divided by n": lambda s, theta, ridge, more: s.slope / more["n"],
    "times n": lambda s, theta, ridge, more: s.slope * more["n"],
    "negative": lambda s, theta, ridge, more: -s.slope,
    "without ridge": lambda s, theta, ridge, more: s.slope - ridge * theta,
    "of the query's loss": lambda s, theta, ridge, more: more["query"]().slope,
    "mean over tasks": lambda s, theta, ridge, more: 0 * s.slope + np.mean(s.slope, axis=1, keepdims=True),
    "sum over tasks": lambda s, theta, ridge, more: 0 * s.slope + np.sum(s.slope, axis=1, keepdims=True),
    "divided by N": lambda s, theta, ridge, more: s.slope / s.slope.shape[1],
    "divided by d": lambda s, theta, ridge, more: s.slope / s.slope.shape[-1],
    "scaled to norm 1": lambda s, theta, ridge, more: s.slope / np.sqrt(np.sum(s.slope**2, axis=-1, keepdims=True)),
    "its sign": lambda s, theta, ridge, more: _sign(s.slope),
    "clipped to norm 0.25": lambda s, theta, ridge, more: _clipped(s.slope, 0.25),
    "entries clipped at 0.25": lambda s, theta, ridge, more: np.where(np.abs(np.real(s.slope)) > 0.25, 0.25 * _sign(s.slope), s.slope),
    "entries clipped at 0.1": lambda s, theta, ridge, more: np.where(np.abs(np.real(s.slope)) > 0.1, 0.1 * _sign(s.slope), s.slope),
    "half": lambda s, theta, ridge, more: s.slope / 2,
    "twice": lambda s, theta, ridge, more: s.slope * 2,
}
LOSSES: dict[str, Callable[..., Array] | None] = {
    "of the support": None,
    "0": lambda s, before, more: 0 * s.loss,
    "of the query": lambda s, before, more: more["query"]().loss,
    "of the step before, at first 0": lambda s, before, more: before.loss + 0 * s.loss,
    "without its change": lambda s, before, more: np.real(s.loss),
    "times n": lambda s, before, more: s.loss * more["n"],
    "divided by n": lambda s, before, more: s.loss / more["n"],
    "mean over tasks": lambda s, before, more: 0 * s.loss + np.mean(s.loss, axis=1, keepdims=True),
    "negative": lambda s, before, more: -s.loss,
    "the change since the step before": lambda s, before, more: s.loss - before.loss,
    "exp(-loss)": lambda s, before, more: np.exp(-s.loss),
}


def _clipped(g: Array, most: float) -> Array:
    """g, shortened to a norm."""
    norm = np.sqrt(np.sum(g**2, axis=-1, keepdims=True))
    return np.where(np.real(norm) > most, most * g / norm, g)
