"""Exact expectations over every trajectory of a tiny process.  Derivation: derivations/sampled-policy-gradients.md"""

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_count, as_numbers, check_finite
from refmeta.pieces import in_order
from refmeta.sampling.likelihood import likelihood_at
from refmeta.sampling.rollout import as_horizon, as_process_parameters, as_reward_noise
from refmeta.sampling.trajectories import Policy, Trajectories
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["Expectation", "Paths", "expectation", "likelihoods", "number_of_paths", "paths"]

MOST, CHUNK, COUNTED = 10**6, 2**13, 10**100


class Expectation(NamedTuple):
    """The mean of an array, and the covariance of its entries, shape + shape."""

    mean: Array
    covariance: Array


class Paths(NamedTuple):
    """All possible trajectories, arrays (T, H), and the factor of their probabilities from the process, (T,)."""

    trajectories: Trajectories
    weight: Array

    def batches(self, episodes: int) -> Iterator[tuple[Trajectories, Array]]:
        """All tuples of M = `episodes` trajectories, in chunks: trajectories (n, M, H) and their weights (n,)."""
        total = len(self.weight) ** episodes
        for start in range(0, total, CHUNK):
            number = np.arange(start, min(start + CHUNK, total))
            index = np.stack(np.unravel_index(number, (len(self.weight),) * episodes), axis=-1)
            yield Trajectories(*(x[index] for x in self.trajectories)), np.prod(self.weight[index], axis=-1)


def number_of_paths(mdp: FiniteMDP, horizon: int | None = None) -> int:
    """The number of trajectories of positive weight, counted by the ways into each state; above 10¹⁰⁰ a lower bound."""
    if not isinstance(mdp, FiniteMDP):
        raise TypeError(f"trajectories are enumerated on a FiniteMDP, got {type(mdp).__name__}")
    if mdp.shape:
        raise ValueError(
            f"trajectories are enumerated for one task at a time, got a process with batch axes {mdp.shape}"
        )
    H, over = as_horizon(mdp, horizon), mdp.terminal
    moves = np.where(over[:, None], np.eye(mdp.states, dtype=int), np.sum(mdp.P > 0, axis=1)).astype(object)
    last = np.sum(moves, axis=1) if mdp.R.ndim == 3 else np.where(over, 1, mdp.actions)
    ways = (mdp.rho > 0).astype(object)
    for _ in range(H - 1):
        if (ways := ways @ moves).sum() > COUNTED:
            break
    return int(ways @ last)


def excess_text(number: int, tuples_of: int, most: int = MOST) -> str:
    """Empty if there are at most `most` tuples of `number` trajectories; else their number, in words."""
    exponent = tuples_of * math.log10(max(number, 1))
    if exponent <= math.log10(max(most, 1)) + 1 and number**tuples_of <= most:
        return ""
    total = f"{number**tuples_of:.3g}" if exponent < 100 else f"10^{exponent:.0f} or more"
    return f"{number} trajectories in tuples of {tuples_of} make {total}"


def paths(mdp: FiniteMDP, horizon: int | None = None, *, tuples_of: int = 1, most: int = MOST) -> Paths:
    """All trajectories of positive weight ρ(s_0) Π P(s_{t+1}|s_t, a_t).

    The last next state is part of a trajectory only if rewards depend on it.  ValueError, with the number, if there are
    more than `most` tuples of `tuples_of` trajectories.
    """
    number, H = number_of_paths(mdp, horizon), as_horizon(mdp, horizon)
    tuples_of, most = as_count(tuples_of, "tuples_of"), as_count(most, "most", least=1)
    if excess := excess_text(number, tuples_of, most):
        raise ValueError(
            f"{excess} to enumerate, expected at most {most}; take a smaller process, horizon or number of episodes, or "
            "a larger most=: time grows with the number of tuples, memory with that of trajectories"
        )
    over, by_next, s = mdp.terminal, mdp.R.ndim == 3, np.flatnonzero(mdp.rho)
    weight, past = mdp.rho[s], np.zeros((len(s), 0, 4))
    for t in range(H):
        source, a, following, probability = _continuations(mdp, s, over[s], merge=t == H - 1 and not by_next)
        reward = mdp.R[s[source], a, following] if by_next else mdp.R[s[source], a]
        step = np.stack([s[source], a, reward, ~over[s[source]]], axis=-1)
        past = np.concatenate([past[source], step[:, None]], axis=1)
        weight, s = weight[source] * probability, following
    states, actions, rewards, mask = (past[..., i] for i in range(4))
    return Paths(Trajectories(states.astype(np.intp), actions.astype(np.intp), rewards, mask.astype(bool)), weight)


def _continuations(mdp: FiniteMDP, s: Array, over: Array, merge: bool) -> tuple[Array, Array, Array, Array]:
    """The continuations of every path by an action and a next state: the path, a, s' and P(s'|s, a).

    A path that has ended has one continuation.  With `merge` all next states of an action are one continuation.
    """
    P = mdp.P[s]
    if merge:
        P = np.broadcast_to(np.eye(mdp.states)[0], P.shape)
    stay = (np.arange(mdp.actions) == 0)[:, None] & (np.arange(mdp.states) == s[:, None])[:, None, :]
    P = np.where(over[:, None, None], stay, P)
    source, a, following = np.nonzero(P)
    return source, a, following, P[source, a, following]


