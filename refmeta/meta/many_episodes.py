"""What the mean of a sampled meta-gradient tends to as its episodes become many.  Derivation: derivations/sampled-meta-gradients.md

Nothing is extrapolated: means over episodes become expectations over all trajectories, which are enumerated.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_parameters, as_positive, as_real_scalar, check_finite, finite_result
from refmeta.meta.arguments import Task, as_step_sizes, as_task
from refmeta.meta.sampled import enumerable_paths
from refmeta.sampling.enumeration import Paths
from refmeta.sampling.likelihood import likelihood_at
from refmeta.sampling.returns import reward_to_go
from refmeta.sampling.surrogates import Surrogate, reinforce
from refmeta.sampling.trajectories import Trajectories
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["StepLimit", "gradient_limit", "normalised_step_limit", "step_limit"]

MakeSurrogate = Callable[[Array, Trajectories], Surrogate]


class StepLimit(NamedTuple):
    """An inner step on infinitely many episodes, θ − αT(θ, p), where p are the probabilities of the trajectories.

    gradient : (d,)
        T.
    held : (d, d)
        A, the expected Hessian of the surrogate: p and θ_sampled are held.
    moved : (d, d)
        B, row i ∂T/∂θ_i through p alone.
    total : (d, d)
        C, row i ∂T/∂θ_i with everything that moves: p, the scores and θ_sampled.
    """

    gradient: Array
    held: Array
    moved: Array
    total: Array


class _Chunk(NamedTuple):
    """Trajectories, each a batch of its own, (n, 1, H), their probabilities p (n,) and scores ∇ log p (n, d)."""

    batch: Trajectories
    p: Array
    score: Array


class _Spread(NamedTuple):
    """Mean μ and deviation σ of Ĝ over all steps of all trajectories, and ∇σ (d,)."""

    mean: Array
    deviation: Array
    slope: Array


@finite_result
def step_limit(make: MakeSurrogate, theta: ArrayLike, task: PolicyReturn) -> StepLimit:
    """T = E ∇L̂(τ), A = E ∇²L̂(τ), B = E[∇ log p(τ) ∇L̂(τ)ᵀ] and C = B − E Σ_t u_t ∇² log π, where ∇L̂ = −Σ_t u_t ∇ log π.

    Eq: many-episodes-step

    The means are over one trajectory τ ~ p(·|θ).  `make(theta, trajectories)` is the surrogate L̂ of an inner step, without
    statistics of the batch in its weights; they may depend on θ through a baseline b(s) alone.  theta is (d,).

    Raises
    ------
    ValueError
        For more than 10⁶ trajectories, or a task without a horizon.
    """
    each, theta = enumerable_paths(task, 1, 1), _as_point(theta, task)
    return _mean_step(make, theta, _chunks(task, theta, each))


@finite_result
def normalised_step_limit(theta: ArrayLike, task: PolicyReturn, *, epsilon: float = 1e-8) -> StepLimit:
    """T, A, B and C of `step_limit`, for `reinforce` with the returns (Ĝ − μ)/(σ + ε): −∇σ Tᵀ/(σ + ε) is added to B and to C.

    Eq: many-episodes-step

    μ and σ, over all M·H steps of a batch, tend to those over all trajectories; steps behind an end count with Ĝ = 0.  The
    slope of μ adds nothing: E Σγᵗ∇ log π = 0.  Where σ is 0, so is T.  theta is (d,).

    Raises
    ------
    ValueError
        For more than 10⁶ trajectories, a task without a horizon, or an epsilon that is not above 0.
    """
    each, theta = enumerable_paths(task, 1, 1), _as_point(theta, task)
    spread = _spread(task, theta, each)
    size = spread.deviation + as_positive(epsilon, "epsilon")

    def make(theta: Array, batch: Trajectories) -> Surrogate:
        G = reward_to_go(batch, gamma=task.mdp.gamma)
        return reinforce(task.policy, theta, batch, gamma=task.mdp.gamma, baseline=G - (G - spread.mean) / size)

    T, held, moved, total = _mean_step(make, theta, _chunks(task, theta, each))
    bend = np.multiply.outer(spread.slope, T) / size
    return StepLimit(T, held, moved - bend, total - bend)


@finite_result
def gradient_limit(
    step: Callable[[Array], StepLimit], theta: ArrayLike, query: Task, *, alpha: ArrayLike, steps: int = 1,
    score: float = 1.0, curvature: float = 1.0,
) -> Array:  # fmt: skip
    """λ_k = λ_{k+1} − qA_kαλ_{k+1} − cB_kαu_{k+1}, u_k = u_{k+1} − C_kαu_{k+1}, λ_K = u_K = ∇L(φ); λ_0, (d,).

    Eq: many-episodes-limit

    It is the limit of the mean meta-gradient as the episodes of every inner step become infinitely many.  u_k is the
    slope of L(φ) at θ⁽ᵏ⁾, with everything that moves.

    Parameters
    ----------
    step : function of θ⁽ᵏ⁾ (d,)
        A `StepLimit`, that of `step_limit` or `normalised_step_limit`.
    query : task
        What is met after the adaptation, with its exact loss L.
    alpha : float or array
        As for `maml.gradient`: one number, (d,), (K, 1) or (K, d).
    score : float
        c, the limit of the weight of the score terms L(φ) Σ_m ∇ log p(τ_m): 1 for E-MAML, 0 without them or for 1/M.
    curvature : float
        q, the weight of the second derivatives: 0 for first-order MAML.

    Raises
    ------
    ValueError
        For a theta that is not (d,), or a query with batch axes.
    FloatingPointError
        If a step leaves the finite numbers; the message names the step.
    """
    theta = _as_point(theta, as_task(query, "query"))
    if query.shape:
        raise ValueError(f"query has the batch axes {query.shape}, expected one task; give query[i]")
    c, q = as_real_scalar(score, "score"), as_real_scalar(curvature, "curvature")
    at, inner, alphas = theta, list[StepLimit](), as_step_sizes(alpha, steps, query.dim)
    for k, step_size in enumerate(alphas, start=1):
        inner.append(step(at))
        with np.errstate(all="ignore"):
            at = at - step_size * inner[-1].gradient
        check_finite(at, f"inner step {k} left the finite numbers; alpha may be too large")
    adjoint = total = np.array(query.at(at).grad)
    for at_step, step_size in zip(reversed(inner), reversed(alphas), strict=True):
        through, score_term = at_step.held @ (step_size * adjoint), at_step.moved @ (step_size * total)
        adjoint, total = adjoint - q * through - c * score_term, total - at_step.total @ (step_size * total)
    return adjoint


def _as_point(theta: ArrayLike, task: Task) -> Array:
    """θ, (d,)."""
    theta = as_parameters(theta, dim=task.dim)
    if theta.ndim != 1:
        raise ValueError(f"theta has shape {theta.shape}, expected ({task.dim},)")
    return theta


def _chunks(task: PolicyReturn, theta: Array, each: Paths) -> Iterator[_Chunk]:
    """Every trajectory of the task."""
    for batch, weight in each.batches(1):
        like = likelihood_at(task.policy, theta, batch)
        p = weight * np.exp(np.sum(like.log_prob, axis=(-2, -1)))
        yield _Chunk(batch, p, like.pull(np.ones(like.log_prob.shape)))


def _mean_step(make: MakeSurrogate, theta: Array, chunks: Iterable[_Chunk]) -> StepLimit:
    """T, A, B and C, chunk after chunk."""
    d = theta.size
    T, A, B, naive = np.zeros(d), *np.zeros((3, d, d))
    for batch, p, score in chunks:
        surrogate = make(theta, batch)
        point, like = surrogate.at(theta), likelihood_at(surrogate.policy, theta, batch)
        units = np.broadcast_to(np.eye(d)[:, None], (d, *score.shape))
        T, B = T + p @ point.grad, B + (p[:, None] * score).T @ point.grad
        A, naive = A + p @ point.hvp(units), naive - p @ like.curve(point.slopes, units)
    return StepLimit(T, A, B, B + naive)


def _spread(task: PolicyReturn, theta: Array, each: Paths) -> _Spread:
    """μ = E mean_t Ĝ, σ² = E mean_t (Ĝ − μ)², and ∇σ = E[∇ log p · mean_t (Ĝ − μ)²]/2σ; 0 where σ is."""
    to_go: Callable[[Trajectories], Array] = lambda batch: reward_to_go(batch, gamma=task.mdp.gamma)
    mean = sum((p @ np.mean(to_go(batch), axis=(-2, -1)) for batch, p, _ in _chunks(task, theta, each)), np.zeros(()))
    variance, slope = np.zeros(()), np.zeros(task.dim)
    for batch, p, score in _chunks(task, theta, each):
        squares = p * np.mean((to_go(batch) - mean) ** 2, axis=(-2, -1))
        variance, slope = variance + np.sum(squares), slope + squares @ score
    deviation = np.sqrt(variance)
    return _Spread(mean, deviation, slope / (2 * deviation) if np.real(deviation) > 0 else 0 * slope)
