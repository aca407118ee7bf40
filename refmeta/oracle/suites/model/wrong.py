"""Known-wrong adaptation through a learned model, each by its own formula.  Right: `meta.model_based`.

A problem is a `ModelProblem`.  Rows give {part: (N, ...)}: the model, its likelihood, and adaptation through it.
"""

from typing import Any

import numpy as np

from refmeta.meta import maml
from refmeta.meta.arguments import as_step_sizes
from refmeta.meta.inner import adapt
from refmeta.meta.model_based import Model, log_marginal, log_marginal_gradient, posterior
from refmeta.oracle.bicomplex import complex_value
from refmeta.oracle.known import EVERY, rows_in, wrong
from refmeta.oracle.suites.model.definition import define
from refmeta.oracle.suites.model.problem import maml_parts, parts_from_model
from refmeta.oracle.suites.model.wrong_limits import ROWS as LIMITS

__all__ = ["ROWS"]


@wrong(
    "model-most-likely", "P = n/Σn and R = r̄ where (s, a) was met, the prior's mean elsewhere", quantity=EVERY,
    cause="the model is fitted by maximum likelihood",
)  # fmt: skip
def model_most_likely(problem: Any) -> Any:
    counts, means, model = problem.statistics.counts, problem.statistics.mean, problem.model
    n = np.sum(counts, axis=-1)
    P = np.where((n > 0)[..., None], counts / np.maximum(n, 1)[..., None], model.P)
    return parts_from_model(problem, Model(P, np.where(n > 0, means, model.R)))


@wrong(
    "model-add-one", "P = (1 + n)/Σ(1 + n)", quantity=EVERY,
    cause="Laplace's smoothing instead of the prior's concentrations",
)  # fmt: skip
def model_add_one(problem: Any) -> Any:
    one = posterior(problem.prior._replace(concentration=1.0), problem.statistics)
    return parts_from_model(problem, problem.model._replace(P=one.P))


@wrong(
    "model-variances-swapped", "R = (variance·mean + noise·n r̄)/(variance + noise·n)", quantity=EVERY,
    cause="the prior's variance and the noise, or a precision and a variance, are taken for each other",
)  # fmt: skip
def model_variances_swapped(problem: Any) -> Any:
    swapped = problem.prior._replace(variance=problem.prior.noise, noise=problem.prior.variance)
    return parts_from_model(problem, problem.model._replace(R=posterior(swapped, problem.statistics).R))


@wrong(
    "model-reward-of-one", "R = (noise·mean + variance·r̄)/(noise + variance) where (s, a) was met", quantity=EVERY,
    cause="the mean reward is weighted as a single observation: n is missing",
)  # fmt: skip
def model_reward_of_one(problem: Any) -> Any:
    prior, statistics = problem.prior, problem.statistics
    R = (prior.noise * prior.mean + prior.variance * statistics.mean) / (prior.noise + prior.variance)
    visited = np.sum(statistics.counts, axis=-1) > 0
    return parts_from_model(problem, problem.model._replace(R=np.where(visited, R, problem.model.R)))


@wrong(
    "query-on-the-model", "the objective is the model's loss of φ", quantity=EVERY,
    cause="the query is the model again, and what it does not know costs nothing",
    repair="the query's return is that of the true process, or of trajectories from it",
)  # fmt: skip
def query_on_the_model(problem: Any) -> Any:
    return maml_parts(problem, problem.support, problem.support)


@wrong(
    "support-on-the-truth", "φ is adapted on the true task", quantity=EVERY,
    cause="the learned model is not what the inner step differentiates",
)  # fmt: skip
def support_on_the_truth(problem: Any) -> Any:
    return maml_parts(problem, problem.truth, problem.truth)


@wrong(
    "model-first-order", "∇L(φ) of the true task", quantity=EVERY,
    cause="the adapted parameters are detached: the Hessian of the model's loss is missing",
    repair="PyTorch: create_graph=True in the step on the model; JAX: no stop_gradient on phi",
)  # fmt: skip
def model_first_order(problem: Any) -> Any:
    arguments, options = (problem.theta, problem.support, problem.truth), {"alpha": problem.alpha, "steps": problem.steps}
    return {"gradient": maml.first_order_gradient(*arguments, **options)}


@wrong(
    "model-hessian-of-truth", "λ − ∇²L(θ⁽ᵏ⁾)(α ⊙ λ) with the true task's Hessian", quantity=EVERY,
    cause="the adjoint goes back through the true task, along the model's path",
)  # fmt: skip
def model_hessian_of_truth(problem: Any) -> Any:
    inner = adapt(problem.theta, problem.support, alpha=problem.alpha, steps=problem.steps)
    adjoint = problem.truth.at(inner.adapted).grad
    alphas = as_step_sizes(problem.alpha, problem.steps, problem.truth.dim)
    for point, alpha in reversed(list(zip(inner.path, alphas, strict=False))):
        adjoint = adjoint - problem.truth.at(point.theta).hvp(alpha * adjoint)
    return {"gradient": adjoint}


@wrong(
    "slopes-without-logarithm", "slopes in concentration and variance, not in their logarithms", quantity=EVERY,
    cause="the factor c, or the variance, of the chain rule is missing",
)  # fmt: skip
def slopes_without_logarithm(problem: Any) -> Any:
    slopes, prior = log_marginal_gradient(problem.prior, problem.statistics), problem.prior
    return {
        "concentration_grad": slopes.log_concentration / prior.concentration,
        "reward_variance_grad": np.sum(slopes.log_variance / prior.variance, axis=(-2, -1)),
    }


@wrong(
    "marginal-of-counts", "… + log n!/∏ n_s'!", quantity=EVERY,
    cause="the probability of the counts instead of that of the next states in their order",
)  # fmt: skip
def marginal_of_counts(problem: Any) -> Any:
    from scipy.special import gammaln

    counts = problem.statistics.counts
    ways = gammaln(np.sum(counts, axis=-1) + 1) - np.sum(gammaln(counts + 1), axis=-1)
    return {"log_marginal": log_marginal(problem.prior, problem.statistics) + np.sum(ways, axis=(-2, -1))}


@wrong(
    "rewards-independent", "∏ N(r; mean, noise + variance)", quantity=EVERY,
    cause="rewards of one (s, a) share their unknown mean, and so are not independent",
)  # fmt: skip
def rewards_independent(problem: Any) -> Any:
    def diagonal(x: Any, n: int) -> Any:
        return [[(i == j) * (x["reward_variance"] + x["noise_variance"]) for j in range(n)] for i in range(n)]

    parts = "log_marginal", "reward_mean_grad", "reward_variance_grad"
    return {part: complex_value(define, part, problem.inputs, diagonal) for part in parts}


ROWS = rows_in(globals()) + LIMITS
