"""Known-wrong sampled meta-gradients, by their exact expectation.  Right: ∇ of `sampled.formulation_sampled`.

A problem has theta (d,), tasks (one-task `PolicyReturn`s with a horizon), alpha, episodes and steps; rows give
{part: (N, d)}, of losses.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import maml, sampled
from refmeta.oracle.known import EVERY, rows_in, wrong
from refmeta.oracle.suites.expected_estimators.problem import (
    Estimate,
    Surrogates,
    answer,
    first_order,
    normalised_surrogate,
    scaled_score,
    surrogate,
    without_score,
)
from refmeta.oracle.suites.expected_estimators.wrong_limits import ROWS as LIMITS
from refmeta.sampling.surrogates import Surrogate, dice, emaml_score_term, reinforce
from refmeta.sampling.trajectories import Trajectories

__all__ = ["FALSE_ALARMS", "ROWS"]

FALSE_ALARMS = {
    "whole-return-for-reward-to-go": "REINFORCE with the whole return and with the reward to go have one expectation, and so one "
    "gradient; only the variance differs: derivations/sampled-policy-gradients.md",
    "naive-curvature-is-first-order": "with exact advantages, a softmax policy and a batch of its own the naive curvature has mean "
    "zero: in expectation it ties with first-order MAML: thm:naive-curvature, derivations/sampled-meta-gradients.md",
}
Make = Callable[[Any, Array, Trajectories], Surrogate]
naive_surrogate = partial(surrogate, reinforce)


def _with_first_score(task: Any, theta: Array, surrogates: Surrogates, alpha: Any) -> Array:
    """The gradient through the inner steps, and the score term of the first batch."""
    value = maml.objective(theta, list(surrogates), task, alpha=alpha, steps=len(surrogates))
    term = emaml_score_term(task.policy, theta, surrogates[0].trajectories, value=value)
    return without_score(task, theta, surrogates, alpha) + term


def _expectation(problem: Any, estimate: Estimate, make: Make = naive_surrogate, steps: int | None = None) -> dict[str, Array]:
    """The mean of an estimate, task by task; no part where no step is taken."""
    if not problem.steps:
        return {}
    size: Any = {"alpha": problem.alpha, "episodes": problem.episodes, "steps": problem.steps if steps is None else steps}

    def mean(task: Any) -> Array:
        one: Any = lambda theta, surrogates: estimate(task, theta, surrogates, problem.alpha)
        return sampled.moments(one, partial(make, task), problem.theta, task, **size).mean

    return {"formulation_sampled": np.stack([mean(task) for task in problem.tasks])}


@wrong(
    "score-term-dropped", "E-MAML without L(φ) Σ ∇log p(τ)", quantity=EVERY,
    cause="the trajectories are taken as data: that they depend on θ is lost", source="most MAML-RL code",
    repair="add (loss_after.detach() * log_prob_of_the_whole_inner_batch.sum()) to the outer loss",
)  # fmt: skip
def score_term_dropped(problem: Any) -> Any:
    return _expectation(problem, without_score)


@wrong(
    "score-term-alpha", "E-MAML with the score term times α", quantity=EVERY,
    cause="the α of the inner step is put before both terms", source="ProMP eq. 3 as printed",
)  # fmt: skip
def score_term_alpha(problem: Any) -> Any:
    return _expectation(problem, scaled_score(float(problem.alpha)))


@wrong(
    "score-term-mean", "E-MAML with 1/M times the score term; with M = 1, right", quantity=EVERY,
    cause="the score is averaged over trajectories as a gradient is; but the likelihood of a batch is a product",
    source="ProMP trpo_maml.py", hint="log_prob.mean() over the trajectories of the inner batch", repair="log_prob.sum() over them",
)  # fmt: skip
def score_term_mean(problem: Any) -> Any:
    return _expectation(problem, scaled_score(1 / problem.episodes))


@wrong(
    "score-term-first-step-only", "E-MAML with the score term of the first inner step alone; with K = 1, right",
    quantity=EVERY, cause="the trajectories of later steps depend on θ as well", source="ProMP trpo_maml.py",
)  # fmt: skip
def score_term_first_step_only(problem: Any) -> Any:
    return _expectation(problem, _with_first_score)


@wrong(
    "one-batch-for-all-steps", "every inner step on the first one's trajectories, no ratio; with K = 1, right",
    quantity=EVERY, cause="the batch is drawn outside of the inner loop", source="the docstring of tristandeleu/pytorch-maml-rl, whose code draws anew since 2020",
)  # fmt: skip
def one_batch_for_all_steps(problem: Any) -> Any:
    def estimate(task: Any, theta: Array, surrogates: Surrogates, alpha: Any) -> Array:
        return _with_first_score(task, theta, [surrogates[0]] * problem.steps, alpha)

    return _expectation(problem, estimate, steps=1)


@wrong(
    "advantages-normalised", "(Â − mean Â)/std Â over the batch, in the inner loop", quantity=EVERY,
    cause="what the outer loop may do for its variance changes the size of an inner step",
    source="ProMP, learn2learn, pytorch-maml-rl",
)  # fmt: skip
def advantages_normalised(problem: Any) -> Any:
    return _expectation(problem, scaled_score(1.0), normalised_surrogate)


@wrong(
    "score-counted-twice", "E-MAML's score term on DiCE's curvature", quantity=EVERY,
    cause="DiCE's magic box already differentiates the likelihood of the inner step; the score term is for data held fixed",
)  # fmt: skip
def score_counted_twice(problem: Any) -> Any:
    return _expectation(problem, scaled_score(1.0), partial(surrogate, dice))


@wrong(
    "expected-first-order", "E[∇L(φ)], without curvature and score", quantity=EVERY,
    cause="the inner gradient is detached, or the inner loop is run by another process", source="most MAML-RL code",
)  # fmt: skip
def expected_first_order(problem: Any) -> Any:
    return _expectation(problem, first_order)


@wrong(
    "expected-curvature-of-reinforce", "E[Σ γᵗĜ ∇²log π v] for −∇²J v", quantity=EVERY,
    cause="the second derivative of a surrogate made for first derivatives: ℋ₂ alone", source="MAML-RL as first released",
)  # fmt: skip
def expected_curvature_of_reinforce(problem: Any) -> Any:
    return {"dice_hessian": answer("naive_hessian", problem)}


@wrong(
    "expected-curvature-of-likelihood-ratio", "ℋ₁ + ℋ₂ for −∇²J v", quantity=EVERY,
    cause="one ratio a step: ℋ₁₂ and its transpose are lost (ProMP's LVC does so on purpose); with H = 1, right", source="ProMP",
)  # fmt: skip
def expected_curvature_of_likelihood_ratio(problem: Any) -> Any:
    return {"dice_hessian": answer("lvc_hessian", problem)}


ROWS = rows_in(globals()) + LIMITS
