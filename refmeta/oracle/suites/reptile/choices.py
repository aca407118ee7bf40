"""What implementations of Reptile's outer step choose, the right alternative first.  Derivation: derivations/reptile.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices, Point

__all__ = ["CHOICES", "FAMILIES", "additions", "numbers", "variant"]

Average = Callable[[Array, float], Array]  # rows and ε → a step
Lengths = Callable[[float, int, int], float]  # ε, N, d → a factor


def _norm(x: Array) -> Array:
    """‖x‖ of every row, at least so large that it divides."""
    return np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-300)


def _in_turn(rows: Array, epsilon: float) -> Array:
    """1/ε of the way after θ ← θ + ε(φ_i − θ) for one task after another."""
    way = 0 * rows[0]
    for row in rows:
        way = way + epsilon * (row - way)
    return way / epsilon


def _clipped(x: Array) -> Array:
    """x, of norm at most 1."""
    return x / np.maximum(_norm(x), 1.0)


def _shares(w: Array, rows: Array) -> Array:
    """The mean of the rows with weights, which need not add up to 1."""
    return np.tensordot(w / np.sum(w), rows, axes=1)


def _one_after_another(share: Callable[[int, int], float]) -> Average:
    """1/ε of the way after θ ← θ + ε·share (φ_i − θ) for one task after another, a share of i and N."""

    def average(rows: Array, epsilon: float) -> Array:
        way = 0 * rows[0]
        for i, row in enumerate(rows):
            way = way + epsilon * share(i, len(rows)) * (row - way)
        return way / epsilon

    return average


def _running(rate: float, from_first: bool = False) -> Average:
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


TOWARDS: dict[str, Callable[[Array, Array], Array] | None] = {
    "phi - theta": None,
    "theta - phi": lambda phi, theta: theta - phi,
    "phi": lambda phi, theta: phi,
    "phi + theta": lambda phi, theta: phi + theta,
    "phi - the first task's phi": lambda phi, theta: phi - phi[:1],
    "phi - the mean of phi": lambda phi, theta: phi - np.mean(phi, axis=0),
    "phi - the mean of theta": lambda phi, theta: phi - np.mean(theta),
    "phi - 2 theta": lambda phi, theta: phi - 2 * theta,
    "|phi - theta|": lambda phi, theta: np.abs(phi - theta),
    "(phi - theta)^2": lambda phi, theta: (phi - theta) ** 2,
    "|phi| - |theta|": lambda phi, theta: np.abs(phi) - np.abs(theta),
    "phi in reverse, - theta": lambda phi, theta: phi[:, ::-1] - theta,
    "phi - the phi before": lambda phi, theta: phi - np.concatenate([theta[None], phi[:-1]]),
    "(phi - theta)/theta": lambda phi, theta: (phi - theta) / theta,
}
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
    "one task after another, epsilon/N each": _one_after_another(lambda i, N: 1 / N),
    "one task after another, epsilon/(i + 1)": _one_after_another(lambda i, N: 1 / (i + 1)),
    "one task after another, epsilon (1 - i/N)": _one_after_another(lambda i, N: 1 - i / N),
    "weights 1 - i/N, over N": lambda rows, epsilon: (1 - np.arange(len(rows)) / len(rows)) @ rows / len(rows),
    "weights 1 - i/N, over their sum": lambda rows, epsilon: _shares(1 - np.arange(len(rows)) / len(rows), rows),
    "weights (i + 1)/N, over N": lambda rows, epsilon: np.arange(1, len(rows) + 1) / len(rows) @ rows / len(rows),
    "weights i + 1, over their sum": lambda rows, epsilon: _shares(np.arange(1.0, len(rows) + 1), rows),
    "weights 1/(i + 1), over N": lambda rows, epsilon: 1 / np.arange(1.0, len(rows) + 1) @ rows / len(rows),
    "weights 1/(i + 1), over their sum": lambda rows, epsilon: _shares(1 / np.arange(1.0, len(rows) + 1), rows),
    "weights by norm": lambda rows, epsilon: _shares(_norm(rows)[:, 0], rows),
    "weights by norm^2": lambda rows, epsilon: _shares(_norm(rows)[:, 0] ** 2, rows),
    "weights by 1/norm^2": lambda rows, epsilon: _shares(_norm(rows)[:, 0] ** -2.0, rows),
    "weights by exp(norm)": lambda rows, epsilon: _shares(np.exp(_norm(rows)[:, 0]), rows),
    "weights by exp(-norm)": lambda rows, epsilon: _shares(np.exp(-_norm(rows)[:, 0]), rows),
    "the task with the largest step": lambda rows, epsilon: rows[np.argmax(_norm(rows))],
    "the task with the least step": lambda rows, epsilon: rows[np.argmin(_norm(rows))],
    "the first task whole, then the others' mean": _at_once,
    "the mean without the least and the largest": _trimmed,
    "the least": lambda rows, epsilon: np.min(rows, axis=0),
    "the mean of the least and the largest": lambda rows, epsilon: (np.min(rows, axis=0) + np.max(rows, axis=0)) / 2,
    "the 1st, the 3rd, ... task, mean": lambda rows, epsilon: np.mean(rows[::2], axis=0),
    "the first half of the tasks, mean": lambda rows, epsilon: np.mean(rows[: max(len(rows) // 2, 1)], axis=0),
    "the root of the mean square": lambda rows, epsilon: np.sqrt(np.mean(rows**2, axis=0)),
    "the running mean from the first, halves": _running(0.5, True),
    "the running mean, halves": _running(0.5),
    "the running mean, 0.9 of the last": _running(0.9),
    "the product": lambda rows, epsilon: np.prod(rows, axis=0),
    "every task's mean over its parameters, for the first d": lambda rows, epsilon: np.resize(np.mean(rows, axis=1), rows.shape[1]),
    "sum over N^2": lambda rows, epsilon: np.sum(rows, axis=0) / len(rows) ** 2,
    "sum over d": lambda rows, epsilon: np.sum(rows, axis=0) / rows.shape[1],
    "weights by 1/norm": lambda rows, epsilon: np.sum(rows / _norm(rows), axis=0) / np.sum(1 / _norm(rows)),
}
LENGTHS: dict[str, Lengths | None] = {
    "epsilon": None,
    "1": lambda e, N, d: 1.0,
    "epsilon^2": lambda e, N, d: e * e,
    "sqrt(epsilon)": lambda e, N, d: float(np.sqrt(e)),
    "1 - epsilon": lambda e, N, d: 1 - e,
    "1/epsilon": lambda e, N, d: 1 / e,
    "epsilon/N": lambda e, N, d: e / N,
    "epsilon/d": lambda e, N, d: e / d,
    "epsilon/2": lambda e, N, d: e / 2,
    "2 epsilon": lambda e, N, d: 2 * e,
    "epsilon/(1 + epsilon)": lambda e, N, d: e / (1 + e),
    "1 - (1 - epsilon)^N": lambda e, N, d: 1 - (1 - e) ** N,
    "0": lambda e, N, d: 0.0,
    "-epsilon": lambda e, N, d: -e,
    "epsilon/sqrt(N)": lambda e, N, d: e / np.sqrt(N),
    "epsilon N": lambda e, N, d: e * N,
    "epsilon d": lambda e, N, d: e * d,
    "1 + epsilon": lambda e, N, d: 1 + e,
    "epsilon (1 - epsilon)": lambda e, N, d: e * (1 - e),
    "exp(epsilon)": lambda e, N, d: float(np.exp(e)),
    "epsilon's sigmoid": lambda e, N, d: float(1 / (1 + np.exp(-e))),
    "epsilon^N": lambda e, N, d: e**N,
    "its size": lambda e, N, d: abs(e),
    "epsilon, at least 0": lambda e, N, d: max(e, 0.0),
    "epsilon, at most 1": lambda e, N, d: min(e, 1.0),
    "epsilon in [0, 1]": lambda e, N, d: min(max(e, 0.0), 1.0),
    "epsilon in [0, 1/2]": lambda e, N, d: min(max(e, 0.0), 0.5),
    "epsilon in [0, 0.9]": lambda e, N, d: min(max(e, 0.0), 0.9),
    "epsilon in [0, 0.1]": lambda e, N, d: min(max(e, 0.0), 0.1),
    "epsilon in [-1, 1]": lambda e, N, d: min(max(e, -1.0), 1.0),
    "epsilon less its whole part": lambda e, N, d: e % 1.0,
}
CLIPPED: dict[str, Callable[[Array], Array] | None] = {
    "as it is": None,
    "clipped to norm 1": _clipped,
    "clipped to [-1, 1]": lambda x: np.clip(x, -1, 1),
    "over its norm": lambda x: x / _norm(x),
    "its sign": np.sign,
    "clipped to norm 10": lambda x: x / np.maximum(_norm(x) / 10, 1.0),
    "over its largest entry": lambda x: x / np.maximum(np.max(np.abs(x), axis=-1, keepdims=True), 1e-300),
    "over its root mean square": lambda x: x / np.maximum(np.sqrt(np.mean(x**2, axis=-1, keepdims=True)), 1e-300),
    "tanh of it": np.tanh,
    "less its mean": lambda x: x - np.mean(x, axis=-1, keepdims=True),
    "its positive part": lambda x: np.maximum(x, 0),
    "a tenth (momentum 0.9, a running mean)": lambda x: x / 10,
    "not for the first parameter": lambda x: x * (np.arange(x.shape[-1]) > 0),
    "not for the last parameter": lambda x: x * (np.arange(x.shape[-1]) < x.shape[-1] - 1),
    "the first half of the parameters only": lambda x: x * (np.arange(x.shape[-1]) < (x.shape[-1] + 1) // 2),
    "Adam's first step": lambda x: x / (np.abs(x) + 1e-8),
}
LINEAR_STEPS = ("Adam's first step", *(words for words in CLIPPED if words.startswith(("a tenth", "not for", "the first half"))))
THETAS: dict[str, Callable[[Array, float], Array] | None] = {
    "added": None,
    "not added": lambda theta, epsilon: 0 * theta,
    "subtracted": lambda theta, epsilon: -theta,
    "times 1 - epsilon": lambda theta, epsilon: (1 - epsilon) * theta,
    "times epsilon": lambda theta, epsilon: epsilon * theta,
    "twice": lambda theta, epsilon: 2 * theta,
    "its mean over the parameters": lambda theta, epsilon: 0 * theta + np.mean(theta),
    "its size": lambda theta, epsilon: np.abs(theta),
    "in reverse": lambda theta, epsilon: theta[::-1],
}
CHOICES: Choices = {
    "towards": TOWARDS,
    "average": AVERAGES,
    "length": LENGTHS,
    "step": CLIPPED,
    "every task's step": {words: each for words, each in CLIPPED.items() if words not in LINEAR_STEPS},
    "theta": THETAS,
}
BOUNDS = (0.1, 0.5, 2.0)
FAMILIES: dict[str, tuple[Any, ...]] = {
    "{} for epsilon": ("length", lambda c: lambda e, N, d: c, (0.1, 1.0)),
    "{} epsilon": ("length", lambda c: lambda e, N, d: c * e, (0.1, 3.0)),
    "epsilon + {}": ("length", lambda c: lambda e, N, d: e + c, (0.1, -0.1)),
    "epsilon^{}": ("length", lambda c: lambda e, N, d: e**c, (0.3, 1.5, 3.0)),
    "epsilon at most {}": ("length", lambda c: lambda e, N, d: min(e, c), BOUNDS),
    "epsilon at least {}": ("length", lambda c: lambda e, N, d: max(e, c), BOUNDS),
    "epsilon in [0, {}]": ("length", lambda c: lambda e, N, d: min(max(e, 0.0), c), BOUNDS),
    "clipped to norm {}": ("step", lambda c: lambda x: x / np.maximum(_norm(x) / c, 1.0), BOUNDS),
    "clipped to plus or minus {}": ("step", lambda c: lambda x: np.clip(x, -c, c), BOUNDS),
    "over its norm plus {}": ("step", lambda c: lambda x: x / (_norm(x) + c), BOUNDS),
    "over its size plus {}": ("step", lambda c: lambda x: x / (np.abs(x) + c), (1e-6, 1e-3, 0.1, 1.0)),
    "every task's clipped to norm {}": ("every task's step", lambda c: lambda x: x / np.maximum(_norm(x) / c, 1.0), BOUNDS),
    "every task's clipped to plus or minus {}": ("every task's step", lambda c: lambda x: np.clip(x, -c, c), BOUNDS),
    "every task's over its norm plus {}": ("every task's step", lambda c: lambda x: x / (_norm(x) + c), BOUNDS),
    "{} theta": ("theta", lambda c: lambda theta, epsilon: c * theta, (0.9, 0.5)),
    "shrunk by {} epsilon": ("theta", lambda c: lambda theta, epsilon: (1 - c * epsilon) * theta, (0.01, 0.3)),
    "phi - {} theta": ("towards", lambda c: lambda phi, theta: phi - c * theta, (0.5, 1.5)),
    "{} phi - theta": ("towards", lambda c: lambda phi, theta: c * phi - theta, (0.5, 1.5)),
    "phi - theta - {}": ("towards", lambda c: lambda phi, theta: phi - theta - c, (0.1, -0.1)),
    "the running mean, {} of the last": ("average", _running, (0.3, 0.8)),
    "the running mean from the first, {} of the last": ("average", lambda c: _running(c, True), (0.3, 0.8)),
    "weights {}^i, over their sum": ("average", lambda c: lambda rows, epsilon: _shares(c ** np.arange(len(rows)), rows), (0.5, 0.9, 2.0)),
    "weights {}^i, over N": ("average", lambda c: lambda rows, epsilon: c ** np.arange(len(rows)) @ rows / len(rows), (0.5, 0.9, 2.0)),
    "weights {}^i, sum": ("average", lambda c: lambda rows, epsilon: c ** np.arange(len(rows)) @ rows, (0.5, 0.9, 2.0)),
    "one task after another, {}^i epsilon": ("average", lambda c: _one_after_another(lambda i, N: c**i), (0.5, 0.9)),
    "one task after another, {} epsilon": ("average", lambda c: _one_after_another(lambda i, N: c), (0.3, 2.0)),
    "weights by norm^{}": ("average", lambda c: lambda rows, epsilon: _shares(_norm(rows)[:, 0] ** c, rows), (-1.5, -0.5, 0.5, 1.5)),
    "weights by exp({} norm)": ("average", lambda c: lambda rows, epsilon: _shares(np.exp(c * _norm(rows)[:, 0]), rows), (-1.5, -0.5, 0.5, 1.5)),
    "{} of the first task in the mean": ("average", lambda c: lambda rows, epsilon: (1 - c) * np.mean(rows, axis=0) + c * rows[0], (0.3, -0.3)),
}  # fmt: skip


def variant(part: str, problem: Any, point: Point) -> Array | None:
    """κθ + length · average(step of every task); None where the point is not computed."""
    point = {name: value for name, value in point.items() if value is not None}
    theta, epsilon = problem.theta, problem.epsilon
    N, d = problem.adapted.shape
    try:
        with np.errstate(all="ignore"):
            rows = point["towards"](problem.adapted, theta) if "towards" in point else problem.adapted - theta
            rows = point["every task's step"](rows) if "every task's step" in point else rows
            step = point["average"](rows, epsilon) if "average" in point else np.mean(rows, axis=0)
            step = point["step"](step) if "step" in point else step
            length = point["length"](epsilon, N, d) if "length" in point else epsilon
            kept = point["theta"](theta, epsilon) if "theta" in point else theta
            return np.asarray(kept + length * step)
    except ArithmeticError:
        return None


def additions(part: str, problem: Any) -> dict[str, Callable[[], Array]]:
    """θ, the adapted parameters and their deviation over the tasks."""
    return {
        "theta": lambda: problem.theta,
        "the mean of phi": lambda: np.mean(problem.adapted, axis=0),
        "phi of the first task": lambda: problem.adapted[0],
        "phi of the last task": lambda: problem.adapted[-1],
        "the deviation of phi over the tasks": lambda: np.std(problem.adapted, axis=0),
        "1 in every entry": lambda: np.ones_like(problem.theta),
    }


def numbers(problem: Any) -> dict[str, float]:
    """1 − ε and its powers."""
    epsilon, N = problem.epsilon, len(problem.adapted)
    return {"1 - epsilon": 1 - epsilon, "(1 - epsilon)^N": (1 - epsilon) ** N}
