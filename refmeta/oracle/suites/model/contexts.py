"""What a context says of a process, and what its prior makes of it.  Derivation: derivations/model-based.md"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.model.problem import ModelProblem

__all__ = ["Counts", "Rewards", "blend", "joint", "rising", "seen", "sequence"]


class Rewards(NamedTuple):
    """The rewards of every (s, a), (N, S, A) each: their number, mean, Σ(r − r̄)², the first and the last."""

    n: Array
    mean: Array
    squares: Array
    first: Array
    last: Array


class Counts(NamedTuple):
    """n(s, a, s') (N, S, A, S), the concentrations (S, A, S), and the true P."""

    n: Array
    c: Array
    truth: Array


@lru_cache(maxsize=512)
def seen(problem: ModelProblem, reading: tuple[Any, ...]) -> tuple[Counts, Rewards]:
    """What the context says."""
    masked, which = reading
    s, a, r, after, _, mask = (np.asarray(x) for x in problem.context)
    here = np.asarray(mask, bool) if masked is None else masked(np.asarray(mask, bool))
    S, A = problem.task.mdp.states, problem.task.mdp.actions
    s, a, r, after, here = which([s, a, r, after, here]) if which else [s, a, r, after, here]
    r, pair = np.where(here, r, 0.0), (s * A + a)[..., None] == np.arange(S * A)
    pair = (pair & here[..., None]).reshape(*s.shape, S, A)
    counts = np.einsum("ncsa,nct->nsat", pair.astype(float), (after[..., None] == np.arange(S)).astype(float))
    n = np.sum(pair, axis=1)
    mean = np.einsum("ncsa,nc->nsa", pair, r) / np.maximum(n, 1)
    squares = np.sum(pair * (r[..., None, None] - mean[:, None]) ** 2, axis=1)
    order = np.cumsum(pair, axis=1)
    first, last = (np.sum(pair * (order == x) * r[..., None, None], axis=1) for x in (1, n[:, None]))
    concentration = np.broadcast_to(np.asarray(problem.prior.concentration, float), (S, A, S))
    truth = np.broadcast_to(problem.task.mdp.P, counts.shape)
    return Counts(counts, concentration, truth), Rewards(n.astype(float), mean, squares, first, last)


def blend(n: Array | float, mean: Array, prior: Array, variance: Array | float, noise: Array | float) -> Array:
    """(noise·prior + variance·n mean)/(noise + variance·n)."""
    return np.asarray((noise * prior + variance * n * mean) / (noise + variance * n))


def rising(c: Array, n: Array) -> Array:
    """Σ_{k<n} ln(c + k)."""
    total = np.zeros(np.broadcast_shapes(c.shape, n.shape), c.dtype)
    for k in range(int(np.max(n, initial=0))):
        total += np.where(k < n, np.log(c + k), 0)
    return total


def sequence(c: Array, n: Array) -> Array:
    """Σ_s' ln Γ(c + n)/Γ(c) − ln Γ(c· + n·)/Γ(c·)."""
    return np.sum(rising(c, n), axis=-1) - rising(np.sum(c, axis=-1), np.sum(n, axis=-1))


def joint(r: Rewards, mean: Array, variance: Array, noise: Array) -> Array:
    """−(n ln 2π noise + ln D/noise + Σ(r − r̄)²/noise + n (r̄ − mean)²/D)/2, D = noise + n variance."""
    D = noise + r.n * variance
    return -(r.n * np.log(2 * np.pi * noise) + np.log(D / noise) + r.squares / noise + r.n * (r.mean - mean) ** 2 / D) / 2
