"""Supervised losses: linear and softmax regression.  Derivation: derivations/supervised-tasks.md"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    batch_shape,
    count,
    direction,
    dot,
    entry,
    finite,
    integers,
    lazily,
    matvec,
    parameters,
    real,
    real_scalar,
    replaced,
)  # fmt: skip
from refmeta.softmax import log_softmax, one_hot_less, softmax, softmax_jvp


def _inputs(X: ArrayLike) -> Array:
    """X (..., n, f) with at least one row and one feature."""
    array = real(X, "X")
    if array.ndim < 2 or 0 in array.shape[-2:]:
        raise ValueError(f"X has shape {array.shape}, expected (..., n, f) with at least one row and one feature")
    return array


def _outputs(array: Array, name: str, X: Array) -> Array:
    """One output a row of X."""
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
        If X has no rows or y not one number a row of X.
    """

    X: Array
    y: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "X", _inputs(self.X))
        object.__setattr__(self, "y", _outputs(real(self.y, "y"), "y", self.X))

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        return np.broadcast_shapes(self.X.shape[:-2], self.y.shape[:-1])

    @property
    def dim(self) -> int:
        """The number of parameters."""
        return self.X.shape[-1]

    def at(self, theta: ArrayLike) -> "LinearRegressionPoint":
        """The point theta (..., d)."""
        theta = parameters(theta, dim=self.dim, why=" = the number of columns of X")
        batch_shape(theta=theta.shape[:-1], task=self.shape)
        return LinearRegressionPoint(theta, self)

    def __getitem__(self, index: int | slice) -> "LinearRegression":
        """Task `index` of the first batch axis, or a slice of the tasks."""
        return replaced(self, X=entry(self.X, index, self.shape, 2), y=entry(self.y, index, self.shape, 1))


@dataclass(frozen=True, eq=False)
class LinearRegressionPoint:
    """Linear regression at θ."""

    theta: Array
    task: LinearRegression

    @lazily
    def residual(self) -> Array:
        """Xθ − y, (..., n)."""
        return matvec(self.task.X, self.theta) - self.task.y

    @lazily
    def loss(self) -> Array:
        """1/(2n) ‖Xθ − y‖², (...).

        Eq: linear-regression
        """
        return dot(self.residual, self.residual) / (2 * self.residual.shape[-1])

    @lazily
    def grad(self) -> Array:
        """Xᵀ(Xθ − y)/n, (..., d).

        Eq: linear-regression
        """
        return self._transposed(self.residual)

    @finite
    def hvp(self, v: ArrayLike) -> Array:
        """XᵀXv/n, (..., d).

        Eq: linear-regression
        """
        v = direction(v, self.task.dim, self.residual.shape[:-1])
        return self._transposed(matvec(self.task.X, v) + np.zeros(self.residual.shape))

    def _transposed(self, r: Array) -> Array:
        """Xᵀr/n."""
        return matvec(self.task.X.swapaxes(-1, -2), r) / r.shape[-1]


@dataclass(frozen=True, eq=False)
class SoftmaxRegression:
    """L(θ) = −meanⱼ log softmax(Wxⱼ)[labelⱼ] + ridge/2·‖θ‖², W (classes, f), θ = W flat, class after class.

    Parameters
    ----------
    X : (..., n, f) array
    labels : (..., n) integers from 0
    classes : int, optional
        The largest label + 1 over all tasks; give it where support and query are split.
    ridge : float
        At least 0; it acts on all parameters.

    Raises
    ------
    ValueError, TypeError
        For labels that are no integers in [0, classes), or not one a row of X.
    """

    X: Array
    labels: Array
    classes: int | None = None
    ridge: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "X", _inputs(self.X))
        classes = None if self.classes is None else count(self.classes, "classes", least=1)
        labels = _outputs(integers(self.labels, "labels", below=classes), "labels", self.X)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "classes", int(labels.max(initial=0)) + 1 if classes is None else classes)
        object.__setattr__(self, "ridge", real_scalar(self.ridge, "ridge", least=0.0))

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        return np.broadcast_shapes(self.X.shape[:-2], self.labels.shape[:-1])

    @property
    def dim(self) -> int:
        """The number of parameters, classes x features."""
        return int(self.classes or 0) * self.X.shape[-1]

    def at(self, theta: ArrayLike) -> "SoftmaxRegressionPoint":
        """The point theta (..., d)."""
        theta = parameters(theta, dim=self.dim, why=f" = {self.classes} classes x {self.X.shape[-1]} features")
        batch_shape(theta=theta.shape[:-1], task=self.shape)
        return SoftmaxRegressionPoint(theta, self)

    def __getitem__(self, index: int | slice) -> "SoftmaxRegression":
        """Task `index` of the first batch axis, or a slice of the tasks."""
        return replaced(self, X=entry(self.X, index, self.shape, 2), labels=entry(self.labels, index, self.shape, 1))


@dataclass(frozen=True, eq=False)
class SoftmaxRegressionPoint:
    """Softmax regression at θ."""

    theta: Array
    task: SoftmaxRegression

    def _logits(self, theta: Array) -> Array:
        """Wxⱼ for every row, (..., n, classes)."""
        W = theta.reshape(*theta.shape[:-1], self.task.classes or 0, self.task.X.shape[-1])
        return self.task.X @ W.swapaxes(-1, -2)

    def _transposed(self, g: Array) -> Array:
        """meanⱼ gⱼxⱼᵀ flat, (..., d): the transpose of `_logits`, over n."""
        table = g.swapaxes(-1, -2) @ self.task.X / g.shape[-2]
        return table.reshape(*table.shape[:-2], self.task.dim)

    @lazily
    def _targets(self) -> Array:
        """The labels as one-hot rows, (..., n, classes)."""
        return np.eye(self.task.classes or 0)[self.task.labels]

    @lazily
    def probabilities(self) -> Array:
        """π = softmax(Wx), (..., n, classes)."""
        return softmax(self._logits(self.theta))

    @lazily
    def loss(self) -> Array:
        """−meanⱼ log π[labelⱼ] + ridge/2·‖θ‖², (...).

        Eq: softmax-regression
        """
        log_likelihood = np.sum(self._targets * log_softmax(self._logits(self.theta)), axis=-1)
        return -np.mean(log_likelihood, axis=-1) + 0.5 * self.task.ridge * dot(self.theta, self.theta)

    @lazily
    def grad(self) -> Array:
        """meanⱼ (π − e_label)xⱼᵀ + ridge·θ, (..., d).

        Eq: softmax-regression
        """
        return self.task.ridge * self.theta - self._transposed(one_hot_less(self.probabilities, self._targets))

    @finite
    def hvp(self, v: ArrayLike) -> Array:
        """meanⱼ dπ xⱼᵀ + ridge·v with dπ = π ⊙ (u − ⟨π, u⟩), u = Vx; (..., d).

        Eq: softmax-regression
        """
        v = direction(v, self.task.dim, np.broadcast_shapes(self.theta.shape[:-1], self.task.shape))
        dpi = softmax_jvp(self.probabilities, self._logits(v)) + np.zeros(self._targets.shape)
        return self._transposed(dpi) + self.task.ridge * v
