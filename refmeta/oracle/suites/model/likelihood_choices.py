"""What implementations choose for the likelihood of a context, the right alternative first.  Derivation: derivations/model-based.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.model.contexts import rising, sequence
from refmeta.oracle.suites.model.reward_likelihood_choices import density_of

__all__ = ["FAMILIES_OF_LIKELIHOODS", "NEXT_STATES", "SLOPES_OF_NEXT"]


def _log_gamma(x: Array) -> Array:
    """ln Γ."""
    from scipy.special import loggamma

    return np.asarray(loggamma(x))


def _known(c: Array, n: Array) -> Array:
    """n ln P̂ of the prior's mean."""
    return np.sum(np.where(n > 0, n * np.log(c / np.sum(c, axis=-1, keepdims=True)), 0), axis=-1)


def _stirling(c: Array, n: Array) -> Array:
    """ln Γ(x) ≈ (x − ½) ln x − x."""
    gamma: Callable[[Array], Array] = lambda x: (x - 0.5) * np.log(x) - x
    total = np.sum(c, -1)
    return np.sum(gamma(c + n) - gamma(c), -1) - gamma(total + np.sum(n, -1)) + gamma(total)


def _digamma(x: Array) -> Array:
    """ψ of the real part."""
    from scipy.special import digamma

    return np.asarray(digamma(x))


def _slope(c: Array, n: Array, slope: Callable[..., Array]) -> Array:
    """The right value with another slope in c."""
    base = np.real(c)
    return sequence(base, n) + 1j * np.sum(np.imag(c) * slope(base, n, _digamma), axis=-1)


