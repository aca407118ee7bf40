"""Meta-gradients of sampled adaptation and their exact means.  Derivation: derivations/sampled-meta-gradients.md

There are two objectives, as losses L = −J.  `formulation_exact` adapts by the exact gradient.  `formulation_sampled`
adapts by M sampled trajectories per step, and is the mean over all of them.  They differ; the second depends on M.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_count, as_numbers, as_parameters, as_real_scalar, dot, finite_result
from refmeta.meta.arguments import Task, as_step_sizes
from refmeta.meta.inner import adapt, adjoints
from refmeta.sampling.enumeration import Expectation, Paths, likelihoods, paths, weighted_moments
from refmeta.sampling.likelihood import likelihood_at
from refmeta.sampling.returns import discounted_sum
from refmeta.sampling.surrogates import Surrogate, emaml_score_term
from refmeta.sampling.trajectories import Trajectories, discounts
from refmeta.tasks.exact_return import PolicyReturn

__all__ = [
    "Bias", "Formulation", "emaml_gradient", "estimator_bias", "formulation_exact", "formulation_sampled", "moments",
    "promp_gradient", "promp_objective",
]  # fmt: skip

Estimate = Callable[[Array, Sequence[Surrogate]], Array]


class Formulation(NamedTuple):
    """An objective, as a loss, (...), and its exact gradient, (..., d)."""

    objective: Array
    gradient: Array


@finite_result
def formulation_exact(theta: ArrayLike, task: PolicyReturn, *, alpha: ArrayLike, steps: int = 1) -> Formulation:
    """L(φ), φ = θ − α∇L(θ) after `steps` exact steps, and its gradient: MAML's objective.

    Eq: formulation-exact
    """
    inner = adapt(theta, task, alpha=alpha, steps=steps)
    point = inner.path[-1]
    return Formulation(np.array(point.loss)[()], adjoints(inner, alpha, [point.grad])[0])


@finite_result
def formulation_sampled(
    theta: ArrayLike, task: PolicyReturn, *, alpha: ArrayLike, episodes: int, steps: int = 1
) -> Formulation:
    """E[L(φ)], φ = θ⁽ᴷ⁾ with θ⁽ᵏ⁺¹⁾ = θ⁽ᵏ⁾ + αĝ(τ; θ⁽ᵏ⁾), τ ~ M trajectories at θ⁽ᵏ⁾, and its gradient, by enumeration.

    Eq: formulation-sampled

    ĝ is the mean of M GPOMDP estimates without a baseline; for one task with a horizon, and theta (..., d).

    Raises
    ------
    ValueError
        For more than 10⁶ tuples of trajectories over all steps, or a task without a horizon.
    """
    all_paths, M = enumerable_paths(task, episodes, steps), as_count(episodes, "episodes", least=1)
    theta = as_parameters(theta, dim=task.dim, why=task.policy.why)
    return Formulation(*_expected_loss(theta, task, all_paths, as_step_sizes(alpha, steps, task.dim), M))


def _expected_loss(theta: Array, task: PolicyReturn, all_paths: Paths, alphas: Array, M: int) -> tuple[Array, Array]:
    """F and ∇F = Σ_τ p [∇F'(φ) + α∇ĝ ∇F'(φ) + F'(φ) ∇ log p], where F' has one step less."""
    if not len(alphas):
        point = task.at(theta)
        return point.loss, point.grad
    loss, gradient = np.zeros(()), np.zeros(())
    for batch, weight in all_paths.batches(M):
        like = likelihood_at(task.policy, theta[..., None, :], batch)
        w = discounts(batch.mask, task.mdp.gamma) * discounted_sum(batch.rewards, task.mdp.gamma) / M
        p = weight * np.exp(np.sum(like.log_prob, axis=(-2, -1)))
        phi = theta[..., None, :] + alphas[0] * like.pull(w)
        F, g = _expected_loss(phi, task, all_paths, alphas[1:], M)
        terms = g + like.curve(w, alphas[0] * g) + F[..., None] * like.pull(np.ones(w.shape))
        loss, gradient = loss + np.sum(p * F, axis=-1), gradient + np.einsum("...n,...ni->...i", p, terms)
    return loss, gradient


def check_no_entropy(task: PolicyReturn) -> None:
    """ValueError for a task with a temperature, whose entropy no trajectory holds."""
    if task.temperature > 0:
        raise ValueError(
            f"task has the temperature {task.temperature}, expected 0: trajectories hold the rewards of the process and "
            "no entropy; give PolicyReturn(task.mdp, task.policy)"
        )


def enumerable_paths(task: PolicyReturn, episodes: int, steps: int) -> Paths:
    """All trajectories of the process of the task; ValueError if there are too many tuples of them over all steps."""
    if not isinstance(task, PolicyReturn):
        raise TypeError(f"expected a PolicyReturn, got {type(task).__name__}")
    check_no_entropy(task)
    return paths(task.mdp, tuples_of=as_count(episodes, "episodes", least=1) * as_count(steps, "steps"))


@finite_result
def emaml_gradient(
    theta: ArrayLike,
    support: Surrogate | Sequence[Surrogate],
    query: Task,
    *,
    alpha: ArrayLike,
    value: ArrayLike | None = None,
) -> Array:
    """λ_0 by λ_k = (I − α∇²L̂_k) λ_{k+1} + L(φ) Σ_m ∇ log p(τ_m|θ⁽ᵏ⁾), λ_K = ∇L(φ); (..., d).

    Eq: emaml-score-term

    These are the adjoints of MAML with a score term per step: unbiased for the gradient of `formulation_sampled` if
    `support` is one `reinforce` per step, without a baseline, each on M new trajectories sampled at the parameters where
    it is used, and `query` is an exact return or an unbiased estimate.

    `value` is the loss after adaptation, (...); by default that of the query, which must then be exact.
    """
    surrogates = list(support) if isinstance(support, Sequence) else [support]
    for surrogate in surrogates:
        if not isinstance(surrogate, Surrogate):
            raise TypeError(f"support must be a surrogate, or a sequence of them, got {type(surrogate).__name__}")
    inner = adapt(theta, surrogates, alpha=alpha, steps=len(surrogates))
    _check_sampled_where_used(surrogates, [point.theta for point in inner.path])
    if value is None and isinstance(query, Surrogate):
        raise ValueError("value is required if the query is a surrogate, whose loss may lack a constant")
    end = query.at(inner.adapted)
    value = end.loss if value is None else as_numbers(value, "value")
    terms = [
        emaml_score_term(s.policy, point.theta, s.trajectories, value=value)
        for s, point in zip(surrogates, inner.path, strict=False)
    ]
    return adjoints(inner, alpha, [*terms, end.grad])[0]


def _check_sampled_where_used(surrogates: Sequence[Surrogate], thetas: Sequence[Array]) -> None:
    """ValueError for a batch that was sampled at other parameters than those where it is used."""
    for k, (surrogate, theta) in enumerate(zip(surrogates, thetas, strict=False)):
        gap = np.max(np.abs(surrogate.theta_sampled - theta) / np.maximum(1, np.abs(theta)), initial=0.0)
        if not gap <= 1e-9:
            raise ValueError(
                f"the trajectories of step {k} were sampled at other parameters than those of the step: theta_sampled "
                f"differs by {gap:.3g}"
            )


@finite_result
def promp_objective(
    theta: ArrayLike, support: Surrogate, query: Surrogate, kl: Task, *, alpha: ArrayLike, penalty: float
) -> Array:
    """L_clip(φ) + η D(θ), φ = θ − α∇L_ratio(θ): ProMP's objective as a loss, (...).

    Eq: promp-objective

    `support` is a `likelihood_ratio` on the batch before adaptation, `query` a `clipped` on the batch after it, `kl` a
    `SampledKL` on the batch before; η = `penalty`.
    """
    inner = adapt(theta, support, alpha=alpha, steps=1)
    return query.at(inner.adapted).loss + as_real_scalar(penalty, "penalty") * kl.at(theta).loss


@finite_result
def promp_gradient(
    theta: ArrayLike, support: Surrogate, query: Surrogate, kl: Task, *, alpha: ArrayLike, penalty: float
) -> Array:
    """(I − α∇²L_ratio(θ)) ∇L_clip(φ) + η∇D(θ), (..., d).

    Eq: promp-objective
    """
    inner = adapt(theta, support, alpha=alpha, steps=1)
    through_adaptation = adjoints(inner, alpha, [query.at(inner.adapted).grad])[0]
    return through_adaptation + as_real_scalar(penalty, "penalty") * kl.at(theta).grad


@finite_result
def moments(
    estimate: Estimate,
    make: Callable[[Array, Trajectories], Surrogate],
    theta: ArrayLike,
    task: PolicyReturn,
    *,
    alpha: ArrayLike,
    episodes: int,
    steps: int = 1,
) -> Expectation:
    """Exact mean and covariance of a meta-gradient estimate, over every M-tuple of trajectories of every inner step.

    Eq: estimator-covariance

    `make(theta, trajectories)` is the surrogate of an inner step, on a batch that was sampled at theta.
    `estimate(theta, surrogates)` is the meta-gradient, (..., d), from theta (d,) and one surrogate per step.
    """
    all_paths, M = enumerable_paths(task, episodes, steps), as_count(episodes, "episodes", least=1)
    theta = as_parameters(theta, dim=task.dim, why=task.policy.why)
    if theta.ndim != 1:
        raise ValueError(f"theta has shape {theta.shape}, expected ({task.dim},)")
    alphas, shape = as_step_sizes(alpha, steps, task.dim), (1,) * as_count(steps, "steps") + (task.dim,)

    def chunks() -> Iterator[tuple[Array, Array]]:
        for p, surrogates in _joint_surrogates(theta.reshape(shape), task, make, all_paths, alphas, M):
            rows = np.broadcast_to(estimate(theta, surrogates), (*p.shape, task.dim))
            yield p.ravel(), rows.reshape(p.size, task.dim)

    return weighted_moments(chunks())


def _joint_surrogates(
    theta: Array, task: PolicyReturn, make: Any, all_paths: Paths, alphas: Array, M: int
) -> Iterator[tuple[Array, list[Surrogate]]]:
    """Joint probabilities and the surrogates of all steps, (n_1, …, n_K): the batches of step k are along axis k."""
    if not len(alphas):
        yield np.ones(theta.shape[:-1]), []
        return
    later_axes = (1,) * (len(alphas) - 1)
    for batch, weight in all_paths.batches(M):
        batch = Trajectories(*(x.reshape(len(x), *later_axes, *x.shape[1:]) for x in batch))
        surrogate = make(theta, batch)
        p = weight.reshape(-1, *later_axes) * likelihoods(task.policy, theta, batch)
        following = theta - alphas[0] * surrogate.at(theta).grad
        for later, surrogates in _joint_surrogates(following, task, make, all_paths, alphas[1:], M):
            yield p * later, [surrogate, *surrogates]


class Bias(NamedTuple):
    """The errors of an estimator: ‖bias‖, ‖bias‖/‖truth‖, the cosine between mean and truth, and √tr covariance."""

    norm: float
    relative: float
    cosine: float
    deviation: float


def estimator_bias(expectation: Expectation, truth: Array) -> Bias:
    """‖E[ĝ] − g‖, the same over ‖g‖, cos(E[ĝ], g), and the standard deviation √tr Cov ĝ.

    Eq: estimator-bias
    """
    gap, size = np.linalg.norm(expectation.mean - truth), np.linalg.norm(truth)
    sizes = size * np.linalg.norm(expectation.mean)
    deviation = np.sqrt(max(float(np.trace(expectation.covariance)), 0.0))
    relative, cosine = (gap / size if size else np.nan), (dot(expectation.mean, truth) / sizes if sizes else np.nan)
    return Bias(float(gap), float(relative), float(cosine), float(deviation))
