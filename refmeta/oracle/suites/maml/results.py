"""What is made of the rows of the tasks, and of the derivatives by the step sizes.  Derivation: derivations/maml.md"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array

__all__ = ["BY_ALPHA", "FAMILIES_OF_RESULTS", "RESULTS"]


def _norm(x: Array) -> Array:
    """‖x‖ of every row, with as many axes as x."""
    return np.sqrt(np.sum(x**2, axis=tuple(range(1, x.ndim)), keepdims=True))


def _clipped(x: Array, bound: float) -> Array:
    """Rows of norm at most `bound`; an objective as it is."""
    return x / np.maximum(_norm(x) / bound, 1.0) if x.ndim > 1 else x


def _others(x: Array) -> Array:
    """The mean of the other tasks' rows."""
    return (np.sum(x, axis=0) - x) / max(len(x) - 1, 1)


def _surgery(x: Array) -> Array:
    """Every row without its conflicts with the other rows as given, one after another."""
    if x.ndim < 2:
        return x
    rows = []
    for i, row in enumerate(x):
        for j, other in enumerate(x):
            if i != j and row @ other < 0:
                row = row - (row @ other) / (other @ other) * other
        rows.append(row)
    return np.stack(rows)


def _only(which: int) -> Callable[..., Array]:
    """The row of one step alone."""
    return lambda rows, as_alpha, alpha: as_alpha(rows * (np.arange(rows.shape[1]) == which % max(rows.shape[1], 1))[:, None])


