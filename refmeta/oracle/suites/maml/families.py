"""Choices of MAML with a number in them.  Derivation: derivations/maml.md"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.maml.changed import Made, MadePoint, bent
from refmeta.oracle.suites.maml.losses import QUERY, SUPPORT, Change
from refmeta.oracle.suites.maml.optimisers import OF_NUMBERS
from refmeta.oracle.suites.maml.penalties import PENALTIES, times
from refmeta.oracle.suites.maml.programs import Loop, Tasks, ended
from refmeta.oracle.suites.maml.results import FAMILIES_OF_RESULTS
from refmeta.oracle.suites.maml.schedules import decaying

__all__ = ["FAMILIES", "sided_families"]

SMALL, SHARES = (1e-8, 1e-5, 1e-3, 0.03, 1.0), (0.3, 0.6, 0.9, 0.99)
BOUNDS = (0.05, 0.2, 0.7, 3.0)


def _starts(words: str) -> tuple[tuple[float, ...], ...]:
    """Where the search for a number begins."""
    if "epsilon" in words or "plus {}" in words or "begins at" in words:
        return (SMALL,)
    if "omentum" in words or "({}" in words or ", {})" in words:
        return (SHARES,)
    return (BOUNDS,) if "clipped" in words else ((0.01, 0.3, -0.3),)


def sided_families(table: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """Families of changed losses, each of them also in the support only and in the query only."""
    result: dict[str, tuple[Any, ...]] = {}
    for words, (choice, make, *starts) in table.items():
        result[words] = (choice, make, *starts)
        for sides in (SUPPORT, QUERY):
            alone: Callable[..., Change] = lambda c, make=make, sides=sides: make(c)._replace(sides=sides)
            result[f"{words}, in the {sides[0]} only"] = (choice, alone, *starts)
    return result


def _ahead(rate: float) -> Loop:
    """v ← rate·v − α∇L(φ + rate·v), φ + v."""

    def loop(tasks: Tasks, theta: Array, rows: Any) -> list[Array]:
        path, v = [theta], 0 * theta
        for alpha in rows:
            v = rate * v - alpha * tasks.support.grad(path[-1] + rate * v)
            path.append(path[-1] + v)
        return path

    return loop


def _averaged(rate: float) -> Loop:
    """φ the running mean rate·m + (1 − rate)·θ⁽ᵏ⁾ from θ."""

    def end(tasks: Tasks, path: list[Array]) -> Array:
        mean = path[0]
        for theta in path[1:]:
            mean = rate * mean + (1 - rate) * theta
        return mean

    return ended(end)


def _weights(rate: float) -> Callable[[int], Array]:
    """The query's loss after every step, weighted by rateᴷ⁻ᵏ."""
    return lambda K: rate ** np.arange(K, -1.0, -1) * (np.arange(K + 1) > 0 if K else 1.0)


def _differences(step: float, central: bool, unit: bool = False) -> Change:
    """Hessian products as differences of gradients, a step along v or along v/‖v‖ apart."""

    def of(task: Any, side: Any) -> Any:
        def bend(theta: Array, v: Array) -> Array:
            size = np.linalg.norm(v, axis=-1, keepdims=True) if unit else 1.0
            move = step * v / np.where(size > 0, size, 1.0)
            before = task.at(theta - move if central else theta).grad
            return np.asarray((task.at(theta + move).grad - before) * size / (2 * step if central else step))

        return bent(task, bend)

    return Change(of, SUPPORT, stage=4)


def _scaled(gradient: float, hessian: float) -> Change:
    """The gradient and its Hessian with factors of their own."""

    def of(task: Any, side: Any) -> Any:
        def at(theta: Array) -> MadePoint:
            point = task.at(theta)
            return MadePoint(theta, lambda: point.loss, lambda: gradient * point.grad, lambda v: hessian * point.hvp(v))

        return Made(at)

    return Change(of, SUPPORT, stage=4)


APART = (1e-3, 0.05, 0.5)
FAMILIES: dict[str, tuple[Any, ...]] = {
    "differences of gradients, {} v apart": ("curvature", lambda c: _differences(c, False), APART),
    "differences of gradients on both sides, {} v apart": ("curvature", lambda c: _differences(c, True), APART),
    "differences of gradients, {} v/|v| apart": ("curvature", lambda c: _differences(c, False, True), APART),
    "{} times the gradient, its Hessian as it is": ("curvature", lambda c: _scaled(c, 1.0), (0.5, 2.0)),
    "{} times the Hessian, the gradient as it is": ("curvature", lambda c: _scaled(1.0, c), (0.5, 2.0)),
    "the Hessian plus {}": ("Hessian", lambda c: lambda bend, theta: lambda v: bend(v) + c * v, (0.01, 1.0)),
    **{words: ("inner optimiser", make, *_starts(words)) for words, make in OF_NUMBERS.items()},
    "Nesterov's momentum {}, its gradient at the point ahead": ("inner loop", _ahead, SHARES),
    "phi {} of the way from theta": ("inner loop", lambda c: ended(lambda t, path: path[0] + c * (path[-1] - path[0])), (0.3, 0.7)),
    "phi {} of the way from theta, which is held constant": (
        "inner loop", lambda c: ended(lambda t, path: path[0].real + c * (path[-1] - path[0].real)), (0.3, 0.7)
    ),
    "phi times {}": ("inner loop", lambda c: ended(lambda t, path: c * path[-1]), (0.5, 0.9)),
    "phi the running mean of the path, {} of the last": ("inner loop", _averaged, SHARES),
    "alpha times {}^k in step k": ("alpha", lambda c: decaying(lambda k, K: c**k), (0.3, 0.6, 0.95, 1.5)),
    "alpha/(1 + {} k) in step k": ("alpha", lambda c: decaying(lambda k, K: 1 / (1 + c * k)), (0.1, 0.5, 2.0)),
    "alpha (k + 1)^{} in step k": ("alpha", lambda c: decaying(lambda k, K: (k + 1.0) ** c), (-2.0, -0.5, 0.5)),
    "{} times alpha in every step but the first": ("alpha", lambda c: decaying(lambda k, K: np.where(k > 0, c, 1.0)), (0.3, 2.0)),
    "{} times alpha in the first step": ("alpha", lambda c: decaying(lambda k, K: np.where(k > 0, 1.0, c)), (0.3, 2.0)),
    "{} added to alpha": ("alpha", lambda c: lambda a: a + c, (0.01, -0.01)),
    "alpha at least {}": ("alpha", lambda c: lambda a: np.where(a.real > c, a, c), (0.01, 0.1)),
    "alpha at most {}": ("alpha", lambda c: lambda a: np.where(a.real < c, a, c), (0.01, 0.1, 0.5)),
    "that of every step, weights {}^(K - k)": ("outer loss", _weights, (0.3, 0.9)),
    **{f"plus {words}": ("added to the outer loss", times(penalty), (0.01, 1.0)) for words, penalty in PENALTIES.items()},
    **FAMILIES_OF_RESULTS,
}  # fmt: skip
