"""Adam in three forms, which differ in where ε stands.  Derivation: derivations/inner-optimisers.md"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta.inner_optimisers.state import Slopes, as_rate, as_weight, check_moments, keep, root_slope
from refmeta.meta.optimisers import Moments, adam, adam_epsilon_hat, moments

__all__ = ["Adam", "AdamEpsilonHat", "AdamEpsilonRoot"]


@dataclass(frozen=True)
class Adam:
    """θ' = θ − α m̂/(√v̂ + ε): Kingma & Ba's algorithm 1, with ε outside the root."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _keep_numbers(self)

    def step(self, theta: Array, gradient: Array, state: Moments, *, alpha: Any) -> tuple[Array, Moments]:
        """θ − α m̂/(√v̂ + ε), with m̂ = m'/(1 − β₁ᵗ) and v̂ = v'/(1 − β₂ᵗ).

        Eq: inner-adam
        """
        check_moments(state, gradient)
        return adam(theta, gradient, state, alpha=alpha, **_numbers(self))

    def adjoint(self, theta: Array, gradient: Array, state: Moments, later: Slopes, *, alpha: Any) -> Slopes:
        """Slopes before the step from those after it.

        Eq: inner-adam
        """
        (m, v, t), c1, c2 = _after(self, gradient, state)
        q = np.sqrt(v / c2) + self.epsilon
        by_v = -m / (c1 * q**2) * root_slope(v, m, alpha * later.theta, t) / np.sqrt(c2)
        return _adjoint(self, gradient, later, alpha, m / (c1 * q), 1 / (c1 * q), by_v)


@dataclass(frozen=True)
class AdamEpsilonHat:
    """θ' = θ − α √(1 − β₂ᵗ)/(1 − β₁ᵗ) · m'/(√v' + ε̂), as TensorFlow's: `epsilon` is ε̂, added to the uncorrected root."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _keep_numbers(self)

    def step(self, theta: Array, gradient: Array, state: Moments, *, alpha: Any) -> tuple[Array, Moments]:
        """θ − α √(1 − β₂ᵗ)/(1 − β₁ᵗ) · m'/(√v' + ε̂).

        Eq: inner-adam
        """
        check_moments(state, gradient)
        return adam_epsilon_hat(theta, gradient, state, alpha=alpha, **_numbers(self))

    def adjoint(self, theta: Array, gradient: Array, state: Moments, later: Slopes, *, alpha: Any) -> Slopes:
        """Slopes before the step from those after it.

        Eq: inner-adam
        """
        (m, v, t), c1, c2 = _after(self, gradient, state)
        factor, q = np.sqrt(c2) / c1, np.sqrt(v) + self.epsilon
        by_v = -factor * m / q**2 * root_slope(v, m, alpha * later.theta, t)
        return _adjoint(self, gradient, later, alpha, factor * m / q, factor / q, by_v)


@dataclass(frozen=True)
class AdamEpsilonRoot:
    """θ' = θ − α m̂/√(v̂ + ε), as optax's `eps_root`: ε is inside the root."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _keep_numbers(self)

    def step(self, theta: Array, gradient: Array, state: Moments, *, alpha: Any) -> tuple[Array, Moments]:
        """θ − α m̂/√(v̂ + ε).

        Eq: inner-adam
        """
        (m, v, t), c1, c2 = _after(self, gradient, state)
        return theta - alpha * (m / (c1 * np.sqrt(v / c2 + self.epsilon))), Moments(m, v, t)

    def adjoint(self, theta: Array, gradient: Array, state: Moments, later: Slopes, *, alpha: Any) -> Slopes:
        """Slopes before the step from those after it.

        Eq: inner-adam
        """
        (m, v, _), c1, c2 = _after(self, gradient, state)
        q = np.sqrt(v / c2 + self.epsilon)
        return _adjoint(self, gradient, later, alpha, m / (c1 * q), 1 / (c1 * q), -m / (2 * c1 * c2 * q**3))


Form = Adam | AdamEpsilonHat | AdamEpsilonRoot


def _keep_numbers(form: Form) -> None:
    """Keep the numbers; ValueError unless β₁ and β₂ are in [0, 1) and ε is at least 0."""
    betas = {name: as_rate(getattr(form, name), name) for name in ("beta1", "beta2")}
    keep(form, **betas, epsilon=as_weight(form.epsilon, "epsilon"))


def _numbers(form: Form) -> dict[str, float]:
    """β₁, β₂ and ε."""
    return {"beta1": form.beta1, "beta2": form.beta2, "epsilon": form.epsilon}


def _after(form: Form, gradient: Array, state: Moments) -> tuple[Moments, float, float]:
    """(m', v', t), 1 − β₁ᵗ and 1 − β₂ᵗ."""
    check_moments(state, gradient)
    after = moments(gradient, state, form.beta1, form.beta2)
    return after, 1 - form.beta1**after.steps, 1 - form.beta2**after.steps


def _adjoint(form: Form, gradient: Array, later: Slopes, alpha: Any, u: Array, by_m: Array, by_v: Array) -> Slopes:
    """The adjoint of θ' = θ − αu(m', v'), where u has the slopes `by_m` and `by_v`."""
    by_u = -(alpha * later.theta)
    first, second = later.first + by_u * by_m, later.second + by_u * by_v
    by_gradient = (1 - form.beta1) * first + 2 * (1 - form.beta2) * gradient * second
    return Slopes(later.theta, form.beta1 * first, form.beta2 * second, by_gradient, -u * later.theta)
