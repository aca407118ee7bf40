"""A user's estimator on every batch, and its exact mean.  Derivation: derivations/sampled-meta-gradients.md

Batches are drawn where the function itself goes: those of step k + 1 at its own parameters after k steps, which are the φ
at which it asks `query` if it is given the batches of k steps alone.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.results import CallError
from refmeta.oracle.suites.expected_estimators.batch_calls import Calls, as_estimates, asked, shown
from refmeta.oracle.suites.expected_estimators.by_batch import BatchFunction
from refmeta.sampling.enumeration import CHUNK, Expectation, Paths, likelihoods, paths, weighted_moments
from refmeta.sampling.trajectories import Trajectories
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["Tuples", "every_gradient", "every_tuple", "exact_moments"]

REPEAT = 1e-6


class Tuples(NamedTuple):
    """n tuples of batches, the trajectories (n, K, M, H), and the estimates (n, d).

    p : (n,), the probabilities; `weight` : (n,), their factor from the process.
    single : has all that the function returned, for these tuples and those before, no more digits than single precision?
    """

    p: Array
    weight: Array
    batches: Trajectories
    rows: Array
    single: bool = False


class _Single:
    """Reads what a function returns, and keeps whether it is in single precision: where φ is its own, the rows are not."""

    def __init__(self) -> None:
        self.so_far = True

    def read(self, value: Any, shape: tuple[int, ...], words: str) -> Array:
        """The estimates, checked."""
        array = as_estimates(value, shape, words)
        with np.errstate(over="ignore"):
            self.so_far = self.so_far and bool(np.all(array.astype(np.float32) == array))
        return array


def every_tuple(
    f: BatchFunction, theta: Array, task: PolicyReturn, *, alpha: float, episodes: int, steps: int
) -> Iterator[Tuples]:
    """The estimate of a meta-gradient on every tuple of `episodes` trajectories of every step, in chunks.

    An estimate of ∇L becomes first-order MAML: θ⁽ᵏ⁺¹⁾ = θ⁽ᵏ⁾ − α times the estimate, and then ∇L(φ).

    Raises
    ------
    CallError
        If the function fails on a batch, or answers otherwise when a batch is asked again.
    """
    if f.kind == "hessian":
        raise CallError("the function asks for v, as an estimate of Hessian products does; a meta-gradient asks for query")
    single, total = _Single(), 0
    calls = Calls(f, task, alpha, read=single.read)
    all_paths = paths(task.mdp, tuples_of=max(episodes * steps, 1))
    number = len(all_paths.weight) ** (episodes * steps)
    for p, weight, batches in _drawn(calls, theta, all_paths, episodes, steps):
        rows = _estimates(calls, theta, batches, total, number)
        if total == 0:
            first, spread = batches, rows
        total += len(p)
        yield Tuples(p, weight, batches, rows, single.so_far)
    _check_repeats(calls, theta, first, spread, number)


def every_gradient(f: BatchFunction, theta: Array, task: PolicyReturn, *, alpha: float, episodes: int) -> Iterator[Tuples]:
    """An estimate of ∇L on every batch of `episodes` trajectories, in chunks; the trajectories are (n, 1, M, H)."""
    single, done, all_paths = _Single(), 0, paths(task.mdp, tuples_of=episodes)
    calls = Calls(f, task, alpha, read=single.read)
    number = len(all_paths.weight) ** episodes
    for p, weight, batches in _drawn(calls, theta, all_paths, episodes, 1):
        rows = asked(calls, _start(theta, batches), Trajectories(*(x[:, 0] for x in batches)), done, number)[0]
        done += len(p)
        yield Tuples(p, weight, batches, rows, single.so_far)


def exact_moments(
    f: BatchFunction, theta: Array, task: PolicyReturn, *, alpha: float, episodes: int, steps: int
) -> Expectation:
    """The exact mean and covariance of the estimates of `every_tuple`.

    Eq: estimator-covariance
    """
    chunks = every_tuple(f, theta, task, alpha=alpha, episodes=episodes, steps=steps)
    return weighted_moments((chunk.p, chunk.rows) for chunk in chunks)


def _drawn(calls: Calls, theta: Array, all_paths: Paths, M: int, K: int) -> Iterator[tuple[Array, Array, Trajectories]]:
    """p and weight (n,) and trajectories (n, K, M, H) of all tuples, those of a step drawn at the function's own θ⁽ᵏ⁾."""
    if not K:
        yield np.ones(1), np.ones(1), Trajectories(*(np.zeros((1, 0, M, x.shape[-1]), x.dtype) for x in all_paths.trajectories))
        return
    done, number = 0, len(all_paths.weight) ** (M * (K - 1))
    for p, before, earlier in _drawn(calls, theta, all_paths, M, K - 1):
        at = theta[None] if K == 1 else _adapted(calls, theta, earlier, done, number)
        done += len(p)
        for batch, weight in all_paths.batches(M):
            few = max(1, CHUNK // len(weight))
            for i in range(0, len(p), few):
                some = slice(i, i + few)
                q = p[some, None] * weight * likelihoods(calls.task.policy, at[some, None], batch)
                yield q.ravel(), np.outer(before[some], weight).ravel(), Trajectories(*map(_joined, (x[some] for x in earlier), batch))


def _joined(earlier: Array, batch: Array) -> Array:
    """Every one of (n, k, M, H) followed by every one of (m, M, H): (n m, k + 1, M, H)."""
    n, m = len(earlier), len(batch)
    before, last = np.repeat(earlier, m, axis=0), np.tile(batch, (n, 1, 1))
    return np.concatenate([before, last[:, None]], axis=1)


def _estimates(calls: Calls, theta: Array, batches: Trajectories, first: int, number: int) -> Array:
    """The meta-gradients of n tuples of batches, (n, d)."""
    if calls.f.kind == "meta":
        return asked(calls, _start(theta, batches), batches, first, number)[0]
    return np.array(calls.task.at(_adapted(calls, theta, batches, first, number)).grad)


def _adapted(calls: Calls, theta: Array, batches: Trajectories, first: int, number: int) -> Array:
    """The function's own parameters after its inner steps on n tuples of batches, (n, d)."""
    phi = _start(theta, batches)
    if calls.f.kind == "meta":
        return np.concatenate([np.atleast_2d(q.adapted()) for q in asked(calls, phi, batches, first, number)[1]])
    for k in range(batches.mask.shape[1]):
        phi = phi - calls.alpha * asked(calls, phi, Trajectories(*(x[:, k] for x in batches)), first, number)[0]
    return phi


def _start(theta: Array, batches: Trajectories) -> Array:
    """θ once per tuple, (n, d)."""
    return np.broadcast_to(theta, (len(batches.mask), len(theta)))


def _check_repeats(calls: Calls, theta: Array, batches: Trajectories, rows: Array, number: int) -> None:
    """`CallError` where the first, middle or last of some batches, asked alone and twice, has another estimate than before."""
    scale = max(float(np.max(np.abs(rows))), 1e-300)
    for i in dict.fromkeys((0, len(rows) // 2, len(rows) - 1)):
        alone = Trajectories(*(x[i : i + 1] for x in batches))
        one, two = (_estimates(calls, theta, alone, i, number)[0] for _ in range(2))
        apart, moved = (float(np.max(np.abs(x - one))) for x in (two, rows[i]))
        if apart > REPEAT * scale or (moved > REPEAT * scale and not calls.f.vectorised):
            raise CallError(
                f"on batch {i + 1} of {number}{shown(Trajectories(*(x[0] for x in alone)))}: another call on the same batch "
                f"gave an estimate that differs by {max(apart, moved):.2g}; is there a random number, dropout, or a state "
                "that is kept between calls?"
            )
        if moved > REPEAT * scale:
            raise CallError(
                f"batch {i + 1} of {number} has another estimate alone than among {len(rows)} batches, by {moved:.2g}: "
                "does the function take a mean or a deviation over the leading axis, that of the batches?"
            )
