"""Linear regression.  Derivation: derivations/supervised-tasks.md"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    along,
    as_parameters,
    as_real,
    batch_shape,
    dot,
    entry,
    lazy_property,
    matvec,
    reduce_record,
    replace_fields,
)  # fmt: skip

__all__ = ["LinearRegression", "LinearRegressionPoint", "as_inputs", "as_outputs"]


def as_inputs(X: ArrayLike) -> Array:
    """Inputs X (..., n, f) with at least one row and one feature."""
    array = as_real(X, "X")
    if array.ndim < 2 or 0 in array.shape[-2:]:
        raise ValueError(f"X has shape {array.shape}, expected (..., n, f) with at least one row and one feature")
    return array


def as_outputs(array: Array, name: str, X: Array) -> Array:
    """Outputs (..., n), one per row of X."""
    if array.shape[-1:] != X.shape[-2:-1]:
        raise ValueError(f"{name} has shape {array.shape}, expected last axis {X.shape[-2]} = the number of rows of X")
    batch_shape(X=X.shape[:-2], **{name: array.shape[:-1]})
    return array


@dataclass(frozen=True, eq=False)
class LinearRegression:
    """L(θ) = 1/(2n) ‖Xθ − y‖², X (..., n, d), y (..., n); leading axes are tasks.

    Raises
    ------
    ValueError
        If X has no rows, or y does not have one number per row of X.
    """

    X: Array
    y: Array

    __reduce__ = reduce_record

    def __post_init__(self) -> None:
        object.__setattr__(self, "X", as_inputs(self.X))
        object.__setattr__(self, "y", as_outputs(as_real(self.y, "y"), "y", self.X))

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        return np.broadcast_shapes(self.X.shape[:-2], self.y.shape[:-1])

    @property
    def dim(self) -> int:
        """The number of parameters."""
        return self.X.shape[-1]

    def at(self, theta: ArrayLike) -> "LinearRegressionPoint":
        """The point theta (..., d)."""
        theta = as_parameters(theta, dim=self.dim, why=" = the number of columns of X")
        batch_shape(theta=theta.shape[:-1], task=self.shape)
        return self._at(theta)

    def _at(self, theta: Array) -> "LinearRegressionPoint":
        """The point at a theta that has been checked."""
        return LinearRegressionPoint(theta, self)

    def __getitem__(self, index: int | slice) -> "LinearRegression":
        """Task `index` of the first batch axis, or a slice of the tasks."""
        return replace_fields(self, X=entry(self.X, index, self.shape, 2), y=entry(self.y, index, self.shape, 1))


@dataclass(frozen=True, eq=False)
class LinearRegressionPoint:
    """Linear regression at θ."""

    theta: Array
    task: LinearRegression

    __reduce__ = reduce_record

    @lazy_property
    def residual(self) -> Array:
        """Xθ − y, (..., n)."""
        return matvec(self.task.X, self.theta) - self.task.y

    @lazy_property
    def loss(self) -> Array:
        """1/(2n) ‖Xθ − y‖², (...).

        Eq: linear-regression
        """
        return dot(self.residual, self.residual) / (2 * self.residual.shape[-1])

    @lazy_property
    def grad(self) -> Array:
        """Xᵀ(Xθ − y)/n, (..., d).

        Eq: linear-regression
        """
        return self._transposed(self.residual)

    @property
    def batch(self) -> tuple[int, ...]:
        """The batch axes."""
        return np.broadcast_shapes(self.theta.shape[:-1], self.task.shape)

    @along
    def hvp(self, v: Array) -> Array:
        """XᵀXv/n, (..., d).

        Eq: linear-regression
        """
        return self._transposed(matvec(self.task.X, v) + np.zeros(self.residual.shape))

    def _transposed(self, r: Array) -> Array:
        """Xᵀr/n."""
        return matvec(self.task.X.swapaxes(-1, -2), r) / r.shape[-1]
