"""Evidence for adaptation through a learned model: one prediction after another, complex steps, order in n."""

import math
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.judged import drawing, off
from refmeta.judges import complex_step
from refmeta.meta import maml, model_based
from refmeta.meta.model_based import Prior, Statistics, log_marginal, log_marginal_gradient, posterior, statistics
from refmeta.policies import TabularSoftmax
from refmeta.problems import random_process
from refmeta.sampling.transitions import Transitions
from refmeta.tasks.exact_return import PolicyReturn

N, S, A = 2, 3, 2


def drawn(rng: Generator, n: int = 6) -> tuple[Prior, Transitions]:
    """A generic prior, and a context with gaps."""
    shape = (N, n)
    ids = [rng.integers(0, size, shape) for size in (S, A, S)]
    context = Transitions(
        ids[0], ids[1], 0.5 + rng.normal(size=shape), ids[2], np.zeros(shape, bool), rng.random(shape) < 0.8
    )
    prior = Prior(
        rng.uniform(0.3, 2, (S, A, S)), rng.normal(size=(S, A)), rng.uniform(0.3, 2, (S, A)), float(rng.uniform(0.3, 2))
    )
    return prior, context


def one_by_one(prior: Prior, context: Transitions) -> tuple[Array, Array, Array]:
    """Beliefs updated after every transition: P, R and the log probability of each next state and reward."""
    P, R, log_p = np.zeros((N, S, A, S)), np.zeros((N, S, A)), np.zeros(N)
    for i in range(N):
        c, m, v = np.array(prior.concentration), np.array(prior.mean), np.array(prior.variance)
        for s, a, r, after, _, there in zip(*(part[i] for part in context), strict=True):
            if there:
                spread = v[s, a] + prior.noise
                log_p[i] += math.log(c[s, a, after] / sum(c[s, a]))
                log_p[i] -= (math.log(2 * math.pi * spread) + (r - m[s, a]) ** 2 / spread) / 2
                c[s, a, after] += 1
                m[s, a] += v[s, a] / spread * (r - m[s, a])
                v[s, a] *= prior.noise / spread
        P[i], R[i] = c / c.sum(-1, keepdims=True), m
    return P, R, log_p


def _posterior(rng: Generator) -> float:
    prior, context = drawn(rng)
    P, R, _ = one_by_one(prior, context)

    def model(x: Any) -> Array:
        got = posterior(Prior(x[0], x[1], x[2], prior.noise), statistics(context, S, A))
        return np.concatenate([got.P.reshape(N, -1), got.R.reshape(N, -1)], axis=-1)

    return off(model, prior[:3], np.concatenate([P.reshape(N, -1), R.reshape(N, -1)], axis=-1), scale=3.0)


def _prior(rng: Generator) -> float:
    """Predictions multiplied, and complex steps in logarithms."""
    prior, context = drawn(rng)
    seen = statistics(context, S, A)

    def value(x: Array) -> Array:
        c, m, v = np.split(x, [S * A * S, S * A * S + S * A])
        return log_marginal(
            Prior(np.exp(c).reshape(S, A, S), m.reshape(S, A), np.exp(v).reshape(S, A), prior.noise), seen
        )

    flat = np.concatenate([np.log(prior.concentration).ravel(), prior.mean.ravel(), np.log(prior.variance).ravel()])
    log_p = one_by_one(prior, context)[2]

    def both(x: Any) -> Array:
        now = Prior(x[0], x[1], x[2], prior.noise)
        slopes = [slope.reshape(N, -1) for slope in log_marginal_gradient(now, seen)]
        return np.concatenate([log_marginal(now, seen)[:, None], *slopes], axis=-1)

    return off(
        both,
        prior[:3],
        np.concatenate([log_p[:, None], complex_step(value, flat)], axis=-1),
        scale=np.max(np.abs(log_p)) + 10,
    )


def true_tasks(rng: Generator, horizon: int | None = None) -> PolicyReturn:
    """Generic tasks to be judged by."""
    return PolicyReturn(random_process(rng, N, S, A, 0.8, horizon), TabularSoftmax(S, A))


def _gradient(rng: Generator) -> float:
    """Complex steps of the objective."""
    (prior, context), theta = drawn(rng), rng.normal(size=S * A)
    seen, task = statistics(context, S, A), true_tasks(rng, (None, 4)[rng.integers(2)])
    more: dict[str, Any] = {"prior": prior, "alpha": 0.2, "steps": 2}

    def value(x: Array) -> Array:
        return np.asarray(model_based.objective(x, seen, task, **more))

    return off(
        lambda x: model_based.gradient(x, seen, task, **more),
        theta,
        complex_step(value, theta),
        scale=np.abs(value(theta)),
    )


def exactly(task: PolicyReturn, n: float) -> Statistics:
    """Counts of exactly n P(s'|s, a), and mean rewards of exactly R."""
    R = np.array(task.mdp.expected_reward)
    return Statistics(n * task.mdp.P, R, np.zeros_like(R))


def order(rng: Generator) -> float:
    """By what power of n the gradient tends to MAML's on the true task."""
    (prior, _), theta, task = drawn(rng), rng.normal(size=S * A), true_tasks(rng)
    exact = maml.gradient(theta, task, alpha=0.2, steps=2)
    gaps = [
        np.max(np.abs(model_based.gradient(theta, exactly(task, n), task, prior=prior, alpha=0.2, steps=2) - exact))
        for n in (2.0**22, 2.0**23)
    ]
    return float(np.log2(gaps[0] / gaps[1]))


CHECKS = (
    drawing("model-posterior", "(c + n)/Σ, precision-weighted R", "beliefs updated one by one", _posterior),
    drawing("model-prior", "log p(c | prior), its gradient", "predictions multiplied, complex steps", _prior),
    drawing("model-based-maml", "λ_0 through the model's Hessians", "complex steps", _gradient),
    drawing("thm:model-order", "→ MAML's gradient as 1/n", "counts exactly n P", order, (1.0, 0.05)),
)
