"""What implementations choose for the model that a context gives, the right alternative first.  Derivation: derivations/model-based.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.model.contexts import Counts, Rewards, blend

__all__ = ["FAMILIES_OF_POSTERIORS", "REWARDS", "TRANSITIONS"]


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
    "most likely, the first state elsewhere": lambda x: _where_met(x, _rows(x.n), 0 * x.n + (np.arange(x.n.shape[-1]) == 0)),
    "posterior mean where met, staying elsewhere": lambda x: _where_met(x, _rows(x.c + x.n), 0 * x.n + np.eye(x.n.shape[-1])[:, None]),
    "posterior mean where met, 0 elsewhere": lambda x: _where_met(x, _rows(x.c + x.n), 0 * x.n),
    "posterior mean where met, the true one elsewhere": lambda x: _where_met(x, _rows(x.c + x.n), x.truth),
    "posterior mode, even where nothing is left": lambda x: _even(np.maximum(x.c + x.n - 1, 0)),
    "posterior mode where met, the prior's mean elsewhere": lambda x: _where_met(x, _rows(np.maximum(x.c + x.n - 1, 1e-300)), _rows(x.c)),
    "the most likely next state of the posterior, surely": lambda x: 1.0 * (np.arange(x.n.shape[-1]) == np.argmax(x.c + x.n, axis=-1)[..., None]),
    "the next state met most often, the prior's mean elsewhere": lambda x: _where_met(x, 1.0 * (np.arange(x.n.shape[-1]) == np.argmax(x.n, axis=-1)[..., None]), _rows(x.c)),
    "softmax of the counts": lambda x: _rows(np.exp(x.n - np.max(x.n, axis=-1, keepdims=True))),
    "softmax of counts and concentrations": lambda x: _rows(np.exp(x.n + x.c - np.max(x.n + x.c, axis=-1, keepdims=True))),
    "posterior mean squared, normalised again": lambda x: _rows((x.c + x.n) ** 2),
    "posterior mean's root, normalised again": lambda x: _rows(np.sqrt(x.c + x.n)),
    "ln(1 + n) for the counts": lambda x: _rows(x.c + np.log1p(x.n)),
    "sqrt(n) for the counts": lambda x: _rows(x.c + np.sqrt(x.n)),
    "counts halved": lambda x: _rows(x.c + x.n / 2),
    "counts over their sum": lambda x: _rows(x.c + x.n / np.maximum(np.sum(x.n, axis=-1, keepdims=True), 1)),
    "counts of all tasks": lambda x: _rows(x.c + np.sum(x.n, axis=0, keepdims=True) + 0 * x.n),
    "counts of this task and those before": lambda x: _rows(x.c + np.cumsum(x.n, axis=0)),
    "counts of the first task": lambda x: _rows(x.c + x.n[:1] + 0 * x.n),
    "counts of the next task": lambda x: _rows(x.c + np.roll(x.n, -1, axis=0)),
    "mean counts of all tasks": lambda x: _rows(x.c + np.mean(x.n, axis=0, keepdims=True) + 0 * x.n),
    "states pooled": lambda x: _rows(x.c + np.sum(x.n, axis=-3, keepdims=True)),
    "the action's next states in all states and actions": lambda x: _rows(x.c + np.sum(x.n, axis=(-3, -2), keepdims=True)),
    "concentrations of the first state": lambda x: _rows(x.c[:1] + x.n),
    "concentrations of the first action": lambda x: _rows(x.c[:, :1] + x.n),
    "concentrations divided by S": lambda x: _rows(x.c / x.n.shape[-1] + x.n),
    "concentrations times S": lambda x: _rows(x.c * x.n.shape[-1] + x.n),
    "concentrations' roots": lambda x: _rows(np.sqrt(x.c) + x.n),
    "logarithms of concentrations": lambda x: _rows(np.log(x.c) + x.n),
    "exp of concentrations": lambda x: _rows(np.exp(x.c) + x.n),
    "counts with actions in reverse": lambda x: _rows(x.c + x.n[..., ::-1, :]),
    "next states in reverse": lambda x: _rows(x.c + x.n)[..., ::-1],
    "no way to stay": lambda x: _rows((x.c + x.n) * (1 - np.eye(x.n.shape[-1])[:, None]) + 1e-300),
    "normalised over all": lambda x: (x.c + x.n) / np.sum(x.c + x.n, axis=(-3, -2, -1), keepdims=True),
    "rows divided by the counts plus 1": lambda x: (x.c + x.n) / (np.sum(x.n, axis=-1, keepdims=True) + 1),
    "divided by the counts and the mean concentration": lambda x: (x.c + x.n) / (np.sum(x.n, axis=-1, keepdims=True) + np.mean(x.c, axis=-1, keepdims=True)),
}


def _even(x: Array) -> Array:
    """Rows that add to 1, even where they are 0."""
    size = np.sum(x, axis=-1, keepdims=True)
    return np.where(size > 0, x / np.where(size > 0, size, 1), 1 / x.shape[-1])


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
    "the sum the last reward alone (fancy index +=)": lambda r, m, v, e, R: blend(r.n, r.last / np.maximum(r.n, 1), m, v, e),
    "the last reward in the sum, the prior's mean elsewhere": lambda r, m, v, e, R: np.where(r.n > 0, r.last / np.maximum(r.n, 1), m),
    "n counted once (fancy index +=)": lambda r, m, v, e, R: blend(np.minimum(r.n, 1), r.n * r.mean, m, v, e),
    "n and the sum counted once (fancy index +=)": lambda r, m, v, e, R: blend(np.minimum(r.n, 1), r.last, m, v, e),
    "n of the state": lambda r, m, v, e, R: blend(np.sum(r.n, -1, keepdims=True), r.mean, m, v, e),
    "n of the state in the weight, the sum its own": lambda r, m, v, e, R: (e * m + v * r.n * r.mean) / (e + v * np.sum(r.n, -1, keepdims=True)),
    "n of the action in the weight, the sum its own": lambda r, m, v, e, R: (e * m + v * r.n * r.mean) / (e + v * np.sum(r.n, -2, keepdims=True)),
    "n of all in the weight, the sum its own": lambda r, m, v, e, R: (e * m + v * r.n * r.mean) / (e + v * np.sum(r.n, (-2, -1), keepdims=True)),
    "mean number in the weight": lambda r, m, v, e, R: blend(np.mean(r.n, (-2, -1), keepdims=True), r.mean, m, v, e),
    "n + 1 in the weight, the sum its own": lambda r, m, v, e, R: (e * m + v * r.n * r.mean) / (e + v * (r.n + 1)),
    "the sum over n + 1": lambda r, m, v, e, R: (m + r.n * r.mean) / (r.n + 1),
    "the sum over n + 1, without the prior": lambda r, m, v, e, R: r.n * r.mean / (r.n + 1),
    "the prior in the mean alone": lambda r, m, v, e, R: (e * m + v * r.n * r.mean) / np.maximum(v * r.n, e),
    "sqrt(n) for n": lambda r, m, v, e, R: blend(np.sqrt(r.n), r.mean, m, v, e),
    "prior's mean added": lambda r, m, v, e, R: blend(r.n, r.mean, m, v, e) + m,
    "prior's mean subtracted": lambda r, m, v, e, R: blend(r.n, r.mean, m, v, e) - m,
    "mean of prior and posterior": lambda r, m, v, e, R: (blend(r.n, r.mean, m, v, e) + m) / 2,
    "prior's mean where met once": lambda r, m, v, e, R: np.where(r.n > 1, blend(r.n, r.mean, m, v, e), m),
    "posterior mean where met, 0 elsewhere": lambda r, m, v, e, R: np.where(r.n > 0, blend(r.n, r.mean, m, v, e), 0),
    "posterior mean where met, the mean of all elsewhere": lambda r, m, v, e, R: np.where(r.n > 0, blend(r.n, r.mean, m, v, e), _all(r)),
    "posterior mean where met, the true one elsewhere": lambda r, m, v, e, R: np.where(r.n > 0, blend(r.n, r.mean, m, v, e), R),
    "less one posterior deviation": lambda r, m, v, e, R: blend(r.n, r.mean, m, v, e) - np.sqrt(v * e / (e + v * r.n)),
    "and one posterior deviation": lambda r, m, v, e, R: blend(r.n, r.mean, m, v, e) + np.sqrt(v * e / (e + v * r.n)),
    "and the posterior variance": lambda r, m, v, e, R: blend(r.n, r.mean, m, v, e) + v * e / (e + v * r.n),
    "states pooled": lambda r, m, v, e, R: blend(np.sum(r.n, -2, keepdims=True), np.sum(r.n * r.mean, -2, keepdims=True) / np.maximum(np.sum(r.n, -2, keepdims=True), 1), m, v, e),
    "all pooled": lambda r, m, v, e, R: blend(np.sum(r.n, (-2, -1), keepdims=True), _all(r), m, v, e),
    "tasks pooled": lambda r, m, v, e, R: blend(np.sum(r.n, 0), np.sum(r.n * r.mean, 0) / np.maximum(np.sum(r.n, 0), 1), m, v, e) + 0 * r.mean,
    "those of the tasks before, too": lambda r, m, v, e, R: blend(np.cumsum(r.n, 0), np.cumsum(r.n * r.mean, 0) / np.maximum(np.cumsum(r.n, 0), 1), m, v, e),
    "of the first task": lambda r, m, v, e, R: blend(r.n[:1], r.mean[:1], m, v, e) + 0 * r.mean,
    "of the next task": lambda r, m, v, e, R: blend(np.roll(r.n, -1, 0), np.roll(r.mean, -1, 0), m, v, e),
    "actions in reverse": lambda r, m, v, e, R: blend(r.n, r.mean, m, v, e)[..., ::-1],
    "weights exchanged": lambda r, m, v, e, R: (v * r.n * m + e * r.mean) / (e + v * r.n),
    "clipped at 1": lambda r, m, v, e, R: np.clip(blend(r.n, r.mean, m, v, e), -1, 1),
    "bonus 1/sqrt(n + 1)": lambda r, m, v, e, R: blend(r.n, r.mean, m, v, e) + 1 / np.sqrt(r.n + 1),
    "bonus 1/(n + 1)": lambda r, m, v, e, R: blend(r.n, r.mean, m, v, e) + 1 / (r.n + 1),
}


def _all(r: Rewards) -> Array:
    """The mean reward of a context."""
    return np.sum(r.n * r.mean, (-2, -1), keepdims=True) / np.maximum(np.sum(r.n, (-2, -1), keepdims=True), 1)


def _bonus(size: Callable[[Array], Array]) -> Callable[[float], Callable[..., Array]]:
    """The posterior mean and c times a function of n."""
    return lambda c: lambda r, m, v, e, R: blend(r.n, r.mean, m, v, e) + c * size(r.n)


FAMILIES_OF_POSTERIORS: dict[str, tuple[str, Callable[[float], Any]]] = {
    "counts plus {}": ("transitions of the model", lambda c: lambda x: _rows(c + x.n)),
    "counts plus concentrations plus {}": ("transitions of the model", lambda c: lambda x: _rows(c + x.c + x.n)),
    "counts plus {} times the concentrations": ("transitions of the model", lambda c: lambda x: _rows(c * x.c + x.n)),
    "counts plus {} times the prior's mean": ("transitions of the model", lambda c: lambda x: _rows(c * _rows(x.c) + x.n)),
    "posterior mean with {} of the uniform": ("transitions of the model", lambda c: lambda x: (1 - c) * _rows(x.c + x.n) + c / x.n.shape[-1]),
    "posterior mean with {} of staying": ("transitions of the model", lambda c: lambda x: (1 - c) * _rows(x.c + x.n) + c * np.eye(x.n.shape[-1])[:, None]),
    "posterior mean with {} of the prior's": ("transitions of the model", lambda c: lambda x: (1 - c) * _rows(x.c + x.n) + c * _rows(x.c)),
    "most likely with {} of the prior's mean": ("transitions of the model", lambda c: lambda x: _where_met(x, (1 - c) * _rows(x.n) + c * _rows(x.c), _rows(x.c))),
    "posterior mean to the power {}": ("transitions of the model", lambda c: lambda x: _rows((x.c + x.n) ** c)),
    "at least {}, normalised again": ("transitions of the model", lambda c: lambda x: _rows(np.maximum(_rows(x.c + x.n), c))),
    "noise {}": ("rewards of the model", lambda c: lambda r, m, v, e, R: blend(r.n, r.mean, m, v, c)),
    "noise + {}": ("rewards of the model", lambda c: lambda r, m, v, e, R: blend(r.n, r.mean, m, v, e + c)),
    "noise times {}": ("rewards of the model", lambda c: lambda r, m, v, e, R: blend(r.n, r.mean, m, v, c * e)),
    "variance {}": ("rewards of the model", lambda c: lambda r, m, v, e, R: blend(r.n, r.mean, m, c, e)),
    "prior mean {}": ("rewards of the model", lambda c: lambda r, m, v, e, R: blend(r.n, r.mean, 0 * m + c, v, e)),
    "(sum + {0} prior mean)/(n + {0})": ("rewards of the model", lambda c: lambda r, m, v, e, R: blend(r.n, r.mean, m, 1.0, c)),
    "n + {} for n": ("rewards of the model", lambda c: lambda r, m, v, e, R: blend(r.n + c, r.mean, m, v, e)),
    "bonus {}/sqrt(n + 1)": ("rewards of the model", _bonus(lambda n: 1 / np.sqrt(n + 1))),
    "bonus {}/sqrt(n), n at least 1": ("rewards of the model", _bonus(lambda n: 1 / np.sqrt(np.maximum(n, 1)))),
    "bonus {}/(n + 1)": ("rewards of the model", _bonus(lambda n: 1 / (n + 1))),
    "bonus {}/n, n at least 1": ("rewards of the model", _bonus(lambda n: 1 / np.maximum(n, 1))),
    "bonus {} where not met": ("rewards of the model", _bonus(lambda n: 1.0 * (n == 0))),
    "bonus {}": ("rewards of the model", _bonus(lambda n: 0 * n + 1)),
    "bonus {} times the posterior deviation": ("rewards of the model", lambda c: lambda r, m, v, e, R: blend(r.n, r.mean, m, v, e) + c * np.sqrt(v * e / (e + v * r.n))),
    "bonus {} times the posterior variance": ("rewards of the model", lambda c: lambda r, m, v, e, R: blend(r.n, r.mean, m, v, e) + c * v * e / (e + v * r.n)),
    "posterior mean times {}": ("rewards of the model", lambda c: lambda r, m, v, e, R: c * blend(r.n, r.mean, m, v, e)),
    "clipped at {}": ("rewards of the model", lambda c: lambda r, m, v, e, R: np.clip(blend(r.n, r.mean, m, v, e), -abs(c), abs(c))),
}


def _pooled(r: Rewards) -> Array:
    """The mean reward of a state, whatever the action."""
    return np.sum(r.n * r.mean, axis=-1, keepdims=True) / np.maximum(np.sum(r.n, axis=-1, keepdims=True), 1)
