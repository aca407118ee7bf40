"""Gradient descent, the heavy ball, and Nesterov's momentum.  Derivation: derivations/inner-optimisers.md"""

from dataclasses import dataclass
from typing import Any

from refmeta.arrays import Array
from refmeta.meta.inner_optimisers.state import Slopes, as_rate, check_moments, keep
from refmeta.meta.optimisers import Moments

__all__ = ["GradientDescent", "HeavyBall", "Nesterov"]


@dataclass(frozen=True)
class GradientDescent:
    """θ' = θ − αg, the rule that `optimiser=None` stands for."""

    def step(self, theta: Array, gradient: Array, state: Moments, *, alpha: Any) -> tuple[Array, Moments]:
        """θ − αg; the moments stay as they are.

        Eq: inner-step
        """
        return theta - alpha * gradient, Moments(state.first, state.second, state.steps + 1)

    def adjoint(self, theta: Array, gradient: Array, state: Moments, later: Slopes, *, alpha: Any) -> Slopes:
        """Slopes before the step from those after it."""
        return Slopes(later.theta, later.first, later.second, -(alpha * later.theta), -gradient * later.theta)


@dataclass(frozen=True)
class HeavyBall:
    """m' = βm + g and θ' = θ − αm', with β = `momentum`: there is no factor 1 − β."""

    momentum: float

    def __post_init__(self) -> None:
        keep(self, momentum=as_rate(self.momentum, "momentum"))

    def step(self, theta: Array, gradient: Array, state: Moments, *, alpha: Any) -> tuple[Array, Moments]:
        """θ − αm', and m' = βm + g.

        Eq: inner-momentum
        """
        m = _momentum(self.momentum, gradient, state)
        return theta - alpha * m, Moments(m, state.second, state.steps + 1)

    def adjoint(self, theta: Array, gradient: Array, state: Moments, later: Slopes, *, alpha: Any) -> Slopes:
        """Slopes before the step from those after it.

        Eq: inner-momentum
        """
        m = _momentum(self.momentum, gradient, state)
        by_m = later.first - alpha * later.theta
        return Slopes(later.theta, self.momentum * by_m, later.second, by_m, -m * later.theta)


@dataclass(frozen=True)
class Nesterov:
    """m' = βm + g and θ' = θ − α(g + βm'), with β = `momentum`."""

    momentum: float

    def __post_init__(self) -> None:
        keep(self, momentum=as_rate(self.momentum, "momentum"))

    def step(self, theta: Array, gradient: Array, state: Moments, *, alpha: Any) -> tuple[Array, Moments]:
        """θ − α(g + βm'), and m' = βm + g.

        Eq: inner-nesterov
        """
        m = _momentum(self.momentum, gradient, state)
        return theta - alpha * (gradient + self.momentum * m), Moments(m, state.second, state.steps + 1)

    def adjoint(self, theta: Array, gradient: Array, state: Moments, later: Slopes, *, alpha: Any) -> Slopes:
        """Slopes before the step from those after it.

        Eq: inner-nesterov
        """
        m = _momentum(self.momentum, gradient, state)
        by_direction = -(alpha * later.theta)
        by_m = later.first + self.momentum * by_direction
        by_alpha = -(gradient + self.momentum * m) * later.theta
        return Slopes(later.theta, self.momentum * by_m, later.second, by_direction + by_m, by_alpha)


def _momentum(beta: float, gradient: Array, state: Moments) -> Array:
    """βm + g."""
    check_moments(state, gradient)
    return beta * state.first + gradient
