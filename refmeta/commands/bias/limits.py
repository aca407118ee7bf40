"""What the bias of an estimator tends to as M, the trajectories per step, grows.  Derivation: derivations/sampled-meta-gradients.md"""

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

    def step(x: Array) -> StepLimit:
        return normalised_step_limit(x, task) if e.limit.normalised else step_limit(lambda y, batch: e.make(task, y, batch), x, task)

    score, curvature = e.limit.score(alpha), float(e.limit.curvature)
    return gradient_limit(step, theta, task, alpha=alpha, steps=steps, score=score, curvature=curvature)


def limit_bias(e: Estimator, task: PolicyReturn, theta: Array, truth: Array, *, alpha: float, steps: int) -> sampled.Bias:
    """The bias as M grows; the deviation goes to 0, or, with a score term that is not always 0, to infinity as √M: it is a sum over M."""
    mean = limit_of(e, task, theta, alpha=alpha, steps=steps)
    bias = sampled.estimator_bias(Expectation(mean, np.zeros((task.dim, task.dim))), truth)
    return bias._replace(deviation=np.inf if e.limit.score(alpha) and _has_score_term(task, theta) else 0.0)


def _has_score_term(task: PolicyReturn, theta: Array) -> bool:
    """Are some scores other than 0, and some rewards?  Else L(φ) ∇ log p is 0 on every trajectory."""
    rewards = scores = False
    for batch, weight in paths(task.mdp).batches(1):
        p = weight * likelihoods(task.policy, theta, batch)
        rewards = rewards or bool(np.any(p[:, None, None] * batch.rewards))
        scores = scores or bool(np.any(emaml_score_term(task.policy, theta, batch, value=p)))
    return rewards and scores
