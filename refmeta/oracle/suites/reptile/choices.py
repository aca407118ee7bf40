"""What implementations of Reptile's outer step choose, the right alternative first.  Derivation: derivations/reptile.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices, Point

__all__ = ["CHOICES", "additions", "numbers", "variant"]

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


TOWARDS: dict[str, Callable[[Array, Array], Array] | None] = {
    "phi - theta": None,
    "theta - phi": lambda phi, theta: theta - phi,
    "phi": lambda phi, theta: phi,
    "phi + theta": lambda phi, theta: phi + theta,
    "phi - the first task's phi": lambda phi, theta: phi - phi[:1],
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
}
CLIPPED: dict[str, Callable[[Array], Array] | None] = {
    "as it is": None,
    "clipped to norm 1": _clipped,
    "clipped to [-1, 1]": lambda x: np.clip(x, -1, 1),
    "over its norm": lambda x: x / _norm(x),
    "its sign": np.sign,
    "Adam's first step": lambda x: x / (np.abs(x) + 1e-8),
}
CHOICES: Choices = {
    "towards": TOWARDS,
    "average": AVERAGES,
    "length": LENGTHS,
    "step": CLIPPED,
    "every task's step": {words: each for words, each in CLIPPED.items() if words != "Adam's first step"},
    "theta": {"added": None, "not added": 0.0, "subtracted": -1.0, "times 1 - epsilon": "shrunk"},
}


def variant(part: str, problem: Any, point: Point) -> Array | None:
    """κθ + length · average(step of every task); None where the point is not computed."""
    point = {name: value for name, value in point.items() if value is not None}
    theta, epsilon = problem.theta, problem.epsilon
    N, d = problem.adapted.shape
    keep = point.get("theta", 1.0)
    try:
        with np.errstate(all="ignore"):
            rows = point["towards"](problem.adapted, theta) if "towards" in point else problem.adapted - theta
            rows = point["every task's step"](rows) if "every task's step" in point else rows
            step = point["average"](rows, epsilon) if "average" in point else np.mean(rows, axis=0)
            step = point["step"](step) if "step" in point else step
            length = point["length"](epsilon, N, d) if "length" in point else epsilon
            return np.asarray((1 - epsilon if keep == "shrunk" else keep) * theta + length * step)
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
