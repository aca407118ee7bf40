"""What implementations of PEARL choose for the belief, the right alternative first.  Derivation: derivations/pearl.md

An alternative is what `beliefs` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices
from refmeta.oracle.suites.pearl.beliefs import Factors, multiplied
from refmeta.oracle.suites.pearl.context_choices import CONTEXT
from refmeta.oracle.suites.pearl.pieces import absolute, between, least, most, softplus

__all__ = ["BELIEFS", "FAMILIES_OF_BELIEFS"]

Pair = tuple[Array, Array]
Product = Callable[[Factors], Pair]


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


def _by_precision(power: float) -> Product:
    """A product whose variances are raised to a power, and back."""
    return lambda f: multiplied(f._replace(variance=f.variance**power))


def _without_prior(f: Factors) -> Factors:
    """The factors of the context alone; the prior is the last."""
    return f._replace(times=f.times * (np.arange(f.times.shape[-2]) < f.times.shape[-2] - 1)[:, None])


VARIANCES: dict[str, Callable[[Array], Array] | None] = {
    "exp": None,
    "softplus": softplus,
    "softplus, ln(1 + e^x) in as few digits as 1 + e^x has": lambda x: np.log(1 + np.exp(x)),
    "exp(2x), the log of a deviation": lambda x: np.exp(2 * x),
    "exp(x/2), a deviation taken for a variance": lambda x: np.exp(x / 2),
    "softplus^2": lambda x: softplus(x) ** 2,
    "sqrt(softplus)": lambda x: np.sqrt(softplus(x)),
    "softplus(-x)": lambda x: softplus(-x),
    "exp(-x), a precision": lambda x: np.exp(-x),
    "|x|": absolute,
    "x^2": lambda x: x**2,
    "x": lambda x: x,
    "1 + elu(x)": lambda x: np.where(np.real(x) > 0, 1 + x, np.exp(x)),
    "1 + |x|": lambda x: 1 + absolute(x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "exp(tanh x)": lambda x: np.exp(np.tanh(x)),
    "1 + exp": lambda x: 1 + np.exp(x),
    "2^x": lambda x: 2**x,
    "10^x": lambda x: 10**x,
    "1": lambda x: 0 * x + 1,
}
LIMITS = ((-20, 2), (-10, 2), (-5, 2), (-2, 2), (-1, 1))
CLAMPS: dict[str, Callable[[Array], Array] | None] = {
    "no": None,
    **{f"at least {low:g}": partial(most, y=low) for low in (1e-7, 1e-6, 1e-4, 1e-3, 1e-2, 0.1)},
    **{f"ln within {low} and {high}": partial(between, low=np.exp(low), high=np.exp(high)) for low, high in LIMITS},
}
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
    "1/sigma adds, then squared": lambda f: (_weighted(f, f.variance**-0.5), _by_precision(0.5)(f)[1] ** 2),
    "1/sigma^4 adds": _by_precision(2.0),
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


CHANGED: dict[str, Callable[[Array, Array], Pair] | None] = {
    "no": None,
    "mean: tanh": lambda m, v: (np.tanh(m), v),
    "mean: at most 1 in size": lambda m, v: (between(m, -1, 1), v),
    "mean: of norm 1": lambda m, v: (m / np.sqrt(np.sum(m**2, -1, keepdims=True)), v),
    "mean: 0": lambda m, v: (0 * m, v),
    "mean: negative": lambda m, v: (-m, v),
    "variance: at least 1e-2": lambda m, v: (m, most(v, 1e-2)),
    "variance: at least 0.1": lambda m, v: (m, most(v, 0.1)),
    "variance: at most 1": lambda m, v: (m, least(v, 1.0)),
    "variance: at most 0.1": lambda m, v: (m, least(v, 0.1)),
    "variance: softplus": lambda m, v: (m, softplus(v)),
    "variance: mean over the latent variables": lambda m, v: (m, 0 * v + np.mean(v, -1, keepdims=True)),
}


def _slopes(of_mean: float, of_variance: float) -> Callable[..., Pair]:
    """Multiples of the slopes of the means and of the variances of the factors."""
    return lambda product, f, base: product(
        f._replace(mean=np.real(f.mean) + 1j * of_mean * np.imag(f.mean), variance=np.real(f.variance) + 1j * of_variance * np.imag(f.variance))
    )


BELIEF_SLOPES: dict[str, Callable[..., Pair] | None] = {
    "as they are": None,
    "weights of the means held": lambda product, f, base: (product(f._replace(variance=base.variance))[0], product(f)[1]),
    "belief's variance held": lambda product, f, base: (product(f)[0], np.real(product(f)[1])),
    "belief's mean held": lambda product, f, base: (np.real(product(f)[0]), product(f)[1]),
    "variances held": _slopes(1, 0),
    "means held": _slopes(0, 1),
    "those of log variances doubled": _slopes(1, 2),
    "those of log variances halved": _slopes(1, 0.5),
    "those of log variances negative": _slopes(1, -1),
    "in the variance, not its logarithm": lambda product, f, base: product(f._replace(variance=base.variance + 1j * np.imag(f.variance) / base.variance)),
    "in the deviation, not in log variance": lambda product, f, base: product(
        f._replace(variance=base.variance + 2j * np.imag(f.variance) / np.sqrt(base.variance))
    ),
    "times the variance once more": lambda product, f, base: product(f._replace(variance=base.variance + 1j * np.imag(f.variance) * base.variance)),
}
BELIEFS: Choices = {
    **CONTEXT, "variance from": VARIANCES, "variance clamped": CLAMPS, "prior factor": PRIORS, "product": PRODUCTS,
    "slopes of the belief": BELIEF_SLOPES, "beliefs of the tasks before": KEPT, "belief changed": CHANGED,
}  # fmt: skip
FAMILIES_OF_BELIEFS = {
    "exp(x) + {}": ("variance from", lambda c: lambda x: np.exp(x) + c),
    "softplus(x) + {}": ("variance from", lambda c: lambda x: softplus(x) + c),
    "{} exp(x)": ("variance from", lambda c: lambda x: c * np.exp(x)),
    "exp({} x)": ("variance from", lambda c: lambda x: np.exp(c * x)),
    "the constant {}": ("variance from", lambda c: lambda x: 0 * x + c),
    "at least {}": ("variance clamped", lambda c: partial(most, y=c)),
    "at most {}": ("variance clamped", lambda c: partial(least, y=c)),
    "its logarithm within -{0} and {0}": ("variance clamped", lambda c: partial(between, low=np.exp(-abs(c)), high=np.exp(abs(c)))),
    "its logarithm at most {}": ("variance clamped", lambda c: partial(least, y=np.exp(c))),
    "{} times": ("prior factor", lambda c: lambda n, there: c * n + 0 * np.sum(there, 1, keepdims=True)),
    "one of variance {}": ("prior factor", lambda c: lambda n, there: n / c + 0 * np.sum(there, 1, keepdims=True)),
    "of variances to the power {}": ("product", _by_precision),
    "precisions add, and {}": ("product", lambda c: lambda f: _more_precise(f, c)),
    "variance: at least {}": ("belief changed", lambda c: lambda m, v: (m, most(v, c))),
    "variance: at most {}": ("belief changed", lambda c: lambda m, v: (m, least(v, c))),
    "variance: {} more": ("belief changed", lambda c: lambda m, v: (m, v + c)),
    "variance: times {}": ("belief changed", lambda c: lambda m, v: (m, c * v)),
    "mean: at most {} in size": ("belief changed", lambda c: lambda m, v: (between(m, -abs(c), abs(c)), v)),
    "mean: times {}": ("belief changed", lambda c: lambda m, v: (c * m, v)),
    "those of log variances times {}": ("slopes of the belief", lambda c: _slopes(1, c)),
}


def _more_precise(f: Factors, c: float) -> Pair:
    """Σ precisions + c, in the mean and in the variance."""
    mean, variance = multiplied(f)
    return mean / (1 + c * variance), variance / (1 + c * variance)
