"""What implementations choose for the model that a context gives, the right alternative first.  Derivation: derivations/model-based.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.model.contexts import Counts, blend
from refmeta.oracle.suites.model.reward_choices import bonus

__all__ = ["FAMILIES_OF_POSTERIORS", "TRANSITIONS"]


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
    "bonus {}/sqrt(n + 1)": ("rewards of the model", bonus(lambda n: 1 / np.sqrt(n + 1))),
    "bonus {}/sqrt(n), n at least 1": ("rewards of the model", bonus(lambda n: 1 / np.sqrt(np.maximum(n, 1)))),
    "bonus {}/(n + 1)": ("rewards of the model", bonus(lambda n: 1 / (n + 1))),
    "bonus {}/n, n at least 1": ("rewards of the model", bonus(lambda n: 1 / np.maximum(n, 1))),
    "bonus {} where not met": ("rewards of the model", bonus(lambda n: 1.0 * (n == 0))),
    "bonus {}": ("rewards of the model", bonus(lambda n: 0 * n + 1)),
    "bonus {} times the posterior deviation": ("rewards of the model", lambda c: lambda r, m, v, e, R: blend(r.n, r.mean, m, v, e) + c * np.sqrt(v * e / (e + v * r.n))),
    "bonus {} times the posterior variance": ("rewards of the model", lambda c: lambda r, m, v, e, R: blend(r.n, r.mean, m, v, e) + c * v * e / (e + v * r.n)),
    "posterior mean times {}": ("rewards of the model", lambda c: lambda r, m, v, e, R: c * blend(r.n, r.mean, m, v, e)),
    "clipped at {}": ("rewards of the model", lambda c: lambda r, m, v, e, R: np.clip(blend(r.n, r.mean, m, v, e), -abs(c), abs(c))),
}
