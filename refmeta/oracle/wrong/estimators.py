"""Known-wrong sampled meta-gradients, by their exact expectation.  Right: ∇ of `sampled.formulation_sampled`.

A case has theta (d,), tasks (one-task `PolicyReturn`s with a horizon), alpha, episodes and steps; rows give
{part: (N, d)}, of losses.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import maml, sampled
from refmeta.meta.inner import adapt
from refmeta.oracle.batches import at_most_one, expected_hvp
from refmeta.oracle.wrong.row import rows, wrong
from refmeta.sampling.returns import reward_to_go
from refmeta.sampling.surrogates import Surrogate, dice, emaml_score_term, likelihood_ratio, reinforce
from refmeta.sampling.trajectories import Trajectories

Surrogates = Sequence[Surrogate]
Estimate = Callable[[Any, Array, Surrogates, Any], Array]


def naive(task: Any, theta: Array, batch: Trajectories) -> Surrogate:
    """The inner surrogate of `formulation_sampled`."""
    return reinforce(task.policy, theta, batch, gamma=at_most_one(task.mdp.gamma))


def normalised(task: Any, theta: Array, batch: Trajectories) -> Surrogate:
    """The same with (Ĝ − mean Ĝ)/std Ĝ over the M·H steps of a batch."""
    G = reward_to_go(batch, gamma=task.mdp.gamma)
    mean, deviation = np.mean(G, axis=(-2, -1), keepdims=True), np.std(G, axis=(-2, -1), keepdims=True)
    return reinforce(task.policy, theta, batch, gamma=task.mdp.gamma, baseline=G - (G - mean) / (deviation + 1e-8))


def pathwise(task: Any, theta: Array, surrogates: Surrogates, alpha: Any) -> Array:
    """Through the inner steps, without a score term."""
    return maml.gradient(theta, list(surrogates), task, alpha=alpha, steps=len(surrogates))


def reached(task: Any, theta: Array, surrogates: Surrogates, alpha: Any) -> Array:
    """L(φ)."""
    return np.asarray(task.at(adapt(theta, list(surrogates), alpha=alpha, steps=len(surrogates)).adapted).loss)


def scored(scale: float) -> Estimate:
    """E-MAML's gradient, its score terms scaled."""

    def estimate(task: Any, theta: Array, surrogates: Surrogates, alpha: Any) -> Array:
        value = scale * reached(task, theta, surrogates, alpha)
        return sampled.emaml_gradient(theta, surrogates, task, alpha=alpha, value=value)

    return estimate


def first_scored(task: Any, theta: Array, surrogates: Surrogates, alpha: Any) -> Array:
    """The pathwise gradient, and the score term of the first batch."""
    first, value = surrogates[0], reached(task, theta, surrogates, alpha)
    return pathwise(task, theta, surrogates, alpha) + emaml_score_term(
        task.policy, theta, first.trajectories, value=value
    )


def expected(case: Any, estimate: Estimate, make: Callable[..., Surrogate] = naive, steps: int | None = None) -> Any:
    """The mean of an estimate, task by task; nothing where no step is made."""
    steps, found = case.steps if steps is None else steps, []
    if not case.steps:
        return {}
    for task in case.tasks:
        moments = sampled.moments(
            lambda theta, surrogates, task=task: estimate(task, theta, surrogates, case.alpha),  # type: ignore[misc]
            lambda theta, batch, task=task: make(task, theta, batch),  # type: ignore[misc]
            case.theta, task, alpha=case.alpha, episodes=case.episodes, steps=steps,
        )  # fmt: skip
        found.append(moments.mean)
    return {"formulation_sampled": np.stack(found)}


@wrong(
    "score-term-dropped", "E-MAML without L(φ) Σ ∇log p(τ)", quantity="parts",
    cause="the trajectories are taken as data: that they depend on θ is lost", seen="most MAML-RL code",
)  # fmt: skip
def score_term_dropped(case: Any) -> Any:
    return expected(case, pathwise)


