"""What implementations of PEARL choose for the draw of the belief and its divergence, the right alternative first.  Derivation: derivations/pearl.md

An alternative is what `beliefs` and `variants` compute instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices
from refmeta.oracle.suites.pearl.pieces import absolute, between, most

Divergence = Callable[[Array, Array, Callable[[], Array]], Array]

__all__ = ["FAMILIES_OF_SAMPLES", "SAMPLES"]


def _kl(mean: Array, variance: Array) -> Array:
    """σ² + μ² − 1 − ln σ², (…, Z)."""
    return variance + mean**2 - 1 - np.log(variance)


def _total(x: Array) -> Array:
    """Σ over the latent variables, halved."""
    return np.sum(x, axis=-1) / 2


def _ratio(m: Array, v: Array, z: Array) -> Array:
    """ln q(z)/p(z)."""
    return _total(z**2 - (z - m) ** 2 / v - np.log(v))


def _at_least_each(c: float) -> Divergence:
    """Every latent variable's share is c or more."""
    return lambda m, v, z: np.sum(most(_kl(m, v) / 2, c), axis=-1)


def _at_least(c: float) -> Divergence:
    """c or more."""
    return lambda m, v, z: most(_total(_kl(m, v)), c)


def _nothing_below(c: float) -> Divergence:
    """0 where it is less than c."""
    return lambda m, v, z: np.where(np.real(_total(_kl(m, v))) > c, _total(_kl(m, v)), 0)


DRAWS: dict[str, Callable[[Array, Array, Array], Array] | None] = {
    "mean + sigma noise": None,
    "mean + sigma^2 noise": lambda mean, variance, e: mean + variance * e,
    "mean - sigma noise": lambda mean, variance, e: mean - np.sqrt(variance) * e,
    "mean": lambda mean, variance, e: mean + 0 * e,
    "mean + sigma noise^2": lambda mean, variance, e: mean + np.sqrt(variance) * e**2,
    "mean + noise": lambda mean, variance, e: mean + e,
    "mean + ln(sigma^2) noise": lambda mean, variance, e: mean + np.log(variance) * e,
    "mean + exp(sigma^2) noise": lambda mean, variance, e: mean + np.exp(variance) * e,
    "mean + exp(sigma^2/2) noise": lambda mean, variance, e: mean + np.exp(variance / 2) * e,
    "mean + exp(sigma) noise": lambda mean, variance, e: mean + np.exp(np.sqrt(variance)) * e,
    "mean + sigma^4 noise": lambda mean, variance, e: mean + variance**2 * e,
    "mean + sigma^(1/2) noise": lambda mean, variance, e: mean + variance**0.25 * e,
    "mean + noise/sigma": lambda mean, variance, e: mean + e / np.sqrt(variance),
    "mean + sigma": lambda mean, variance, e: mean + np.sqrt(variance) + 0 * e,
    "sigma (mean + noise)": lambda mean, variance, e: np.sqrt(variance) * (mean + e),
    "mean noise + sigma": lambda mean, variance, e: mean * e + np.sqrt(variance),
    "sigma noise": lambda mean, variance, e: np.sqrt(variance) * e + 0 * mean,
    "noise": lambda mean, variance, e: 0 * mean + e,
    "tanh(mean + sigma noise)": lambda mean, variance, e: np.tanh(mean + np.sqrt(variance) * e),
}
NOISES: dict[str, Callable[[Array], Array] | None] = {
    "the task's own": None, "the next task's": lambda e: np.roll(e, -1, 0), "the task's before": lambda e: np.roll(e, 1, 0),
    "the first task's": lambda e: 0 * e + e[:1], "tasks in reverse": lambda e: e[::-1], "latent variables in reverse": lambda e: e[:, ::-1],
    "the first latent variable's": lambda e: 0 * e + e[:, :1], "the mean over tasks": lambda e: 0 * e + np.mean(e, 0, keepdims=True),
    "clipped at 1": lambda e: np.clip(e, -1, 1), "clipped at 2": lambda e: np.clip(e, -2, 2), "its size": np.abs,
    "of norm 1": lambda e: e / np.linalg.norm(e, axis=-1, keepdims=True),
}  # fmt: skip


