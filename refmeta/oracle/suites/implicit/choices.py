"""What implementations of implicit MAML choose, the right alternative first.  Derivation: derivations/implicit-and-zeroth-order.md

A point is run as it is written: the losses are changed, φ is found, the linear system is made and solved.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array, matvec
from refmeta.oracle.choices import Choices, Point
from refmeta.oracle.suites.implicit.inner_problem import PHI, hessian, minimum, square
from refmeta.oracle.suites.implicit.solvers import SOLUTIONS
from refmeta.oracle.suites.implicit.terms import (
    FAMILIES,
    GRADIENTS,
    HESSIANS,
    OUTER,
    RIGHT_SIDES,
    Solved,
    Strength,
    strengths,
)
from refmeta.oracle.suites.maml.data_scaled import INPUTS, OUTPUTS
from refmeta.oracle.suites.maml.losses import COMMON, SCALES, changed_losses, having, sided
from refmeta.oracle.suites.maml.losses_of_data import BY_POINT_COUNT, QUADRATICS
from refmeta.oracle.suites.maml.losses_of_points import POINTS
from refmeta.oracle.suites.maml.results import RESULTS

__all__ = ["CHOICES", "FAMILIES", "additions", "variant"]

Departures = frozenset[tuple[str, Any]]
LATER = ("linear system", "Hessian", "right side", "gradient", "outer loss", "result")
CONCERNED = {
    "adapted": ("result",), "first_order": ("right side", "result"), "objective": ("outer loss", "result"),
    "gradient": ("linear system", "Hessian", "right side", "gradient", "result"),
}  # fmt: skip
FAILURES = (ArithmeticError, AttributeError, KeyError, ValueError, np.linalg.LinAlgError)


ONE_KIND = {
    f"{words}, {what} only": each
    for what, field in (("regressions", "X"), ("quadratics", "A"))
    for words, each in having(field, sided(SCALES)).items() if each is not None
}  # fmt: skip
AS_STRENGTH = ("halved, in the support only", "doubled, in the support only")  # these are 2λ and λ/2
CHOICES: Choices = {
    "linear system": SOLUTIONS,
    "lambda": strengths(),
    "proximal term": {
        "around theta": None, "left out": "none", "around 0": "zero", "around the phi of the task before": "before",
        "around -theta": lambda problem, support, theta: -theta,
        "around the mean of theta": lambda problem, support, theta: 0 * theta + np.mean(theta, axis=-1, keepdims=True),
        "around theta less a step": lambda problem, support, theta: theta - support.at(theta).grad / problem.strength,
    },
    "gradient": GRADIENTS,
    "points": having("X", POINTS),
    "inputs": having("X", INPUTS),
    "outputs": having("X", OUTPUTS),
    "matrix": having("A", QUADRATICS["matrix"]),
    "centre": having("A", QUADRATICS["centre"]),
    "phi": PHI,
    "Hessian": HESSIANS,
    "right side": RIGHT_SIDES,
    "outer loss": OUTER,
    "split": COMMON["split"],
    "loss": {words: x for words, x in {**COMMON["loss"], **sided(BY_POINT_COUNT), **ONE_KIND}.items() if words not in AS_STRENGTH},
    "result": RESULTS,
}


def variant(part: str, problem: Any, point: Point) -> Array | None:
    """A part at a point of the product; None where the point is not computed, or one of its departures does not concern the part."""
    point = {name: value for name, value in point.items() if value is not None}
    if part not in CONCERNED or any(name in LATER and name not in CONCERNED[part] for name in point):
        return None
    try:
        with np.errstate(all="ignore"):
            solved = _solved(problem, frozenset((name, value) for name, value in point.items() if name not in LATER))
            value = PARTS[part](solved, point)
            return point["result"](value, problem.support.dim) if "result" in point else value
    except FAILURES:
        return None


@lru_cache(maxsize=512)
def _solved(problem: Any, departures: Departures) -> Solved:
    """φ at a point."""
    point = dict(departures)
    support, query = changed_losses(problem, point)
    theta = np.broadcast_to(problem.theta, (*problem.support.shape, problem.support.dim))
    other: Any = point.get("lambda", Strength(float))
    of_problem, of_system = ((other.of if here else float)(problem.strength) for here in other[1:])
    term = point.get("proximal term")
    pull, centre = 0.0 if term == "none" else of_problem, 0 * theta if term == "zero" else theta
    centre = term(problem, support, theta) if callable(term) else centre
    phi = minimum(support, theta, pull, centre, point.get("phi"))
    if term == "before":
        for _ in range(len(theta)):
            phi = minimum(support, theta, pull, np.concatenate([theta[:1], phi[:-1]]), point.get("phi"))
    return Solved(phi, theta, support, query, of_system)


def _right_side(solved: Solved, point: Point) -> Array:
    """∇L_query(φ), or what stands for it."""
    return np.asarray(point["right side"](solved) if "right side" in point else solved.query.at(solved.phi).grad)


def _gradient(solved: Solved, point: Point) -> Array:
    """(I + H/λ)⁻¹ ∇L_query(φ)."""
    if "gradient" in point:
        return np.asarray(point["gradient"](solved))
    H = point["Hessian"](solved) if "Hessian" in point else hessian(solved.support, solved.phi)
    g = _right_side(solved, point)
    if "linear system" in point:
        return np.asarray(point["linear system"](H / solved.strength, g, solved.strength))
    return matvec(np.linalg.inv(np.eye(g.shape[-1]) + H / solved.strength), g)


PARTS: dict[str, Callable[[Solved, Point], Array]] = {
    "adapted": lambda solved, point: solved.phi,
    "objective": lambda solved, point: np.asarray(point.get("outer loss", lambda s: s.query.at(s.phi).loss)(solved)),
    "first_order": _right_side,
    "gradient": _gradient,
}


def additions(part: str, problem: Any) -> dict[str, Callable[[], Array]]:
    """Terms of a part, one row per task."""
    solved = _solved(problem, frozenset())
    if part == "objective":
        return {
            "|phi - theta|^2": lambda: square(solved.phi - solved.theta), "|theta|^2": lambda: square(solved.theta),
            "|phi|^2": lambda: square(solved.phi), "the support's loss at phi": lambda: solved.support.at(solved.phi).loss,
            "1": lambda: np.ones(problem.support.shape),
        }  # fmt: skip
    return {
        "theta": lambda: solved.theta, "phi": lambda: solved.phi, "phi - theta": lambda: solved.phi - solved.theta,
        "the query's gradient at phi": lambda: solved.query.at(solved.phi).grad,
        "the query's gradient at theta": lambda: solved.query.at(solved.theta).grad,
        "the support's gradient at phi": lambda: solved.support.at(solved.phi).grad,
        "the support's gradient at theta": lambda: solved.support.at(solved.theta).grad,
        "H times the query's gradient": lambda: solved.support.at(solved.phi).hvp(solved.query.at(solved.phi).grad),
        "1 in every entry": lambda: np.ones_like(solved.theta),
    }  # fmt: skip
