"""The estimators of `python -m refmeta bias`.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any, NamedTuple

from refmeta.arrays import Array
from refmeta.commands.bias.credits import CREDITS, credited
from refmeta.meta import sampled
from refmeta.oracle.suites.expected_estimators.problem import (
    Estimate,
    Surrogates,
    first_order,
    normalised_surrogate,
    scaled_score,
    without_score,
)
from refmeta.sampling.returns import exact_baseline
from refmeta.sampling.surrogates import Surrogate, dice, likelihood_ratio, linear, loaded_dice, reinforce, tmaml
from refmeta.sampling.trajectories import Trajectories
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["ESTIMATORS", "Estimator", "Limit", "e_maml"]


class Limit(NamedTuple):
    """What is left of an estimator as M grows.

    score : the weight of the score term, a function of α.
    curvature : is the inner step differentiated?
    normalised : do the weights of the scores have statistics of the batch in them?
    """

    score: Callable[[float], float] = lambda alpha: 0.0
    curvature: bool = True
    normalised: bool = False


class Estimator(NamedTuple):
    """A name, what it is, the surrogate of an inner step, the meta-gradient from all of them, and what is left of it as M grows."""

    name: str
    what: str
    make: Callable[[PolicyReturn, Array, Trajectories], Surrogate]
    estimate: Estimate
    limit: Limit = Limit()


def e_maml(task: PolicyReturn, theta: Array, surrogates: Surrogates, alpha: Any) -> Array:
    """The gradient with the score term of every step."""
    return sampled.emaml_gradient(theta, surrogates, task, alpha=alpha)


def _mean_score(task: PolicyReturn, theta: Array, surrogates: Surrogates, alpha: Any) -> Array:
    """The same with the mean score of a batch instead of the sum."""
    return scaled_score(1 / surrogates[0].trajectories.mask.shape[-2])(task, theta, surrogates, alpha)


def _without_baseline(kind: Callable[..., Surrogate]) -> Callable[[PolicyReturn, Array, Trajectories], Surrogate]:
    """A surrogate without a baseline."""
    return lambda task, theta, batch: kind(task.policy, theta, batch, gamma=task.mdp.gamma)


def _with_exact_baseline(kind: Callable[..., Surrogate]) -> Callable[[PolicyReturn, Array, Trajectories], Surrogate]:
    """A surrogate with the exact V_t(s_t) as its baseline."""

    def make(task: PolicyReturn, theta: Array, batch: Trajectories) -> Surrogate:
        V = exact_baseline(batch, task.at(theta))
        return kind(task.policy, theta, batch, gamma=task.mdp.gamma, baseline=V)

    return make


def _with_credit(credit: str) -> Callable[[PolicyReturn, Array, Trajectories], Surrogate]:
    """The naive surrogate with other weights of the scores."""
    return credited(CREDITS[credit], linear)


def _one(alpha: float) -> float:
    """The whole score term."""
    return 1.0


_naive = _without_baseline(reinforce)
ESTIMATORS = (
    Estimator("e-maml", "naive curvature and the score term", _naive, e_maml, Limit(_one)),
    Estimator("score-term-dropped", "naive curvature alone", _naive, without_score),
    Estimator("score-term-alpha", "the score term times α", _naive, lambda t, x, s, a: scaled_score(a)(t, x, s, a), Limit(lambda alpha: alpha)),
    Estimator("score-term-mean", "the score term times 1/M", _naive, _mean_score),
    Estimator("first-order", "no curvature", _naive, first_order, Limit(curvature=False)),
    Estimator("lvc", "likelihood-ratio curvature", _without_baseline(likelihood_ratio), without_score),
    Estimator("dice", "DiCE's curvature", _without_baseline(dice), without_score),
    Estimator("naive, exact V", "naive curvature, advantages", _with_exact_baseline(reinforce), without_score),
    Estimator("loaded-dice, exact V", "Loaded DiCE's, advantages", _with_exact_baseline(loaded_dice), without_score),
    Estimator("tmaml, exact V", "DiCE's with T-MAML's baseline", _with_exact_baseline(tmaml), without_score),
    Estimator("advantages-normalised", "e-maml, (Â − μ)/σ inside", normalised_surrogate, e_maml, Limit(_one, normalised=True)),
    Estimator("normalised, ddof 1", "the same, σ with M·H − 1", _with_credit("normalised by ddof 1"), e_maml, Limit(_one, normalised=True)),
    Estimator("mean-over-time", "e-maml, inner step over H", _with_credit("mean over time"), e_maml, Limit(_one)),
    Estimator("undiscounted-visits", "e-maml, no γᵗ inside", _with_credit("undiscounted visits"), e_maml, Limit(_one)),
)  # fmt: skip
