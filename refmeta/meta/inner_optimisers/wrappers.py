"""Decay of the weights and clipping, around another rule.  Derivation: derivations/inner-optimisers.md"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from refmeta.arrays import Array, as_positive, dot, index_text
from refmeta.meta.inner_optimisers.momentum import GradientDescent
from refmeta.meta.inner_optimisers.state import Slopes, UpdateRule, as_weight, filled, keep
from refmeta.meta.optimisers import Moments, clipped, unit_rows

__all__ = ["ClippedByNorm", "DecayedWeights", "DecoupledDecay", "DecoupledDecayPaper", "as_optimiser"]


def as_optimiser(optimiser: Any) -> UpdateRule:
    """The rule as it is, and gradient descent for None; TypeError for what has no `step` and `adjoint`."""
    if optimiser is None:
        return GradientDescent()
    methods = (getattr(optimiser, name, None) for name in ("step", "adjoint"))
    if isinstance(optimiser, type) or not all(map(callable, methods)):
        raise TypeError(f"optimiser must be None or a rule with step and adjoint, such as rm.inner.Adam(), got {optimiser!r}")
    return optimiser


@dataclass(frozen=True)
class DecayedWeights:
    """Coupled decay: the rule gets g + wθ instead of g, so that its moments see the decay, too."""

    weight: float
    optimiser: UpdateRule | None = None

    def __post_init__(self) -> None:
        as_optimiser(self.optimiser)
        keep(self, weight=as_weight(self.weight, "weight"))

    def step(self, theta: Array, gradient: Array, state: Moments, *, alpha: Any) -> tuple[Array, Moments]:
        """The rule's step with g + wθ.

        Eq: inner-weight-decay
        """
        return as_optimiser(self.optimiser).step(theta, gradient + self.weight * theta, state, alpha=alpha)

    def adjoint(self, theta: Array, gradient: Array, state: Moments, later: Slopes, *, alpha: Any) -> Slopes:
        """Slopes before the step from those after it.

        Eq: inner-weight-decay
        """
        rule, decayed = as_optimiser(self.optimiser), gradient + self.weight * theta
        before = rule.adjoint(theta, decayed, state, later, alpha=alpha)
        return before._replace(theta=before.theta + self.weight * before.gradient)


@dataclass(frozen=True)
class DecoupledDecay:
    """θ' = (the rule's step) − αwθ, as PyTorch's AdamW: the moments do not see the decay."""

    weight: float
    optimiser: UpdateRule | None = None

    def __post_init__(self) -> None:
        as_optimiser(self.optimiser)
        keep(self, weight=as_weight(self.weight, "weight"))

    def step(self, theta: Array, gradient: Array, state: Moments, *, alpha: Any) -> tuple[Array, Moments]:
        """The rule's step − αwθ.

        Eq: inner-weight-decay
        """
        following, state = as_optimiser(self.optimiser).step(theta, gradient, state, alpha=alpha)
        return following - alpha * self.weight * theta, state

    def adjoint(self, theta: Array, gradient: Array, state: Moments, later: Slopes, *, alpha: Any) -> Slopes:
        """Slopes before the step from those after it.

        Eq: inner-weight-decay
        """
        before = as_optimiser(self.optimiser).adjoint(theta, gradient, state, later, alpha=alpha)
        return before._replace(
            theta=before.theta - alpha * self.weight * later.theta,
            alpha=before.alpha - self.weight * theta * later.theta,
        )


@dataclass(frozen=True)
class DecoupledDecayPaper:
    """θ' = (the rule's step) − wθ, as in Loshchilov & Hutter's paper: the decay does not depend on the step size."""

    weight: float
    optimiser: UpdateRule | None = None

    def __post_init__(self) -> None:
        as_optimiser(self.optimiser)
        keep(self, weight=as_weight(self.weight, "weight"))

    def step(self, theta: Array, gradient: Array, state: Moments, *, alpha: Any) -> tuple[Array, Moments]:
        """The rule's step − wθ.

        Eq: inner-weight-decay
        """
        following, state = as_optimiser(self.optimiser).step(theta, gradient, state, alpha=alpha)
        return following - self.weight * theta, state

    def adjoint(self, theta: Array, gradient: Array, state: Moments, later: Slopes, *, alpha: Any) -> Slopes:
        """Slopes before the step from those after it.

        Eq: inner-weight-decay
        """
        before = as_optimiser(self.optimiser).adjoint(theta, gradient, state, later, alpha=alpha)
        return before._replace(theta=before.theta - self.weight * later.theta)


@dataclass(frozen=True)
class ClippedByNorm:
    """The rule gets g · min(1, c/‖g‖) instead of g, with c = `max_norm`; the norm is over the d entries of one task."""

    max_norm: float
    optimiser: UpdateRule | None = None

    def __post_init__(self) -> None:
        as_optimiser(self.optimiser)
        keep(self, max_norm=as_positive(self.max_norm, "max_norm"))

    def step(self, theta: Array, gradient: Array, state: Moments, *, alpha: Any) -> tuple[Array, Moments]:
        """The rule's step with g · min(1, c/‖g‖).

        Eq: inner-clip
        """
        return as_optimiser(self.optimiser).step(theta, clipped(gradient, self.max_norm), state, alpha=alpha)

    def adjoint(self, theta: Array, gradient: Array, state: Moments, later: Slopes, *, alpha: Any) -> Slopes:
        """Slopes before the step from those after it.

        Eq: inner-clip

        Raises
        ------
        FloatingPointError
            If ‖g‖ is c up to rounding: the clipped gradient has a kink there.
        """
        unit, norm = unit_rows(gradient)
        before = filled(as_optimiser(self.optimiser).adjoint(theta, clipped(gradient, self.max_norm), state, later, alpha=alpha), gradient)
        self._check_not_on_sphere(norm, before.gradient, state.steps + 1)
        p, outside = before.gradient, norm.real > self.max_norm
        norm, across = np.where(outside, norm, self.max_norm), p - unit * dot(unit, p)[..., None]
        return before._replace(gradient=np.where(outside, self.max_norm / norm * across, p))

    def _check_not_on_sphere(self, norm: Array, p: Array, t: int) -> None:
        """FloatingPointError where |‖g‖ − c| is at most the rounding error of the norm, (d + 2)·eps·c, and p is not 0."""
        rounding = (p.shape[-1] + 2) * np.finfo(float).eps * self.max_norm
        on_sphere = (np.abs(norm.real - self.max_norm) <= rounding) & np.any(p != 0, axis=-1, keepdims=True)
        if on_sphere.any():
            *task, _ = np.argwhere(on_sphere)[0]
            of_task = f" of task {index_text(tuple(task))}" if task else ""
            raise FloatingPointError(
                f"inner step {t} has no derivative: the norm of the gradient{of_task} is max_norm, {self.max_norm}, up to "
                "rounding, and clipping has a kink there; use another max_norm, or another starting point"
            )
