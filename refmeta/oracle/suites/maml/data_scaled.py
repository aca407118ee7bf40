"""Inputs and outputs, scaled.  Derivation: derivations/supervised-tasks.md"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.suites.maml.losses import QUERY, Change, sided

__all__ = ["INPUTS", "OUTPUTS"]


def _inputs(change: Callable[[Array], Array]) -> Change:
    """Other inputs X."""
    return Change(lambda task, side: replace_fields(task, X=change(task.X)))


def _by_other(change: Callable[[Array, Array], Array], name: str = "X") -> Change:
    """The query's data, scaled by numbers of the support."""
    return Change(lambda task, side: replace_fields(task, **{name: change(getattr(task, name), getattr(side.other, name))}), QUERY)


def _spread(x: Array, axis: int | tuple[int, ...] = -2, fewer: int = 0) -> Array:
    """The deviation along an axis, 1 where it is 0."""
    deviation = np.std(x, axis=axis, keepdims=True, ddof=fewer)
    return np.where(deviation > 0, deviation, 1.0)


def _centred(x: Array, axis: int | tuple[int, ...] = -2) -> Array:
    """x less its mean."""
    return x - np.mean(x, axis=axis, keepdims=True)


def _column(which: int) -> Callable[[Array], Array]:
    """1 in one column."""
    return lambda X: np.where(np.arange(X.shape[-1]) == which % X.shape[-1], 1.0, X)


INPUTS: dict[str, Change | None] = {
    **sided({
        "X": None,
        "standardised over the points": _inputs(lambda X: _centred(X) / (_spread(X) + 1e-8)),
        "standardised over the points, no epsilon": _inputs(lambda X: _centred(X) / _spread(X)),
        "standardised over the points, by n - 1": _inputs(lambda X: _centred(X) / (_spread(X, fewer=1) + 1e-8)),
        "standardised over points and columns": _inputs(lambda X: _centred(X, (-1, -2)) / _spread(X, (-1, -2))),
        "standardised over the columns": _inputs(lambda X: _centred(X, -1) / _spread(X, -1)),
        "standardised over tasks and points": _inputs(lambda X: _centred(X, (0, 1)) / _spread(X, (0, 1))),
        "less their mean over the points": _inputs(_centred),
        "over their deviation": _inputs(lambda X: X / _spread(X)),
        "rows of length 1": _inputs(lambda X: X / np.maximum(np.linalg.norm(X, axis=-1, keepdims=True), 1e-12)),
        "columns of length 1": _inputs(lambda X: X / np.maximum(np.linalg.norm(X, axis=-2, keepdims=True), 1e-12)),
        "over the largest": _inputs(lambda X: X / np.max(np.abs(X), axis=(-1, -2), keepdims=True)),
        "between 0 and 1": _inputs(lambda X: (X - np.min(X, axis=-2, keepdims=True)) / np.maximum(np.ptp(X, axis=-2, keepdims=True), 1e-12)),
        "over the root of the number of columns": _inputs(lambda X: X / np.sqrt(X.shape[-1])),
        "1 in the first column": _inputs(_column(0)),
        "1 in the last column": _inputs(_column(-1)),
        "0 in the first column": _inputs(lambda X: np.where(np.arange(X.shape[-1]) == 0, 0.0, X)),
        "0 in the last column": _inputs(lambda X: np.where(np.arange(X.shape[-1]) == X.shape[-1] - 1, 0.0, X)),
        "columns in reverse": _inputs(lambda X: X[..., ::-1]),
        "moved on by one against the outputs": _inputs(lambda X: np.roll(X, 1, axis=-2)),
        "in reverse against the outputs": _inputs(lambda X: X[..., ::-1, :]),
        "sizes": _inputs(np.abs),
        "clipped to [-1, 1]": _inputs(lambda X: np.clip(X, -1, 1)),
        "of the first task": _inputs(lambda X: X[:1] + 0 * X),
    }),
    "the query's standardised by the support": _by_other(lambda X, S: (X - np.mean(S, axis=-2, keepdims=True)) / _spread(S)),
    "the query's less the support's mean": _by_other(lambda X, S: X - np.mean(S, axis=-2, keepdims=True)),
}  # fmt: skip


def _outputs(change: Callable[[Array], Array]) -> Change:
    """Other outputs y."""
    return Change(lambda task, side: replace_fields(task, y=change(task.y)))


OUTPUTS: dict[str, Change | None] = {
    **sided({
        "y": None,
        "standardised": _outputs(lambda y: _centred(y, -1) / _spread(y, -1)),
        "standardised by n - 1": _outputs(lambda y: _centred(y, -1) / _spread(y, -1, fewer=1)),
        "standardised over the tasks, too": _outputs(lambda y: _centred(y, (0, 1)) / _spread(y, (0, 1))),
        "less their mean": _outputs(lambda y: _centred(y, -1)),
        "over their deviation": _outputs(lambda y: y / _spread(y, -1)),
        "over the largest": _outputs(lambda y: y / np.max(np.abs(y), axis=-1, keepdims=True)),
        "their mean": _outputs(lambda y: 0 * y + np.mean(y, axis=-1, keepdims=True)),
        "the first": _outputs(lambda y: 0 * y + y[..., :1]),
        "0": _outputs(lambda y: 0 * y),
        "negated": _outputs(lambda y: -y),
        "their sign": _outputs(np.sign),
        "clipped to [-1, 1]": _outputs(lambda y: np.clip(y, -1, 1)),
        "of the first task": _outputs(lambda y: y[:1] + 0 * y),
        "of the next task": _outputs(lambda y: np.roll(y, -1, axis=0)),
    }),
    "the query's standardised by the support": _by_other(lambda y, s: (y - np.mean(s, axis=-1, keepdims=True)) / _spread(s, -1), "y"),
    "the query's less the support's mean": _by_other(lambda y, s: y - np.mean(s, axis=-1, keepdims=True), "y"),
}  # fmt: skip
