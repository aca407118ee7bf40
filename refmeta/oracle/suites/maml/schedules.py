"""How step sizes are read, and of which parameters.  Derivation: derivations/maml.md

A reading takes the rows of the steps, (K, 1) or (K, d); one of the parameters takes (K, d) and the support.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array

__all__ = ["OF_PARAMETERS", "READINGS", "decaying", "kept", "reordered"]

Reading = Callable[[Array], Array]
OfParameters = Callable[[Array, Any], Array]


def _steps(a: Array) -> Array:
    """0, 1 … K − 1, (K, 1)."""
    return np.arange(len(a))[:, None]


def decaying(rate: Callable[[Array, int], Array]) -> Reading:
    """α times a function of k and K in step k."""
    return lambda a: a * rate(_steps(a), max(len(a), 1))


def _all_in_one(pick: Callable[[Array], Any]) -> Reading:
    """One number for every step and parameter."""
    return lambda a: 0 * a[:, :1] + pick(a) if len(a) else a


READINGS: dict[str, Reading | None] = {
    "as it is": None,
    "its mean over the parameters": lambda a: np.mean(a, axis=1, keepdims=True),
    "its mean over the steps": lambda a: 0 * a + np.mean(a, axis=0) if len(a) else a,
    "its mean over all": _all_in_one(np.mean),
    "the first step's in every step": lambda a: 0 * a + a[:1],
    "the last step's in every step": lambda a: 0 * a + a[-1:],
    "the first entry in every place": _all_in_one(lambda a: a[0, 0]),
    "the last entry in every place": _all_in_one(lambda a: a[-1, -1]),
    "the first parameter's in every place": lambda a: 0 * a + a[:, :1],
    "the last parameter's in every place": lambda a: 0 * a + a[:, -1:],
    "steps in reverse": lambda a: a[::-1],
    "rows one step late, the last row first": lambda a: np.roll(a, 1, axis=0),
    "rows one step early, the first row last": lambda a: np.roll(a, -1, axis=0),
    "rows one step late, the first row twice": lambda a: np.concatenate([a[:1], a[:-1]]),
    "rows one step early, the last row twice": lambda a: np.concatenate([a[1:], a[-1:]]),
    "parameters in reverse": lambda a: a[:, ::-1],
    "parameters moved on by one": lambda a: np.roll(a, 1, axis=1),
    "steps and parameters exchanged": lambda a: a.T if a.shape[0] == a.shape[1] else a,
    "its numbers column by column": lambda a: a.reshape(a.shape[::-1]).T,
    "added up over the steps": lambda a: np.cumsum(a, axis=0),
    "multiplied over the steps": lambda a: np.cumprod(a, axis=0),
    "its sum over the steps": lambda a: 0 * a + np.sum(a, axis=0),
    "alpha/(k + 1) in step k": decaying(lambda k, K: 1 / (k + 1)),
    "alpha/(k + 2) in step k": decaying(lambda k, K: 1 / (k + 2)),
    "alpha/sqrt(k + 1) in step k": decaying(lambda k, K: 1 / np.sqrt(k + 1)),
    "alpha times 0.9^k in step k": decaying(lambda k, K: 0.9**k),
    "alpha (1 - k/K) in step k": decaying(lambda k, K: 1 - k / K),
    "alpha (1 - k/(K + 1)) in step k": decaying(lambda k, K: 1 - k / (K + 1)),
    "alpha (k + 1)/K in step k": decaying(lambda k, K: (k + 1) / K),
    "alpha (k + 1) in step k": decaying(lambda k, K: k + 1),
    "alpha (1 + cos(pi k/K))/2 in step k": decaying(lambda k, K: (1 + np.cos(np.pi * k / K)) / 2),
    "alpha (1 + cos(pi k/(K - 1)))/2 in step k": decaying(lambda k, K: (1 + np.cos(np.pi * k / max(K - 1, 1))) / 2),
    "alpha (1 + cos(pi (k + 1)/K))/2 in step k": decaying(lambda k, K: (1 + np.cos(np.pi * (k + 1) / K)) / 2),
    "alpha cos(pi k/(2K)) in step k": decaying(lambda k, K: np.cos(np.pi * k / (2 * K))),
    "alpha^(k + 1) in step k": lambda a: a ** (_steps(a) + 1),
    "none in the first step": decaying(lambda k, K: np.minimum(k, 1)),
    "none in the last step": decaying(lambda k, K: np.minimum(K - 1 - k, 1)),
    "alpha/K": lambda a: a / max(len(a), 1),
    "alpha/d": lambda a: a / a.shape[1],
    "alpha^2": lambda a: a**2,
    "sqrt(alpha)": np.sqrt,
    "exp(alpha)": np.exp,
    "log(1 + exp(alpha))": lambda a: np.log1p(np.exp(a)),
    "alpha's sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "tanh(alpha)": np.tanh,
    "alpha/(1 + alpha)": lambda a: a / (1 + a),
    "not negative": lambda a: np.where(a.real > 0, a, 0.0),
    "its size": lambda a: a * np.sign(a.real),
    "at most 1": lambda a: np.where(a.real < 1, a, 1.0),
    "at most 0.1": lambda a: np.where(a.real < 0.1, a, 0.1),
    "over its norm": lambda a: a / np.sqrt(np.sum(a**2, axis=1, keepdims=True)),
    "over its mean": lambda a: a / np.mean(a, axis=1, keepdims=True),
}


def kept(which: Callable[[Array, int], Any]) -> OfParameters:
    """Steps of some parameters only: a statement on 0 … d − 1 and d."""
    return lambda a, task: a * which(np.arange(a.shape[-1]), a.shape[-1])


def reordered(order: Callable[[Any], Array]) -> OfParameters:
    """Step sizes in the order of another layout."""
    return lambda a, task: a[:, order(task)]


OF_PARAMETERS: dict[str, OfParameters | None] = {
    "every parameter's": None,
    "none for the first parameter": kept(lambda j, d: j > 0),
    "none for the last parameter": kept(lambda j, d: j < d - 1),
    "none but for the first parameter": kept(lambda j, d: j == 0),
    "none but for the last parameter": kept(lambda j, d: j == d - 1),
    "none for the first half": kept(lambda j, d: j >= d // 2),
    "none for the second half": kept(lambda j, d: j < d // 2),
    "none but for the 1st, the 3rd, ...": kept(lambda j, d: j % 2 == 0),
    "none but for the 2nd, the 4th, ...": kept(lambda j, d: j % 2 == 1),
}
