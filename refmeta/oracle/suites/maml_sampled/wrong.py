"""Known-wrong meta-gradients of sampled batches.  Right: the gradient of L_query(φ), every θ_sampled a number; (N, d).

A row gives {part: value} for the parts that the mistake concerns.
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import maml
from refmeta.oracle.known import EVERY, rows_in, wrong
from refmeta.oracle.suites.maml_sampled.points import backwards, gradients
from refmeta.oracle.suites.maml_sampled.problem import QUERY, SampledBatches
from refmeta.oracle.suites.maml_sampled.wrong_batches import ROWS as OF_BATCHES
from refmeta.oracle.suites.maml_sampled.wrong_limits import ROWS as LIMITS
from refmeta.oracle.suites.surrogates.definition import SUMMANDS
from refmeta.sampling.surrogates import SurrogatePoint, emaml_score_term

__all__ = ["FALSE_ALARMS", "LETTERS", "ROWS"]

DICE = ("dice", "tmaml")
FALSE_ALARMS = {
    "score-term-absent": "with the batches held fixed no score term is due: this suite asks for the gradient of the composed "
    "objective, whose exact mean over the batches is the business of expected-estimators",
    "ratios-are-one": "where every batch is drawn at the parameters where it is used, exp(log p − stop_gradient(log p)) is right",
    "one-adaptation": "where every batch is drawn at the parameters where it is used, all surrogates with one baseline adapt to the "
    "same φ: only their Hessians differ",
}
LETTERS = {"H_": "H_k is the Hessian of the surrogate of step k at the parameters before that step"}


@wrong("first-order", "∇L_query(φ)", quantity=EVERY, cause="the gradient of the inner surrogate is held constant",
       source="dragen1860/MAML-Pytorch #17 #26 #32 #63", hint="PyTorch: .detach() or torch.no_grad() in the inner step; JAX: stop_gradient", chapter="maml")  # fmt: skip
def first_order(problem: Any) -> Any:
    return gradients(problem, lambda points: points[-1].grad)


@wrong("last-step-only", "(I − αH_{K−1}) ∇L_query(φ)", quantity=EVERY, cause="gradients cleared, or the graph freed, after every inner step",
       source="rlworkgroup/garage #1269, PR 1283", hint="PyTorch: the inner step in place on leaf tensors", chapter="maml")  # fmt: skip
def last_step_only(problem: Any) -> Any:
    return gradients(problem, lambda points: backwards(points[:-1][-1:], problem.alphas[-1:], points[-1].grad))


@wrong("first-step-only", "(I − αH_0) ∇L_query(φ)", quantity=EVERY, cause="only the first inner step is in the graph",
       hint="PyTorch: the later passes of the inner loop keep no graph", chapter="maml")  # fmt: skip
def first_step_only(problem: Any) -> Any:
    return gradients(problem, lambda points: backwards(points[:-1][:1], problem.alphas[:1], points[-1].grad))


@wrong("reversed-product", "(I − αH_{K−1}) … (I − αH_0) ∇L_query(φ)", quantity=EVERY,
       cause="the backward recursion runs forwards in time", chapter="maml")  # fmt: skip
def reversed_product(problem: Any) -> Any:
    return gradients(problem, lambda points: backwards(points[:-1][::-1], problem.alphas[::-1], points[-1].grad))


@wrong("sign-flipped", "∏(I + αH_k) ∇L_query(φ)", quantity=EVERY, chapter="maml",
       cause="the sign of the Hessian term: a gradient of −L, or of J, in one place")  # fmt: skip
def sign_flipped(problem: Any) -> Any:
    return gradients(problem, lambda points: backwards(points[:-1], -problem.alphas, points[-1].grad))


@wrong("alpha-missing", "∏(I − H_k) ∇L_query(φ)", quantity=EVERY, cause="the Hessian term is not scaled by alpha", chapter="maml")
def alpha_missing(problem: Any) -> Any:
    return gradients(problem, lambda points: backwards(points[:-1], np.ones_like(problem.alphas), points[-1].grad))


@wrong("alpha-twice", "∏(I − α²H_k) ∇L_query(φ)", quantity=EVERY, cause="the Hessian term is scaled by alpha twice", chapter="maml")
def alpha_twice(problem: Any) -> Any:
    return gradients(problem, lambda points: backwards(points[:-1], problem.alphas**2, points[-1].grad))


@wrong("gradient-at-start", "L_query(θ) and ∇L_query(θ)", quantity=EVERY, cause="the adapted parameters are never used in the query's forward pass",
       source="facebookresearch/higher #30 #54", chapter="maml")  # fmt: skip
def gradient_at_start(problem: Any) -> Any:
    points = {name: problem.surrogate(name, QUERY).at(problem.theta) for name in SUMMANDS}
    gradients_there = {f"{name}_gradient": np.array(point.grad) for name, point in points.items()}
    return gradients_there | {f"{name}_objective": np.array(point.loss) for name, point in points.items()}


@wrong("curvature-of-reinforce", "inner steps on REINFORCE's surrogate, the query on another", quantity=EVERY,
       cause="the inner step is differentiated through a loss made for first derivatives: Σ γᵗ(Ĝ − b) log π",
       source="MAML-RL as first released", repair="differentiate the ratio or the magic box in the inner loss, not log π times the advantage")  # fmt: skip
def curvature_of_reinforce(problem: Any) -> Any:
    return _with_curvature(problem, "reinforce")


@wrong("curvature-of-likelihood-ratio", "inner steps on the likelihood ratio, the query on another surrogate", quantity=EVERY,
       cause="one ratio a step: how an action changes the later states is lost (ProMP's LVC does so on purpose)", source="ProMP")  # fmt: skip
def curvature_of_likelihood_ratio(problem: Any) -> Any:
    return _with_curvature(problem, "likelihood_ratio")


def _with_curvature(problem: SampledBatches, other: str) -> dict[str, Array]:
    """The meta-gradients of the other surrogates, whose inner steps are on this one: on policy φ is right, and the Hessians are not."""
    support, _ = problem.split(other)
    gradient: Any = lambda name: maml.gradient(problem.theta, support, problem.surrogate(name, QUERY), **problem.hyper)
    return {f"{name}_gradient": gradient(name) for name in SUMMANDS if name != other}


@wrong("score-counted-twice", "∇F + L_query(φ) Σ ∇log p of every support batch", quantity=EVERY,
       cause="E-MAML's score term on a magic box, which already differentiates the likelihood of the batch",
       repair="leave the score term to a surrogate whose inner gradient is plain REINFORCE")  # fmt: skip
def score_counted_twice(problem: Any) -> Any:
    def of(points: list[SurrogatePoint]) -> Array:
        g, value = points[-1].grad, points[-1].loss
        for point, row in reversed(list(zip(points[:-1], problem.alphas, strict=True))):
            g = g - point.hvp(row * g)
            g = g + emaml_score_term(problem.policy, point.theta, point.task.trajectories, value=value)
        return np.asarray(g)

    return gradients(problem, of, DICE)


ROWS = rows_in(globals()) + OF_BATCHES + LIMITS