def _scaled(of_mean: float, of_sigma: float) -> Callable[..., tuple[Array, Array]]:
    """Multiples of the slopes through the mean and through sigma."""
    return lambda mean, variance, m, v: (m + of_mean * (mean - m), v + of_sigma * (variance - v))


SAMPLE_SLOPES: dict[str, Callable[..., tuple[Array, Array]] | None] = {
    "through mean and sigma": None,
    "through the mean only": _scaled(1, 0),
    "through sigma only": _scaled(0, 1),
    "through neither": _scaled(0, 0),
    "through sigma without 1/2": _scaled(1, 2),
    "through sigma halved": _scaled(1, 0.5),
    "through sigma with minus": _scaled(1, -1),
    "through sigma as if z = mean + sigma^2 noise": lambda mean, variance, m, v: (mean, v + 2 * np.sqrt(v) * (variance - v)),
    "through sigma as if sigma were log sigma": lambda mean, variance, m, v: (mean, v + 2 * (variance - v) / np.sqrt(v)),
}
DIVERGENCES: dict[str, Divergence | None] = {
    "KL(belief || prior)": None,
    "without 1/2": lambda m, v, z: 2 * _total(_kl(m, v)),
    "reversed, KL(prior || belief)": lambda m, v, z: _total((1 + m**2) / v - 1 + np.log(v)),
    "sum of both directions": lambda m, v, z: _total(v + m**2 - 2 + (1 + m**2) / v),
    "mean of both directions": lambda m, v, z: _total(v + m**2 - 2 + (1 + m**2) / v) / 2,
    "without the logarithm": lambda m, v, z: _total(v + m**2 - 1),
    "without mean^2": lambda m, v, z: _total(v - 1 - np.log(v)),
    "without sigma^2": lambda m, v, z: _total(m**2 - 1 - np.log(v)),
    "mean^2 alone": lambda m, v, z: _total(m**2 + 0 * v),
    "mean^2 not halved": lambda m, v, z: _total(_kl(m, v) + m**2),
    "without -1": lambda m, v, z: _total(v + m**2 - np.log(v)),
    "-1 once, not for each latent variable": lambda m, v, z: _total(v + m**2 - np.log(v)) - 0.5,
    "with +1": lambda m, v, z: _total(v + m**2 + 1 - np.log(v)),
    "with + log": lambda m, v, z: _total(v + m**2 - 1 + np.log(v)),
    "log sigma for log sigma^2": lambda m, v, z: _total(v + m**2 - 1 - np.log(v) / 2),
    "log of the sum of variances": lambda m, v, z: _total(v + m**2 - 1) - np.log(np.sum(v, axis=-1)) / 2,
    "variance taken for the deviation": lambda m, v, z: _total(_kl(m, v**2)),
    "deviation taken for the variance": lambda m, v, z: _total(_kl(m, v**0.5)),
    "sigma for sigma^2, outside of the logarithm": lambda m, v, z: _total(np.sqrt(v) + m**2 - 1 - np.log(v)),
    "|mean| for mean^2": lambda m, v, z: _total(v + absolute(m) - 1 - np.log(v)),
    "(mean - 1)^2 for mean^2": lambda m, v, z: _total(v + (m - 1) ** 2 - 1 - np.log(v)),
    "mean over the latent variables": lambda m, v, z: np.mean(_kl(m, v), axis=-1) / 2,
    "mean over the latent variables, without 1/2": lambda m, v, z: np.mean(_kl(m, v), axis=-1),
    "of the first latent variable": lambda m, v, z: _kl(m, v)[..., 0] / 2,
    "largest of the latent variables": lambda m, v, z: np.take_along_axis(_kl(m, v), np.argmax(np.real(_kl(m, v)), -1)[..., None], -1)[..., 0] / 2,
    "prior variance 2": lambda m, v, z: _total((v + m**2) / 2 - 1 - np.log(v / 2)),
    "negative": lambda m, v, z: -_total(_kl(m, v)),
    "entropy of the belief instead": lambda m, v, z: _total(1 + np.log(2 * np.pi) + np.log(v)),
    "negative entropy of the belief instead": lambda m, v, z: -_total(1 + np.log(2 * np.pi) + np.log(v)),
    "cross-entropy, without the belief's entropy": lambda m, v, z: _total(v + m**2 + np.log(2 * np.pi)),
    "squared Wasserstein distance": lambda m, v, z: np.sum(m**2 + (np.sqrt(v) - 1) ** 2, axis=-1),
    "at the draw, ln q(z)/p(z)": lambda m, v, z: _ratio(m, v, z()),
    "at the draw, z held": lambda m, v, z: _ratio(m, v, np.real(z())),
    "at the draw, ln p(z)/q(z)": lambda m, v, z: -_ratio(m, v, z()),
    "at the draw, half the square of ln q/p": lambda m, v, z: _ratio(m, v, z()) ** 2 / 2,
    "at the draw, p/q - 1 - ln p/q": lambda m, v, z: np.exp(-_ratio(m, v, z())) - 1 + _ratio(m, v, z()),
    "at the draw, -ln p(z)": lambda m, v, z: _total(z() ** 2 + np.log(2 * np.pi)),
    "at the draw, z^2/2": lambda m, v, z: _total(z() ** 2 + 0 * v),
    **{f"at least {c:g} in each latent variable": _at_least_each(c) for c in (0.1, 0.5, 1.0)},
    **{f"at least {c:g}": _at_least(c) for c in (0.1, 0.2, 0.5, 1.0)},
    **{f"0 below {c:g}": _nothing_below(c) for c in (0.5, 1.0)},
    "sum over the tasks": lambda m, v, z: 0 * m[..., 0] + np.sum(_total(_kl(m, v)), axis=-1, keepdims=True),
    "mean over the tasks": lambda m, v, z: 0 * m[..., 0] + np.mean(_total(_kl(m, v)), axis=-1, keepdims=True),
    "divided by the number of tasks": lambda m, v, z: _total(_kl(m, v)) / m.shape[-2],
}
SAMPLES: Choices = {"kl": DIVERGENCES, "sample": DRAWS, "noise": NOISES, "slopes of the sample": SAMPLE_SLOPES}
FAMILIES_OF_SAMPLES = {
    "mean + {} sigma noise": ("sample", lambda c: lambda mean, variance, e: mean + c * np.sqrt(variance) * e),
    "mean + (sigma + {}) noise": ("sample", lambda c: lambda mean, variance, e: mean + (np.sqrt(variance) + c) * e),
    "mean + {} noise": ("sample", lambda c: lambda mean, variance, e: mean + c * e + 0 * variance),
    "noise clipped at {}": ("noise", lambda c: lambda e: np.clip(e, -abs(c), abs(c))),
    "through sigma times {}": ("slopes of the sample", lambda c: _scaled(1, c)),
    "through the mean times {}": ("slopes of the sample", lambda c: _scaled(c, 1)),
    "prior variance {}": ("kl", lambda c: lambda m, v, z: _total((v + m**2) / c - 1 - np.log(v / c))),
    "prior mean {}": ("kl", lambda c: lambda m, v, z: _total(_kl(m - c, v))),
    "at least {} in each latent variable": ("kl", _at_least_each),
    "kl at least {}": ("kl", _at_least),
    "kl at most {}": ("kl", lambda c: lambda m, v, z: between(_total(_kl(m, v)), -np.inf, c)),
    "kl less {}, at least 0": ("kl", lambda c: lambda m, v, z: most(_total(_kl(m, v)) - c, 0.0)),
    "distance |kl - {}|": ("kl", lambda c: lambda m, v, z: absolute(_total(_kl(m, v)) - c)),
}
