"""What the bias of an estimator tends to as M, the trajectories per step, grows.  Derivation: derivations/sampled-meta-gradients.md"""

from functools import partial

import numpy as np

from refmeta.arrays import Array
from refmeta.commands.bias.estimators import Estimator
from refmeta.meta import sampled
from refmeta.meta.many_episodes import StepLimit, gradient_limit, normalised_step_limit, step_limit
from refmeta.sampling.enumeration import Expectation, likelihoods, paths
from refmeta.sampling.surrogates import emaml_score_term
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["limit_bias", "limit_of"]


def limit_of(e: Estimator, task: PolicyReturn, theta: Array, *, alpha: float, steps: int) -> Array:
    """The limit of the mean of an estimator, (d,)."""
    score, curvature = e.limit.score(alpha), float(e.limit.curvature)
    return gradient_limit(partial(_step, e, task), theta, task, alpha=alpha, steps=steps, score=score, curvature=curvature)


def _step(e: Estimator, task: PolicyReturn, theta: Array) -> StepLimit:
    """An inner step of the estimator on infinitely many episodes."""
    if e.limit.normalised:
        return normalised_step_limit(theta, task)
    return step_limit(lambda x, batch: e.make(task, x, batch), theta, task)


def limit_bias(e: Estimator, task: PolicyReturn, theta: Array, truth: Array, *, alpha: float, steps: int) -> sampled.Bias:
    """The bias as M grows, and what the deviation tends to."""
    mean = limit_of(e, task, theta, alpha=alpha, steps=steps)
    bias = sampled.estimator_bias(Expectation(mean, np.zeros((task.dim, task.dim))), truth)
    return bias._replace(deviation=_deviation(e, task, theta, alpha=alpha, steps=steps))


def _deviation(e: Estimator, task: PolicyReturn, theta: Array, *, alpha: float, steps: int) -> float:
    """0, or infinity with a score term that is not always 0: as a sum over M it grows as √M, times L(φ).

    NaN where L(φ) tends to 0, up to rounding: then the deviation stays bounded, and its limit is not computed.
    """
    if not (e.limit.score(alpha) and _has_score_term(task, theta)):
        return 0.0
    for _ in range(steps):
        theta = theta - alpha * _step(e, task, theta).gradient
    largest = (task.mdp.horizon or 1) * np.max(np.abs(task.mdp.expected_reward))
    return np.inf if np.abs(task.at(theta).loss) > 1e-12 * largest else np.nan


def _has_score_term(task: PolicyReturn, theta: Array) -> bool:
    """Are some scores other than 0, and some rewards?  Else L(φ) ∇ log p is 0 on every trajectory."""
    rewards = scores = False
    for batch, weight in paths(task.mdp).batches(1):
        p = weight * likelihoods(task.policy, theta, batch)
        rewards = rewards or bool(np.any(p[:, None, None] * batch.rewards))
        scores = scores or bool(np.any(emaml_score_term(task.policy, theta, batch, value=p)))
    return rewards and scores
