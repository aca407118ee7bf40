"""What implementations of Reptile's outer step choose, the right alternative first.  Derivation: derivations/reptile.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices, Point
from refmeta.oracle.suites.reptile.averages import AVERAGES, norm, one_after_another, running, shares

__all__ = ["CHOICES", "FAMILIES", "additions", "numbers", "variant"]

Lengths = Callable[[float, int, int], float]  # ε, N, d → a factor


def _clipped(x: Array) -> Array:
    """x, of norm at most 1."""
    return x / np.maximum(norm(x), 1.0)


TOWARDS: dict[str, Callable[[Array, Array], Array] | None] = {
    "phi - theta": None,
    "theta - phi": lambda phi, theta: theta - phi,
    "phi": lambda phi, theta: phi,
    "phi + theta": lambda phi, theta: phi + theta,
    "phi - the first task's phi": lambda phi, theta: phi - phi[:1],
    "phi - the mean of phi": lambda phi, theta: phi - np.mean(phi, axis=0),
    "the mean of phi over tasks and parameters, - theta": lambda phi, theta: 0 * phi + np.mean(phi) - theta,
    "the mean of phi over the parameters, - theta": lambda phi, theta: 0 * phi + np.mean(phi, axis=1, keepdims=True) - theta,
    "phi - the mean of theta": lambda phi, theta: phi - np.mean(theta),
    "phi - 2 theta": lambda phi, theta: phi - 2 * theta,
    "|phi - theta|": lambda phi, theta: np.abs(phi - theta),
    "(phi - theta)^2": lambda phi, theta: (phi - theta) ** 2,
    "|phi| - |theta|": lambda phi, theta: np.abs(phi) - np.abs(theta),
    "phi in reverse, - theta": lambda phi, theta: phi[:, ::-1] - theta,
    "phi - the phi before": lambda phi, theta: phi - np.concatenate([theta[None], phi[:-1]]),
    "(phi - theta)/theta": lambda phi, theta: (phi - theta) / theta,
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
    "epsilon in [0, 1]": lambda e, N, d: min(max(e, 0.0), 1.0),
    "epsilon in [0, 1/2]": lambda e, N, d: min(max(e, 0.0), 0.5),
    "epsilon in [0, 0.9]": lambda e, N, d: min(max(e, 0.0), 0.9),
    "epsilon in [0, 0.1]": lambda e, N, d: min(max(e, 0.0), 0.1),
    "epsilon less its whole part": lambda e, N, d: e % 1.0,
}
CLIPPED: dict[str, Callable[[Array], Array] | None] = {
    "as it is": None,
    "clipped to norm 1": _clipped,
    "clipped to [-1, 1]": lambda x: np.clip(x, -1, 1),
    "over its norm": lambda x: x / norm(x),
    "its sign": np.sign,
    "clipped to norm 10": lambda x: x / np.maximum(norm(x) / 10, 1.0),
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
    "clipped to norm {}": ("step", lambda c: lambda x: x / np.maximum(norm(x) / c, 1.0), BOUNDS),
    "clipped to plus or minus {}": ("step", lambda c: lambda x: np.clip(x, -c, c), BOUNDS),
    "over its norm plus {}": ("step", lambda c: lambda x: x / (norm(x) + c), BOUNDS),
    "over its size plus {}": ("step", lambda c: lambda x: x / (np.abs(x) + c), (1e-6, 1e-3, 0.1, 1.0)),
    "every task's clipped to norm {}": ("every task's step", lambda c: lambda x: x / np.maximum(norm(x) / c, 1.0), BOUNDS),
    "every task's clipped to plus or minus {}": ("every task's step", lambda c: lambda x: np.clip(x, -c, c), BOUNDS),
    "every task's over its norm plus {}": ("every task's step", lambda c: lambda x: x / (norm(x) + c), BOUNDS),
    "{} theta": ("theta", lambda c: lambda theta, epsilon: c * theta, (0.9, 0.5)),
    "shrunk by {} epsilon": ("theta", lambda c: lambda theta, epsilon: (1 - c * epsilon) * theta, (0.01, 0.3)),
    "phi - {} theta": ("towards", lambda c: lambda phi, theta: phi - c * theta, (0.5, 1.5)),
    "{} phi - theta": ("towards", lambda c: lambda phi, theta: c * phi - theta, (0.5, 1.5)),
    "phi - theta - {}": ("towards", lambda c: lambda phi, theta: phi - theta - c, (0.1, -0.1)),
    "the running mean, {} of the last": ("average", running, (0.3, 0.8)),
    "the running mean from the first, {} of the last": ("average", lambda c: running(c, True), (0.3, 0.8)),
    "weights {}^i, over their sum": ("average", lambda c: lambda rows, epsilon: shares(c ** np.arange(len(rows)), rows), (0.5, 0.9, 2.0)),
    "weights {}^i, over N": ("average", lambda c: lambda rows, epsilon: c ** np.arange(len(rows)) @ rows / len(rows), (0.5, 0.9, 2.0)),
    "weights {}^i, sum": ("average", lambda c: lambda rows, epsilon: c ** np.arange(len(rows)) @ rows, (0.5, 0.9, 2.0)),
    "one task after another, {}^i epsilon": ("average", lambda c: one_after_another(lambda i, N: c**i), (0.5, 0.9)),
    "one task after another, {} epsilon": ("average", lambda c: one_after_another(lambda i, N: c), (0.3, 2.0)),
    "weights by norm^{}": ("average", lambda c: lambda rows, epsilon: shares(norm(rows)[:, 0] ** c, rows), (-1.5, -0.5, 0.5, 1.5)),
    "weights by exp({} norm)": ("average", lambda c: lambda rows, epsilon: shares(np.exp(c * norm(rows)[:, 0]), rows), (-1.5, -0.5, 0.5, 1.5)),
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
