"""What implementations of a learned model choose, the right alternative first.  Derivation: derivations/model-based.md

An alternative is what `variants` computes instead of what is right; None is what is right.  Those of the adaptation are MAML's.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices, Predicate
from refmeta.oracle.suites.maml import additions as of_maml
from refmeta.oracle.suites.maml.choices import CHOICES as ADAPTATIONS
from refmeta.oracle.suites.maml.losses_of_returns import TABULAR
from refmeta.oracle.suites.model.problem import ModelProblem
from refmeta.oracle.suites.model.variants import Counts, Rewards, adaptation, rising, variant

__all__ = ["CHOICES", "PREDICATES", "additions", "layouts", "numbers", "variant"]


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
    "variances exchanged": lambda r, m, v, e, R: _blend(r.n, r.mean, m, e, v),
    "n left out": lambda r, m, v, e, R: np.where(r.n > 0, _blend(1.0, r.mean, m, v, e), m),
    "n left out of the weights, sum for the mean": lambda r, m, v, e, R: np.where(r.n > 0, _blend(1.0, r.n * r.mean, m, v, e), m),
    "prior mean 0": lambda r, m, v, e, R: _blend(r.n, r.mean, 0 * m, v, e),
    "noise taken for a deviation": lambda r, m, v, e, R: _blend(r.n, r.mean, m, v, e**2),
    "variance taken for a deviation": lambda r, m, v, e, R: _blend(r.n, r.mean, m, v**2, e),
    "both taken for deviations": lambda r, m, v, e, R: _blend(r.n, r.mean, m, v**2, e**2),
    "root of the noise": lambda r, m, v, e, R: _blend(r.n, r.mean, m, v, np.sqrt(e)),
    "root of the variance": lambda r, m, v, e, R: _blend(r.n, r.mean, m, np.sqrt(v), e),
    "roots of both": lambda r, m, v, e, R: _blend(r.n, r.mean, m, np.sqrt(v), np.sqrt(e)),
    "no noise but where nothing was met": lambda r, m, v, e, R: _blend(r.n, r.mean, m, v, e * (r.n == 0)),
    "noise 1": lambda r, m, v, e, R: _blend(r.n, r.mean, m, v, 1.0),
    "variance 1": lambda r, m, v, e, R: _blend(r.n, r.mean, m, 1.0, e),
    "both 1": lambda r, m, v, e, R: _blend(r.n, r.mean, m, 1.0, 1.0),
    "n + 1 for n": lambda r, m, v, e, R: _blend(r.n + 1, r.mean, m, v, e),
    "n - 1 for n": lambda r, m, v, e, R: _blend(np.maximum(r.n - 1, 0), r.mean, m, v, e),
    "n^2 for n": lambda r, m, v, e, R: _blend(r.n**2, r.mean, m, v, e),
    "sum for the mean": lambda r, m, v, e, R: _blend(r.n, r.n * r.mean, m, v, e),
    "sum of the rewards": lambda r, m, v, e, R: r.n * r.mean,
    "last reward, the prior's mean elsewhere": lambda r, m, v, e, R: np.where(r.n > 0, r.last, m),
    "first reward, the prior's mean elsewhere": lambda r, m, v, e, R: np.where(r.n > 0, r.first, m),
    "last reward for the mean": lambda r, m, v, e, R: _blend(r.n, r.last, m, v, e),
    "half of each": lambda r, m, v, e, R: np.where(r.n > 0, (r.mean + m) / 2, m),
    "actions pooled": lambda r, m, v, e, R: _blend(np.sum(r.n, -1, keepdims=True), _pooled(r), m, v, e),
    "the true one": lambda r, m, v, e, R: R + 0 * r.mean,
}


def _blend(n: Array | float, seen: Array, mean: Array, variance: Array | float, noise: Array | float) -> Array:
    """(noise·mean + variance·n r̄)/(noise + variance·n)."""
    return np.asarray((noise * mean + variance * n * seen) / (noise + variance * n))


def _pooled(r: Rewards) -> Array:
    """The mean reward of a state, whatever the action."""
    return np.sum(r.n * r.mean, axis=-1, keepdims=True) / np.maximum(np.sum(r.n, axis=-1, keepdims=True), 1)


def _log_gamma(x: Array) -> Array:
    """ln Γ."""
    from scipy.special import loggamma

    return np.asarray(loggamma(x))


def _known(c: Array, n: Array) -> Array:
    """n ln P̂ of the prior's mean."""
    return np.sum(np.where(n > 0, n * np.log(_rows(c)), 0), axis=-1)


def _sequence(c: Array, n: Array) -> Array:
    """The likelihood of the next states in their order."""
    return np.sum(rising(c, n), axis=-1) - rising(np.sum(c, axis=-1), np.sum(n, axis=-1))


