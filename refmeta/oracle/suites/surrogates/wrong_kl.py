"""Known-wrong penalties on a batch.  Right: `kl.with_ratio` of k1, k2 and k3, their gradients (N, d).

Every gradient is (1/M) Σ γᵗ u_t ∇ log π_t, in which u is made of l = log π − log π_ref and of the ratio.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.known import EVERY, rows_in, wrong
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.surrogates.kl_definition import PENALTIES
from refmeta.oracle.suites.surrogates.kl_functions import FUNCTIONS
from refmeta.oracle.suites.surrogates.problem import Batches, answer
from refmeta.sampling import kl
from refmeta.sampling.likelihood import likelihood_at
from refmeta.sampling.trajectories import discounts

__all__ = ["ROWS"]

CHAPTER = "sampled-policy-gradients"


def _gradient(problem: Batches, u: Callable[[Array, Array], Array]) -> Array:
    """(1/M) Σ γᵗ u(l_t, x_t) ∇ log π_t."""
    batch = problem.penalty("kl_k1").trajectories
    here = likelihood_at(problem.policy, problem.theta, batch)
    old, ref = (likelihood_at(problem.policy, theta, batch).log_prob for theta in (problem.theta_sampled, problem.theta_ref))
    weights = discounts(batch.mask, at_most_one(problem.gamma)) * u(here.log_prob - ref, here.log_prob - old)
    return here.pull(weights) / batch.mask.shape[-2]


def _in_the_loss(problem: Batches, part: str) -> dict[str, Array]:
    """The gradient of Σ γᵗ k(l), in which nothing says where the batch was drawn."""
    return {part: problem.penalty(part).at(problem.theta).grad}


@wrong(
    "k1-in-the-loss", "the gradient of Σ γᵗ l", quantity=EVERY, chapter=CHAPTER,
    cause="the ratio is left out, or held where it is 1: the mean of this gradient is 0, whatever the reference",
    repair="multiply by exp(logp − logp_sampled), which is 1 where the batch was drawn and has a gradient, or put l into the reward",
)  # fmt: skip
def k1_in_the_loss(problem: Any) -> Any:
    return _in_the_loss(problem, "kl_k1")


@wrong(
    "ratio-missing", "the gradient of Σ γᵗ ½l²", quantity=EVERY, kind="convention", chapter=CHAPTER,
    cause="k2 without the ratio: where the batch was drawn its mean is that of the divergence's gradient, on an old batch it is not",
)  # fmt: skip
def ratio_missing(problem: Any) -> Any:
    return _in_the_loss(problem, "kl_k2")


@wrong(
    "k3-in-the-loss", "the gradient of Σ γᵗ (exp(−l) + l − 1)", quantity=EVERY, chapter=CHAPTER,
    cause="the ratio is left out, or held where it is 1: the mean of this gradient is that of the other divergence, KL(π_ref ‖ π)",
    source="huggingface/trl #4967, #6503", repair="multiply by exp(logp − logp_sampled), which is 1 where the batch was drawn and has a gradient",
)  # fmt: skip
def k3_in_the_loss(problem: Any) -> Any:
    return _in_the_loss(problem, "kl_k3")


@wrong(
    "penalty-in-the-reward", "Σ γᵗ ∇x_t Σ_{j≥t} γʲ⁻ᵗ k(l_j), k held", quantity=EVERY, kind="convention", chapter=CHAPTER,
    cause="the penalty is subtracted from the reward: with k1 the visits move, too, which is the gradient of the whole divergence",
)  # fmt: skip
def penalty_in_the_reward(problem: Any) -> Any:
    return {part: kl.in_reward(problem.penalty(part), problem.theta_sampled).at(problem.theta).grad for part in PENALTIES}


def _of_own_step(problem: Batches, part: str) -> Array:
    """(1/M) Σ γᵗ k(l_t) ratio ∇ log π_t."""
    return _gradient(problem, lambda y, x: FUNCTIONS[part](y)[0] * np.exp(x))


@wrong(
    "k1-of-own-step", "Σ γᵗ l_t ratio ∇x_t, l held", quantity=EVERY, kind="right", chapter=CHAPTER,
    cause="another estimate with the same mean, not the one asked for: the slope of l adds only noise, and is left out",
)  # fmt: skip
def k1_of_own_step(problem: Any) -> Any:
    return {"kl_k1": _of_own_step(problem, "kl_k1")}


@wrong(
    "penalty-of-own-step", "Σ γᵗ k(l_t) ratio ∇x_t, k held", quantity=EVERY, chapter=CHAPTER,
    cause="k2 or k3 is held as a reward, and only that of the own step counts: the slope of k is lost",
)  # fmt: skip
def penalty_of_own_step(problem: Any) -> Any:
    return {part: _of_own_step(problem, part) for part in ("kl_k2", "kl_k3")}


@wrong(
    "kl-swapped", "k(log π_ref − log π) times the ratio", quantity=EVERY, chapter=CHAPTER,
    cause="the two policies are exchanged in l: with k1 the penalty drives the policy away from the reference; k2 does not see it",
)  # fmt: skip
def kl_swapped(problem: Any) -> Any:
    def swapped(part: str) -> Array:
        k = FUNCTIONS[part]
        return _gradient(problem, lambda y, x: (k(-y)[0] - k(-y)[1]) * np.exp(x))

    return {part: swapped(part) for part in ("kl_k1", "kl_k3")}


@wrong(
    "k3-log-sign", "(exp(−l) − l − 1) times the ratio", quantity=EVERY, chapter=CHAPTER,
    cause="the ratio of k3 is that of the reference to the policy, its logarithm that of the policy to the reference",
    repair="d = logp_ref − logp; exp(d) − d − 1",
)  # fmt: skip
def k3_log_sign(problem: Any) -> Any:
    return {"kl_k3": _gradient(problem, lambda y, x: (np.exp(-y) - y - 1 - np.exp(-y) - 1) * np.exp(x))}


@wrong("k2-without-half", "l² times the ratio", quantity=EVERY, chapter=CHAPTER, cause="the square is not halved: twice the penalty")
def k2_without_half(problem: Any) -> Any:
    return {"kl_k2": 2 * answer("kl_k2", problem)}


@wrong(
    "kl-absolute", "|l| times the ratio", quantity=EVERY, chapter=CHAPTER,
    cause="the absolute value of the log ratio, so that no step is negative: neither divergence", repair="k3, if no step may be negative",
)  # fmt: skip
def kl_absolute(problem: Any) -> Any:
    return {"kl_k1": _gradient(problem, lambda y, x: (np.abs(y) + np.sign(y)) * np.exp(x))}


@wrong(
    "kl-to-the-old-policy", "k(log π − log π_sampled) times the ratio", quantity=EVERY, chapter=CHAPTER,
    cause="the log ratio to the policy that drew the batch, instead of that to the reference: where they are drawn k2 and k3 give 0",
    repair="the reference's log-probabilities are data of their own, beside those of the time of sampling",
)  # fmt: skip
def kl_to_the_old_policy(problem: Any) -> Any:
    def to_the_old(part: str) -> Array:
        return _gradient(problem, lambda y, x: sum(FUNCTIONS[part](x)) * np.exp(x))

    return {part: to_the_old(part) for part in PENALTIES}


ROWS = rows_in(globals())
