"""What implementations choose for the model that a context gives, the right alternative first.  Derivation: derivations/model-based.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.model.contexts import Counts, Rewards, blend

__all__ = ["REWARDS", "TRANSITIONS"]


def _rows(x: Array) -> Array:
    """Rows that add to 1."""
    return x / np.sum(x, axis=-1, keepdims=True)


def _where_met(x: Counts, value: Array, elsewhere: Array) -> Array:
    """One value where (s, a) was met, another elsewhere."""
    return np.where(np.sum(x.n, axis=-1, keepdims=True) > 0, value, elsewhere)


def _expected_logs(x: Counts) -> Array:
    """exp E ln P, made to add to 1."""
    from scipy.special import digamma

    return _rows(np.exp(digamma(x.c + x.n)))


TRANSITIONS: dict[str, Callable[[Counts], Array] | None] = {
    "posterior mean": None,
    "most likely, the prior's mean elsewhere": lambda x: _where_met(x, _rows(x.n), _rows(x.c)),
    "most likely, uniform elsewhere": lambda x: _where_met(x, _rows(x.n), 0 * x.n + 1 / x.n.shape[-1]),
    "most likely, staying elsewhere": lambda x: _where_met(x, _rows(x.n), 0 * x.n + np.eye(x.n.shape[-1])[:, None]),
    "most likely, 0 elsewhere": lambda x: _where_met(x, _rows(x.n), 0 * x.n),
    "posterior mean where met, uniform elsewhere": lambda x: _where_met(x, _rows(x.c + x.n), 0 * x.n + 1 / x.n.shape[-1]),
    "posterior mode": lambda x: _rows(np.maximum(x.c + x.n - 1, 0)),
    "prior's mean": lambda x: _rows(x.c + 0 * x.n),
    "counts plus 1": lambda x: _rows(1 + x.n),
    "counts plus 1/2": lambda x: _rows(0.5 + x.n),
    "counts plus 1/S": lambda x: _rows(1 / x.n.shape[-1] + x.n),
    "counts plus the prior's mean": lambda x: _rows(_rows(x.c) + x.n),
    "counts plus the mean concentration": lambda x: _rows(np.mean(x.c) + x.n),
    "counts plus concentrations plus 1": lambda x: _rows(x.c + x.n + 1),
    "counts plus concentrations minus 1": lambda x: _rows(x.c + x.n - 1),
    "concentrations squared": lambda x: _rows(x.c**2 + x.n),
    "counts doubled": lambda x: _rows(x.c + 2 * x.n),
    "each next state counted once": lambda x: _rows(x.c + (x.n > 0)),
    "not normalised": lambda x: x.c + x.n,
    "divided by the counts alone": lambda x: (x.c + x.n) / np.maximum(np.sum(x.n, axis=-1, keepdims=True), 1),
    "normalised over s": lambda x: (x.c + x.n) / np.sum(x.c + x.n, axis=-3, keepdims=True),
    "normalised over actions": lambda x: (x.c + x.n) / np.sum(x.c + x.n, axis=-2, keepdims=True),
    "s and s' exchanged": lambda x: _rows(x.c + x.n.swapaxes(-1, -3)),
    "concentrations with s and s' exchanged": lambda x: _rows(x.c.swapaxes(-1, -3) + x.n),
    "actions pooled": lambda x: _rows(x.c + np.sum(x.n, axis=-2, keepdims=True)),
    "mean of prior and counts": lambda x: _where_met(x, (_rows(x.n) + _rows(x.c)) / 2, _rows(x.c)),
    "exp of the mean logarithm": _expected_logs,
    "the true one": lambda x: x.truth,
}
REWARDS: dict[str, Callable[..., Array] | None] = {
    "posterior mean": None,
    "mean reward, the prior's mean elsewhere": lambda r, m, v, e, R: np.where(r.n > 0, r.mean, m),
    "mean reward, 0 elsewhere": lambda r, m, v, e, R: r.mean,
    "prior's mean": lambda r, m, v, e, R: m + 0 * r.mean,
    "variances exchanged": lambda r, m, v, e, R: blend(r.n, r.mean, m, e, v),
    "n left out": lambda r, m, v, e, R: np.where(r.n > 0, blend(1.0, r.mean, m, v, e), m),
    "n left out of the weights, sum for the mean": lambda r, m, v, e, R: np.where(r.n > 0, blend(1.0, r.n * r.mean, m, v, e), m),
    "prior mean 0": lambda r, m, v, e, R: blend(r.n, r.mean, 0 * m, v, e),
    "noise taken for a deviation": lambda r, m, v, e, R: blend(r.n, r.mean, m, v, e**2),
    "variance taken for a deviation": lambda r, m, v, e, R: blend(r.n, r.mean, m, v**2, e),
    "both taken for deviations": lambda r, m, v, e, R: blend(r.n, r.mean, m, v**2, e**2),
    "root of the noise": lambda r, m, v, e, R: blend(r.n, r.mean, m, v, np.sqrt(e)),
    "root of the variance": lambda r, m, v, e, R: blend(r.n, r.mean, m, np.sqrt(v), e),
    "roots of both": lambda r, m, v, e, R: blend(r.n, r.mean, m, np.sqrt(v), np.sqrt(e)),
    "no noise but where nothing was met": lambda r, m, v, e, R: blend(r.n, r.mean, m, v, e * (r.n == 0)),
    "noise 1": lambda r, m, v, e, R: blend(r.n, r.mean, m, v, 1.0),
    "variance 1": lambda r, m, v, e, R: blend(r.n, r.mean, m, 1.0, e),
    "both 1": lambda r, m, v, e, R: blend(r.n, r.mean, m, 1.0, 1.0),
    "n + 1 for n": lambda r, m, v, e, R: blend(r.n + 1, r.mean, m, v, e),
    "n - 1 for n": lambda r, m, v, e, R: blend(np.maximum(r.n - 1, 0), r.mean, m, v, e),
    "n^2 for n": lambda r, m, v, e, R: blend(r.n**2, r.mean, m, v, e),
    "sum for the mean": lambda r, m, v, e, R: blend(r.n, r.n * r.mean, m, v, e),
    "sum of the rewards": lambda r, m, v, e, R: r.n * r.mean,
    "last reward, the prior's mean elsewhere": lambda r, m, v, e, R: np.where(r.n > 0, r.last, m),
    "first reward, the prior's mean elsewhere": lambda r, m, v, e, R: np.where(r.n > 0, r.first, m),
    "last reward for the mean": lambda r, m, v, e, R: blend(r.n, r.last, m, v, e),
    "half of each": lambda r, m, v, e, R: np.where(r.n > 0, (r.mean + m) / 2, m),
    "actions pooled": lambda r, m, v, e, R: blend(np.sum(r.n, -1, keepdims=True), _pooled(r), m, v, e),
    "the true one": lambda r, m, v, e, R: R + 0 * r.mean,
}


def _pooled(r: Rewards) -> Array:
    """The mean reward of a state, whatever the action."""
    return np.sum(r.n * r.mean, axis=-1, keepdims=True) / np.maximum(np.sum(r.n, axis=-1, keepdims=True), 1)
