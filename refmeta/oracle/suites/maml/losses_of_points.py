"""What implementations choose about the data points: which of them, scaled how, one after another.  Derivation: derivations/supervised-tasks.md"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.suites.maml.loops import LOOPS, Lifted, Loop, Tasks, inner, stepwise
from refmeta.oracle.suites.maml.losses import QUERY, SUPPORT, Change, Side, sided

__all__ = ["INPUTS", "LOOPS_OF_POINTS", "OUTPUTS", "POINTS", "some_points"]

Which = Callable[[int], Sequence[int]]


def some_points(task: Any, which: Sequence[int]) -> Any:
    """A task of some of its data points."""
    index = np.asarray(which, int)
    target = "labels" if hasattr(task, "labels") else "y"
    return replace_fields(task, X=task.X[..., index, :], **{target: getattr(task, target)[..., index]})


def _points(which: Which) -> Change:
    """Some of the data points, with their mean."""
    return Change(lambda task, side: some_points(task, which(task.X.shape[-2])))


def _together(task: Any, side: Side) -> Any:
    """The data points of both sides."""
    target = "labels" if hasattr(task, "labels") else "y"
    both = {name: np.concatenate([getattr(x, name) for x in (side.own, side.other)], axis=axis) for name, axis in (("X", -2), (target, -1))}
    return replace_fields(task, **both)


POINTS: dict[str, Change | None] = {
    **sided({
        "all": None,
        "the first half": _points(lambda n: range(max(n // 2, 1))),
        "the second half": _points(lambda n: range(n // 2, n)),
        "all but the last": _points(lambda n: range(max(n - 1, 1))),
        "all but the first": _points(lambda n: range(min(1, n - 1), n)),
        "the first only": _points(lambda n: [0]),
        "the last only": _points(lambda n: [n - 1]),
        "the 1st, the 3rd, ...": _points(lambda n: range(0, n, 2)),
    }),
    "those of both, in the query": Change(_together, QUERY),
    "those of both, in the support": Change(_together, SUPPORT),
    "those of both, in each": Change(_together),
}  # fmt: skip


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


def _in_step(which: Callable[[int, int], Sequence[int]]) -> Loop:
    """Step k on some data points, a statement on k and n."""
    return inner(lambda t, k, path: Lifted(some_points(t.support.task, which(k, t.support.task.X.shape[-2]))).grad(path[-1]))


def _pass(share: Callable[[int], float], order: Which) -> Loop:
    """A step is a pass over the data points, one after another with a share of α."""

    def step(tasks: Tasks, k: int, path: list[Array], alpha: Array) -> Array:
        phi, task = path[-1], tasks.support.task
        n = task.X.shape[-2]
        for j in order(n):
            phi = phi - share(n) * alpha * Lifted(some_points(task, range(n)[j : j + 1])).grad(phi)
        return phi

    return stepwise(step)


def _half(k: int, n: int) -> range:
    """The first half of n in even steps, the second half in odd ones."""
    return range(n // 2, n) if k % 2 or n < 2 else range(n // 2)


LOOPS_OF_POINTS: dict[str, Loop | None] = LOOPS | {
    "step k on data point k alone": _in_step(lambda k, n: [k % n]),
    "step k on data point k alone, over n": inner(
        lambda t, k, path: (
            Lifted(some_points(t.support.task, [k % t.support.task.X.shape[-2]])).grad(path[-1]) / t.support.task.X.shape[-2]
        )
    ),
    "step k on data point k alone, from the last": _in_step(lambda k, n: [-1 - k % n]),
    "step k on two data points": _in_step(lambda k, n: [2 * k % n, (2 * k + 1) % n]),
    "step k on the first k + 1 data points": _in_step(lambda k, n: range(min(k + 1, n))),
    "step k without data point k": _in_step(lambda k, n: [j for j in range(n) if j != k % n or n == 1]),
    "steps on the halves of the data points by turns": _in_step(_half),
    "a step a pass over the data points, alpha/n each": _pass(lambda n: 1 / n, range),
    "a step a pass over the data points, alpha each": _pass(lambda n: 1.0, range),
    "a step a pass over the data points, alpha/n each, from the last": _pass(lambda n: 1 / n, lambda n: range(n)[::-1]),
    "a step a pass over the data points, alpha each, from the last": _pass(lambda n: 1.0, lambda n: range(n)[::-1]),
}
