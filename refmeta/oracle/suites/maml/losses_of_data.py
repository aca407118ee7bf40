"""What implementations choose in losses of data points, and in quadratic ones.  Derivation: derivations/supervised-tasks.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, matvec, replace_fields
from refmeta.oracle.suites.maml.changed import holomorphic, penalty, weighted
from refmeta.oracle.suites.maml.losses import COMMON, Change, Side, from_support, scaled, sided

__all__ = ["BY_POINT_COUNT", "QUADRATICS", "REGRESSION", "SHARED_POINTS", "point_count"]


def point_count(side: Side) -> int:
    """The number of data points; 1 where there are none."""
    return int(side.own.X.shape[-2]) if hasattr(side.own, "X") else 1


def _summed(task: Any, side: Side) -> Any:
    """The sum over the data points instead of their mean; a ridge stays as it is."""
    n, ridge = point_count(side), getattr(task, "ridge", getattr(side.own, "ridge", 0.0))
    return weighted((float(n), task), (1.0, penalty(np.full(side.own.dim, (1 - n) * ridge))))


BY_POINT_COUNT = {
    "summed over the data points": Change(_summed, stage=2),
    "divided by the number of data points once more": scaled(lambda side: 1 / point_count(side)),
    "divided by n - 1": scaled(lambda side: point_count(side) / max(point_count(side) - 1, 1)),
}
SHARED_POINTS = {"its own": None, "X of the support": from_support("X")}


def _of_residuals(loss: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Change:
    """The mean of another loss of the residuals Xθ − y."""

    def of(task: Any, side: Side) -> Any:
        def both(theta: Array) -> tuple[Array, Array]:
            r = matvec(task.X, theta) - task.y
            return np.mean(loss(r), axis=-1), matvec(task.X.swapaxes(-1, -2), slope(r)) / r.shape[-1]

        return holomorphic(both)

    return Change(of)


def _small(r: Array) -> Array:
    """Is the residual at most 1?"""
    return np.abs(r.real) <= 1


REGRESSION = {
    "loss": {**COMMON["loss"], **sided(BY_POINT_COUNT)},
    "error": sided({
        "squared": None,
        "Huber's, 1": _of_residuals(
            lambda r: np.where(_small(r), r**2 / 2, np.sign(r.real) * r - 0.5),
            lambda r: np.where(_small(r), r, np.sign(r.real)),
        ),
        "absolute": _of_residuals(lambda r: np.sign(r.real) * r, lambda r: np.sign(r.real) + 0.0 * r),
    }),
    "query's data": SHARED_POINTS | {"y of the support": from_support("y")},
}  # fmt: skip


def _linear_term(task: Any, side: Side) -> Any:
    """½θᵀAθ − cᵀθ."""
    return holomorphic(lambda theta: _quadratic_form(task.A, task.c, theta))


def _quadratic_form(A: Array, c: Array, theta: Array) -> tuple[Array, Array]:
    """½θᵀAθ − cᵀθ, and its gradient."""
    product = matvec(A, theta)
    return np.sum(theta * (product / 2 - c), axis=-1), product - c


def _matrix(change: Callable[[Array], Array]) -> Change:
    """Another A."""
    return Change(lambda task, side: replace_fields(task, A=change(task.A)))


QUADRATICS = {
    "matrix": sided({
        "A": None,
        "A's diagonal": _matrix(lambda A: A * np.eye(A.shape[-1])),
        "A^T A": _matrix(lambda A: A @ A),
        "the identity": _matrix(lambda A: np.eye(A.shape[-1]) + 0 * A),
        "the inverse of A": _matrix(np.linalg.inv),
    }),
    "centre": sided({
        "c": None,
        "c as a linear term": Change(_linear_term, stage=1),
        "-c": Change(lambda task, side: replace_fields(task, c=-task.c)),
        "0": Change(lambda task, side: replace_fields(task, c=0 * task.c)),
    }),
    "query's data": {"its own": None, "A of the support": from_support("A"), "c of the support": from_support("c")},
}  # fmt: skip