def _by_digamma(c: Array, n: Array, psi: Callable[[Array], Array]) -> Array:
    """The right value, its slope with another ψ."""
    total: Callable[[Array], Array] = lambda x: np.sum(x, axis=-1, keepdims=True)
    return _slope(c, n, lambda c, n, _: psi(c + n) - psi(c) + psi(total(c)) - psi(total(c + n)))


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
    "with 1 for c": lambda c, n: sequence(0 * c + 1, n),
    "with c + 1 for c": lambda c, n: sequence(c + 1, n),
    "with c^2 for c": lambda c, n: sequence(c**2, n),
    "with 1/c for c": lambda c, n: sequence(1 / c, n),
    "with c of mean 1": lambda c, n: sequence(c / np.sum(c, axis=-1, keepdims=True), n),
    "n! in place of the sums": lambda c, n: np.sum(rising(c, n), axis=-1) - _log_gamma(np.sum(n, -1) + 1),
    "sums of concentrations S times": lambda c, n: np.sum(rising(c, n), axis=-1) - c.shape[-1] * rising(np.sum(c, -1), np.sum(n, -1)),
    "over n!, of the counts without the sums": lambda c, n: np.sum(rising(c, n) - _log_gamma(n + 1), axis=-1),
    "most likely, sum n ln n/n.": lambda c, n: np.sum(n * np.log(np.where(n > 0, n, 1)), -1) - np.sum(n, -1) * np.log(np.maximum(np.sum(n, -1), 1)) + 0 * np.sum(c, -1),
    "of the posterior's mean, over the number of next states": lambda c, n: np.sum(n * np.log((c + n) / np.sum(c + n, axis=-1, keepdims=True)), axis=-1) / n.shape[-1],
    "of the posterior's mode, each alone": lambda c, n: np.sum(np.where(n > 0, n * np.log(np.maximum(c + n - 1, 1e-300) / np.sum(np.maximum(c + n - 1, 1e-300), axis=-1, keepdims=True)), 0), axis=-1),
    "and ln of the prior's density at the posterior mean": lambda c, n: np.sum((c - 1) * np.log((c + n) / np.sum(c + n, -1, keepdims=True)) - _log_gamma(c), -1)
    + _log_gamma(np.sum(c, -1)) + np.sum(n * np.log((c + n) / np.sum(c + n, -1, keepdims=True)), -1),
    "each next state counted once": lambda c, n: sequence(c, 1.0 * (n > 0)),
    "counts without the last": lambda c, n: sequence(c, np.maximum(n - 1, 0)),
    "counts doubled": lambda c, n: sequence(c, 2 * n),
    "states pooled": lambda c, n: sequence(c, np.sum(n, axis=-3, keepdims=True) + 0 * n) / n.shape[-3],
    "tasks pooled": lambda c, n: sequence(c, np.sum(n, axis=0, keepdims=True) + 0 * n),
    "after the tasks before": lambda c, n: sequence(c + np.cumsum(n, axis=-4) - n, n),
    "beta functions' sign reversed in the sums": lambda c, n: np.sum(rising(c, n), axis=-1) + rising(np.sum(c, axis=-1), np.sum(n, axis=-1)),
    "mean over next states": lambda c, n: sequence(c, n) / n.shape[-1],
    "half": lambda c, n: sequence(c, n) / 2,
    "doubled": lambda c, n: 2 * sequence(c, n),
    "Stirling's formula": lambda c, n: _stirling(c, n),
    "of the mean concentration": lambda c, n: sequence(0 * c + np.mean(c, axis=-1, keepdims=True), n),
}
SLOPES_OF_NEXT: dict[str, Callable[[Array, Array], Array] | None] = {
    "digamma": None,
    "digamma ln x - 1/(2x)": lambda c, n: _by_digamma(c, n, lambda x: np.log(x) - 1 / (2 * x)),
    "digamma ln x": lambda c, n: _by_digamma(c, n, np.log),
    "digamma ln(x - 1/2)": lambda c, n: _by_digamma(c, n, lambda x: np.log(x - 0.5)),
    "digamma ln x - 1/(2x) - 1/(12x^2)": lambda c, n: _by_digamma(c, n, lambda x: np.log(x) - 1 / (2 * x) - 1 / (12 * x**2)),
    "digamma of c + n alone": lambda c, n: _slope(c, n, lambda c, n, psi: psi(c + n)),
    "digamma of c and c + n alone, without the sums": lambda c, n: _slope(c, n, lambda c, n, psi: psi(c + n) - psi(c)),
    "the sums alone": lambda c, n: _slope(c, n, lambda c, n, psi: psi(np.sum(c, -1, keepdims=True)) - psi(np.sum(c + n, -1, keepdims=True))),
    "slope (c + n)/c - 1": lambda c, n: _slope(c, n, lambda c, n, psi: n / c),
    "slope n/c - n./c.": lambda c, n: _slope(c, n, lambda c, n, psi: n / c - np.sum(n, -1, keepdims=True) / np.sum(c, -1, keepdims=True)),
}
FAMILIES_OF_LIKELIHOODS: dict[str, tuple[str, Callable[[float], Any]]] = {
    "with c + {} for c": ("likelihood of next states", lambda a: lambda c, n: sequence(c + a, n)),
    "with {} c for c": ("likelihood of next states", lambda a: lambda c, n: sequence(a * c, n)),
    "with {} for c": ("likelihood of next states", lambda a: lambda c, n: sequence(0 * c + a, n)),
    "next states times {}": ("likelihood of next states", lambda a: lambda c, n: a * sequence(c, n)),
    "digamma of x + {}": ("likelihood of next states", lambda a: lambda c, n: _by_digamma(c, n, lambda x: _digamma(x + a))),
    "rewards times {}": ("likelihood of rewards", lambda a: lambda r, m, v, e: a * density_of(r, m, v, e)),
    "logarithms times {}": ("likelihood of rewards", lambda a: lambda r, m, v, e: density_of(r, m, v, e, log=a)),
    "squares times {}": ("likelihood of rewards", lambda a: lambda r, m, v, e: density_of(r, m, v, e, spread=a, off=a)),
    "noise of {}": ("likelihood of rewards", lambda a: lambda r, m, v, e: density_of(r, m, v, a + 0 * e)),
    "noise + {} in the density": ("likelihood of rewards", lambda a: lambda r, m, v, e: density_of(r, m, v, e + a)),
    "variance + {}": ("likelihood of rewards", lambda a: lambda r, m, v, e: density_of(r, m, v + a, e)),
    "variance times {}": ("likelihood of rewards", lambda a: lambda r, m, v, e: density_of(r, m, a * v, e)),
    "mean + {}": ("likelihood of rewards", lambda a: lambda r, m, v, e: density_of(r, m + a, v, e)),
    "{} for 2 pi": ("likelihood of rewards", lambda a: lambda r, m, v, e: density_of(r, m, v, e, circle=a)),
    "log marginal + {}": ("log marginal", lambda a: lambda x, n, r: x + a),
}
