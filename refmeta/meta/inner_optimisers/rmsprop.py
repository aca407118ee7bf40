"""RMSProp: each entry of the gradient over the root of its mean square.  Derivation: derivations/inner-optimisers.md"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta.inner_optimisers.state import Slopes, as_rate, as_weight, check_moments, keep, root_slope
from refmeta.meta.optimisers import Moments

__all__ = ["RMSProp"]


@dataclass(frozen=True)
class RMSProp:
    """v' = βv + (1 − β)g² and θ' = θ − αg/(√v' + ε), with β = `decay`: ε is outside the root."""

    decay: float = 0.99
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        keep(self, decay=as_rate(self.decay, "decay"), epsilon=as_weight(self.epsilon, "epsilon"))

    def step(self, theta: Array, gradient: Array, state: Moments, *, alpha: Any) -> tuple[Array, Moments]:
        """θ − αg/(√v' + ε), and v' = βv + (1 − β)g².

        Eq: inner-rmsprop
        """
        v = self._mean_square(gradient, state)
        return theta - alpha * (gradient / (np.sqrt(v) + self.epsilon)), Moments(state.first, v, state.steps + 1)

    def adjoint(self, theta: Array, gradient: Array, state: Moments, later: Slopes, *, alpha: Any) -> Slopes:
        """Slopes before the step from those after it.

        Eq: inner-rmsprop
        """
        v = self._mean_square(gradient, state)
        q = np.sqrt(v) + self.epsilon
        by_direction = -(alpha * later.theta)
        slope = root_slope(v, gradient, by_direction, state.steps + 1)
        by_v = later.second - by_direction * gradient / q**2 * slope
        by_gradient = by_direction / q + 2 * (1 - self.decay) * gradient * by_v
        return Slopes(later.theta, later.first, self.decay * by_v, by_gradient, -gradient / q * later.theta)

    def _mean_square(self, gradient: Array, state: Moments) -> Array:
        """βv + (1 − β)g²."""
        check_moments(state, gradient)
        return self.decay * state.second + (1 - self.decay) * gradient**2
