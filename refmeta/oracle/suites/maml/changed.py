"""Losses made of losses: sums, other coordinates, other tasks' rows.  Derivation: derivations/using-the-oracle.md

Each has `at(theta)`, and its points have `theta`, `loss`, `grad` and `hvp`, as all tasks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array

__all__ = ["Held", "HeldPoint", "Holomorphic", "Mapped", "MappedPoint", "Penalty", "Rolled", "RolledPoint", "SlopePoint", "SumPoint", "Weighted"]

STEP = 1e-30


class Weighted(NamedTuple):
    """Σ_j w_j L_j."""

    terms: tuple[tuple[float, Any], ...]

    def at(self, theta: Array) -> Any:
        """The point theta."""
        return SumPoint(theta, tuple((weight, task.at(theta)) for weight, task in self.terms))


@dataclass(frozen=True, eq=False)
class SumPoint:
    """Σ_j w_j L_j at θ."""

    theta: Array
    terms: tuple[tuple[float, Any], ...]

    @cached_property
    def loss(self) -> Array:
        """Σ_j w_j L_j."""
        return np.asarray(sum(w * point.loss for w, point in self.terms))

    @cached_property
    def grad(self) -> Array:
        """Its gradient."""
        return np.asarray(sum(w * point.grad for w, point in self.terms))

    def hvp(self, v: Array) -> Array:
        """Its Hessian product."""
        return np.asarray(sum(w * point.hvp(v) for w, point in self.terms))


class Penalty(NamedTuple):
    """½ Σ_j w_j θ_j², and its own point: `at` puts θ in."""

    weights: Array
    theta: Any = None

    def at(self, theta: Array) -> "Penalty":
        """The point theta."""
        return self._replace(theta=theta)

    @property
    def loss(self) -> Array:
        """½ Σ_j w_j θ_j²."""
        return np.asarray(0.5 * np.sum(self.weights * self.theta**2, axis=-1))

    @property
    def grad(self) -> Array:
        """w ⊙ θ."""
        return np.asarray(self.weights * self.theta)

    def hvp(self, v: Array) -> Array:
        """w ⊙ v."""
        return np.asarray(self.weights * v)


class Mapped(NamedTuple):
    """θ → L(Tθ), (Tθ)_j = scale_j θ[order_j] + offset_j."""

    task: Any
    scale: Any = 1.0
    order: Any = slice(None)
    offset: Any = 0.0

    def at(self, theta: Array) -> Any:
        """The point theta."""
        return MappedPoint(theta, self, self.task.at(self.scale * theta[..., self.order] + self.offset))


@dataclass(frozen=True, eq=False)
class MappedPoint:
    """L(Tθ) at θ, given the point of L at Tθ."""

    theta: Array
    map: Mapped
    point: Any

    @property
    def loss(self) -> Array:
        """L(Tθ)."""
        return np.asarray(self.point.loss)

    @cached_property
    def grad(self) -> Array:
        """Tᵀ∇L(Tθ)."""
        return self._transposed(self.point.grad)

    def hvp(self, v: Array) -> Array:
        """Tᵀ∇²L(Tθ)Tv, of the linear part of T."""
        return self._transposed(self.point.hvp(self.map.scale * v[..., self.map.order]))

    def _transposed(self, g: Array) -> Array:
        """Tᵀg."""
        out = np.empty_like(g)
        out[..., self.map.order] = self.map.scale * g
        return out


class Rolled(NamedTuple):
    """The loss of task i is that of task i − shift."""

    task: Any
    shift: int

    def at(self, theta: Array) -> Any:
        """The point theta (N, d)."""
        return RolledPoint(theta, self.shift, self.task.at(np.roll(theta, -self.shift, axis=0)))


@dataclass(frozen=True, eq=False)
class RolledPoint:
    """The losses of other tasks at θ (N, d)."""

    theta: Array
    shift: int
    point: Any

    @property
    def loss(self) -> Array:
        """The losses, (N,)."""
        return np.roll(self.point.loss, self.shift)

    @property
    def grad(self) -> Array:
        """Their gradients, (N, d)."""
        return np.roll(self.point.grad, self.shift, axis=0)

    def hvp(self, v: Array) -> Array:
        """Their Hessian products, (N, d)."""
        return np.roll(self.point.hvp(np.roll(v, -self.shift, axis=0)), self.shift, axis=0)


class Holomorphic(NamedTuple):
    """A loss θ → (L, ∇L) whose gradient is holomorphic."""

    of: Callable[[Array], tuple[Array, Array]]

    def at(self, theta: Array) -> Any:
        """The point theta."""
        return SlopePoint(theta, self.of)


@dataclass(frozen=True, eq=False)
class SlopePoint:
    """A loss at θ; its Hessian product is a complex step of its gradient."""

    theta: Array
    of: Callable[[Array], tuple[Array, Array]]

    @cached_property
    def _both(self) -> tuple[Array, Array]:
        """L and ∇L."""
        return self.of(self.theta)

    @property
    def loss(self) -> Array:
        """L."""
        return self._both[0]

    @property
    def grad(self) -> Array:
        """∇L."""
        return self._both[1]

    def hvp(self, v: Array) -> Array:
        """Im ∇L(θ + ihv)/h."""
        return np.asarray(np.imag(self.of(self.theta + 1j * STEP * v)[1]) / STEP)


class Held(NamedTuple):
    """A loss that is not differentiated in some of its parameters."""

    task: Any
    mask: Array

    def at(self, theta: Array) -> Any:
        """The point theta."""
        return HeldPoint(theta, self.mask, self.task.at(theta))


@dataclass(frozen=True, eq=False)
class HeldPoint:
    """A loss at θ; its derivatives are 0 where the mask is."""

    theta: Array
    mask: Array
    point: Any

    @property
    def loss(self) -> Array:
        """L."""
        return np.asarray(self.point.loss)

    @property
    def grad(self) -> Array:
        """m ⊙ ∇L."""
        return np.asarray(self.mask * self.point.grad)

    def hvp(self, v: Array) -> Array:
        """m ⊙ ∇²L(m ⊙ v)."""
        return np.asarray(self.mask * self.point.hvp(self.mask * v))
