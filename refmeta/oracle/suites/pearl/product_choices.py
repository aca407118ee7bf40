"""What implementations of PEARL choose for the product of the factors and between tasks, the right alternative first.  Derivation: derivations/pearl.md

An alternative is what is computed instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.pearl.beliefs import Factors, multiplied

Pair = tuple[Array, Array]
Product = Callable[[Factors], Pair]

__all__ = ["KEPT", "PRIORS", "PRODUCTS", "by_precision", "more_precise"]



def _mean(each: Factors, x: Array) -> Array:
    """The mean over the factors."""
    return np.sum(each.times * x, axis=-2) / np.sum(each.times, axis=-2)


def _mixture(f: Factors) -> Pair:
    """Mean and variance of a mixture of the factors."""
    mean = _mean(f, f.mean)
    return mean, _mean(f, f.variance + f.mean**2) - mean**2


def _weighted(each: Factors, weights: Array) -> Array:
    """Σ w μ / Σ w."""
    return np.sum(each.times * weights * each.mean, axis=-2) / np.sum(each.times * weights, axis=-2)


def by_precision(power: float) -> Product:
    """A product whose variances are raised to a power, and back."""
    return lambda f: multiplied(f._replace(variance=f.variance**power))


def _without_prior(f: Factors) -> Factors:
    """The factors of the context alone; the prior is the last."""
    return f._replace(times=f.times * (np.arange(f.times.shape[-2]) < f.times.shape[-2] - 1)[:, None])


PRODUCTS: dict[str, Product | None] = {
    "precisions add": None,
    "means of means and of variances": lambda f: (_mean(f, f.mean), _mean(f, f.variance)),
    "means of means and of variances, without the prior": lambda f: (_mean(_without_prior(f), f.mean), _mean(_without_prior(f), f.variance)),
    "mean of means, sum of variances": lambda f: (_mean(f, f.mean), np.sum(f.times * f.variance, axis=-2)),
    "mean of means, mean of variances over n": lambda f: (_mean(f, f.mean), _mean(f, f.variance) / np.sum(f.times, axis=-2)),
    "means of means and of log variances": lambda f: (_mean(f, f.mean), np.exp(_mean(f, np.log(f.variance)))),
    "means of means and of deviations": lambda f: (_mean(f, f.mean), _mean(f, np.sqrt(f.variance)) ** 2),
    "mean and variance of the mixture": _mixture,
    "sums of means and of variances": lambda f: (np.sum(f.times * f.mean, axis=-2), np.sum(f.times * f.variance, axis=-2)),
    "means unweighted": lambda f: (_mean(f, f.mean), multiplied(f)[1]),
    "means unweighted, without the prior": lambda f: (_mean(_without_prior(f), f.mean), multiplied(f)[1]),
    "means weighted without the prior": lambda f: (multiplied(_without_prior(f))[0], multiplied(f)[1]),
    "the prior in the mean alone": lambda f: (multiplied(f)[0], multiplied(_without_prior(f))[1]),
    "sum of means": lambda f: (np.sum(f.times * f.mean, axis=-2), multiplied(f)[1]),
    "precisions averaged": lambda f: (multiplied(f)[0], np.sum(f.times, axis=-2) * multiplied(f)[1]),
    "precisions averaged over the context": lambda f: (multiplied(f)[0], np.sum(_without_prior(f).times, axis=-2) * multiplied(f)[1]),
    "precisions add, mean not divided by them": lambda f: (multiplied(f)[0] / multiplied(f)[1], multiplied(f)[1]),
    "means weighted by 1/sigma": lambda f: (_weighted(f, f.variance**-0.5), multiplied(f)[1]),
    "means weighted by sigma^2": lambda f: (_weighted(f, f.variance), multiplied(f)[1]),
    "1/sigma adds, then squared": lambda f: (_weighted(f, f.variance**-0.5), by_precision(0.5)(f)[1] ** 2),
    "1/sigma^4 adds": by_precision(2.0),
    "variances over n": lambda f: (multiplied(f)[0], multiplied(f)[1] / np.sum(f.times, axis=-2)),
    "precision given for the variance": lambda f: (multiplied(f)[0], 1 / multiplied(f)[1]),
    "deviation given for the variance": lambda f: (multiplied(f)[0], np.sqrt(multiplied(f)[1])),
    "variance squared": lambda f: (multiplied(f)[0], multiplied(f)[1] ** 2),
}
PRIORS: dict[str, Callable[[float, Array], Array] | None] = {
    "as prior_factors says": None,
    "never": lambda n, there: 0 * np.sum(there, 1, keepdims=True),
    "always": lambda n, there: 0 * np.sum(there, 1, keepdims=True) + 1,
    "twice": lambda n, there: 2 * n + 0 * np.sum(there, 1, keepdims=True),
    "half": lambda n, there: n / 2 + 0 * np.sum(there, 1, keepdims=True),
    "the other way round": lambda n, there: 1 - n + 0 * np.sum(there, 1, keepdims=True),
    "once for every transition": lambda n, there: n * np.sum(there, 1, keepdims=True),
    "once for every transition, at least once": lambda n, there: n * np.maximum(np.sum(there, 1, keepdims=True), 1),
    "once for every transition, and once more": lambda n, there: n * (np.sum(there, 1, keepdims=True) + 1),
    "once for every entry of the mask": lambda n, there: n * (there.shape[1] + 0 * np.sum(there, 1, keepdims=True)),
    "divided by the number of transitions": lambda n, there: n / np.maximum(np.sum(there, 1, keepdims=True), 1),
    "if the context is empty, only then": lambda n, there: n * (np.sum(there, 1, keepdims=True) == 0),
    "once among all tasks, for the first": lambda n, there: n * (np.arange(len(there)) == 0)[:, None, None],
}
KEPT: dict[str, Callable[[Array, Array], Pair] | None] = {
    "forgotten": None,
    "one more factor, held": lambda m, v: _with_earlier(m, v, np.real),
    "one more factor": lambda m, v: _with_earlier(m, v, lambda x: x),
    "the one before alone is one more factor, held": lambda m, v: _with_last(m, v, np.real),
    "the one before alone is one more factor": lambda m, v: _with_last(m, v, lambda x: x),
    "their mean": lambda m, v: (_so_far(m), _so_far(v)),
    "the mean with that before": lambda m, v: (_half(m), _half(v)),
    "that of the first task for all": lambda m, v: (0 * m + m[:, :1], 0 * v + v[:, :1]),
    "that of the task before for this": lambda m, v: (np.roll(m, 1, 1), np.roll(v, 1, 1)),
    "mean over all tasks": lambda m, v: (0 * m + np.mean(m, 1, keepdims=True), 0 * v + np.mean(v, 1, keepdims=True)),
    "variance over all tasks alike": lambda m, v: (m, 0 * v + np.mean(v, 1, keepdims=True)),
}


def _with_earlier(mean: Array, variance: Array, of: Callable[[Array], Array]) -> Pair:
    """The beliefs of the tasks before, all of them, are factors too."""
    precision, weighted = 1 / variance, mean / variance
    more, less = (of(np.cumsum(x, axis=1) - x) for x in (precision, weighted))
    return (weighted + less) / (precision + more), 1 / (precision + more)


def _with_last(mean: Array, variance: Array, of: Callable[[Array], Array]) -> Pair:
    """The belief of the task before is a factor, too."""
    precision, weighted = 1 / variance, mean / variance
    more, less = (of(np.concatenate([0 * x[:, :1], x[:, :-1]], axis=1)) for x in (precision, weighted))
    return (weighted + less) / (precision + more), 1 / (precision + more)


def _so_far(x: Array) -> Array:
    """The mean over the tasks up to each."""
    return np.cumsum(x, axis=1) / np.arange(1, x.shape[1] + 1)[:, None]


def _half(x: Array) -> Array:
    """Half of each and of the one before."""
    return (x + np.concatenate([x[:, :1], x[:, :-1]], axis=1)) / 2


def more_precise(f: Factors, c: float) -> Pair:
    """Σ precisions + c, in the mean and in the variance."""
    mean, variance = multiplied(f)
    return mean / (1 + c * variance), variance / (1 + c * variance)