@wrong(
    "score-term-alpha", "E-MAML with the score term times α", quantity="parts",
    cause="the α of the inner step is put before both terms", seen="ProMP eq. 3 as printed",
)  # fmt: skip
def score_term_alpha(case: Any) -> Any:
    return expected(case, scored(float(case.alpha)))


@wrong(
    "score-term-mean", "E-MAML with 1/M times the score term; with M = 1, right", quantity="parts",
    cause="the score is averaged over trajectories as a gradient is; but the likelihood of a batch is a product",
    seen="ProMP trpo_maml.py",
)  # fmt: skip
def score_term_mean(case: Any) -> Any:
    return expected(case, scored(1 / case.episodes))


@wrong(
    "score-term-first-step-only", "E-MAML with the score term of the first inner step alone; with K = 1, right",
    quantity="parts", cause="the trajectories of later steps depend on θ as well", seen="ProMP trpo_maml.py",
)  # fmt: skip
def score_term_first_step_only(case: Any) -> Any:
    return expected(case, first_scored)


@wrong(
    "one-batch-for-all-steps", "every inner step on the first one's trajectories, no ratio; with K = 1, right",
    quantity="parts", cause="the batch is drawn outside of the inner loop", seen="the docstring of tristandeleu/pytorch-maml-rl, whose code draws anew since 2020",
)  # fmt: skip
def one_batch_for_all_steps(case: Any) -> Any:
    def estimate(task: Any, theta: Array, surrogates: Surrogates, alpha: Any) -> Array:
        return first_scored(task, theta, [surrogates[0]] * case.steps, alpha)

    return expected(case, estimate, steps=1)


@wrong(
    "advantages-normalised", "(Â − mean Â)/std Â over the batch, in the inner loop", quantity="parts",
    cause="what the outer loop may do for its variance changes the size of an inner step",
    seen="ProMP, learn2learn, pytorch-maml-rl",
)  # fmt: skip
def advantages_normalised(case: Any) -> Any:
    return expected(case, scored(1.0), normalised)


@wrong(
    "score-counted-twice", "E-MAML's score term on DiCE's curvature", quantity="parts",
    cause="DiCE's magic box already differentiates the likelihood of the inner step; the score term is for data held fixed",
)  # fmt: skip
def score_counted_twice(case: Any) -> Any:
    def inner(task: Any, theta: Array, batch: Trajectories) -> Surrogate:
        return dice(task.policy, theta, batch, gamma=at_most_one(task.mdp.gamma))

    return expected(case, scored(1.0), inner)


@wrong(
    "expected-first-order", "E[∇L(φ)], without curvature and score", quantity="parts",
    cause="the inner gradient is detached, or the inner loop is run by another process", seen="most MAML-RL code",
)  # fmt: skip
def expected_first_order(case: Any) -> Any:
    def estimate(task: Any, theta: Array, surrogates: Surrogates, alpha: Any) -> Array:
        return maml.first_order_gradient(theta, list(surrogates), task, alpha=alpha, steps=len(surrogates))

    return expected(case, estimate)


@wrong(
    "expected-curvature-of-reinforce", "E[Σ γᵗĜ ∇²log π v] for −∇²J v", quantity="parts",
    cause="the second derivative of a surrogate made for first derivatives: ℋ₂ alone", seen="MAML-RL as first released",
)  # fmt: skip
def expected_curvature_of_reinforce(case: Any) -> Any:
    return {"dice_hessian": np.stack([expected_hvp(case, task, reinforce) for task in case.tasks])}


@wrong(
    "expected-curvature-of-likelihood-ratio", "ℋ₁ + ℋ₂ for −∇²J v", quantity="parts",
    cause="one ratio a step: ℋ₁₂ and its transpose are lost (ProMP's LVC does so on purpose); with H = 1, right", seen="ProMP",
)  # fmt: skip
def expected_curvature_of_likelihood_ratio(case: Any) -> Any:
    return {"dice_hessian": np.stack([expected_hvp(case, task, likelihood_ratio) for task in case.tasks])}


ROWS = rows(globals())