NEXT_STATES: dict[str, Callable[[Array, Array], Array] | None] = {
    "in their order": None,
    "of the counts, with n!/prod n_s'!": lambda c, n: _sequence(c, n) + _log_gamma(np.sum(n, -1) + 1) - np.sum(_log_gamma(n + 1), -1),
    "left out": lambda c, n: 0 * np.sum(c + n, axis=-1),
    "of the prior's mean, each alone": _known,
    "of the posterior's mean, each alone": lambda c, n: np.sum(n * np.log(_rows(c + n)), axis=-1),
    "without the normaliser of the prior": lambda c, n: np.sum(_log_gamma(c + n), -1) - _log_gamma(np.sum(c + n, -1)),
    "without the sums of concentrations": lambda c, n: np.sum(rising(c, n), axis=-1) + 0 * np.sum(c, axis=-1),
    "the sums alone": lambda c, n: -rising(np.sum(c, axis=-1), np.sum(n, axis=-1)),
    "negative": lambda c, n: -_sequence(c, n),
    "with c + n for c": lambda c, n: _sequence(c + n, n),
    "with c - 1 for c": lambda c, n: _sequence(c - 1, n),
    "of the mean concentration": lambda c, n: _sequence(0 * c + np.mean(c, axis=-1, keepdims=True), n),
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
    "each alone, N(posterior mean, noise)": lambda r, m, v, e: _density(r, _blend(r.n, r.mean, m, v, e), e + 0 * v),
    "each alone, N(posterior mean, noise + posterior variance)": lambda r, m, v, e: _density(r, _blend(r.n, r.mean, m, v, e), e + v * e / (e + r.n * v)),
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
def _so_far(columns: list[Array]) -> list[Array]:
    """The contexts of the tasks up to each, one after another."""
    *rest, here = [np.tile(x.reshape(1, -1), (len(x), 1)) for x in columns]
    N, c = columns[0].shape
    return [*rest, here & (np.arange(N * c) // c <= np.arange(N)[:, None])]


CHOICES: Choices = {
    "transitions of the model": TRANSITIONS,
    "rewards of the model": REWARDS,
    "context mask": {
        "kept": None, "ignored": np.ones_like, "without the last transition": lambda m: m & (np.cumsum(m[:, ::-1], axis=1)[:, ::-1] > 1),
        "without the first transition": lambda m: m & (np.cumsum(m, axis=1) > 1), "the last transition only": lambda m: m & (np.cumsum(m[:, ::-1], axis=1)[:, ::-1] == 1),
        "empty": np.zeros_like, "inverted": np.logical_not,
    },
    "context of a task": {
        "its own": None, "that of all tasks": lambda xs: [np.tile(x.reshape(1, -1), (len(x), 1)) for x in xs],
        "the first task's": lambda xs: [np.repeat(x[:1], len(x), axis=0) for x in xs], "the next task's": lambda xs: [np.roll(x, -1, axis=0) for x in xs],
        "the task's before": lambda xs: [np.roll(x, 1, axis=0) for x in xs], "its own and those before": _so_far,
        "s and s' exchanged": lambda xs: [xs[3], xs[1], xs[2], xs[0], xs[4]], "rewards of the step before": lambda xs: [*xs[:2], np.roll(xs[2], 1, axis=1), *xs[3:]],
    },
    "likelihood of next states": NEXT_STATES,
    "likelihood of rewards": OF_REWARDS,
    "log marginal": {
        "sum": None, "mean over transitions": lambda x, n, r: x / n, "mean over states and actions": lambda x, n, r: x / r.n[0].size,
        "mean over those met": lambda x, n, r: x / np.sum(r.n > 0, axis=(-2, -1)), "negative": lambda x, n, r: -x, "divided by N": lambda x, n, r: x / x.shape[-1],
        "negative mean over transitions": lambda x, n, r: -x / n, "to base 2": lambda x, n, r: x / np.log(2),
    },
    "slopes of concentration in": {"its logarithm": None, "itself": np.ones_like, "its root": lambda c: 2 * np.sqrt(c), "the logarithm of its root": lambda c: 2 * c},
    "slope of the variance in": {"its logarithm": None, "itself": np.ones_like, "its root": lambda v: 2 * np.sqrt(v), "the logarithm of its root": lambda v: 2 * v},
    **{name: each for name, each in {**ADAPTATIONS, **TABULAR}.items() if name != "gradient of alpha"},
    "query's data": {words: each for words, each in TABULAR["query's data"].items() if "rho" not in words},
}  # fmt: skip


def additions(part: str, problem: ModelProblem) -> dict[str, Callable[[], Any]]:
    """What may be added to the adaptation; the halves of the likelihood."""
    if part in ("objective", "gradient"):
        return of_maml.additions(part, adaptation(problem))
    halves = {"that of the rewards": {"likelihood of next states": NEXT_STATES["left out"]}, "that of the next states": {"likelihood of rewards": OF_REWARDS["left out"]}}
    return {name: lambda point=point: variant(part, problem, point) for name, point in halves.items()} if part == "log_marginal" else {}  # type: ignore[misc]


def numbers(problem: ModelProblem) -> dict[str, Any]:
    """Numbers of transitions, and of states and actions that were met."""
    visits = np.sum(problem.statistics.counts, axis=-1)
    return {"transitions": np.sum(visits, axis=(-2, -1)), "states and actions met": np.sum(visits > 0, axis=(-2, -1)), "S A": visits[0].size}


def layouts(problem: ModelProblem) -> dict[str, Array]:
    """Which entry of θ stands where, action by action."""
    return of_maml.layouts(adaptation(problem))


PREDICATES = (
    Predicate(
        "the context is empty", "what the context says enters otherwise, not the prior", lambda case: not np.any(case.problem.context.mask),
        lambda x: x | {"context_mask": np.zeros_like(x["context_mask"])},
    ),
)  # fmt: skip
