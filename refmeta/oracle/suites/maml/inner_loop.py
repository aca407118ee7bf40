"""The inner loop of a point, and the losses that it is judged by.  Derivation: derivations/maml.md"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.maml.losses import changed_losses
from refmeta.oracle.suites.maml.paths import (
    InnerPath,
    alpha_rows,
    carried,
    follow,
)  # fmt: skip
from refmeta.oracle.suites.maml.programs import run_loop
from refmeta.oracle.suites.maml.steps import Memory

__all__ = ["FACTORS", "InnerLoop", "LATER", "OUTER", "inner", "outer", "without"]

FACTORS = ("Hessian factors", "Hessians taken at", "Hessian", "alpha in the factors", "order of the factors")
OUTER = ("outer loss", "query's loss taken at", "added to the outer loss")
LATER = (*FACTORS, *OUTER, "gradient of alpha", "result")
Departures = frozenset[tuple[str, Any]]


class InnerLoop(NamedTuple):
    """What the inner loop of a point leaves: its path, the query's loss, and how α is read."""

    path: InnerPath
    query: Any
    read: Callable[[Any], Array]


def without(point: Point, later: tuple[str, ...], but: tuple[str, ...] = ()) -> Departures:
    """The departures that come before."""
    return frozenset((name, value) for name, value in point.items() if name not in later or name in but)


@lru_cache(maxsize=512)
def inner(problem: Any, departures: Departures) -> InnerLoop:
    """The inner loop of a point."""
    point = dict(departures)
    support, query = changed_losses(problem, point)
    indices = point["steps"](problem.steps) if "steps" in point else list(range(problem.steps))
    reading, entries = (point.get(name) if indices else None for name in ("alpha", "alpha of the parameters"))

    def read(alpha: Any) -> Array:
        rows = alpha_rows(alpha, problem.steps if np.ndim(alpha) == 2 else max(indices, default=-1) + 1)[indices]
        rows = reading(rows) if reading else rows
        return entries(np.broadcast_to(rows, (len(rows), problem.support.dim)), problem.support) if entries else rows

    start = np.broadcast_to(problem.theta, (*problem.support.shape, problem.support.dim))
    path = _path(support, query, start, read(problem.alpha), point)
    if "carried between tasks" in point or path.optimiser is not None and path.optimiser.kept:
        path = carried(path, support, "carried between tasks" in point)
    return InnerLoop(path, query, read)


def _path(support: Any, query: Any, start: Array, rows: Array, point: Point) -> InnerPath:
    """The path of a program, or of an optimiser."""
    optimiser = point.get("inner optimiser")
    if "inner loop" not in point:
        return follow(support, start, rows, optimiser, Memory(start))
    if optimiser is not None or "carried between tasks" in point:
        raise KeyError("a program has no optimiser, and carries nothing")
    thetas, slopes = run_loop(point["inner loop"], support, query, start, rows)
    if not all(np.isfinite(theta).all() for theta in thetas):
        raise FloatingPointError("an inner step left the finite numbers")
    return InnerPath(thetas, [], rows, None, Memory(start), Memory(start), slopes)


@lru_cache(maxsize=512)
def outer(problem: Any, departures: Departures) -> list[tuple[float, Any]]:
    """The weight of the query's loss at θ⁽⁰⁾ … θ⁽ᴷ⁾, and its point there; None where the weight is 0."""
    point = dict(departures)
    path, query, _ = inner(problem, without(point, LATER))
    K = len(path.rows)
    weights = point["outer loss"](K) if "outer loss" in point else np.eye(K + 1)[K]
    thetas = path.thetas
    if "query's loss taken at" in point:
        thetas = [*thetas[:-1], point["query's loss taken at"](thetas)]
    return [(w, query.at(theta) if w else None) for w, theta in zip(weights, thetas, strict=True)]
