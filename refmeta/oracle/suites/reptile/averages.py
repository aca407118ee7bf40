"""Averages of the tasks.  Derivation: derivations/reptile.md"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array

__all__ = ["AVERAGES", "norm", "one_after_another", "running", "shares"]

Average = Callable[[Array, float], Array]  # rows and ε → a step


def norm(x: Array) -> Array:
    """‖x‖ of every row, at least so large that it divides."""
    return np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-300)


def _in_turn(rows: Array, epsilon: float) -> Array:
    """1/ε of the way after θ ← θ + ε(φ_i − θ) for one task after another."""
    way = 0 * rows[0]
    for row in rows:
        way = way + epsilon * (row - way)
    return way / epsilon if epsilon else np.sum(rows, axis=0)


def shares(w: Array, rows: Array) -> Array:
    """The mean of the rows with weights, which need not add up to 1."""
    return np.tensordot(w / np.sum(w), rows, axes=1)


def one_after_another(share: Callable[[int, int], float]) -> Average:
    """1/ε of the way after θ ← θ + ε·share (φ_i − θ) for one task after another, a share of i and N."""

    def average(rows: Array, epsilon: float) -> Array:
        way, N = 0 * rows[0], len(rows)
        if epsilon == 0:
            return np.asarray(sum(share(i, N) * row for i, row in enumerate(rows)))
        for i, row in enumerate(rows):
            way = way + epsilon * share(i, N) * (row - way)
        return way / epsilon

    return average


def running(rate: float, from_first: bool = False) -> Average:
    """m ← rate·m + (1 − rate)·row, from 0 or from the first row."""

    def average(rows: Array, epsilon: float) -> Array:
        m = rows[0] if from_first else 0 * rows[0]
        for row in rows[from_first:]:
            m = rate * m + (1 - rate) * row
        return m

    return average


def _at_once(rows: Array, epsilon: float) -> Array:
    """The first row whole, then the others' mean over N, from where the first has led."""
    return rows[0] + np.sum(rows[1:] - epsilon * rows[0], axis=0) / len(rows)


def _trimmed(rows: Array, epsilon: float) -> Array:
    """The mean without the least and the largest of every entry."""
    return np.mean(np.sort(rows, axis=0)[1:-1], axis=0) if len(rows) > 2 else np.mean(rows, axis=0)


AVERAGES: dict[str, Average | None] = {
    "mean": None,
    "sum": lambda rows, epsilon: np.sum(rows, axis=0),
    "median": lambda rows, epsilon: np.median(rows, axis=0),
    "one task after another": _in_turn,
    "one task after another, backwards": lambda rows, epsilon: _in_turn(rows[::-1], epsilon),
    "the first task": lambda rows, epsilon: rows[0],
    "the last task": lambda rows, epsilon: rows[-1],
    "all tasks but the first, mean": lambda rows, epsilon: np.mean(rows[1:], axis=0) if len(rows) > 1 else rows[0],
    "all tasks but the last, mean": lambda rows, epsilon: np.mean(rows[:-1], axis=0) if len(rows) > 1 else rows[0],
    "all tasks but the first, over N": lambda rows, epsilon: np.sum(rows[1:], axis=0) / len(rows),
    "all tasks but the last, over N": lambda rows, epsilon: np.sum(rows[:-1], axis=0) / len(rows),
    "sum over N - 1": lambda rows, epsilon: np.sum(rows, axis=0) / max(len(rows) - 1, 1),
    "sum over N + 1": lambda rows, epsilon: np.sum(rows, axis=0) / (len(rows) + 1),
    "sum over sqrt(N)": lambda rows, epsilon: np.sum(rows, axis=0) / np.sqrt(len(rows)),
    "mean over tasks and parameters": lambda rows, epsilon: 0 * rows[0] + np.mean(rows),
    "the largest": lambda rows, epsilon: np.max(rows, axis=0),
    "the mean of the first and the last": lambda rows, epsilon: (rows[0] + rows[-1]) / 2,
    "weights 1/2, 1/4, ... from the last": lambda rows, epsilon: 0.5 ** np.arange(len(rows), 0, -1) @ rows,
    "one task after another, epsilon/N each": one_after_another(lambda i, N: 1 / N),
    "one task after another, epsilon/(i + 1)": one_after_another(lambda i, N: 1 / (i + 1)),
    "one task after another, epsilon (1 - i/N)": one_after_another(lambda i, N: 1 - i / N),
    "weights 1 - i/N, over N": lambda rows, epsilon: (1 - np.arange(len(rows)) / len(rows)) @ rows / len(rows),
    "weights 1 - i/N, over their sum": lambda rows, epsilon: shares(1 - np.arange(len(rows)) / len(rows), rows),
    "weights (i + 1)/N, over N": lambda rows, epsilon: np.arange(1, len(rows) + 1) / len(rows) @ rows / len(rows),
    "weights i + 1, over their sum": lambda rows, epsilon: shares(np.arange(1.0, len(rows) + 1), rows),
    "weights 1/(i + 1), over N": lambda rows, epsilon: 1 / np.arange(1.0, len(rows) + 1) @ rows / len(rows),
    "weights 1/(i + 1), over their sum": lambda rows, epsilon: shares(1 / np.arange(1.0, len(rows) + 1), rows),
    "weights by norm": lambda rows, epsilon: shares(norm(rows)[:, 0], rows),
    "weights by norm^2": lambda rows, epsilon: shares(norm(rows)[:, 0] ** 2, rows),
    "weights by 1/norm^2": lambda rows, epsilon: shares(norm(rows)[:, 0] ** -2.0, rows),
    "weights by exp(norm)": lambda rows, epsilon: shares(np.exp(norm(rows)[:, 0]), rows),
    "weights by exp(-norm)": lambda rows, epsilon: shares(np.exp(-norm(rows)[:, 0]), rows),
    "the task with the largest step": lambda rows, epsilon: rows[np.argmax(norm(rows))],
    "the task with the least step": lambda rows, epsilon: rows[np.argmin(norm(rows))],
    "the first task whole, then the others' mean": _at_once,
    "the mean without the least and the largest": _trimmed,
    "the least": lambda rows, epsilon: np.min(rows, axis=0),
    "the mean of the least and the largest": lambda rows, epsilon: (np.min(rows, axis=0) + np.max(rows, axis=0)) / 2,
    "the 1st, the 3rd, ... task, mean": lambda rows, epsilon: np.mean(rows[::2], axis=0),
    "the first half of the tasks, mean": lambda rows, epsilon: np.mean(rows[: max(len(rows) // 2, 1)], axis=0),
    "the root of the mean square": lambda rows, epsilon: np.sqrt(np.mean(rows**2, axis=0)),
    "the running mean from the first, halves": running(0.5, True),
    "the running mean, halves": running(0.5),
    "the running mean, 0.9 of the last": running(0.9),
    "the product": lambda rows, epsilon: np.prod(rows, axis=0),
    "every task's mean over its parameters, for the first d": lambda rows, epsilon: np.resize(np.mean(rows, axis=1), rows.shape[1]),
    "sum over N^2": lambda rows, epsilon: np.sum(rows, axis=0) / len(rows) ** 2,
    "sum over d": lambda rows, epsilon: np.sum(rows, axis=0) / rows.shape[1],
    "weights by 1/norm": lambda rows, epsilon: np.sum(rows / norm(rows), axis=0) / np.sum(1 / norm(rows)),
}
