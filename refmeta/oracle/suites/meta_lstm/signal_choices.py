"""What implementations of Meta-LSTM choose for what the first layer reads, the right alternative first.  Derivation: derivations/meta-lstm.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta.lstm import preprocessing
from refmeta.oracle.suites.meta_lstm.preprocessing_choices import (
    at_least,
    both,
    everywhere,
    linear,
    log,
    log_and_sign,
    plain_log,
    sign,
    size,
)

__all__ = ["FAMILIES_OF_SIGNALS", "GRADIENTS", "LOSSES", "OUTER"]
Pair = tuple[Array, Array]


def _with(change: Callable[[Array], Array]) -> Callable[..., Array]:
    """A change of the gradient alone."""
    return lambda s, theta, ridge, more: change(s.slope)


def _norm(g: Array) -> Array:
    """‖g‖, its axis kept."""
    return np.sqrt(np.sum(g**2, axis=-1, keepdims=True))


def _clipped(g: Array, most: float) -> Array:
    """g, shortened to a norm."""
    return np.where(np.real(_norm(g)) > most, most * g / _norm(g), g)


def _entries(g: Array, most: float) -> Array:
    """g, its entries shortened."""
    return np.where(np.abs(np.real(g)) > most, most * sign(g), g)


def _normalised(g: Array) -> Array:
    """Mean 0 and deviation 1 over the parameters."""
    off = g - np.mean(g, axis=-1, keepdims=True)
    return off / np.sqrt(np.mean(off**2, axis=-1, keepdims=True))


def _entries_within(most: float) -> Callable[[Array], Array]:
    """Gradients (N, …) whose entries are not larger in size."""
    return lambda g: np.clip(g, -most, most)


def _of_norm(most: float) -> Callable[[Array], Array]:
    """Gradients (N, …) of each task that are not longer."""

    def value(g: Array) -> Array:
        norm = np.sqrt(np.sum(g**2, axis=tuple(range(1, g.ndim)), keepdims=True))
        return g * np.minimum(most / np.where(norm > 0, norm, np.inf), 1) + g * (norm == 0)

    return value


GRADIENTS: dict[str, Callable[..., Array] | None] = {
    "of the support's loss": None,
    "divided by n": lambda s, theta, ridge, more: s.slope / more["n"],
    "times n": lambda s, theta, ridge, more: s.slope * more["n"],
    "negative": lambda s, theta, ridge, more: -s.slope,
    "without ridge": lambda s, theta, ridge, more: s.slope - ridge * theta,
    "ridge doubled": lambda s, theta, ridge, more: s.slope + ridge * theta,
    "ridge halved": lambda s, theta, ridge, more: s.slope - ridge * theta / 2,
    "of the query's loss": lambda s, theta, ridge, more: more["query"]().slope,
    "of support's and query's loss": lambda s, theta, ridge, more: s.slope + more["query"]().slope,
    "mean over tasks": lambda s, theta, ridge, more: 0 * s.slope + np.mean(s.slope, axis=1, keepdims=True),
    "sum over tasks": lambda s, theta, ridge, more: 0 * s.slope + np.sum(s.slope, axis=1, keepdims=True),
    "of the first task": lambda s, theta, ridge, more: 0 * s.slope + s.slope[:, :1],
    "of the next task": lambda s, theta, ridge, more: np.roll(s.slope, -1, axis=1),
    "divided by N": lambda s, theta, ridge, more: s.slope / s.slope.shape[1],
    "times N": lambda s, theta, ridge, more: s.slope * s.slope.shape[1],
    "divided by d": lambda s, theta, ridge, more: s.slope / s.slope.shape[-1],
    "times d": lambda s, theta, ridge, more: s.slope * s.slope.shape[-1],
    "less its mean over the parameters": lambda s, theta, ridge, more: s.slope - np.mean(s.slope, axis=-1, keepdims=True),
    "scaled to norm 1": lambda s, theta, ridge, more: s.slope / _norm(s.slope),
    "scaled to norm 1, the norm held": lambda s, theta, ridge, more: s.slope / np.real(_norm(s.slope)),
    "over its largest entry": lambda s, theta, ridge, more: s.slope / np.max(np.abs(np.real(s.slope)), axis=-1, keepdims=True),
    "over its root mean square": lambda s, theta, ridge, more: s.slope / _norm(s.slope) * np.sqrt(s.slope.shape[-1]),
    "normalised over the parameters": lambda s, theta, ridge, more: _normalised(s.slope),
    "its sign": lambda s, theta, ridge, more: sign(s.slope),
    "its tanh": lambda s, theta, ridge, more: np.tanh(s.slope),
    "its square": lambda s, theta, ridge, more: s.slope**2,
    "entries in reverse": lambda s, theta, ridge, more: s.slope[..., ::-1],
    "of the step before, at first 0": lambda s, theta, ridge, more: 0 * s.slope + (0 if more["first"] else more["before"].slope),
    "of the step before, at first its own": lambda s, theta, ridge, more: s.slope if more["first"] else more["before"].slope + 0 * s.slope,
    "of c0 in every step": lambda s, theta, ridge, more: more["start"]().slope + 0 * s.slope,
    "with that of the step before": lambda s, theta, ridge, more: s.slope if more["first"] else s.slope + more["before"].slope,
    "the mean with that of the step before": lambda s, theta, ridge, more: s.slope if more["first"] else (s.slope + more["before"].slope) / 2,
    "less that of the step before": lambda s, theta, ridge, more: s.slope if more["first"] else s.slope - more["before"].slope,
    "times the loss": lambda s, theta, ridge, more: s.slope * s.loss[..., None],
    "over the loss (of its logarithm)": lambda s, theta, ridge, more: s.slope / s.loss[..., None],
    **{f"clipped to norm {c:g}": _with(partial(_clipped, most=c)) for c in (0.25, 1.0)},
    **{f"entries clipped at {c:g}": _with(partial(_entries, most=c)) for c in (0.25, 0.1, 0.05)},
    "half": lambda s, theta, ridge, more: s.slope / 2,
    "twice": lambda s, theta, ridge, more: s.slope * 2,
}
LOSSES: dict[str, Callable[..., Array] | None] = {
    "of the support": None,
    "0": lambda s, before, more: 0 * s.loss,
    "of the query": lambda s, before, more: more["query"]().loss,
    "of support and query": lambda s, before, more: s.loss + more["query"]().loss,
    "of the step before, at first 0": lambda s, before, more: before.loss + 0 * s.loss,
    "of the step before, at first its own": lambda s, before, more: s.loss if more["first"] else before.loss + 0 * s.loss,
    "of c0 in every step": lambda s, before, more: more["start"]().loss + 0 * s.loss,
    "without its change": lambda s, before, more: np.real(s.loss),
    "without ridge": lambda s, before, more: s.loss - more["ridge"],
    "ridge doubled (without 1/2)": lambda s, before, more: s.loss + more["ridge"],
    "the ridge alone": lambda s, before, more: 0 * s.loss + more["ridge"],
    "times n": lambda s, before, more: s.loss * more["n"],
    "divided by n": lambda s, before, more: s.loss / more["n"],
    "mean over tasks": lambda s, before, more: 0 * s.loss + np.mean(s.loss, axis=1, keepdims=True),
    "sum over tasks": lambda s, before, more: 0 * s.loss + np.sum(s.loss, axis=1, keepdims=True),
    "of the first task": lambda s, before, more: 0 * s.loss + s.loss[:, :1],
    "of the next task": lambda s, before, more: np.roll(s.loss, -1, axis=1),
    "negative": lambda s, before, more: -s.loss,
    "the change since the step before": lambda s, before, more: s.loss - before.loss,
    "the mean with that of the step before": lambda s, before, more: s.loss if more["first"] else (s.loss + before.loss) / 2,
    "over that of c0": lambda s, before, more: s.loss / more["start"]().loss,
    "less that of c0": lambda s, before, more: s.loss - more["start"]().loss,
    "exp(-loss)": lambda s, before, more: np.exp(-s.loss),
    "exp(loss)": lambda s, before, more: np.exp(s.loss),
    "its logarithm": lambda s, before, more: np.log(s.loss),
    "its square": lambda s, before, more: s.loss**2,
    "its root": lambda s, before, more: np.sqrt(s.loss),
    "half": lambda s, before, more: s.loss / 2,
    "to base 2": lambda s, before, more: s.loss / np.log(2),
    "over ln of the number of classes": lambda s, before, more: s.loss / np.log(more["classes"]),
    "norm of the gradient": lambda s, before, more: _norm(s.slope)[..., 0],
    "1": lambda s, before, more: 0 * s.loss + 1,
}
OUTER: dict[str, Callable[[Array], Array] | None] = {
    "as they are": None,
    **{f"entries within -{c:g} and {c:g}": _entries_within(c) for c in (0.05, 0.1, 0.25, 1.0)},
    **{f"of norm at most {c:g}": _of_norm(c) for c in (0.05, 0.1, 0.25, 1.0)},
    "mean over the tasks": lambda g: 0 * g + np.mean(g, axis=0),
    "sum over the tasks": lambda g: 0 * g + np.sum(g, axis=0),
    "sum so far": lambda g: np.cumsum(g, axis=0),
    "mean so far": lambda g: np.cumsum(g, axis=0) / np.arange(1, len(g) + 1).reshape(-1, *[1] * (g.ndim - 1)),
    "of norm 1": lambda g: g / np.sqrt(np.sum(g**2, axis=tuple(range(1, g.ndim)), keepdims=True)),
    "their signs": np.sign,
    "mean over the entries": lambda g: 0 * g + np.mean(g, axis=tuple(range(1, g.ndim)), keepdims=True),
    "negative": lambda g: -g,
}
FAMILIES_OF_SIGNALS: dict[str, tuple[str, Callable[[float], Any]]] = {
    "p = {}": ("preprocessing", lambda c: both(log(c), linear(c), c)),
    "p = {} for the gradient": ("preprocessing of the gradient", lambda c: both(log(c), linear(c), c)),
    "p = {} for the loss": ("preprocessing of the loss", lambda c: both(log(c), linear(c), c)),
    "ln|x|/{}, else as it is": ("preprocessing", lambda c: both(log(c), linear(10))),
    "(ln(|x| + {})/10, sign x)": ("preprocessing", lambda c: everywhere(plain_log(c))),
    "(max(ln(|x| + {})/10, -1), sign x)": ("preprocessing", lambda c: everywhere(log_and_sign(c))),
    "({0} x, {0} x)": ("preprocessing", lambda c: everywhere(lambda x: (c * x, c * x))),
    "({} x, 0)": ("preprocessing", lambda c: everywhere(lambda x: (c * x, 0 * x))),
    "of {} x": ("preprocessing", lambda c: lambda x: preprocessing(c * x)),
    "ln|x|/10 at least -{}": ("preprocessing", lambda c: both(lambda x: (at_least(np.log(size(x)) / 10, -abs(c)), sign(x)), linear(10))),
    "entries clipped at {}": ("gradient", lambda c: _with(partial(_entries, most=abs(c)))),
    "clipped to norm {}": ("gradient", lambda c: _with(partial(_clipped, most=abs(c)))),
    "{} times": ("gradient", lambda c: _with(lambda s: c * s)),
    "with {} theta": ("gradient", lambda c: lambda s, theta, ridge, more: s.slope + c * theta),
    "with {} sign theta": ("gradient", lambda c: lambda s, theta, ridge, more: s.slope + c * sign(theta)),
    "{} of that of the step before": ("gradient", lambda c: lambda s, theta, ridge, more: s.slope if more["first"] else (1 - c) * s.slope + c * more["before"].slope),
    "and {} times that of the step before": ("gradient", lambda c: lambda s, theta, ridge, more: s.slope if more["first"] else s.slope + c * more["before"].slope),
    "+ {}": ("gradient", lambda c: _with(lambda s: s + c)),
    "the loss times {}": ("loss", lambda c: lambda s, before, more: c * s.loss),
    "the loss + {}": ("loss", lambda c: lambda s, before, more: s.loss + c),
    "the loss at most {}": ("loss", lambda c: lambda s, before, more: np.where(np.real(s.loss) > c, c, s.loss)),
    "the constant {}": ("loss", lambda c: lambda s, before, more: 0 * s.loss + c),
    "entries within -{0} and {0}": ("outer gradients", lambda c: _entries_within(abs(c))),
    "of norm at most {}": ("outer gradients", lambda c: _of_norm(abs(c))),
}
