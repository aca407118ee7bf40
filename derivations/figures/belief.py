"""The belief of an exact encoder narrows with every transition; `mean-of-factors` does not.  Derivation: derivations/pearl.md"""

from typing import NamedTuple

import numpy as np
import style

import refmeta as rm
from refmeta.sampling.transitions import Transitions

__all__ = ["Beliefs", "data", "draw"]

PAYS = np.array([2.0, -0.5])  # action a pays w_a z plus noise of deviation 1


class Beliefs(NamedTuple):
    """The true z; the mean and deviation after n transitions, n = 0 … (n = 1 … for the wrong one); (n,) each."""

    true: float
    product: tuple
    averaged: tuple


def encoder():
    """The weights for which the product of the factors is Bayes' rule (thm:exact-posterior)."""
    zero = [0.0, 0.0]
    return rm.pearl.Encoder([[0.0, *zero, 0.0, *(1 / PAYS), 0.0]], [[0.0, *np.log(1 / PAYS**2), 0.0, *zero, 0.0]])


def mean_of_factors(factors):
    """The known mistake: the averages of the means and of the variances."""
    return rm.pearl.Gaussian(np.mean(factors.mean, axis=-2), np.log(np.mean(factors.variance, axis=-2)))


def data(true=0.8, transitions=20, rng=3):
    """The two beliefs about z after each of the transitions, which are the same for both."""
    rng, zeros = np.random.default_rng(rng), np.zeros(transitions, int)
    actions = rng.integers(2, size=transitions)
    rewards = PAYS[actions] * true + rng.normal(size=transitions)
    met = Transitions(zeros, actions, rewards, zeros, zeros.astype(bool), np.ones(transitions, bool))
    factors = rm.pearl.factors(encoder(), rm.pearl.context_of(met, 1, 2).features)
    first = [rm.pearl.Gaussian(factors.mean[:n], factors.log_variance[:n]) for n in range(transitions + 1)]
    return Beliefs(true, _series(map(rm.pearl.posterior, first)), _series(map(mean_of_factors, first[1:])))


def _series(beliefs):
    """Means and deviations, (n,) each."""
    beliefs = list(beliefs)
    return tuple(np.ravel(part) for part in zip(*((b.mean, np.sqrt(b.variance)) for b in beliefs), strict=True))


def draw(found):
    """The figure."""
    drawing, (left, right) = style.figure(3.0, columns=2, sharey=True)
    _belief(left, 0, *found.product, found.true, style.BLUE, "product of the factors, and the prior: Bayes' rule")
    _belief(right, 1, *found.averaged, found.true, style.RED, "mean-of-factors: a known mistake")
    left.set(ylabel="latent variable z")
    return drawing


def _belief(axes, first, mean, deviation, true, colour, title):
    """The mean of a belief, two deviations about it, and the truth."""
    n = np.arange(first, first + len(mean))
    axes.axhline(true, color=style.INK, linestyle="dashed", linewidth=1)
    axes.fill_between(n, mean - 2 * deviation, mean + 2 * deviation, color=colour, alpha=0.2, linewidth=0)
    axes.plot(n, mean, "o-", color=colour, markersize=3)
    style.label(axes, "the truth", (0, true), xytext=(4, 4), textcoords="offset points")
    style.label(axes, "mean", (n[0], mean[0]), colour, xytext=(4, -13), textcoords="offset points")
    end = (n[-1], mean[-1] + 2 * deviation[-1])
    style.label(
        axes, f"mean ± 2σ, σ = {deviation[-1]:.2f}", end, colour, xytext=(0, 7), textcoords="offset points", ha="right"
    )
    axes.set(title=title, xlabel="transitions seen", xlim=(0, n[-1] + 0.3), xticks=range(0, n[-1] + 1, 5))


if __name__ == "__main__":
    print(style.save(draw(data()), __file__))
