"""What implementations choose for the rewards of a learned model, the right alternative first.  Derivation: derivations/model-based.md

An alternative is what is computed instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.model.contexts import Rewards, blend

__all__ = ["REWARDS", "bonus"]

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


def bonus(size: Callable[[Array], Array]) -> Callable[[float], Callable[..., Array]]:
    """The posterior mean and c times a function of n."""
    return lambda c: lambda r, m, v, e, R: blend(r.n, r.mean, m, v, e) + c * size(r.n)


def _pooled(r: Rewards) -> Array:
    """The mean reward of a state, whatever the action."""
    return np.sum(r.n * r.mean, axis=-1, keepdims=True) / np.maximum(np.sum(r.n, axis=-1, keepdims=True), 1)
