"""The quadratic loss: constant Hessian, everything in closed form.  Derivation: derivations/supervised-tasks.md"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    along,
    as_parameters,
    as_real,
    as_symmetric,
    batch_shape,
    dot,
    entry,
    lazy_property,
    matvec,
    reduce_record,
    replace_fields,
)  # fmt: skip

__all__ = ["Quadratic", "QuadraticPoint"]


@dataclass(frozen=True, eq=False)
class Quadratic:
    """L(θ) = ½(θ − c)ᵀA(θ − c), A (..., d, d) symmetric, c (..., d); leading axes are tasks.

    Raises
    ------
    ValueError
        If A is not square, or not symmetric up to rounding, or c has another size.
    """

    A: Array
    c: Array

    __reduce__ = reduce_record

    def __post_init__(self) -> None:
        A, c = as_real(self.A, "A"), as_parameters(as_real(self.c, "c"), "c")
        A = as_symmetric(A, "A")
        if c.shape[-1] != A.shape[-1]:
            raise ValueError(f"c has shape {c.shape}, expected last axis {A.shape[-1]} as A of shape {A.shape}")
        batch_shape(A=A.shape[:-2], c=c.shape[:-1])
        object.__setattr__(self, "A", A)
        object.__setattr__(self, "c", c)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        return np.broadcast_shapes(self.A.shape[:-2], self.c.shape[:-1])

    @property
    def dim(self) -> int:
        """The number of parameters."""
        return self.A.shape[-1]

    def at(self, theta: ArrayLike) -> "QuadraticPoint":
        """The point theta (..., d)."""
        theta = as_parameters(theta, dim=self.dim, why=" as A")
        batch_shape(theta=theta.shape[:-1], task=self.shape)
        return self._at(theta)

    def _at(self, theta: Array) -> "QuadraticPoint":
        """The point at a theta that has been checked."""
        return QuadraticPoint(theta, self)

    def __getitem__(self, index: int | slice) -> "Quadratic":
        """Task `index` of the first batch axis, or a slice of the tasks."""
        return replace_fields(self, A=entry(self.A, index, self.shape, 2), c=entry(self.c, index, self.shape, 1))


@dataclass(frozen=True, eq=False)
class QuadraticPoint:
    """A quadratic at θ."""

    theta: Array
    task: Quadratic

    __reduce__ = reduce_record

    @lazy_property
    def loss(self) -> Array:
        """½(θ − c)ᵀA(θ − c), (...).

        Eq: quadratic
        """
        return 0.5 * dot(self.theta - self.task.c, self.grad)

    @lazy_property
    def grad(self) -> Array:
        """A(θ − c), (..., d).

        Eq: quadratic
        """
        return matvec(self.task.A, self.theta - self.task.c)

    @property
    def batch(self) -> tuple[int, ...]:
        """The batch axes."""
        return np.broadcast_shapes(self.theta.shape[:-1], self.task.shape)

    @along
    def hvp(self, v: Array) -> Array:
        """Av, (..., d).

        Eq: quadratic
        """
        return matvec(self.task.A, v) + np.zeros((*self.batch, 1))
