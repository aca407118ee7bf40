"""Losses of residuals.  Derivation: derivations/supervised-tasks.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, matvec
from refmeta.oracle.suites.maml.changed import holomorphic
from refmeta.oracle.suites.maml.losses import Change, Side

__all__ = ["every_pair", "huber", "mean_square", "of_all_residuals", "of_residuals", "through"]


def of_residuals(loss: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Change:
    """The mean of another loss of the residuals Xθ − y."""

    def of(task: Any, side: Side) -> Any:
        def both(theta: Array) -> tuple[Array, Array]:
            r = matvec(task.X, theta) - task.y
            return np.mean(loss(r), axis=-1), matvec(task.X.swapaxes(-1, -2), slope(r)) / r.shape[-1]

        return holomorphic(both)

    return Change(of)


def of_all_residuals(loss: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Change:
    """A loss of all residuals Xθ − y together, and its slope by them."""

    def of(task: Any, side: Side) -> Any:
        def both(theta: Array) -> tuple[Array, Array]:
            r = matvec(task.X, theta) - task.y
            return loss(r), matvec(task.X.swapaxes(-1, -2), slope(r))

        return holomorphic(both)

    return Change(of)


def mean_square(r: Array) -> Array:
    """mean r², kept as an axis."""
    return np.mean(r**2, axis=-1, keepdims=True)


def every_pair(task: Any, side: Side) -> Any:
    """½ the mean over all pairs of a prediction and an output."""

    def both(theta: Array) -> tuple[Array, Array]:
        r = matvec(task.X, theta)[..., :, None] - task.y[..., None, :]
        return np.mean(r**2, axis=(-1, -2)) / 2, matvec(task.X.swapaxes(-1, -2), np.mean(r, axis=-1)) / r.shape[-1]

    return holomorphic(both)


def huber(delta: float, scale: float = 1.0) -> Change:
    """Huber's loss, times a scale."""
    small: Callable[[Array], Array] = lambda r: np.abs(r.real) <= delta
    return of_residuals(
        lambda r: scale * np.where(small(r), r**2 / 2, delta * (np.sign(r.real) * r - delta / 2)),
        lambda r: scale * np.where(small(r), r, delta * np.sign(r.real)),
    )


def through(task: Any, link: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Any:
    """½ mean (f(Xθ) − y)², with f and its slope as a function of its value."""

    def both(theta: Array) -> tuple[Array, Array]:
        p = link(matvec(task.X, theta))
        r = p - task.y
        return np.mean(r**2, axis=-1) / 2, matvec(task.X.swapaxes(-1, -2), r * slope(p)) / r.shape[-1]

    return holomorphic(both)