def likelihoods(policy: Policy, theta: Array, trajectories: Trajectories) -> Array:
    """Π_m Π_t π_θ(a_t|s_t) of trajectories (..., M, H), (...)."""
    return np.exp(np.sum(likelihood_at(policy, theta, trajectories).log_prob, axis=(-2, -1)))


def expectation(
    f: Callable[[Trajectories], ArrayLike],
    mdp: FiniteMDP,
    policy: Policy,
    theta: ArrayLike,
    *,
    horizon: int | None = None,
    episodes: int = 1,
    reward_noise: ArrayLike = 0.0,
    most: int = MOST,
    executor: Executor | None = None,
) -> Expectation:
    """E[f(τ_1 … τ_M)] = Σ_τ p(τ|θ) f(τ), and the covariance, over every M-tuple of trajectories.

    Eq: trajectory-expectation

    `f` takes a batch of n tuples, `Trajectories` with arrays (n, M, H), and returns one row per tuple, (n, ...).  Batches
    of some thousand tuples are in memory one after the other.  With an `executor` several are in work at once, and the
    result is the same to the last bit; on other processes, f must be a function that pickle can send.

    Raises
    ------
    ValueError
        For more than `most` tuples, a process with batch axes, rewards with noise (which cannot be enumerated), or an f
        that returns another number of rows.
    FloatingPointError
        If the result of f is not finite.
    """
    if not callable(f):
        raise TypeError(f"f must be a function of a batch of trajectories, got {type(f).__name__}")
    theta, M = as_process_parameters(mdp, policy, theta), as_count(episodes, "episodes", least=1)
    _check_can_be_enumerated(mdp, policy, theta, reward_noise)
    shapes: set[tuple[int, ...]] = set()

    def chunks() -> Iterator[tuple[Array, Array]]:
        batches = paths(mdp, horizon, tuples_of=M, most=most).batches(M)
        for p, values in in_order(partial(_weighted_rows, f, policy, theta), batches, executor):
            shapes.add(values.shape[1:])
            yield p, values.reshape(len(p), -1)

    with np.errstate(all="ignore"):
        moments = weighted_moments(chunks())
        mean, covariance = (check_finite(x, "the result of f is too large for its covariance") for x in moments)
    if len(shapes) > 1:
        raise ValueError(f"f returned rows of different shapes, {sorted(shapes)}, expected one shape for all batches")
    shape = shapes.pop()
    return Expectation(np.reshape(mean, shape), np.reshape(covariance, shape + shape))


def _check_can_be_enumerated(mdp: FiniteMDP, policy: Policy, theta: Array, reward_noise: ArrayLike) -> None:
    """ValueError for rewards with noise, or more than one θ."""
    if np.any(sigma := as_reward_noise(reward_noise, mdp.shape)):
        raise ValueError(
            f"reward_noise must be 0, got {sigma}: trajectories with Gaussian rewards cannot be enumerated; "
            "without noise the mean is exact for every f that is linear in the rewards"
        )
    if theta.ndim != 1:
        raise ValueError(f"theta has shape {theta.shape}, expected ({policy.dim},)")


def _weighted_rows(
    f: Callable[[Trajectories], ArrayLike], policy: Policy, theta: Array, batch: tuple[Trajectories, Array]
) -> tuple[Array, Array]:
    """The probabilities (n,) of a batch of tuples, and the rows of f, (n, ...)."""
    trajectories, weight = batch
    with np.errstate(all="ignore"):
        values = _as_rows(f(trajectories), len(weight))
        return weight * likelihoods(policy, theta, trajectories), values


def weighted_moments(chunks: Iterable[tuple[Array, Array]]) -> Expectation:
    """Σ p x and Σ p (x − Σpx)(x − Σpx)ᵀ over chunks of probabilities (n,) and rows (n, k), Σ p = 1."""
    mean, square, centre = np.zeros(()), np.zeros(()), np.zeros(())
    for i, (p, rows) in enumerate(chunks):
        centre = rows[np.argmax(p)] if i == 0 else centre
        mean, square = mean + p @ rows, square + ((rows - centre) * p[:, None]).T @ (rows - centre)
    return Expectation(mean, square - np.multiply.outer(mean - centre, mean - centre))


def _as_rows(returned: ArrayLike, rows: int) -> Array:
    """The result of f, which must be real, finite, and have one row per tuple."""
    values = check_finite(as_numbers(returned, "the result of f"), "the result of f is not finite")
    if values.dtype.kind == "c":
        raise TypeError("the result of f must be real, got complex numbers")
    if values.ndim == 0 or len(values) != rows:
        raise ValueError(f"f returned shape {values.shape}, expected ({rows}, ...): one row per tuple")
    return values
