"""MAML at a point of the product of choices, on any tasks with `at(theta)`.  Derivation: derivations/maml.md

A point is run as it is written: the losses are changed, the step sizes are read, the path is followed, the Hessian
factors are applied to the gradient of the outer loss, and the rows of the tasks are reduced.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.maml.inner_loop import FACTORS, LATER, OUTER, inner, outer, without
from refmeta.oracle.suites.maml.paths import (
    Bend,
    Factor,
    InnerPath,
    adjoints,
    alpha_directions,
    first_powers,
    pullback,
)  # fmt: skip
from refmeta.oracle.suites.maml.penalties import Added

__all__ = ["variant"]

CONCERNED = {
    "adapted": ("result",), "objective": (*OUTER, "result"), "first_order": (*OUTER, "result"),
    "gradient": (*FACTORS, *OUTER, "result"), "step_size_gradient": LATER,
}  # fmt: skip
VALUES = ("adapted", "objective", "first_order")  # no derivative of the path enters these
FAILURES = (ArithmeticError, AttributeError, IndexError, KeyError, ValueError, np.linalg.LinAlgError)


def variant(part: str, problem: Any, point: Point) -> Array | None:
    """A part at a point of the product; None where the point is not computed, or one of its departures does not concern the part."""
    point = {name: value for name, value in point.items() if value is not None}
    if part not in CONCERNED or any(name in LATER and name not in CONCERNED[part] for name in point):
        return None
    if "inner optimiser" in point and point["inner optimiser"].detached and (part in VALUES or "Hessian factors" in point):
        return None  # without Hessians the memory has no derivative: the plain optimiser is that point
    try:
        with np.errstate(all="ignore"):
            value = PARTS[part](problem, point)
            return point["result"](value, problem.support.dim) if "result" in point else value
    except FAILURES:
        return None


def _adapted(problem: Any, point: Point) -> Array:
    """φ, (N, d)."""
    return inner(problem, without(point, LATER)).path.thetas[-1]


def _objective(problem: Any, point: Point) -> Array:
    """Σ_k w_k L_query, (N,)."""
    each = outer(problem, without(point, LATER, OUTER))
    loss = sum((w * at.loss for w, at in each if at is not None), start=np.zeros(problem.support.shape))
    return loss + _penalty(problem, point).loss if "added to the outer loss" in point else loss


def _first_order(problem: Any, point: Point) -> Array:
    """Σ_k w_k ∇L_query, (N, d)."""
    return np.asarray(sum(_sources(problem, point)))


def _gradient(problem: Any, point: Point) -> Array:
    """dF/dθ, (N, d)."""
    return _derivatives(problem, point)[0]


def _step_size_gradient(problem: Any, point: Point) -> Array:
    """dF/dα, N and the shape of α: that by the rows of the steps, times how they are read from α."""
    rows, alpha = _derivatives(problem, point)[1], np.asarray(problem.alpha)
    directions = alpha_directions(alpha, inner(problem, without(point, LATER)).read)
    wide = np.broadcast_to(directions, (len(directions), *rows.shape[1:]))

    def as_alpha(each: Array) -> Array:
        return np.einsum("nkd,jkd->nj", each, wide).reshape(len(each), *alpha.shape)

    return np.asarray(point["gradient of alpha"](rows, as_alpha, alpha) if "gradient of alpha" in point else as_alpha(rows))


def _derivatives(problem: Any, point: Point) -> tuple[Array, Array]:
    """dF/dθ (N, d), and dF by the step sizes of every step (N, K, d)."""
    path, query, _ = inner(problem, without(point, LATER))
    if path.slopes is not None:
        return _of_loop(path, problem, point)
    if path.optimiser is not None:
        return _of_optimiser(path, query, problem, point)
    adjoint = _adjoints(path, query, problem, point)
    rows = [-at.grad * later for at, later in zip(path.points, adjoint[1:], strict=False)]
    return adjoint[0], np.stack(rows, axis=1) if rows else np.zeros((len(adjoint[0]), 0, adjoint[0].shape[1]))


PARTS: dict[str, Callable[[Any, Point], Array]] = {
    "adapted": _adapted, "objective": _objective, "first_order": _first_order, "gradient": _gradient,
    "step_size_gradient": _step_size_gradient,
}  # fmt: skip


def _sources(problem: Any, point: Point) -> list[Array]:
    """w_k ∇L_query(θ⁽ᵏ⁾), k = 0 … K."""
    each = outer(problem, without(point, LATER, OUTER))
    none = np.zeros_like(inner(problem, without(point, LATER)).path.thetas[0])
    sources = [w * at.grad if at is not None else none for w, at in each]
    if "added to the outer loss" in point:
        sources[0], sources[-1] = _with_slopes(sources, _penalty(problem, point))
    return sources


def _penalty(problem: Any, point: Point) -> Added:
    """What is added to the outer loss."""
    path, query, _ = inner(problem, without(point, LATER))
    return point["added to the outer loss"](problem, path.thetas[0], path.thetas[-1])


def _with_slopes(sources: list[Array], added: Added) -> tuple[Array, Array]:
    """The sources of θ and of φ, which are one where there is no step."""
    first, last = sources[0] + added.by_theta, sources[-1] + added.by_phi
    return (first, last) if len(sources) > 1 else (first + added.by_phi,) * 2


def _bend(path: InnerPath, query: Any, point: Point, k: int) -> Bend:
    """The Hessian product of step k."""
    at = point["Hessians taken at"](path, k, query) if "Hessians taken at" in point else path.points[k]
    return point["Hessian"](at.hvp, path.thetas[k]) if "Hessian" in point else at.hvp


def _adjoints(path: InnerPath, query: Any, problem: Any, point: Point) -> list[Array]:
    """λ_0 … λ_K of plain descent."""
    K, sources = len(path.rows), _sources(problem, point)
    kept = point["Hessian factors"](K) if "Hessian factors" in point else list(range(K))
    alphas = point["alpha in the factors"](path.rows) if "alpha in the factors" in point and K else path.rows
    factors = [Factor(kept.count(k), _bend(path, query, point, k), alphas[k]) for k in range(K)]
    if K in kept:
        sources[-1] = sources[-1] - _bend(path, query, point, K)(alphas[-1] * sources[-1])
    order = point.get("order of the factors", "")
    if "left" in order:
        factors = [Factor(times, _scaled_after(bend, alpha), np.ones(1)) for times, bend, alpha in factors]
    return first_powers(factors, sources) if order == "expanded" else adjoints(factors[::-1] if "reversed" in order else factors, sources)


def _scaled_after(bend: Bend, alpha: Array) -> Bend:
    """v → αHv."""
    return lambda v: alpha * bend(v)


def _of_optimiser(path: InnerPath, query: Any, problem: Any, point: Point) -> tuple[Array, Array]:
    """dF/dθ, and dF by the step sizes, through an optimiser."""
    K, sources = len(path.rows), _sources(problem, point)
    kept = point["Hessian factors"](K) if "Hessian factors" in point else list(range(K))
    if "alpha in the factors" in point or "order of the factors" in point or len(set(kept) & set(range(K))) < len(kept):
        raise KeyError("a product of factors is that of plain descent")
    return pullback(path, [_bend(path, query, point, k) if k in kept else np.zeros_like for k in range(K)], sources)


def _of_loop(path: InnerPath, problem: Any, point: Point) -> tuple[Array, Array]:
    """dF/dθ, and dF by the step sizes, of a program: exact, or without any Hessian."""
    if any(name in point for name in FACTORS[1:]) or path.slopes is None:
        raise KeyError("a program has no factors")
    sources = _sources(problem, point)
    if "Hessian factors" not in point:
        return path.slopes(sources)
    if point["Hessian factors"](max(len(path.rows), 1)):
        raise KeyError("a program has no factors")
    return np.asarray(sum(sources)), np.zeros((*sources[0].shape[:1], len(path.rows), sources[0].shape[1]))
