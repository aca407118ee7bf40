"""Adaptation through a learned model with a limit that nobody asked for.  Right: `meta.model_based`.

A limit that nothing reaches changes nothing.
"""

from typing import Any

import numpy as np

from refmeta.oracle import clamps, limits
from refmeta.oracle.clamps import ClampedSoftmax
from refmeta.oracle.known import EVERY, rows_in, wrong
from refmeta.oracle.suites.model.problem import answer, maml_parts

__all__ = ["ROWS"]

FLOOR = 1e-7


def _with_softmax(problem: Any, use: ClampedSoftmax) -> Any:
    """The objective and the gradient with another softmax, on the model and on the true task."""
    return maml_parts(problem, *(clamps.with_softmax(task, use) for task in (problem.support, problem.truth)))


probabilities_clamped, logits_clamped = clamps.clamp_rows(_with_softmax)


@wrong(
    "gradient-clipped", "an inner gradient of at most norm 10", quantity=EVERY, chapter="maml",
    cause="gradients are clipped in the inner loop",
    hint="PyTorch: clip_grad_norm_ before an inner step; optax: clip_by_global_norm in the inner optimiser",
)  # fmt: skip
def gradient_clipped(problem: Any) -> Any:
    return maml_parts(problem, limits.with_clipped_gradient(problem.support), problem.truth)


@wrong(
    "steps-at-most-five", "min(K, 5) steps", quantity=EVERY, chapter="maml",
    cause="the number of inner steps has a bound, or an unrolled loop a fixed length",
    hint="min(steps, 5), or a default that the argument does not override",
)  # fmt: skip
def steps_at_most_five(problem: Any) -> Any:
    alpha = problem.alpha[: limits.MOST_STEPS] if np.ndim(problem.alpha) == 2 else problem.alpha
    few = problem._replace(steps=min(problem.steps, limits.MOST_STEPS), alpha=alpha)
    return maml_parts(few, few.support, few.truth)


def _with_variances_above(problem: Any, least: float) -> Any:
    """The parts that depend on the variances, with both kept from below."""
    prior = problem.prior
    floored = problem._replace(prior=prior._replace(variance=max(prior.variance, least), noise=max(prior.noise, least)))
    names = "reward", "log_marginal", "reward_mean_grad", "reward_variance_grad", "objective", "gradient"
    parts = {part: answer(part, floored) for part in names}
    return parts | {"reward_variance_grad": parts["reward_variance_grad"] * (prior.variance >= least)}


@wrong(
    "variance-floored", "variances of at least 1e-7, the prior's and that of the noise", quantity=EVERY,
    cause="a variance is kept away from 0, and its gradient is cut there", hint="PyTorch: variance.clamp(min=1e-7)",
)  # fmt: skip
def variance_floored(problem: Any) -> Any:
    return _with_variances_above(problem, FLOOR)


ROWS = rows_in(globals())
