"""A Bayesian model of a finite process, its prior learned across tasks.  Derivation: derivations/model-based.md

Transitions are Dirichlet-multinomial, rewards Gaussian with a Gaussian prior; the prior is learned by maximum marginal
likelihood.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import (
    Array,
    as_array,
    as_numbers,
    as_positive,
    as_real,
    check_all,
    check_finite,
    finite_result,
    index_text,
)
from refmeta.sampling.transitions import Transitions, as_transitions

__all__ = [
    "Fitted", "LOG", "Model", "Prior", "PriorGradient", "RECIPROCAL", "Statistics", "fit", "log_marginal",
    "log_marginal_gradient", "posterior", "statistics",
]  # fmt: skip

TERMS, BERNOULLI = 32, ((2, 1 / 6), (4, -1 / 30), (6, 1 / 42), (8, -1 / 30))
LIMIT, MODERATE = float(np.log(1e8)), (0.1, 10.0)


class Prior(NamedTuple):
    """The prior: P(·|s, a) ~ Dirichlet(concentration), mean rewards ~ N(mean, variance).

    `concentration` broadcasts to (S, A, S), `mean` and `variance` to (S, A); broadcast entries are shared.  `noise` is
    the variance of a reward around its mean.  It is fixed, not learned: rewards without noise would drive it to 0.
    """

    concentration: Any
    mean: Any
    variance: Any
    noise: float


class Statistics(NamedTuple):
    """Statistics of a context: counts n(s, a, s') (..., S, A, S); mean reward r̄ and Σ(r − r̄)², (..., S, A).

    `ended`, (..., S), is True for states where the context has an end: whatever the prior, they are never left and have
    no rewards.
    """

    counts: Any
    mean: Any
    squares: Any
    ended: Any = False


class Model(NamedTuple):
    """Posterior means: P (..., S, A, S) and R (..., S, A)."""

    P: Array
    R: Array


class PriorGradient(NamedTuple):
    """Slopes of the log marginal likelihood: log concentration (..., S, A, S); mean and log variance, (..., S, A)."""

    log_concentration: Array
    mean: Array
    log_variance: Array


class Fitted(NamedTuple):
    """The prior, the sum of the log marginal likelihoods of all contexts, and the number of iterations."""

    prior: Prior
    log_marginal: float
    iterations: int


@finite_result
def statistics(context: Transitions, states: int, actions: int) -> Statistics:
    """Counts, mean rewards (0 where (s, a) was not visited), squared deviations and ends of a context (..., n)."""
    s, a, r, following, terminal, mask = as_transitions(context, states, actions, "context")
    task = tuple(np.expand_dims(i, -1) for i in np.indices(mask.shape[:-1]))
    counts = np.zeros((*mask.shape[:-1], states, actions, states))
    total, squares = np.zeros((2, *mask.shape[:-1], states, actions))
    np.add.at(counts, (*task, s, a, following), mask)
    np.add.at(total, (*task, s, a), r * mask)
    visits = np.sum(counts, axis=-1)
    mean = total / np.maximum(visits, 1)
    np.add.at(squares, (*task, s, a), mask * (r - mean[(*task, s, a)]) ** 2)
    ended = np.zeros((*mask.shape[:-1], states), bool)
    np.logical_or.at(ended, (*task, following), terminal & mask)
    return Statistics(counts, mean, squares, ended)


@finite_result
def posterior(prior: Prior, data: Statistics) -> Model:
    """P = (c + n)/Σ(c + n), R = (noise·mean + variance·n r̄)/(noise + variance·n).

    Eq: model-posterior

    A state in `ended` has P = 1 for itself, and R = 0.

    Raises
    ------
    ValueError, TypeError
        If the shapes of the prior do not broadcast to those of the counts, or its numbers are not positive; for counts
        or squares below 0, or squares of fewer than two rewards.
    FloatingPointError
        If a sum of concentrations and counts overflows.
    """
    (c, mean, variance, noise), (n, r, _, ended) = _as_arguments(prior, data)
    visits, total = np.sum(n, axis=-1), np.sum(c + n, axis=-1, keepdims=True)
    P = (c + n) / check_finite(total, "the sum of the concentrations of a row overflows")
    R = (noise * mean + variance * visits * r) / (noise + variance * visits)
    return Model(np.where(ended[..., None, None], np.eye(P.shape[-1])[:, None], P), np.where(ended[..., None], 0, R))


@finite_result
def log_marginal(prior: Prior, data: Statistics) -> Array:
    """Σ_sa log Γ(c·)/Γ(c· + n) + Σ_s' log Γ(c + n)/Γ(c) − (n log 2π noise + log D/noise + Σ(r − r̄)²/noise + n (r̄ − mean)²/D)/2.

    Eq: model-prior

    D = noise + n·variance; (...): the log probability of the next states and rewards in their order.  Errors are those
    of `posterior`, and a ValueError for counts that are not whole.
    """
    (c, mean, variance, noise), (n, r, squares, _) = _check_whole_counts(*_as_arguments(prior, data))
    visits = np.sum(n, axis=-1)
    rows = np.sum(_rising(LOG, c, n), axis=-1) - _rising(LOG, np.sum(c, axis=-1), visits)
    D, grown = noise + visits * variance, np.log1p(visits * variance / noise)
    rewards = visits * np.log(2 * np.pi * noise) + grown + squares / noise + visits * (r - mean) ** 2 / D
    return np.sum(rows - rewards / 2, axis=(-2, -1))


@finite_result
def log_marginal_gradient(prior: Prior, data: Statistics) -> PriorGradient:
    """c (ψ(c·) − ψ(c· + n·) + ψ(c + n) − ψ(c)); n (r̄ − mean)/D; (variance/2)(n² (r̄ − mean)²/D² − n/D).

    Eq: model-prior

    By log c, the mean and the log variance, for every (s, a) of every task.  Errors are those of `log_marginal`.
    """
    (c, mean, variance, noise), (n, r, _, _) = _check_whole_counts(*_as_arguments(prior, data))
    visits = np.sum(n, axis=-1)
    rows = _rising(RECIPROCAL, c, n) - _rising(RECIPROCAL, np.sum(c, axis=-1), visits)[..., None]
    D = noise + visits * variance
    pull = visits * (r - mean) / D
    return PriorGradient(c * rows, pull, variance / 2 * (pull**2 - visits / D))


def _log_rest(x: Array, m: Array) -> Array:
    """Σ_{k<m} log(x + k) = log Γ(x + m)/Γ(x) by Stirling's series; the next term, 1/(1188 x⁹), is < 10⁻¹⁶ for x ≥ 32.

    log Γ(x) = (x − ½) log x − x + ½ log 2π + Σ_j B_2j / (2j (2j − 1) x^(2j−1)).
    """
    y = x + m
    series = [B * (y ** (1.0 - i) - x ** (1.0 - i)) / (i * (i - 1)) for i, B in BERNOULLI]
    return m * np.log(y) + (x - 0.5) * np.log1p(m / x) - m + sum(series)


def _reciprocal_rest(x: Array, m: Array) -> Array:
    """Σ_{k<m} 1/(x + k) = ψ(x + m) − ψ(x), the derivative of that series; the next term is 1/(132 x¹⁰)."""
    y = x + m
    series = [B * (x ** -float(i) - y ** -float(i)) / i for i, B in BERNOULLI]
    return np.log1p(m / x) + m / y / x / 2 + sum(series)


LOG, RECIPROCAL = (np.log, _log_rest), (np.reciprocal, _reciprocal_rest)


def _rising(kind: tuple[Callable[[Array], Array], Callable[[Array, Array], Array]], c: Array, n: Array) -> Array:
    """Σ_{k<n} f(c + k): log Γ(c + n)/Γ(c) for f = log, ψ(c + n) − ψ(c) for f = 1/·; the first 32 terms are summed.

    No two large numbers are subtracted, so that no digit is lost; a large n costs no more than n = 32.
    """
    f, rest = kind
    total = np.zeros(np.broadcast_shapes(c.shape, n.shape), c.dtype)
    for k in range(int(min(np.max(n, initial=0), TERMS))):
        total += np.where(k < n, f(c + k), 0)
    return total + rest(c + TERMS, np.maximum(n - TERMS, 0)) if np.any(n > TERMS) else total


def fit(start: Prior, data: Statistics) -> Fitted:
    """A prior that maximises Σ log marginal likelihood over all tasks, by SciPy's L-BFGS-B.

    Eq: model-prior

    The result is a local maximum, or the plateau of large concentrations where that is higher.  Two runs are made, from
    `start` and from `start` with its concentrations clipped to [0.1, 10], and the better one is returned, in the shapes
    of `start`.  Logarithms stay within ±log 10⁸: equal tasks have no finite best concentration.  If (s, a) occurs but a
    next state never follows it, the best concentration is 0, and the result is 10⁻⁸.

    Raises
    ------
    ValueError, TypeError
        As `log_marginal`.
    FloatingPointError
        If the optimiser does not converge: a slope of more than 10⁻⁴ (1 + |value|) is left.
    """
    prior, data = _as_arguments(start, data)
    if any(np.iscomplexobj(x) for x in prior[:3]):
        raise TypeError("the prior from which a fit starts must be real, got complex numbers")
    concentration, mean, variance = (np.array(x, float) for x in start[:3])
    start = Prior(concentration, mean, variance, prior.noise)
    moderate = start._replace(concentration=np.clip(start.concentration, *MODERATE))
    same = np.array_equal(moderate.concentration, start.concentration)
    return max((_fit(x, data) for x in (start, moderate)[: 2 - same]), key=lambda fitted: fitted.log_marginal)


def _fit(start: Prior, data: Statistics) -> Fitted:
    """The result of one run of the optimiser."""
    from scipy.optimize import minimize

    shapes = [np.shape(x) for x in start[:3]]
    sizes = np.cumsum([int(np.prod(shape)) for shape in shapes])

    def unravel(flat: Array) -> Prior:
        c, mean, variance = (x.reshape(s) for x, s in zip(np.split(flat, sizes[:-1]), shapes, strict=True))
        return Prior(np.exp(c), mean, np.exp(variance), start.noise)

    def loss(flat: Array) -> tuple[float, Array]:
        prior = unravel(flat)
        slopes = log_marginal_gradient(prior, data)
        shared = [_sum_to_shape(slope, shape) for slope, shape in zip(slopes, shapes, strict=True)]
        return -float(np.sum(log_marginal(prior, data))), -np.concatenate([x.ravel() for x in shared])

    first = np.concatenate(
        [np.ravel(x) for x in (np.log(start.concentration), np.asarray(start.mean, float), np.log(start.variance))]
    )
    free = np.concatenate(
        [np.full(sizes[0], LIMIT), np.full(sizes[1] - sizes[0], np.inf), np.full(sizes[2] - sizes[1], LIMIT)]
    )
    low, high = -free, free.copy()
    high[: sizes[0]][_unseen(data.counts, shapes[0]).ravel()] = -LIMIT
    optimum = minimize(
        loss, np.clip(first, low, high), jac=True, method="L-BFGS-B", bounds=np.stack([low, high], axis=-1),
        options={"maxiter": 10_000, "maxfun": 20_000, "ftol": 1e-12, "gtol": 1e-8},
    )  # fmt: skip
    value, slope = loss(optimum.x)
    inside = (low < optimum.x) & (optimum.x < high)
    rest = np.max(np.abs(slope[inside]), initial=0.0)
    if not rest <= 1e-4 * (1 + abs(value)):
        raise FloatingPointError(
            f"the fit of the prior did not converge ({optimum.message}): a slope of {rest:.3g} is left"
        )
    return Fitted(unravel(optimum.x), -value, int(optimum.nit))


def _unseen(counts: Array, shape: tuple[int, ...]) -> Array:
    """True for the concentrations of next states that never occur, although their (s, a) does."""
    total = np.sum(counts, axis=tuple(range(counts.ndim - 3)))
    visits = np.broadcast_to(np.sum(total, axis=-1, keepdims=True), total.shape)
    return (_sum_to_shape(total, shape) == 0) & (_sum_to_shape(visits, shape) > 0)


def _sum_to_shape(array: Array, shape: tuple[int, ...]) -> Array:
    """The transpose of broadcasting from `shape`: the array summed to `shape`."""
    array = np.sum(array, axis=tuple(range(array.ndim - len(shape))))
    return np.sum(array, axis=tuple(i for i, n in enumerate(shape) if n == 1 < array.shape[i]), keepdims=True)


def _as_arguments(prior: Prior, data: Statistics) -> tuple[Prior, Statistics]:
    """A prior with its arrays broadcast to (S, A, S) and (S, A), and statistics of the same sizes, checked."""
    if not isinstance(prior, Prior) or not isinstance(data, Statistics):
        got = f"{type(prior).__name__} and {type(data).__name__}"
        raise TypeError(f"expected a Prior(concentration, mean, variance, noise) and Statistics, got {got}")
    n, r, squares = (as_real(x, f"statistics.{name}") for x, name in zip(data[:3], Statistics._fields, strict=False))
    ended = as_array(data.ended, "statistics.ended")
    if n.ndim < 3 or n.shape[-1] != n.shape[-3] or r.shape != n.shape[:-1] or squares.shape != r.shape:
        raise ValueError(
            f"statistics has shapes {n.shape}, {r.shape}, {squares.shape}, expected (..., S, A, S), (..., S, A) twice"
        )
    _check_bound(n >= 0, n, "statistics.counts", "at least 0")
    _check_bound(squares >= 0, squares, "statistics.squares", "at least 0")
    few = np.sum(n, axis=-1) <= 1
    _check_bound(~few | (squares == 0), squares, "statistics.squares", "0 where there are fewer than two rewards")
    if ended.dtype != bool or ended.ndim and ended.shape != n.shape[:-2]:
        raise ValueError(
            f"statistics.ended has shape {ended.shape} and dtype {ended.dtype}, expected {n.shape[:-2]} of bool"
        )
    cores = {"concentration": n.shape[-3:], "mean": n.shape[-3:-1], "variance": n.shape[-3:-1]}
    leaves = []
    for name, core in cores.items():
        x = as_numbers(getattr(prior, name), f"prior.{name}")
        x = check_finite(x, f"prior.{name} is not finite") if x.dtype.kind == "c" else as_real(x, f"prior.{name}")
        if name != "mean":
            _check_bound(x.real > 0, x, f"prior.{name}", "above 0")
        try:
            leaves.append(np.broadcast_to(x, core))
        except ValueError:
            raise ValueError(f"prior.{name} has shape {x.shape}, expected one that broadcasts to {core}") from None
    return Prior(leaves[0], leaves[1], leaves[2], as_positive(prior.noise, "prior.noise")), Statistics(
        n, r, squares, np.broadcast_to(ended, n.shape[:-2])
    )


def _check_whole_counts(prior: Prior, data: Statistics) -> tuple[Prior, Statistics]:
    """The arguments; ValueError unless the counts are whole numbers."""
    _check_bound(data.counts == np.floor(data.counts), data.counts, "statistics.counts", "a whole number")
    return prior, data


def _check_bound(ok: Array, array: Array, name: str, bound: str) -> None:
    """ValueError unless every entry of `ok` is true; `bound` is what the array must be."""
    check_all(ok, lambda i: f"{name}{index_text(i)} is {array[i]}, expected {bound}")
