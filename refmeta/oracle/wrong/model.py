"""Known-wrong adaptation through a learned model, each by its own formula.  Right: `meta.model_based`.

A case is a `Modelled`.  Rows give {part: (N, ...)}: what is told of the model, and of adaptation through it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.judges import complex_step
from refmeta.meta import maml
from refmeta.meta.arguments import as_step_sizes
from refmeta.meta.inner import adapt
from refmeta.meta.model_based import (
    Model,
    Prior,
    Statistics,
    log_marginal,
    log_marginal_gradient,
    posterior,
    statistics,
)
from refmeta.oracle.models import proper
from refmeta.oracle.wrong.row import rows, wrong


def seen_of(case: Any) -> Statistics:
    """What the context says."""
    return statistics(case.context, case.task.mdp.states, case.task.mdp.actions)


def task_of(case: Any, model: Model) -> Any:
    """The task with a model in the place of the truth."""
    task = proper(case.task)
    return replace_fields(task, mdp=replace_fields(task.mdp, P=model.P, R=model.R))


def through(case: Any, model: Model) -> dict[str, Array]:
    """All that follows from a wrong model."""
    given = case.theta, task_of(case, model), proper(case.task)
    hyper = {"alpha": case.alpha, "steps": case.steps}
    return {
        "transition": model.P, "reward": model.R,
        "objective": np.asarray(maml.objective(*given, **hyper)), "gradient": maml.gradient(*given, **hyper),
    }  # fmt: skip


def changed(case: Any, change: Callable[[Prior, Statistics, Model], Model]) -> dict[str, Array]:
    """All that follows from a change of the posterior mean."""
    seen = seen_of(case)
    return through(case, change(case.prior, seen, posterior(case.prior, seen)))


def numeric(case: Any, loss: Callable[[Prior, Statistics], Array]) -> dict[str, Array]:
    """Another log marginal likelihood, and its slopes."""
    seen, prior = seen_of(case), case.prior
    return {
        "log_marginal": loss(prior, seen),
        "reward_mean_grad": complex_step(lambda m: loss(prior._replace(mean=m), seen), prior.mean),
        "reward_variance_grad": complex_step(
            lambda v: loss(prior._replace(variance=np.exp(v)), seen), np.log(prior.variance)
        ),
    }


@wrong(
    "model-most-likely", "P = n/Σn and R = r̄ where (s, a) was met, the prior's mean elsewhere", quantity="parts",
    cause="the model is fitted by maximum likelihood",
)  # fmt: skip
def model_most_likely(case: Any) -> Any:
    def most_likely(prior: Prior, seen: Statistics, model: Model) -> Model:
        n = np.sum(seen.counts, axis=-1)
        met, P = n > 0, seen.counts / np.maximum(n, 1)[..., None]
        return Model(np.where(met[..., None], P, model.P), np.where(met, seen.mean, model.R))

    return changed(case, most_likely)


@wrong(
    "model-add-one", "P = (1 + n)/Σ(1 + n)", quantity="parts",
    cause="Laplace's smoothing in the place of the prior's concentrations",
)  # fmt: skip
def model_add_one(case: Any) -> Any:
    def add_one(prior: Prior, seen: Statistics, model: Model) -> Model:
        one = posterior(prior._replace(concentration=1.0), seen)
        return model._replace(P=one.P)

    return changed(case, add_one)


@wrong(
    "model-variances-swapped", "R = (variance·mean + noise·n r̄)/(variance + noise·n)", quantity="parts",
    cause="the prior's variance and the noise, or a precision and a variance, are taken for each other",
)  # fmt: skip
def model_variances_swapped(case: Any) -> Any:
    def swapped(prior: Prior, seen: Statistics, model: Model) -> Model:
        return model._replace(R=posterior(prior._replace(variance=prior.noise, noise=prior.variance), seen).R)

    return changed(case, swapped)


@wrong(
    "model-reward-of-one", "R = (noise·mean + variance·r̄)/(noise + variance) where (s, a) was met", quantity="parts",
    cause="the mean reward is weighted as a single observation: n is missing",
)  # fmt: skip
def model_reward_of_one(case: Any) -> Any:
    def of_one(prior: Prior, seen: Statistics, model: Model) -> Model:
        R = (prior.noise * prior.mean + prior.variance * seen.mean) / (prior.noise + prior.variance)
        return model._replace(R=np.where(np.sum(seen.counts, axis=-1) > 0, R, model.R))

    return changed(case, of_one)


@wrong(
    "query-on-the-model", "the objective is the model's loss of φ", quantity="parts",
    cause="the query is the model again, and what it does not know costs nothing",
)  # fmt: skip
def query_on_the_model(case: Any) -> Any:
    model = task_of(case, posterior(case.prior, seen_of(case)))
    given, hyper = (case.theta, model, model), {"alpha": case.alpha, "steps": case.steps}
    return {"objective": np.asarray(maml.objective(*given, **hyper)), "gradient": maml.gradient(*given, **hyper)}


@wrong(
    "support-on-the-truth", "φ is adapted on the true task", quantity="parts",
    cause="the learned model is not what the inner step differentiates",
)  # fmt: skip
def support_on_the_truth(case: Any) -> Any:
    found = through(case, Model(case.task.mdp.P, case.task.mdp.R))
    return {name: found[name] for name in ("objective", "gradient")}


@wrong(
    "model-first-order", "∇L(φ) of the true task", quantity="parts",
    cause="the adapted parameters are detached: the Hessian of the model's loss is missing",
)  # fmt: skip
def model_first_order(case: Any) -> Any:
    model = task_of(case, posterior(case.prior, seen_of(case)))
    given = case.theta, model, proper(case.task)
    return {"gradient": maml.first_order_gradient(*given, alpha=case.alpha, steps=case.steps)}


@wrong(
    "model-hessian-of-truth", "λ − ∇²L(θ⁽ᵏ⁾)(α ⊙ λ) with the true task's Hessian", quantity="parts",
    cause="the adjoint goes back through the true task, along the model's path",
)  # fmt: skip
def model_hessian_of_truth(case: Any) -> Any:
    truth, model = proper(case.task), task_of(case, posterior(case.prior, seen_of(case)))
    inner = adapt(case.theta, model, alpha=case.alpha, steps=case.steps)
    adjoint = truth.at(inner.adapted).grad
    alphas = as_step_sizes(case.alpha, case.steps, truth.dim)
    for point, alpha in reversed(list(zip(inner.path, alphas, strict=False))):
        adjoint = adjoint - truth.at(point.theta).hvp(alpha * adjoint)
    return {"gradient": adjoint}


@wrong(
    "slopes-without-logarithm", "slopes in concentration and variance, not in their logarithms", quantity="parts",
    cause="the factor c, or the variance, of the chain rule is missing",
)  # fmt: skip
def slopes_without_logarithm(case: Any) -> Any:
    slopes, prior = log_marginal_gradient(case.prior, seen_of(case)), case.prior
    return {
        "concentration_grad": slopes.log_concentration / prior.concentration,
        "reward_variance_grad": np.sum(slopes.log_variance / prior.variance, axis=(-2, -1)),
    }


@wrong(
    "marginal-of-counts", "… + log n!/∏ n_s'!", quantity="parts",
    cause="the probability of the counts in the place of that of the next states in their order",
)  # fmt: skip
def marginal_of_counts(case: Any) -> Any:
    from scipy.special import gammaln

    seen = seen_of(case)
    ways = gammaln(np.sum(seen.counts, axis=-1) + 1) - np.sum(gammaln(seen.counts + 1), axis=-1)
    return {"log_marginal": log_marginal(case.prior, seen) + np.sum(ways, axis=(-2, -1))}


@wrong(
    "rewards-independent", "∏ N(r; mean, noise + variance)", quantity="parts",
    cause="rewards of one (s, a) share their unknown mean, and so are not independent",
)  # fmt: skip
def rewards_independent(case: Any) -> Any:
    from scipy.special import gammaln

    def apart(prior: Prior, seen: Statistics) -> Array:
        c, counts, D = prior.concentration, seen.counts, prior.noise + prior.variance
        n, total = np.sum(counts, axis=-1), np.sum(c, axis=-1)
        states = gammaln(total) - gammaln(total + n) + np.sum(gammaln(c + counts) - gammaln(c), axis=-1)
        square = seen.squares + n * (seen.mean - prior.mean) ** 2
        return np.sum(states - (n * np.log(2 * np.pi * D) + square / D) / 2, axis=(-2, -1))

    return numeric(case, apart)


ROWS = rows(globals())
