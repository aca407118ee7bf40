"""What implementations choose for the likelihood of a context, the right alternative first.  Derivation: derivations/model-based.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.model.contexts import Rewards, blend, rising, sequence

__all__ = ["NEXT_STATES", "OF_REWARDS"]


def _log_gamma(x: Array) -> Array:
    """ln Γ."""
    from scipy.special import loggamma

    return np.asarray(loggamma(x))


def _known(c: Array, n: Array) -> Array:
    """n ln P̂ of the prior's mean."""
    return np.sum(np.where(n > 0, n * np.log(c / np.sum(c, axis=-1, keepdims=True)), 0), axis=-1)


NEXT_STATES: dict[str, Callable[[Array, Array], Array] | None] = {
    "in their order": None,
    "of the counts, with n!/prod n_s'!": lambda c, n: sequence(c, n) + _log_gamma(np.sum(n, -1) + 1) - np.sum(_log_gamma(n + 1), -1),
    "left out": lambda c, n: 0 * np.sum(c + n, axis=-1),
    "of the prior's mean, each alone": _known,
    "of the posterior's mean, each alone": lambda c, n: np.sum(n * np.log((c + n) / np.sum(c + n, axis=-1, keepdims=True)), axis=-1),
    "without the normaliser of the prior": lambda c, n: np.sum(_log_gamma(c + n), -1) - _log_gamma(np.sum(c + n, -1)),
    "without the sums of concentrations": lambda c, n: np.sum(rising(c, n), axis=-1) + 0 * np.sum(c, axis=-1),
    "the sums alone": lambda c, n: -rising(np.sum(c, axis=-1), np.sum(n, axis=-1)),
    "negative": lambda c, n: -sequence(c, n),
    "with c + n for c": lambda c, n: sequence(c + n, n),
    "with c - 1 for c": lambda c, n: sequence(c - 1, n),
    "of the mean concentration": lambda c, n: sequence(0 * c + np.mean(c, axis=-1, keepdims=True), n),
}


def _density(r: Rewards, mean: Array, variance: Array) -> Array:
    """ln N of every reward, each alone."""
    square = r.squares + r.n * (r.mean - mean) ** 2
    return -(r.n * np.log(2 * np.pi * variance) + square / variance) / 2


def _joint(r: Rewards, m: Array, v: Array, e: Array, circle: float = 2 * np.pi, log: float = 1.0, spread: float = 1.0, off: float = 1.0) -> Array:
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
    "without 2 pi": lambda r, m, v, e: _joint(r, m, v, e, circle=1.0),
    "without logarithms": lambda r, m, v, e: _joint(r, m, v, e, log=0.0),
    "2 pi not squared, pi for 2 pi": lambda r, m, v, e: _joint(r, m, v, e, circle=np.pi),
    "without the spread about the mean": lambda r, m, v, e: _joint(r, m, v, e, spread=0.0),
    "without the square of the mean": lambda r, m, v, e: _joint(r, m, v, e, off=0.0),
    "without 1/2": lambda r, m, v, e: 2 * _joint(r, m, v, e),
    "log determinant doubled": lambda r, m, v, e: _joint(r, m, v, e, log=2.0),
    "log determinant halved": lambda r, m, v, e: _joint(r, m, v, e, log=0.5),
    "squares not halved": lambda r, m, v, e: _joint(r, m, v, e, spread=2.0, off=2.0),
    "negative": lambda r, m, v, e: -_joint(r, m, v, e),
    "variances exchanged": lambda r, m, v, e: _joint(r, m, e + 0 * v, v),
    "noise taken for a deviation": lambda r, m, v, e: _joint(r, m, v, e**2),
    "variance taken for a deviation": lambda r, m, v, e: _joint(r, m, v**2, e),
    "both taken for deviations": lambda r, m, v, e: _joint(r, m, v**2, e**2),
    "prior mean 0": lambda r, m, v, e: _joint(r, 0 * m, v, e),
    "D = noise + variance": lambda r, m, v, e: _joint(r, m, v / np.maximum(r.n, 1), e),
}
