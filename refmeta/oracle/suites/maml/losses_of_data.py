"""What implementations choose in losses of data points, and in quadratic ones.  Derivation: derivations/supervised-tasks.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, matvec, replace_fields
from refmeta.oracle.suites.maml.changed import holomorphic, penalty, weighted
from refmeta.oracle.suites.maml.data_scaled import INPUTS, OUTPUTS
from refmeta.oracle.suites.maml.families import sided_families
from refmeta.oracle.suites.maml.loops import LOOPS
from refmeta.oracle.suites.maml.loops_of_quadratics import FAMILIES_OF_QUADRATICS, LOOPS_OF_QUADRATICS
from refmeta.oracle.suites.maml.losses import COMMON, Change, Side, from_query, from_support, scaled, sided
from refmeta.oracle.suites.maml.losses_of_points import LOOPS_OF_POINTS, POINTS
from refmeta.oracle.suites.maml.residuals import every_pair, huber, mean_square, of_all_residuals, of_residuals, through

__all__ = ["BY_POINT_COUNT", "FAMILIES_OF_REGRESSION", "QUADRATICS", "REGRESSION", "SHARED_POINTS", "point_count"]


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
REGRESSION = {
    "loss": {**COMMON["loss"], **sided(BY_POINT_COUNT)},
    "error": sided({
        "squared": None,
        "Huber's, 1": huber(1.0),
        "absolute": of_residuals(lambda r: np.sign(r.real) * r, lambda r: np.sign(r.real) + 0.0 * r),
        "log cosh": of_residuals(lambda r: np.log(np.cosh(r)), np.tanh),
        "fourth power": of_residuals(lambda r: r**4 / 4, lambda r: r**3),
        "the root of the mean square": of_all_residuals(
            lambda r: np.sqrt(mean_square(r))[..., 0], lambda r: r / (r.shape[-1] * np.sqrt(mean_square(r)))
        ),
        "the root of half the mean square": of_all_residuals(
            lambda r: np.sqrt(mean_square(r) / 2)[..., 0], lambda r: r / (2 * r.shape[-1] * np.sqrt(mean_square(r) / 2))
        ),
        "the root of the sum of squares": of_all_residuals(
            lambda r: np.sqrt(np.sum(r**2, axis=-1)), lambda r: r / np.sqrt(np.sum(r**2, axis=-1, keepdims=True))
        ),
        "the logarithm of the mean square": of_all_residuals(
            lambda r: np.log(mean_square(r))[..., 0], lambda r: 2 * r / (r.shape[-1] * mean_square(r))
        ),
        "the square of the mean residual": of_all_residuals(
            lambda r: np.mean(r, axis=-1) ** 2 / 2, lambda r: 0 * r + np.mean(r, axis=-1, keepdims=True) / r.shape[-1]
        ),
        "the largest residual squared": of_all_residuals(
            lambda r: np.max(np.abs(r.real), axis=-1) ** 2 / 2, lambda r: r * (np.abs(r.real) == np.max(np.abs(r.real), axis=-1, keepdims=True))
        ),
        "of every prediction with every output": Change(every_pair, stage=1),
        "of the prediction's sigmoid": Change(lambda task, side: through(task, lambda z: 1 / (1 + np.exp(-z)), lambda p: p * (1 - p))),
        "of the prediction's tanh": Change(lambda task, side: through(task, np.tanh, lambda p: 1 - p**2)),
    }),
    "points": POINTS,
    "inputs": INPUTS,
    "outputs": OUTPUTS,
    "inner loop": LOOPS_OF_POINTS | LOOPS_OF_QUADRATICS,
    "query's data": SHARED_POINTS | {"y of the support": from_support("y")},
}  # fmt: skip
FAMILIES_OF_REGRESSION = FAMILIES_OF_QUADRATICS | sided_families({
    "Huber's, {}": ("error", huber, (0.1, 0.5, 2.0)),
    "Huber's, {0}, over {0}": ("error", lambda c: huber(c, 1 / c), (0.1, 0.5, 2.0)),
    "a bias of {}": ("outputs", lambda c: Change(lambda task, side: replace_fields(task, y=task.y - c)), (0.1, 1.0)),
    "{} times X": ("inputs", lambda c: Change(lambda task, side: replace_fields(task, X=c * task.X)), (0.3, 2.0)),
    "{} times y": ("outputs", lambda c: Change(lambda task, side: replace_fields(task, y=c * task.y)), (0.3, 2.0)),
    "a ridge of {}": ("loss", lambda c: Change(lambda task, side: weighted((1.0, task), (1.0, penalty(np.full(side.own.dim, c)))), stage=2), (0.01, 1.0)),
})  # fmt: skip


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
    "inner loop": LOOPS | LOOPS_OF_QUADRATICS,
    "matrix": sided({
        "A": None,
        "A's diagonal": _matrix(lambda A: A * np.eye(A.shape[-1])),
        "A^T A": _matrix(lambda A: A @ A),
        "the identity": _matrix(lambda A: np.eye(A.shape[-1]) + 0 * A),
        "the inverse of A": _matrix(np.linalg.inv),
        "2A": _matrix(lambda A: 2 * A),
        "A's diagonal and half of the rest": _matrix(lambda A: (A + A * np.eye(A.shape[-1])) / 2),
        "A's size, entry by entry": _matrix(np.abs),
        "A + I": _matrix(lambda A: A + np.eye(A.shape[-1])),
        "A of the first task": _matrix(lambda A: A[:1] + 0 * A),
        "the mean of A over the tasks": _matrix(lambda A: np.mean(A, axis=0) + 0 * A),
        "A of the next task": _matrix(lambda A: np.roll(A, -1, axis=0)),
    }),
    "centre": sided({
        "c": None,
        "c as a linear term": Change(_linear_term, stage=1),
        "-c": Change(lambda task, side: replace_fields(task, c=-task.c)),
        "0": Change(lambda task, side: replace_fields(task, c=0 * task.c)),
        "c of the first task": Change(lambda task, side: replace_fields(task, c=task.c[:1] + 0 * task.c)),
        "the mean of c over the tasks": Change(lambda task, side: replace_fields(task, c=np.mean(task.c, axis=0) + 0 * task.c)),
        "c of the next task": Change(lambda task, side: replace_fields(task, c=np.roll(task.c, -1, axis=0))),
        "A c": Change(lambda task, side: replace_fields(task, c=matvec(task.A, task.c))),
    }),
    "query's data": {"its own": None, "A of the support": from_support("A"), "c of the support": from_support("c"), "A and c of the support": from_support("A", "c")},
    "support's data": {"its own": None, "c of the query": from_query("c"), "A of the query": from_query("A")},
}  # fmt: skip
