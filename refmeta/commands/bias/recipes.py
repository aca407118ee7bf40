"""What a user's estimator is compared with: the table's estimators, and more.  Derivation: derivations/sampled-meta-gradients.md

Beside the estimators of the table there are those with other weights of the scores in the inner step, and other score terms.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.commands.bias.credits import CREDITS, Credit, credited
from refmeta.commands.bias.estimators import ESTIMATORS, Estimator, e_maml
from refmeta.meta import maml
from refmeta.oracle.suites.expected_estimators.problem import (
    Surrogates,
    first_order,
    scaled_score,
    surrogate,
    without_score,
)
from refmeta.sampling.estimators import gpomdp, reinforce, undiscounted_visits
from refmeta.sampling.returns import exact_baseline, leave_one_out
from refmeta.sampling.surrogates import dice, emaml_score_term, exponential, linear
from refmeta.sampling.trajectories import Trajectories
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["CREDITS", "GRADIENTS", "RECIPES", "GradientEstimate", "credit_gradient", "recipes_at"]

GradientEstimate = Callable[[PolicyReturn, Array, Trajectories], Array]


def _first_score(task: PolicyReturn, theta: Array, surrogates: Surrogates, alpha: Any) -> Array:
    """The gradient through the inner steps, and the score term of the first batch alone."""
    value = maml.objective(theta, list(surrogates), task, alpha=alpha, steps=len(surrogates))
    term = emaml_score_term(task.policy, theta, surrogates[0].trajectories, value=value)
    return without_score(task, theta, surrogates, alpha) + term


OF_TABLE = ("normalised", "normalised by ddof 1", "mean over time", "undiscounted visits")  # e-maml with them is in the table


def _with(credit: str) -> tuple[Estimator, ...]:
    """E-MAML, its pathwise part, first-order MAML and LVC with other weights."""
    naive, ratio = credited(CREDITS[credit], linear), credited(CREDITS[credit], exponential)
    makes = {"e-maml": (naive, e_maml), "score-term-dropped": (naive, without_score), "first-order": (naive, first_order)}
    makes["lvc"] = (ratio, without_score)
    if credit in OF_TABLE:
        del makes["e-maml"]
    return tuple(Estimator(f"{name}, {credit}", "", make, estimate) for name, (make, estimate) in makes.items())


_of_table = {e.name: e for e in ESTIMATORS}
RECIPES = (
    *ESTIMATORS,
    Estimator("score-term-first-step-only", "", _of_table["e-maml"].make, _first_score),
    Estimator("score-counted-twice", "", lambda *of: surrogate(dice, *of), lambda *of: scaled_score(1.0)(*of)),
    *(e for credit in CREDITS for e in _with(credit)),
)


def recipes_at(steps: int, episodes: int) -> tuple[Estimator, ...]:
    """The recipes without those that are defined to be another at K = 1 or M = 1."""
    same = ["score-term-first-step-only"] * (steps == 1)
    return tuple(e for e in RECIPES if e.name not in same and not (episodes == 1 and e.name.endswith("sum over episodes")))


def credit_gradient(credit: Credit) -> GradientEstimate:
    """−(1/M) Σ w ∇ log π, the estimate of ∇L with the weights w."""
    return lambda task, theta, batch: np.array(credited(credit, linear)(task, theta, batch).at(theta).grad)


def _loss_gradient(estimator: Callable[..., Array], baseline: Callable[..., Any] = lambda task, theta, batch: 0.0) -> GradientEstimate:
    """Minus an estimator of ∇J, with a baseline."""

    def estimate(task: PolicyReturn, theta: Array, batch: Trajectories) -> Array:
        b = baseline(task, theta, batch)
        return -estimator(task.policy, theta, batch, gamma=task.mdp.gamma, baseline=b)

    return estimate


def _exact(task: PolicyReturn, theta: Array, batch: Trajectories) -> Array:
    """V_t(s_t)."""
    return exact_baseline(batch, task.at(theta))


def _others(task: PolicyReturn, theta: Array, batch: Trajectories) -> Any:
    """The mean of the other trajectories; 0 with one trajectory."""
    return leave_one_out(batch, gamma=task.mdp.gamma) if batch.mask.shape[-2] > 1 else 0.0


GRADIENTS: dict[str, GradientEstimate] = {
    "gpomdp": _loss_gradient(gpomdp),
    "reinforce": _loss_gradient(reinforce),
    "undiscounted-visits": _loss_gradient(undiscounted_visits),
    "gpomdp, exact V": _loss_gradient(gpomdp, _exact),
    "undiscounted, exact V": _loss_gradient(undiscounted_visits, _exact),
    "gpomdp, leave one out": _loss_gradient(gpomdp, _others),
    "gpomdp, mean over time": credit_gradient(CREDITS["mean over time"]),
    "gpomdp, normalised": credit_gradient(CREDITS["normalised"]),
}
