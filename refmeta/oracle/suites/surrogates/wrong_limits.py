"""Surrogates with a clamp in log π, by their definition.  Right: the five of `refmeta.surrogates`.

A clamp that nothing reaches changes nothing.
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.clamps import CLAMPED_LOGITS, CLAMPED_PROBABILITIES, ClampedSoftmax
from refmeta.oracle.known import EVERY, rows_in, wrong
from refmeta.oracle.limits import between
from refmeta.oracle.suites.surrogates.definition import SUMMANDS, Likelihood
from refmeta.oracle.suites.surrogates.kl_definition import PENALTIES
from refmeta.oracle.suites.surrogates.problem import Batches, answer, by_definition, part_names
from refmeta.policies.linear_gaussian import LinearGaussian

__all__ = ["ROWS"]

PARTS = (*part_names(SUMMANDS), *PENALTIES)


def _unchanged(problem: Batches) -> dict[str, Array]:
    """Every part of the library."""
    return {part: answer(part, problem) for part in PARTS}


def _with_likelihood(problem: Batches, use: Likelihood, differs: bool) -> dict[str, Array]:
    """The parts with another log π; those of the library where it is the same on this batch."""
    return {part: by_definition(part, problem, use=use) for part in PARTS} if differs else _unchanged(problem)


def _with_log_sigma(problem: Batches, low: float, high: float) -> dict[str, Array]:
    """The parts with log σ kept in [low, high]."""
    if not isinstance(problem.policy, LinearGaussian):
        return _unchanged(problem)
    logs = np.stack([problem.theta, problem.theta_sampled])[:, -problem.policy.actions :]
    use = Likelihood(log_sigma=lambda x: between(x, low, high))
    return _with_likelihood(problem, use, bool(np.any((logs < low) | (logs > high))))


def _with_softmax(problem: Batches, use: ClampedSoftmax) -> dict[str, Array]:
    """The parts with a clamped softmax."""
    if isinstance(problem.policy, LinearGaussian):
        return _unchanged(problem)
    tables = np.stack([problem.policy.table(theta) for theta in (problem.theta, problem.theta_sampled)])
    return _with_likelihood(problem, Likelihood(softmax=use), use.changes(tables))


@wrong(
    "probabilities-clamped", "log max(π, 1e-6) for log π", quantity=EVERY, chapter="softmax-policies",
    cause="probabilities are kept away from 0 in the logarithm, and their gradient is cut there",
    hint="PyTorch: probs.clamp(min=1e-6).log()", repair="log_softmax, which needs no clamp",
)  # fmt: skip
def probabilities_clamped(problem: Any) -> Any:
    return _with_softmax(problem, CLAMPED_PROBABILITIES)


@wrong(
    "logits-clamped", "logits in [−10, 10]", quantity=EVERY, chapter="softmax-policies",
    cause="logits are clamped against overflow, and their gradient is cut there",
    hint="logits.clamp(-10, 10)", repair="subtract the largest logit from all",
)  # fmt: skip
def logits_clamped(problem: Any) -> Any:
    return _with_softmax(problem, CLAMPED_LOGITS)


@wrong(
    "log-sigma-clamped", "log σ in [−5, 2]", quantity=EVERY,
    cause="log σ is clamped, as in code for soft actor-critic, and its gradient is cut there", hint="log_std.clamp(-5, 2)",
)  # fmt: skip
def log_sigma_clamped(problem: Any) -> Any:
    return _with_log_sigma(problem, -5.0, 2.0)


@wrong(
    "variance-floored", "max(σ², 1e-7) for σ²", quantity=EVERY,
    cause="a variance is kept away from 0, and its gradient is cut there", hint="PyTorch: variance.clamp(min=1e-7)",
)  # fmt: skip
def variance_floored(problem: Any) -> Any:
    return _with_log_sigma(problem, float(np.log(1e-7) / 2), np.inf)


ROWS = rows_in(globals())