BY_ALPHA: dict[str, Callable[..., Array] | None] = {
    "as it is": None,
    "of the last step only": _only(-1),
    "of the first step only": _only(0),
    "mean over the steps": lambda rows, as_alpha, alpha: as_alpha(rows) / max(rows.shape[1], 1),
    "sum over the steps in every row": lambda rows, as_alpha, alpha: as_alpha(0 * rows + np.sum(rows, axis=1, keepdims=True)),
    "mean over the parameters": lambda rows, as_alpha, alpha: as_alpha(rows) / rows.shape[2],
    "mean over steps and parameters": lambda rows, as_alpha, alpha: as_alpha(rows) / max(rows.shape[1] * rows.shape[2], 1),
    "mean over what shares an entry": lambda rows, as_alpha, alpha: as_alpha(rows) * np.size(alpha) / max(rows.shape[1] * rows.shape[2], 1),
    "negated": lambda rows, as_alpha, alpha: -as_alpha(rows),
    "its size": lambda rows, as_alpha, alpha: np.abs(as_alpha(rows)),
    "its sign": lambda rows, as_alpha, alpha: np.sign(as_alpha(rows)),
    "that of sqrt(alpha)": lambda rows, as_alpha, alpha: as_alpha(rows) * 2 * np.sqrt(alpha),
    "that of 1/alpha": lambda rows, as_alpha, alpha: -as_alpha(rows) * alpha**2,
    "divided by alpha": lambda rows, as_alpha, alpha: as_alpha(rows) / alpha,
    "steps in reverse": lambda rows, as_alpha, alpha: as_alpha(rows[:, ::-1]),
    "rows one step late": lambda rows, as_alpha, alpha: as_alpha(np.roll(rows, 1, axis=1)),
    "rows one step early": lambda rows, as_alpha, alpha: as_alpha(np.roll(rows, -1, axis=1)),
    "added up over the steps": lambda rows, as_alpha, alpha: as_alpha(np.cumsum(rows, axis=1)),
    "added up from the last step": lambda rows, as_alpha, alpha: as_alpha(np.cumsum(rows[:, ::-1], axis=1)[:, ::-1]),
    "the first parameter's only": lambda rows, as_alpha, alpha: as_alpha(rows * (np.arange(rows.shape[2]) == 0)),
    "without the last parameter's": lambda rows, as_alpha, alpha: as_alpha(rows * (np.arange(rows.shape[2]) < rows.shape[2] - 1)),
    "sizes added up": lambda rows, as_alpha, alpha: as_alpha(np.abs(rows)),
    "that of log(alpha)": lambda rows, as_alpha, alpha: as_alpha(rows) * alpha,
    "not differentiated": lambda rows, as_alpha, alpha: as_alpha(0 * rows),
}
RESULTS: dict[str, Callable[[Array, int], Array] | None] = {
    "as it is": None,
    "divided by the number of tasks": lambda x, d: x / len(x),
    "times the number of tasks": lambda x, d: x * len(x),
    "negated": lambda x, d: -x,
    "divided by the number of parameters": lambda x, d: x / d,
    "every row the sum over the tasks": lambda x, d: 0 * x + np.sum(x, axis=0),
    "every row the mean over the tasks": lambda x, d: 0 * x + np.mean(x, axis=0),
    "added up over the tasks": lambda x, d: np.cumsum(x, axis=0),
    "the first task's row only": lambda x, d: np.concatenate([x[:1], 0 * x[1:]]),
    "the last task's row only": lambda x, d: np.concatenate([0 * x[:-1], x[-1:]]),
    "every row that of the first task": lambda x, d: 0 * x + x[:1],
    "every row that of the last task": lambda x, d: 0 * x + x[-1:],
    "the tasks in reverse": lambda x, d: x[::-1],
    "the tasks moved on by one": lambda x, d: np.roll(x, 1, axis=0),
    "every row clipped to norm 1": lambda x, d: _clipped(x, 1.0),
    "every row clipped to norm 10": lambda x, d: _clipped(x, 10.0),
    "every row over its norm": lambda x, d: x / _norm(x) if x.ndim > 1 else x,
    "clipped to [-1, 1]": lambda x, d: np.clip(x, -1, 1),
    "less the mean over the tasks": lambda x, d: x - np.mean(x, axis=0),
    "less the mean of the other tasks": lambda x, d: x - _others(x),
    "the mean of the other tasks": lambda x, d: _others(x) + 0 * x,
    "less the first task's": lambda x, d: x - x[:1],
    "plus the mean over the tasks": lambda x, d: x + np.mean(x, axis=0),
    "divided by N - 1": lambda x, d: x / max(len(x) - 1, 1),
    "divided by N + 1": lambda x, d: x / (len(x) + 1),
    "divided by sqrt(N)": lambda x, d: x / np.sqrt(len(x)),
    "divided by N^2": lambda x, d: x / len(x) ** 2,
    "every row the median over the tasks": lambda x, d: 0 * x + np.median(x, axis=0),
    "the running mean over the tasks": lambda x, d: np.cumsum(x, axis=0) / np.arange(1, len(x) + 1).reshape(-1, *[1] * (x.ndim - 1)),
    "weighted by norm over the mean norm": lambda x, d: x * _norm(x) / np.mean(_norm(x)) if x.ndim > 1 else x,
    "weighted by 1/norm, of mean weight 1": lambda x, d: x / _norm(x) / np.mean(1 / _norm(x)) if x.ndim > 1 else x,
    "every row of the mean norm": lambda x, d: x / _norm(x) * np.mean(_norm(x)) if x.ndim > 1 else x,
    "every row over the norm of all": lambda x, d: x / np.linalg.norm(x),
    "every row over the largest norm": lambda x, d: x / np.max(_norm(x)) if x.ndim > 1 else x,
    "conflicts with other tasks projected away": lambda x, d: _surgery(x),
    "its sign": lambda x, d: np.sign(x),
    "its size": lambda x, d: np.abs(x),
    "tanh of it": lambda x, d: np.tanh(x),
    "standardised over the tasks": lambda x, d: (x - np.mean(x, axis=0)) / (np.std(x, axis=0) + 1e-8),
}
FAMILIES_OF_RESULTS = {
    "every row clipped to norm {}": ("result", lambda c: lambda x, d: _clipped(x, c), (0.1, 0.5, 3.0)),
    "clipped to plus or minus {}": ("result", lambda c: lambda x, d: np.clip(x, -c, c), (0.1, 0.5, 3.0)),
    "all rows together clipped to norm {}": ("result", lambda c: lambda x, d: x / np.maximum(np.linalg.norm(x) / c, 1.0), (0.1, 0.5, 3.0)),
    "{} of the row before added": ("result", lambda c: lambda x, d: x + c * np.concatenate([0 * x[:1], x[:-1]]), (0.3, 0.9)),
    "a running mean over the tasks, {} of the last": ("result", lambda c: lambda x, d: _running(x, c), (0.3, 0.9)),
    "{} of the mean over the tasks in every row": ("result", lambda c: lambda x, d: (1 - c) * x + c * np.mean(x, axis=0), (0.3, 0.9)),
    "{} to the power of the task times the row": (
        "result", lambda c: lambda x, d: x * c ** np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1)), (0.5, 0.9)
    ),
}  # fmt: skip


def _running(x: Array, rate: float) -> Array:
    """m ← rate·m + (1 − rate)·x_i, from 0."""
    rows, m = [], 0 * x[0]
    for row in x:
        m = rate * m + (1 - rate) * row
        rows.append(m)
    return np.stack(rows)
