"""Meta-gradients of sampled batches with a limit that nobody asked for.  Right: the gradient of L_query(φ); (N, d).

A limit that nothing reaches changes nothing.
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.meta import maml
from refmeta.meta.inner import adapt
from refmeta.oracle.clamps import CLAMPED_LOGITS, CLAMPED_PROBABILITIES, ClampedSoftmax
from refmeta.oracle.known import EVERY, rows_in, wrong
from refmeta.oracle.limits import MOST_STEPS, NORM, between, with_clipped_gradient
from refmeta.oracle.suites.maml_sampled.problem import SampledBatches, answer, by_definition, part_names
from refmeta.oracle.suites.surrogates.definition import SUMMANDS, Likelihood
from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.sampling.trajectories import Trajectories

__all__ = ["ROWS"]


def _with_likelihood(problem: SampledBatches, use: Likelihood, differs: bool) -> dict[str, Array]:
    """The parts with another log π; those of the library where it is the same on these batches."""
    return {part: by_definition(part, problem, use=use) if differs else answer(part, problem) for part in part_names(SUMMANDS)}


def _thetas(problem: SampledBatches) -> Array:
    """θ, every θ_sampled and every φ, one row each."""
    adapted = [answer(f"{name}_adapted", problem) for name in SUMMANDS]
    return np.concatenate([np.reshape(x, (-1, problem.policy.dim)) for x in (problem.theta, problem.theta_sampled, problem.query_theta_sampled, *adapted)])


def _with_log_sigma(problem: SampledBatches, low: float, high: float) -> dict[str, Array]:
    """The parts with log σ kept in [low, high]."""
    logs = _thetas(problem)[:, -problem.policy.actions :]
    differs = isinstance(problem.policy, LinearGaussian) and bool(np.any((logs < low) | (logs > high)))
    return _with_likelihood(problem, Likelihood(log_sigma=lambda x: between(x, low, high)), differs)


def _with_softmax(problem: SampledBatches, use: ClampedSoftmax) -> dict[str, Array]:
    """The parts with a clamped softmax."""
    if isinstance(problem.policy, LinearGaussian):
        return _with_likelihood(problem, Likelihood(), False)
    tables = np.stack([problem.policy.table(theta) for theta in _thetas(problem)])
    return _with_likelihood(problem, Likelihood(softmax=use), use.changes(tables))


def _with_clipped_gradient(problem: SampledBatches, most: float = NORM) -> dict[str, Array]:
    """The parts with inner gradients of at most this norm."""
    if not problem.steps:
        return {part: answer(part, problem) for part in part_names(SUMMANDS)}
    parts = {}
    for name in SUMMANDS:
        support, query = problem.split(name)
        clipped = [with_clipped_gradient(surrogate, most) for surrogate in support]
        parts[f"{name}_adapted"] = adapt(problem.theta, clipped, **problem.hyper).adapted
        parts[f"{name}_objective"] = maml.objective(problem.theta, clipped, query, **problem.hyper)
        parts[f"{name}_gradient"] = maml.gradient(problem.theta, clipped, query, **problem.hyper)
    return parts


def _with_few_steps(problem: SampledBatches, most: int = MOST_STEPS) -> dict[str, Array]:
    """The parts after at most so many steps."""
    batch = Trajectories(*(x[:, :most] for x in problem.trajectories))
    alpha = problem.alpha[:most] if np.ndim(problem.alpha) == 2 else problem.alpha
    fewer = replace_fields(problem, alpha=alpha, trajectories=batch, theta_sampled=problem.theta_sampled[:, :most], baseline=problem.baseline[:, :most])
    return {part: answer(part, fewer) for part in part_names(SUMMANDS)}


@wrong("gradient-clipped", "an inner gradient of at most norm 10", quantity=EVERY, chapter="maml", cause="gradients are clipped in the inner loop",
       hint="PyTorch: clip_grad_norm_ before an inner step; optax: clip_by_global_norm in the inner optimiser")  # fmt: skip
def gradient_clipped(problem: Any) -> Any:
    return _with_clipped_gradient(problem)


@wrong("steps-at-most-five", "min(K, 5) steps", quantity=EVERY, chapter="maml", hint="min(steps, 5)",
       cause="the number of inner steps has a bound, or an unrolled loop a fixed length")  # fmt: skip
def steps_at_most_five(problem: Any) -> Any:
    return _with_few_steps(problem)


@wrong("probabilities-clamped", "log max(π, 1e-6) for log π", quantity=EVERY, chapter="softmax-policies",
       cause="probabilities are kept away from 0 in the logarithm, and their gradient is cut there",
       hint="PyTorch: probs.clamp(min=1e-6).log()", repair="log_softmax, which needs no clamp")  # fmt: skip
def probabilities_clamped(problem: Any) -> Any:
    return _with_softmax(problem, CLAMPED_PROBABILITIES)


@wrong("logits-clamped", "logits in [−10, 10]", quantity=EVERY, chapter="softmax-policies",
       cause="logits are clamped against overflow, and their gradient is cut there",
       hint="logits.clamp(-10, 10)", repair="subtract the largest logit from all")  # fmt: skip
def logits_clamped(problem: Any) -> Any:
    return _with_softmax(problem, CLAMPED_LOGITS)


@wrong("log-sigma-clamped", "log σ in [−5, 2]", quantity=EVERY, hint="log_std.clamp(-5, 2)",
       cause="log σ is clamped, as in code for soft actor-critic, and its gradient is cut there")  # fmt: skip
def log_sigma_clamped(problem: Any) -> Any:
    return _with_log_sigma(problem, -5.0, 2.0)


@wrong("variance-floored", "max(σ², 1e-7) for σ²", quantity=EVERY, hint="PyTorch: variance.clamp(min=1e-7)",
       cause="a variance is kept away from 0, and its gradient is cut there")  # fmt: skip
def variance_floored(problem: Any) -> Any:
    return _with_log_sigma(problem, float(np.log(1e-7) / 2), np.inf)


ROWS = rows_in(globals())
