"""What the mean of an estimator tends to as M, the trajectories per step, grows.  Derivation: derivations/sampled-meta-gradients.md

Nothing is extrapolated: means over trajectories become expectations over all of them, which are enumerated.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.commands.bias.estimators import Estimator
from refmeta.meta import sampled
from refmeta.sampling.enumeration import Expectation, likelihoods, paths
from refmeta.sampling.returns import reward_to_go
from refmeta.sampling.surrogates import Surrogate, emaml_score_term, reinforce
from refmeta.sampling.trajectories import Trajectories
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["StepLimit", "limit_bias", "limit_gradient", "step_limit"]


class StepLimit(NamedTuple):
    """An inner step on infinitely many trajectories, θ − αT(θ, p).

    gradient : T (d,).
    held : ∂T/∂θ with the probabilities p held (d, d), the expected Hessian of the surrogate.
    moved : ∂T/∂θ through the probabilities (d, d), row i the derivative by θ_i.
    """

    gradient: Array
    held: Array
    moved: Array


class _Spread(NamedTuple):
    """Mean and deviation of Ĝ over all steps of all trajectories, and the slope of the deviation as the trajectories move."""

    mean: float
    deviation: float
    slope: Array


def _trajectories(task: PolicyReturn, theta: Array) -> Iterator[tuple[Trajectories, Array, Array]]:
    """Every trajectory as a batch of its own, in chunks (n, 1, H), with its probability (n,) and score ∇ log p (n, d)."""
    for batch, weight in paths(task.mdp).batches(1):
        p = weight * likelihoods(task.policy, theta, batch)
        yield batch, p, emaml_score_term(task.policy, theta, batch, value=np.ones(len(p)))


def _spread(task: PolicyReturn, theta: Array) -> _Spread:
    """μ = E mean_t Ĝ, σ² = E mean_t (Ĝ − μ)², and ∇σ = E[∇ log p · mean_t (Ĝ − μ)²]/2σ; 0 where σ is."""
    mean, variance, slope = 0.0, 0.0, np.zeros(task.dim)
    for batch, p, _ in _trajectories(task, theta):
        mean += float(p @ np.mean(reward_to_go(batch, gamma=task.mdp.gamma), axis=(-2, -1)))
    for batch, p, score in _trajectories(task, theta):
        squares = np.mean((reward_to_go(batch, gamma=task.mdp.gamma) - mean) ** 2, axis=(-2, -1))
        variance, slope = variance + float(p @ squares), slope + (p * squares) @ score
    deviation = float(np.sqrt(variance))
    return _Spread(mean, deviation, slope / (2 * deviation) if deviation > 0 else 0 * slope)


def _normalised(task: PolicyReturn, theta: Array, batch: Trajectories, spread: _Spread) -> Surrogate:
    """The naive surrogate with (Ĝ − μ)/(σ + 1e-8)."""
    G = reward_to_go(batch, gamma=task.mdp.gamma)
    return reinforce(task.policy, theta, batch, gamma=task.mdp.gamma, baseline=G - (G - spread.mean) / (spread.deviation + 1e-8))


def step_limit(e: Estimator, task: PolicyReturn, theta: Array) -> StepLimit:
    """T = E ĝ, E Ĥ and E[∇ log p ĝᵀ], ĝ and Ĥ of one trajectory; of normalised weights −∇σ Tᵀ/(σ + 1e-8) is added to the last.

    The mean of Ĝ over the batch adds nothing: E Σγᵗ∇ log π = 0.
    """
    d, spread = task.dim, _spread(task, theta) if e.limit.normalised else None
    T, held, moved = np.zeros(d), np.zeros((d, d)), np.zeros((d, d))
    for batch, p, score in _trajectories(task, theta):
        surrogate = e.make(task, theta, batch) if spread is None else _normalised(task, theta, batch, spread)
        point = surrogate.at(theta)
        T, moved = T + p @ point.grad, moved + (p[:, None] * score).T @ point.grad
        held = held + np.stack([p @ point.hvp(np.broadcast_to(unit, point.grad.shape)) for unit in np.eye(d)])
    if spread is not None:
        moved = moved - np.multiply.outer(spread.slope, T) / (spread.deviation + 1e-8)
    return StepLimit(T, held, moved)


def limit_gradient(e: Estimator, task: PolicyReturn, theta: Array, *, alpha: float, steps: int) -> Array:
    """λ_k = λ_{k+1} − αA_kλ_{k+1} − cαB_ku_{k+1}, u_k = u_{k+1} − α(A_k + B_k)u_{k+1}, λ_K = u_K = ∇L(φ); λ_0, (d,).

    A and B are the two slopes of an inner step, with the probabilities held and through them; c is the weight of the
    score term as M grows, and without curvature A is 0 in λ.
    """
    at, inner = theta, list[StepLimit]()
    for _ in range(steps):
        inner.append(step_limit(e, task, at))
        at = at - alpha * inner[-1].gradient
    c, total = e.limit.score(alpha), np.array(task.at(at).grad)
    adjoint = total
    for step in reversed(inner):
        adjoint = adjoint - alpha * (e.limit.curvature * (step.held @ adjoint) + c * (step.moved @ total))
        total = total - alpha * ((step.held + step.moved) @ total)
    return adjoint


def limit_bias(e: Estimator, task: PolicyReturn, theta: Array, truth: Array, *, alpha: float, steps: int) -> sampled.Bias:
    """The bias as M grows; the deviation goes to 0, or, with a score term that is not always 0, to infinity as √M: it is a sum over M."""
    mean = limit_gradient(e, task, theta, alpha=alpha, steps=steps)
    bias = sampled.estimator_bias(Expectation(mean, np.zeros((task.dim, task.dim))), truth)
    return bias._replace(deviation=np.inf if e.limit.score(alpha) and _has_score_term(task, theta) else 0.0)


def _has_score_term(task: PolicyReturn, theta: Array) -> bool:
    """Are some scores other than 0, and some rewards?  Else L(φ) ∇ log p is 0 on every trajectory."""
    each = [(np.any(p[:, None, None] * batch.rewards), np.any(p[:, None] * score)) for batch, p, score in _trajectories(task, theta)]
    return all(any(these) for these in zip(*each, strict=True))
