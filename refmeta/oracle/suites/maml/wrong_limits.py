"""MAML with a limit that nobody asked for: a clamp, a clip, a bound of the steps.  Right: `maml.gradient`; (N, d).

A problem has theta (d,), support, query, alpha and steps.  A limit that nothing reaches changes nothing.
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.meta import maml
from refmeta.oracle import clamps, limits
from refmeta.oracle.clamps import ClampedSoftmax
from refmeta.oracle.known import wrong

__all__ = ["OF_COSTS", "OF_EVERY_LOSS", "OF_SOFTMAX", "SUMMED"]


@wrong("gradient-clipped", "an inner gradient of at most norm 10", cause="gradients are clipped in the inner loop",
       hint="PyTorch: clip_grad_norm_ before an inner step; optax: clip_by_global_norm in the inner optimiser")  # fmt: skip
def gradient_clipped(problem: Any) -> Array:
    support = limits.with_clipped_gradient(problem.support)
    return maml.gradient(problem.theta, support, problem.query, alpha=problem.alpha, steps=problem.steps)


@wrong("steps-at-most-five", "min(K, 5) steps", cause="the number of inner steps has a bound, or an unrolled loop a fixed length",
       hint="min(steps, 5), or a default that the argument does not override")  # fmt: skip
def steps_at_most_five(problem: Any) -> Array:
    alpha = problem.alpha[: limits.MOST_STEPS] if np.ndim(problem.alpha) == 2 else problem.alpha
    return maml.gradient(problem.theta, *problem.split, alpha=alpha, steps=min(problem.steps, limits.MOST_STEPS))


def _with_softmax(problem: Any, use: ClampedSoftmax) -> Array:
    """The meta-gradient with another softmax in both losses."""
    return maml.gradient(problem.theta, *(clamps.with_softmax(task, use) for task in problem.split), **problem.hyper)


probabilities_clamped, logits_clamped = clamps.clamp_rows(_with_softmax, quantity="gradient")


def _with_log_sigma(problem: Any, low: float, high: float) -> Array:
    """The meta-gradient with log σ kept in [low, high] in both losses."""
    bounds = np.full((2, problem.theta.size), [[-np.inf], [np.inf]])
    bounds[:, -problem.support.lq.actions :] = [[low], [high]]
    return maml.gradient(problem.theta, *(limits.within(task, *bounds) for task in problem.split), **problem.hyper)


@wrong("log-sigma-clamped", "log σ in [−5, 2]", cause="log σ is clamped, as in code for soft actor-critic, and its gradient is cut there",
       chapter="linear-quadratic-control", hint="log_std.clamp(-5, 2)")  # fmt: skip
def log_sigma_clamped(problem: Any) -> Array:
    return _with_log_sigma(problem, -5.0, 2.0)


@wrong("variance-floored", "max(σ², 1e-7) for σ²", cause="a variance is kept away from 0, and its gradient is cut there",
       chapter="linear-quadratic-control", hint="PyTorch: variance.clamp(min=1e-7)")  # fmt: skip
def variance_floored(problem: Any) -> Array:
    return _with_log_sigma(problem, np.log(1e-7) / 2, np.inf)


@wrong("loss-summed", "the sum over data points for their mean", kind="convention",
       cause="a convention: the inner steps go n times as far", hint="PyTorch: reduction='sum' in the loss",
       chapter="supervised-tasks")  # fmt: skip
def loss_summed(problem: Any) -> Array:
    support, query = (_with_ridge_over_points(task) for task in problem.split)
    n, q = (task.X.shape[-2] for task in problem.split)
    return q * maml.gradient(problem.theta, support, query, alpha=n * np.asarray(problem.alpha), steps=problem.steps)


def _with_ridge_over_points(task: Any) -> Any:
    """The loss whose n-fold is the sum over the points: a ridge, if there is one, is divided by n."""
    return replace_fields(task, ridge=task.ridge / task.X.shape[-2]) if hasattr(task, "ridge") else task


OF_EVERY_LOSS = (gradient_clipped, steps_at_most_five)
OF_SOFTMAX = (probabilities_clamped, logits_clamped)
OF_COSTS = (log_sigma_clamped, variance_floored)
SUMMED = (loss_summed,)
