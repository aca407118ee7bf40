"""What implementations of PEARL choose for the belief and its sample, the right alternative first.  Derivation: derivations/pearl.md

An alternative is what `beliefs` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices
from refmeta.oracle.suites.pearl.beliefs import Factors, multiplied

__all__ = ["BELIEFS", "absolute", "least", "most"]


def _softplus(x: Array) -> Array:
    """ln(1 + eˣ)."""
    return np.log1p(np.exp(x))


def absolute(x: Array) -> Array:
    """|x|, with its slope."""
    return np.where(np.real(x) < 0, -x, x)


def least(x: Array, y: Array | float) -> Array:
    """The smaller of two by the real part, with its slope."""
    return np.where(np.real(x) <= np.real(y), x, y)


def most(x: Array, y: Array | float) -> Array:
    """The larger of two by the real part, with its slope."""
    return np.where(np.real(x) >= np.real(y), x, y)


def _between(x: Array, low: float, high: float) -> Array:
    """x, not below `low` and not above `high`."""
    return least(most(x, low), high)


def _mean(each: Factors, x: Array) -> Array:
    """The mean over the factors."""
    return np.sum(each.times * x, axis=-2) / np.sum(each.times, axis=-2)


def _weighted(each: Factors, weights: Array) -> Array:
    """Σ w μ / Σ w."""
    return np.sum(each.times * weights * each.mean, axis=-2) / np.sum(each.times * weights, axis=-2)


def _kl(mean: Array, variance: Array) -> Array:
    """σ² + μ² − 1 − ln σ², (…, Z)."""
    return variance + mean**2 - 1 - np.log(variance)


def _total(x: Array) -> Array:
    """Σ over the latent variables, halved."""
    return np.sum(x, axis=-1) / 2


def _by_precision(power: float) -> Callable[[Factors], tuple[Array, Array]]:
    """A product whose variances are raised to a power, and back."""
    return lambda f: multiplied(f._replace(variance=f.variance**power))


FEATURES: dict[str, Callable[..., list[Array]] | None] = {
    "1, e_sa, e_s', r e_sa, r e_s'": None,
    "without e_s' and r e_s'": lambda pair, after, r, *_: [1 + 0 * r, pair, 0 * after, r * pair, 0 * after],
    "without r e_s'": lambda pair, after, r, *_: [1 + 0 * r, pair, after, r * pair, 0 * after],
    "without r e_sa": lambda pair, after, r, *_: [1 + 0 * r, pair, after, 0 * pair, r * after],
    "without rewards": lambda pair, after, r, *_: [1 + 0 * r, pair, after, 0 * pair, 0 * after],
    "without e_sa and e_s' (rewards only)": lambda pair, after, r, *_: [1 + 0 * r, 0 * pair, 0 * after, r * pair, r * after],
    "without e_sa": lambda pair, after, r, *_: [1 + 0 * r, 0 * pair, after, r * pair, r * after],
    "without the constant": lambda pair, after, r, *_: [0 * r, pair, after, r * pair, r * after],
    "e_s for e_s'": lambda pair, after, r, before, turned: [1 + 0 * r, pair, before, r * pair, r * before],
    "e_sa with entry a*S + s": lambda pair, after, r, before, turned: [1 + 0 * r, turned, after, r * turned, r * after],
    "1, e_s', e_sa, r e_s', r e_sa": lambda pair, after, r, *_: [1 + 0 * r, after, pair, r * after, r * pair],
    "1, e_sa, r e_sa, e_s', r e_s'": lambda pair, after, r, *_: [1 + 0 * r, pair, r * pair, after, r * after],
    "1, r e_sa, r e_s', e_sa, e_s'": lambda pair, after, r, *_: [1 + 0 * r, r * pair, r * after, pair, after],
    "the constant last": lambda pair, after, r, *_: [pair, after, r * pair, r * after, 1 + 0 * r],
}
CONTEXTS: dict[str, Callable[[Array, Array], tuple[Array, Array]] | None] = {
    "its own": None,
    "that of all tasks": lambda psi, n: (np.concatenate([np.broadcast_to(x, psi.shape) for x in psi], 1), np.concatenate([0 * n + x for x in n], 1)),
    "the first task's": lambda psi, n: (0 * psi + psi[:1], 0 * n + n[:1]),
    "the next task's": lambda psi, n: (np.roll(psi, -1, 0), np.roll(n, -1, 0)),
    "the task's before": lambda psi, n: (np.roll(psi, 1, 0), np.roll(n, 1, 0)),
    "all but the last transition": lambda psi, n: (psi, n * (np.cumsum(n[:, ::-1], 1)[:, ::-1] > 1)),
    "the last transition only": lambda psi, n: (psi, n * (np.cumsum(n[:, ::-1], 1)[:, ::-1] == 1)),
    "the first transition only": lambda psi, n: (psi, n * (np.cumsum(n, 1) == 1)),
}
VARIANCES: dict[str, Callable[[Array], Array] | None] = {
    "exp": None,
    "softplus": _softplus,
    "exp(2x), the log of a deviation": lambda x: np.exp(2 * x),
    "exp(x/2), a deviation taken for a variance": lambda x: np.exp(x / 2),
    "softplus^2": lambda x: _softplus(x) ** 2,
    "sqrt(softplus)": lambda x: np.sqrt(_softplus(x)),
    "exp(-x), a precision": lambda x: np.exp(-x),
    "|x|": absolute,
    "x^2": lambda x: x**2,
    "1 + elu(x)": lambda x: np.where(np.real(x) > 0, 1 + x, np.exp(x)),
    "1": lambda x: 0 * x + 1,
}
LIMITS = ((-20, 2), (-10, 2), (-5, 2), (-2, 2), (-1, 1))
CLAMPS: dict[str, Callable[[Array], Array] | None] = {
    "no": None,
    **{f"at least {low:g}": partial(most, y=low) for low in (1e-7, 1e-6, 1e-4, 1e-3, 1e-2, 0.1)},
    **{f"ln within {low} and {high}": partial(_between, low=np.exp(low), high=np.exp(high)) for low, high in LIMITS},
}
PRODUCTS: dict[str, Callable[[Factors], tuple[Array, Array]] | None] = {
    "precisions add": None,
    "means of means and of variances": lambda f: (_mean(f, f.mean), _mean(f, f.variance)),
    "mean of means, sum of variances": lambda f: (_mean(f, f.mean), np.sum(f.times * f.variance, axis=-2)),
    "mean of means, mean of variances over n": lambda f: (_mean(f, f.mean), _mean(f, f.variance) / np.sum(f.times, axis=-2)),
    "means unweighted": lambda f: (_mean(f, f.mean), multiplied(f)[1]),
    "sum of means": lambda f: (np.sum(f.times * f.mean, axis=-2), multiplied(f)[1]),
    "precisions averaged": lambda f: (multiplied(f)[0], np.sum(f.times, axis=-2) * multiplied(f)[1]),
    "precisions add, mean not divided by them": lambda f: (multiplied(f)[0] / multiplied(f)[1], multiplied(f)[1]),
    "means weighted by 1/sigma": lambda f: (_weighted(f, f.variance**-0.5), multiplied(f)[1]),
    "means weighted by sigma^2": lambda f: (_weighted(f, f.variance), multiplied(f)[1]),
    "1/sigma adds, then squared": lambda f: (_weighted(f, f.variance**-0.5), _by_precision(0.5)(f)[1] ** 2),
    "1/sigma^4 adds": _by_precision(2.0),
    "precision given for the variance": lambda f: (multiplied(f)[0], 1 / multiplied(f)[1]),
    "deviation given for the variance": lambda f: (multiplied(f)[0], np.sqrt(multiplied(f)[1])),
}
PRIORS: dict[str, Callable[[float], float] | None] = {
    "as prior_factors says": None, "never": lambda n: 0.0, "always": lambda n: 1.0, "twice": lambda n: 2 * n, "the other way round": lambda n: 1 - n,
}  # fmt: skip
MASKS: dict[str, Callable[[Array, Array], tuple[Array, Array]] | None] = {
    "kept": None,
    "ignored": lambda psi, n: (psi, 0 * n + 1),
    "features set to 0, their factors N(0, 1) kept": lambda psi, n: (psi * n, 0 * n + 1),
    "inverted": lambda psi, n: (psi, 1 - n),
}
BELIEF_SLOPES: dict[str, Callable[..., tuple[Array, Array]] | None] = {
    "as they are": None,
    "weights of the means held": lambda product, f, base: (product(f._replace(variance=base.variance))[0], product(f)[1]),
    "variances held": lambda product, f, base: product(f._replace(variance=base.variance)),
    "means held": lambda product, f, base: product(f._replace(mean=base.mean)),
    "in the variance, not its logarithm": lambda product, f, base: product(
        f._replace(variance=base.variance + 1j * np.imag(f.variance) / base.variance)
    ),
    "in the deviation, not in log variance": lambda product, f, base: product(
        f._replace(variance=base.variance + 2j * np.imag(f.variance) / np.sqrt(base.variance))
    ),
}
SAMPLES: dict[str, Callable[[Array, Array, Array], Array] | None] = {
    "mean + sigma noise": None,
    "mean + sigma^2 noise": lambda mean, variance, e: mean + variance * e,
    "mean - sigma noise": lambda mean, variance, e: mean - np.sqrt(variance) * e,
    "mean": lambda mean, variance, e: mean + 0 * e,
    "mean + sigma noise^2": lambda mean, variance, e: mean + np.sqrt(variance) * e**2,
    "mean + noise": lambda mean, variance, e: mean + e,
    "mean + ln(sigma^2) noise": lambda mean, variance, e: mean + np.log(variance) * e,
    "mean + sigma^4 noise": lambda mean, variance, e: mean + variance**2 * e,
    "mean + sigma^(1/2) noise": lambda mean, variance, e: mean + variance**0.25 * e,
    "sigma noise": lambda mean, variance, e: np.sqrt(variance) * e + 0 * mean,
    "noise": lambda mean, variance, e: 0 * mean + e,
}
NOISES: dict[str, Callable[[Array], Array] | None] = {
    "the task's own": None, "the next task's": lambda e: np.roll(e, -1, 0), "the task's before": lambda e: np.roll(e, 1, 0),
    "the first task's": lambda e: 0 * e + e[:1], "tasks in reverse": lambda e: e[::-1], "latent variables in reverse": lambda e: e[:, ::-1],
    "the first latent variable's": lambda e: 0 * e + e[:, :1],
}  # fmt: skip
SAMPLE_SLOPES: dict[str, Callable[..., tuple[Array, Array]] | None] = {
    "through mean and sigma": None,
    "through the mean only": lambda mean, variance, m, v: (mean, v),
    "through sigma only": lambda mean, variance, m, v: (m, variance),
}
DIVERGENCES: dict[str, Callable[[Array, Array], Array] | None] = {
    "KL(belief || prior)": None,
    "without 1/2": lambda m, v: 2 * _total(_kl(m, v)),
    "reversed, KL(prior || belief)": lambda m, v: _total((1 + m**2) / v - 1 + np.log(v)),
    "without the logarithm": lambda m, v: _total(v + m**2 - 1),
    "without mean^2": lambda m, v: _total(v - 1 - np.log(v)),
    "without sigma^2": lambda m, v: _total(m**2 - 1 - np.log(v)),
    "without -1": lambda m, v: _total(v + m**2 - np.log(v)),
    "with +1": lambda m, v: _total(v + m**2 + 1 - np.log(v)),
    "with + log": lambda m, v: _total(v + m**2 - 1 + np.log(v)),
    "log sigma for log sigma^2": lambda m, v: _total(v + m**2 - 1 - np.log(v) / 2),
    "variance taken for the deviation": lambda m, v: _total(_kl(m, v**2)),
    "deviation taken for the variance": lambda m, v: _total(_kl(m, v**0.5)),
    "|mean| for mean^2": lambda m, v: _total(v + absolute(m) - 1 - np.log(v)),
    "mean over the latent variables": lambda m, v: np.mean(_kl(m, v), axis=-1) / 2,
    "mean over the latent variables, without 1/2": lambda m, v: np.mean(_kl(m, v), axis=-1),
    "prior variance 2": lambda m, v: _total((v + m**2) / 2 - 1 - np.log(v / 2)),
    "negative": lambda m, v: -_total(_kl(m, v)),
    "entropy of the belief instead": lambda m, v: _total(1 + np.log(2 * np.pi) + np.log(v)),
    "at least 0.5 in each latent variable": lambda m, v: np.sum(most(_kl(m, v) / 2, 0.5), axis=-1),
    "sum over the tasks": lambda m, v: 0 * m[..., 0] + np.sum(_total(_kl(m, v)), axis=-1, keepdims=True),
    "mean over the tasks": lambda m, v: 0 * m[..., 0] + np.mean(_total(_kl(m, v)), axis=-1, keepdims=True),
    "divided by the number of tasks": lambda m, v: _total(_kl(m, v)) / m.shape[-2],
}
BELIEFS: Choices = {
    "features": FEATURES, "context of a task": CONTEXTS, "context mask": MASKS, "variance from": VARIANCES, "variance clamped": CLAMPS,
    "prior factor": PRIORS, "product": PRODUCTS, "slopes of the belief": BELIEF_SLOPES, "kl": DIVERGENCES, "sample": SAMPLES,
    "noise": NOISES, "slopes of the sample": SAMPLE_SLOPES,
}  # fmt: skip
