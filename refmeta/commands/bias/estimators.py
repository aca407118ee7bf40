"""The estimators of `python -m refmeta bias`.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any, NamedTuple

from refmeta.arrays import Array
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
from refmeta.sampling.surrogates import Surrogate, dice, likelihood_ratio, loaded_dice, reinforce, tmaml
from refmeta.sampling.trajectories import Trajectories
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["ESTIMATORS", "Estimator", "e_maml"]


class Estimator(NamedTuple):
    """A name, what it is, the surrogate of an inner step, and the meta-gradient from all of them."""

    name: str
    what: str
    make: Callable[[PolicyReturn, Array, Trajectories], Surrogate]
    estimate: Estimate


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


_naive = _without_baseline(reinforce)
ESTIMATORS = (
    Estimator("e-maml", "naive curvature and the score term", _naive, e_maml),
    Estimator("score-term-dropped", "naive curvature alone", _naive, without_score),
    Estimator("score-term-alpha", "the score term times α", _naive, lambda t, x, s, a: scaled_score(a)(t, x, s, a)),
    Estimator("score-term-mean", "the score term times 1/M", _naive, _mean_score),
    Estimator("first-order", "no curvature", _naive, first_order),
    Estimator("lvc", "likelihood-ratio curvature", _without_baseline(likelihood_ratio), without_score),
    Estimator("dice", "DiCE's curvature", _without_baseline(dice), without_score),
    Estimator("naive, exact V", "naive curvature, advantages", _with_exact_baseline(reinforce), without_score),
    Estimator("loaded-dice, exact V", "Loaded DiCE's, advantages", _with_exact_baseline(loaded_dice), without_score),
    Estimator("tmaml, exact V", "DiCE's with T-MAML's baseline", _with_exact_baseline(tmaml), without_score),
    Estimator("advantages-normalised", "e-maml, (Â − μ)/σ inside", normalised_surrogate, e_maml),
)  # fmt: skip
