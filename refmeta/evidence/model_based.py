"""Evidence for adaptation through a learned model: one prediction after another, complex steps, order in n."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check, Error, off
from refmeta.judges import complex_step
from refmeta.meta import maml, model_based
from refmeta.meta.model_based import Prior, Statistics, log_marginal, log_marginal_gradient, posterior
from refmeta.policies import TabularSoftmax
from refmeta.problems import random_process
from refmeta.sampling.transitions import Transitions
from refmeta.tasks.exact_return import PolicyReturn

__all__ = [
    "A", "CHECKS", "Learning", "ModelAdaptation", "N", "S", "exact_statistics", "sequential_beliefs", "observed_order",
    "random_adaptation", "random_learning", "random_tasks",
]  # fmt: skip

N, S, A = 2, 3, 2


class Learning(NamedTuple):
    """A prior and a context of N tasks."""

    prior: Prior
    context: Transitions


class ModelAdaptation(NamedTuple):
    """A prior, the statistics of a context, θ, the true tasks and K."""

    prior: Prior
    statistics: Statistics
    theta: Array
    task: PolicyReturn
    steps: int = 2

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of objective and gradient."""
        return {"prior": self.prior, "alpha": 0.2, "steps": self.steps}


def random_learning(rng: Generator, n: int = 6) -> Learning:
    """A generic prior, and a context with gaps."""
    shape = (N, n)
    ids = [rng.integers(0, size, shape) for size in (S, A, S)]
    context = Transitions(
        ids[0], ids[1], 0.5 + rng.normal(size=shape), ids[2], np.zeros(shape, bool), rng.random(shape) < 0.8
    )
    prior = Prior(
        rng.uniform(0.3, 2, (S, A, S)), rng.normal(size=(S, A)), rng.uniform(0.3, 2, (S, A)), float(rng.uniform(0.3, 2))
    )
    return Learning(prior, context)


def sequential_beliefs(case: Learning) -> tuple[Array, Array, Array]:
    """Beliefs updated after every transition: P, R and the log probability of each next state and reward."""
    (prior, context), P, R, log_p = case, np.zeros((N, S, A, S)), np.zeros((N, S, A)), np.zeros(N)
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


def _posterior(case: Learning) -> Error:
    """The posterior means against beliefs updated one by one."""
    P, R, _ = sequential_beliefs(case)
    statistics = model_based.statistics(case.context, S, A)

    def model(x: Any) -> Array:
        got = posterior(Prior(x[0], x[1], x[2], case.prior.noise), statistics)
        return np.concatenate([got.P.reshape(N, -1), got.R.reshape(N, -1)], axis=-1)

    return off(model, case.prior[:3], np.concatenate([P.reshape(N, -1), R.reshape(N, -1)], axis=-1), scale=3.0)


def _likelihood(case: Learning) -> Error:
    """Predictions multiplied, and complex steps in logarithms."""
    prior, statistics = case.prior, model_based.statistics(case.context, S, A)

    def value(x: Array) -> Array:
        c, m, v = np.split(x, [S * A * S, S * A * S + S * A])
        return log_marginal(
            Prior(np.exp(c).reshape(S, A, S), m.reshape(S, A), np.exp(v).reshape(S, A), prior.noise), statistics
        )

    flat = np.concatenate([np.log(prior.concentration).ravel(), prior.mean.ravel(), np.log(prior.variance).ravel()])
    log_p = sequential_beliefs(case)[2]

    def both(x: Any) -> Array:
        now = Prior(x[0], x[1], x[2], prior.noise)
        slopes = [slope.reshape(N, -1) for slope in log_marginal_gradient(now, statistics)]
        return np.concatenate([log_marginal(now, statistics)[:, None], *slopes], axis=-1)

    expected = np.concatenate([log_p[:, None], complex_step(value, flat)], axis=-1)
    return off(both, prior[:3], expected, scale=np.max(np.abs(log_p)) + 10)


def random_tasks(rng: Generator, horizon: int | None = None) -> PolicyReturn:
    """Generic tasks."""
    return PolicyReturn(random_process(rng, N, S, A, 0.8, horizon), TabularSoftmax(S, A))


def random_adaptation(rng: Generator, horizons: tuple[int | None, ...] = (None,), steps: int = 2) -> ModelAdaptation:
    """A generic context, and generic tasks with one of the horizons."""
    (prior, context), theta = random_learning(rng), rng.normal(size=S * A)
    task = random_tasks(rng, horizons[rng.integers(len(horizons))])
    return ModelAdaptation(prior, model_based.statistics(context, S, A), theta, task, steps)


def _gradient(case: ModelAdaptation) -> Error:
    """Complex steps of the objective."""

    def value(x: Array) -> Array:
        return np.asarray(model_based.objective(x, case.statistics, case.task, **case.options))

    return off(
        lambda x: model_based.gradient(x, case.statistics, case.task, **case.options),
        case.theta, complex_step(value, case.theta), scale=np.abs(value(case.theta)),
    )  # fmt: skip


def exact_statistics(task: PolicyReturn, n: float) -> Statistics:
    """Counts of exactly n P(s'|s, a), and mean rewards of exactly R."""
    R = np.array(task.mdp.expected_reward)
    return Statistics(n * task.mdp.P, R, np.zeros_like(R))


def observed_order(case: ModelAdaptation) -> float:
    """The power of 1/n with which the gradient tends to MAML's on the true task."""
    task, exact = case.task, maml.gradient(case.theta, case.task, alpha=0.2, steps=case.steps)
    gaps = [
        np.max(np.abs(model_based.gradient(case.theta, exact_statistics(task, n), task, **case.options) - exact))
        for n in (2.0**22, 2.0**23)
    ]
    return float(np.log2(gaps[0] / gaps[1]))


CHECKS = (
    Check("model-posterior", "(c + n)/Σ, precision-weighted R", "beliefs updated one by one", random_learning, _posterior),
    Check("model-prior", "log p(c | prior), its gradient", "predictions multiplied, complex steps", random_learning, _likelihood),
    Check(
        "model-based-maml", "λ_0 through the model's Hessians", "complex steps",
        lambda rng: random_adaptation(rng, (None, 4)), _gradient,
    ),
    Check("thm:model-order", "→ MAML's gradient as 1/n", "counts exactly n P", random_adaptation, observed_order, (1.0, 0.05)),
)  # fmt: skip
