"""Limits that nobody asked for: bounds on numbers and parameters, clipped gradients.  Derivation: derivations/maml.md

A limit that nothing reaches changes nothing.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.decimals import Number, real
from refmeta.oracle.epsilons import ChangedTask

__all__ = ["MOST_STEPS", "NORM", "between", "with_clipped_gradient", "within"]

NORM, MOST_STEPS = 10.0, 5


def between(x: Number, low: float, high: float) -> Number:
    """x, or the bound that it is beyond, which no longer moves with x."""
    return 0 * x + low if real(x) < low else 0 * x + high if real(x) > high else x


def within(task: Any, low: Array, high: Array) -> Any:
    """A task whose parameters are kept in [low, high]; what is beyond has no slope."""
    return ChangedTask(task, partial(_PointWithin, low=low, high=high))


@dataclass(frozen=True, eq=False)
class _PointWithin:
    """L of the parameters kept in [low, high]."""

    task: Any
    theta: Array
    low: Array
    high: Array

    @property
    def free(self) -> Array:
        """1 where a parameter is not beyond its bounds."""
        return (self.theta >= self.low) * (self.theta <= self.high) * 1.0

    @cached_property
    def point(self) -> Any:
        """The point that is evaluated."""
        return self.task.at(np.clip(self.theta, self.low, self.high))

    @property
    def loss(self) -> Array:
        """L there."""
        return np.asarray(self.point.loss)

    @property
    def grad(self) -> Array:
        """Its gradient."""
        return np.asarray(self.free * self.point.grad)

    def hvp(self, v: Array) -> Array:
        """Its Hessian product."""
        return np.asarray(self.free * self.point.hvp(self.free * v))


def with_clipped_gradient(task: Any, most: float = NORM) -> Any:
    """A task whose gradient is shortened to the norm `most`; its `hvp` is the transposed Jacobian of that, as adjoints need."""
    return ChangedTask(task, lambda task, theta: _ClippedPoint(task.at(theta), most))


@dataclass(frozen=True, eq=False)
class _ClippedPoint:
    """A point with g·min(1, most/‖g‖) instead of g."""

    point: Any
    most: float

    @property
    def theta(self) -> Array:
        """θ."""
        return np.asarray(self.point.theta)

    @property
    def loss(self) -> Array:
        """L."""
        return np.asarray(self.point.loss)

    @cached_property
    def grad(self) -> Array:
        """The shortened gradient."""
        return np.asarray(self.point.grad * self._factor[0])

    def hvp(self, v: Array) -> Array:
        """H C v, C the derivative of shortening: where it acts, its factor times the projection off g."""
        factor, unit = self._factor
        along = np.sum(unit * v, axis=-1, keepdims=True) * (factor < 1)
        return np.asarray(self.point.hvp(factor * (v - along * unit)))

    @cached_property
    def _factor(self) -> tuple[Array, Array]:
        """min(1, most/‖g‖), and g/‖g‖."""
        norm = np.linalg.norm(self.point.grad, axis=-1, keepdims=True)
        norm = np.where(norm > 0, norm, 1.0)
        return np.minimum(1.0, self.most / norm), self.point.grad / norm
