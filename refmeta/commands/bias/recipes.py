"""What a user's estimator is compared with: the table's estimators, and more.  Derivation: derivations/sampled-meta-gradients.md

Beside the estimators of the table there are those with other weights of the scores in the inner step, and other score terms.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
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
from refmeta.sampling.returns import exact_baseline, leave_one_out, reward_to_go, whole_return
from refmeta.sampling.surrogates import Surrogate, Term, dice, emaml_score_term, exponential, linear
from refmeta.sampling.trajectories import Trajectories, discounts
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["CREDITS", "GRADIENTS", "RECIPES", "GradientEstimate", "credit_gradient", "recipes_at"]

Credit = Callable[[Trajectories, float], Array]
GradientEstimate = Callable[[PolicyReturn, Array, Trajectories], Array]


def _to_go(batch: Trajectories, gamma: float) -> Array:
    """γᵗĜ_t."""
    return discounts(batch.mask, gamma) * reward_to_go(batch, gamma=gamma)


def _normalised(batch: Trajectories, gamma: float, ddof: int) -> Array:
    """(Ĝ − mean Ĝ)/(std Ĝ + 1e-8) over the M·H steps of a batch; with one step, 0."""
    G = reward_to_go(batch, gamma=gamma)
    steps = G.shape[-2] * G.shape[-1]
    centred = G - np.mean(G, axis=(-2, -1), keepdims=True)
    variance = np.sum(centred**2, axis=(-2, -1), keepdims=True) / max(steps - ddof, 1)
    return centred / (np.sqrt(variance) + 1e-8) * batch.mask


CREDITS: dict[str, Credit] = {
    "whole return": lambda batch, gamma: whole_return(batch, gamma=gamma)[..., None] * batch.mask,
    "undiscounted visits": lambda batch, gamma: reward_to_go(batch, gamma=gamma) * batch.mask,
    "mean over time": lambda batch, gamma: _to_go(batch, gamma) / batch.mask.shape[-1],
    "sum over episodes": lambda batch, gamma: _to_go(batch, gamma) * batch.mask.shape[-2],
    "normalised": lambda batch, gamma: discounts(batch.mask, gamma) * _normalised(batch, gamma, 0),
    "normalised, undiscounted visits": lambda batch, gamma: _normalised(batch, gamma, 0),
    "normalised by ddof 1, undiscounted visits": lambda batch, gamma: _normalised(batch, gamma, 1),
}


def _credited(credit: Credit, link: Any) -> Callable[[PolicyReturn, Array, Trajectories], Surrogate]:
    """The surrogate −(1/M) Σ w g(x) with other weights w than γᵗĜ."""

    def make(task: PolicyReturn, theta: Array, batch: Trajectories) -> Surrogate:
        weights = credit(batch, task.mdp.gamma)
        return Surrogate(task.policy, theta, batch, (Term(weights, 0.0, 0.0, link),))

    return make


def _first_score(task: PolicyReturn, theta: Array, surrogates: Surrogates, alpha: Any) -> Array:
    """The gradient through the inner steps, and the score term of the first batch alone."""
    value = maml.objective(theta, list(surrogates), task, alpha=alpha, steps=len(surrogates))
    term = emaml_score_term(task.policy, theta, surrogates[0].trajectories, value=value)
    return without_score(task, theta, surrogates, alpha) + term


def _with(credit: str) -> tuple[Estimator, ...]:
    """E-MAML, its pathwise part, first-order MAML and LVC with other weights."""
    naive, ratio = _credited(CREDITS[credit], linear), _credited(CREDITS[credit], exponential)
    makes = {"e-maml": (naive, e_maml), "score-term-dropped": (naive, without_score), "first-order": (naive, first_order)}
    makes["lvc"] = (ratio, without_score)
    if credit == "normalised":
        del makes["e-maml"]  # the table's advantages-normalised
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
    return lambda task, theta, batch: np.array(_credited(credit, linear)(task, theta, batch).at(theta).grad)


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
