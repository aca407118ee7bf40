"""What implementations choose for the likelihood of rewards, the right alternative first.  Derivation: derivations/model-based.md

An alternative is what is computed instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.model.contexts import Rewards, blend

__all__ = ["FOLLOWED", "OF_REWARDS", "density_of"]



def _density(r: Rewards, mean: Array, variance: Array) -> Array:
    """ln N of every reward, each alone."""
    square = r.squares + r.n * (r.mean - mean) ** 2
    return -(r.n * np.log(2 * np.pi * variance) + square / variance) / 2


def density_of(r: Rewards, m: Array, v: Array, e: Array, circle: float = 2 * np.pi, log: float = 1.0, spread: float = 1.0, off: float = 1.0) -> Array:
    """The joint density with some of its terms changed."""
    D = e + r.n * v
    return -(log * (r.n * np.log(circle * e) + np.log(D / e)) + spread * r.squares / e + off * r.n * (r.mean - m) ** 2 / D) / 2


OF_REWARDS: dict[str, Callable[..., Array] | None] = {
    "jointly Gaussian": None,
    "each alone, N(mean, noise + variance)": lambda r, m, v, e: _density(r, m, v + e),
    "each alone, N(mean, noise)": lambda r, m, v, e: _density(r, m, e + 0 * v),
    "each alone, N(mean, variance)": lambda r, m, v, e: _density(r, m, v),
    "each alone, N(posterior mean, noise)": lambda r, m, v, e: _density(r, blend(r.n, r.mean, m, v, e), e + 0 * v),
    "each alone, N(posterior mean, noise + posterior variance)": lambda r, m, v, e: _density(r, blend(r.n, r.mean, m, v, e), e + v * e / (e + r.n * v)),
    "of the mean reward alone": lambda r, m, v, e: np.where(r.n > 0, _density(r._replace(n=0 * r.n + 1, squares=0 * r.squares), m, v + e / np.maximum(r.n, 1)), 0),
    "left out": lambda r, m, v, e: 0 * _density(r, m, v + e),
    "without 2 pi": lambda r, m, v, e: density_of(r, m, v, e, circle=1.0),
    "without logarithms": lambda r, m, v, e: density_of(r, m, v, e, log=0.0),
    "2 pi not squared, pi for 2 pi": lambda r, m, v, e: density_of(r, m, v, e, circle=np.pi),
    "without the spread about the mean": lambda r, m, v, e: density_of(r, m, v, e, spread=0.0),
    "without the square of the mean": lambda r, m, v, e: density_of(r, m, v, e, off=0.0),
    "without 1/2": lambda r, m, v, e: 2 * density_of(r, m, v, e),
    "log determinant doubled": lambda r, m, v, e: density_of(r, m, v, e, log=2.0),
    "log determinant halved": lambda r, m, v, e: density_of(r, m, v, e, log=0.5),
    "squares not halved": lambda r, m, v, e: density_of(r, m, v, e, spread=2.0, off=2.0),
    "negative": lambda r, m, v, e: -density_of(r, m, v, e),
    "variances exchanged": lambda r, m, v, e: density_of(r, m, e + 0 * v, v),
    "noise taken for a deviation": lambda r, m, v, e: density_of(r, m, v, e**2),
    "variance taken for a deviation": lambda r, m, v, e: density_of(r, m, v**2, e),
    "both taken for deviations": lambda r, m, v, e: density_of(r, m, v**2, e**2),
    "prior mean 0": lambda r, m, v, e: density_of(r, 0 * m, v, e),
    "without the determinant: squares and 2 pi only": lambda r, m, v, e: -(r.n * np.log(2 * np.pi) + r.squares / e + r.n * (r.mean - m) ** 2 / (e + r.n * v)) / 2,
    "without the noise's logarithm": lambda r, m, v, e: density_of(r, m, v, e) + r.n * np.log(e) / 2,
    "without ln D/noise": lambda r, m, v, e: density_of(r, m, v, e) + np.log((e + r.n * v) / e) / 2,
    "determinant + for -": lambda r, m, v, e: density_of(r, m, v, e, log=-1.0),
    "ln D for ln D/noise": lambda r, m, v, e: density_of(r, m, v, e) - np.log(e) / 2 + 0 * r.n,
    "ln D for ln D/noise where met": lambda r, m, v, e: density_of(r, m, v, e) - np.log(e) / 2 * (r.n > 0),
    "2 pi once for all rewards": lambda r, m, v, e: density_of(r, m, v, e) + (r.n - (r.n > 0)) * np.log(2 * np.pi) / 2,
    "squares of deviations over n": lambda r, m, v, e: density_of(r._replace(squares=r.squares / np.maximum(r.n, 1)), m, v, e),
    "squares over n - 1": lambda r, m, v, e: density_of(r._replace(squares=r.squares / np.maximum(r.n - 1, 1)), m, v, e),
    "square of the mean not times n": lambda r, m, v, e: density_of(r, m, v, e) - (1 - r.n) * (r.mean - m) ** 2 / (e + r.n * v) / 2 * (r.n > 0),
    "D = noise + variance in the square": lambda r, m, v, e: density_of(r, m, v, e, off=0.0) - r.n * (r.mean - m) ** 2 / (e + v) / 2,
    "D = noise in the square": lambda r, m, v, e: density_of(r, m, v, e, off=0.0) - r.n * (r.mean - m) ** 2 / e / 2,
    "squares about the prior's mean": lambda r, m, v, e: density_of(r._replace(squares=r.squares + r.n * (r.mean - m) ** 2), m, v, e),
    "deviation in place of the variance, 1/sigma": lambda r, m, v, e: density_of(r, m, np.sqrt(v), np.sqrt(e)),
    "noise + variance for the noise": lambda r, m, v, e: density_of(r, m, v, e + v),
    "the last reward counted for all": lambda r, m, v, e: density_of(r._replace(mean=r.last, squares=0 * r.squares), m, v, e),
    "each pair's rewards once": lambda r, m, v, e: density_of(r._replace(n=np.minimum(r.n, 1)), m, v, e),
    "mean over states and actions": lambda r, m, v, e: density_of(r, m, v, e) / r.n[0].size,
    "over n": lambda r, m, v, e: density_of(r, m, v, e) / np.maximum(r.n, 1),
    "tasks pooled": lambda r, m, v, e: density_of(_tasks_pooled(r), m, v, e),
    "D = noise + variance": lambda r, m, v, e: density_of(r, m, v / np.maximum(r.n, 1), e),
}
FOLLOWED: dict[str, Callable[..., Array] | None] = {
    "in all terms": None,
    "not in the determinant": lambda r, m, v, e: density_of(r, m, v, e) + np.log((e + r.n * v) / np.real(e + r.n * v)) / 2,
    "not in the square": lambda r, m, v, e: density_of(r, m, v, e) + r.n * (r.mean - m) ** 2 * (1 / (e + r.n * v) - 1 / np.real(e + r.n * v)) / 2,
}


def _tasks_pooled(r: Rewards) -> Rewards:
    """The rewards of all tasks for each."""
    n = np.sum(r.n, axis=0, keepdims=True)
    mean = np.sum(r.n * r.mean, axis=0, keepdims=True) / np.maximum(n, 1)
    squares = np.sum(r.squares + r.n * (r.mean - mean) ** 2, axis=0, keepdims=True)
    return r._replace(n=n + 0 * r.n, mean=mean + 0 * r.mean, squares=squares + 0 * r.squares)
