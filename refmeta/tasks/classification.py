"""Softmax regression: mean cross-entropy.  Derivation: derivations/supervised-tasks.md"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    along,
    as_count,
    as_integers,
    as_parameters,
    as_read_only,
    as_real_scalar,
    batch_shape,
    dot,
    entry,
    lazy_property,
    one_hot,
    reduce_record,
    replace_fields,
)
from refmeta.softmax import log_softmax, one_hot_minus, softmax, softmax_jvp
from refmeta.tasks.regression import as_inputs, as_outputs

__all__ = ["SoftmaxRegression", "SoftmaxRegressionPoint"]


@dataclass(frozen=True, eq=False)
class SoftmaxRegression:
    """L(θ) = −meanⱼ log softmax(Wxⱼ)[labelⱼ] + ridge/2·‖θ‖², W (classes, f), θ = W flat, one class after another.

    Parameters
    ----------
    X : (..., n, f) array
    labels : (..., n) integers from 0
    classes : int, optional
        The largest label + 1 over all tasks; give it if support and query are separate tasks.
    ridge : float
        At least 0; it applies to all parameters.

    Raises
    ------
    ValueError, TypeError
        If the labels are not integers in [0, classes), or not one per row of X.
    """

    X: Array
    labels: Array
    classes: int | None = None
    ridge: float = 0.0

    __reduce__ = reduce_record

    def __post_init__(self) -> None:
        object.__setattr__(self, "X", as_inputs(self.X))
        classes = None if self.classes is None else as_count(self.classes, "classes", least=1)
        labels = as_outputs(as_integers(self.labels, "labels", below=classes), "labels", self.X)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "classes", int(labels.max(initial=0)) + 1 if classes is None else classes)
        object.__setattr__(self, "ridge", as_real_scalar(self.ridge, "ridge", least=0.0))

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        return np.broadcast_shapes(self.X.shape[:-2], self.labels.shape[:-1])

    @cached_property
    def targets(self) -> Array:
        """The labels as one-hot rows, (..., n, classes)."""
        return as_read_only(one_hot(self.labels, self.classes or 0))

    @property
    def dim(self) -> int:
        """The number of parameters, classes x features."""
        return int(self.classes or 0) * self.X.shape[-1]

    def at(self, theta: ArrayLike) -> "SoftmaxRegressionPoint":
        """The point theta (..., d)."""
        theta = as_parameters(theta, dim=self.dim, why=f" = {self.classes} classes x {self.X.shape[-1]} features")
        batch_shape(theta=theta.shape[:-1], task=self.shape)
        return self._at(theta)

    def _at(self, theta: Array) -> "SoftmaxRegressionPoint":
        """The point at a theta that has been checked."""
        return SoftmaxRegressionPoint(theta, self)

    def __getitem__(self, index: int | slice) -> "SoftmaxRegression":
        """Task `index` of the first batch axis, or a slice of the tasks."""
        return replace_fields(self, X=entry(self.X, index, self.shape, 2), labels=entry(self.labels, index, self.shape, 1))


@dataclass(frozen=True, eq=False)
class SoftmaxRegressionPoint:
    """Softmax regression at θ."""

    theta: Array
    task: SoftmaxRegression

    __reduce__ = reduce_record

    def _logits(self, theta: Array) -> Array:
        """Wxⱼ for every row, (..., n, classes)."""
        W = theta.reshape(*theta.shape[:-1], self.task.classes or 0, self.task.X.shape[-1])
        return self.task.X @ W.swapaxes(-1, -2)

    def _transposed(self, g: Array) -> Array:
        """meanⱼ gⱼxⱼᵀ flat, (..., d): the transpose of `_logits`, over n."""
        table = g.swapaxes(-1, -2) @ self.task.X / g.shape[-2]
        return table.reshape(*table.shape[:-2], self.task.dim)

    @lazy_property
    def probabilities(self) -> Array:
        """π = softmax(Wx), (..., n, classes)."""
        return softmax(self._logits(self.theta))

    @lazy_property
    def loss(self) -> Array:
        """−meanⱼ log π[labelⱼ] + ridge/2·‖θ‖², (...).

        Eq: softmax-regression
        """
        log_likelihood = np.sum(self.task.targets * log_softmax(self._logits(self.theta)), axis=-1)
        return -np.mean(log_likelihood, axis=-1) + 0.5 * self.task.ridge * dot(self.theta, self.theta)

    @lazy_property
    def grad(self) -> Array:
        """meanⱼ (π − e_label)xⱼᵀ + ridge·θ, (..., d).

        Eq: softmax-regression
        """
        return self.task.ridge * self.theta - self._transposed(one_hot_minus(self.probabilities, self.task.targets))

    @property
    def batch(self) -> tuple[int, ...]:
        """The batch axes."""
        return np.broadcast_shapes(self.theta.shape[:-1], self.task.shape)

    @along
    def hvp(self, v: Array) -> Array:
        """meanⱼ dπ xⱼᵀ + ridge·v with dπ = π ⊙ (u − ⟨π, u⟩), u = Vx; (..., d).

        Eq: softmax-regression
        """
        dpi = softmax_jvp(self.probabilities, self._logits(v))
        return self._transposed(dpi) + self.task.ridge * v + np.zeros((*self.task.shape, 1))
