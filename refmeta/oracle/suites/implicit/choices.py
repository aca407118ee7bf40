"""What implementations of implicit MAML choose, the right alternative first.  Derivation: derivations/implicit-and-zeroth-order.md

A point is run as it is written: the losses are changed, φ is found, the linear system is made and solved.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array, dot, matvec
from refmeta.oracle.choices import Choices, Point
from refmeta.oracle.suites.implicit.solvers import SOLUTIONS
from refmeta.oracle.suites.maml.choices import RESULTS
from refmeta.oracle.suites.maml.losses import COMMON, changed_losses, sided
from refmeta.oracle.suites.maml.losses_of_data import BY_POINT_COUNT

__all__ = ["CHOICES", "Descent", "Solved", "Strength", "additions", "variant"]

Departures = frozenset[tuple[str, Any]]
LATER = ("linear system", "Hessian", "right side", "outer loss", "result")
CONCERNED = {
    "adapted": ("result",), "first_order": ("right side", "result"), "objective": ("outer loss", "result"),
    "gradient": ("linear system", "Hessian", "right side", "result"),
}  # fmt: skip
FAILURES = (ArithmeticError, AttributeError, KeyError, ValueError, np.linalg.LinAlgError)


class Strength(NamedTuple):
    """Another λ, in φ's problem, in the linear system, or in both."""

    of: Callable[[float], float]
    in_problem: bool = True
    in_system: bool = True


class Solved(NamedTuple):
    """φ (N, d), θ of the same shape, the two losses, and λ in the linear system."""

    phi: Array
    theta: Array
    support: Any
    query: Any
    strength: float


class Descent(NamedTuple):
    """Steps of gradient descent on L + (λ/2)‖φ − θ‖² from θ, with a rate of λ and of the largest curvature."""

    steps: int
    rate: Callable[[float, Array], Any]


def _strengths() -> dict[str, Strength | None]:
    """Other λ, in both places and in one."""
    table = {
        "1/lambda": lambda s: 1 / s, "lambda^2": lambda s: s * s, "2 lambda (no 1/2)": lambda s: 2 * s,
        "lambda/2": lambda s: s / 2, "sqrt(lambda)": lambda s: float(np.sqrt(s)), "1": lambda s: 1.0,
    }  # fmt: skip
    both: dict[str, Strength | None] = {"lambda": None} | {words: Strength(of) for words, of in table.items()}
    alone = {f"{words}, for phi only": Strength(of, in_system=False) for words, of in table.items()}
    return both | alone | {f"{words}, in the linear system only": Strength(of, in_problem=False) for words, of in table.items()}


RATES: dict[str, Callable[[float, Array], Any]] = {
    "1/(lambda + L)": lambda strength, most: 1 / (strength + most),
    "1/lambda": lambda strength, most: 1 / strength,
    "0.1": lambda strength, most: 0.1,
    "0.01": lambda strength, most: 0.01,
}
PHI: dict[str, Any] = {"stationary": None, "theta": Descent(0, RATES["0.1"])} | {
    f"after {k} step{'s' * (k > 1)} of {name}": Descent(k, rate) for name, rate in RATES.items() for k in (1, 2, 3, 5, 10, 16, 20)
}
RIGHT_SIDES: dict[str, Callable[[Solved], Array] | None] = {
    "the query's gradient at phi": None,
    "the support's gradient at theta": lambda s: s.support.at(s.theta).grad,
    "the query's gradient at phi plus lambda (phi - theta)": lambda s: s.query.at(s.phi).grad + s.strength * (s.phi - s.theta),
    "the query's gradient at phi plus that of the support at theta": lambda s: s.query.at(s.phi).grad + s.support.at(s.theta).grad,
}
OUTER: dict[str, Callable[[Solved], Array] | None] = {
    "the query's loss at phi": None,
    "plus the proximal term": lambda s: s.query.at(s.phi).loss + s.strength / 2 * _square(s.phi - s.theta),
    "plus the proximal term without 1/2": lambda s: s.query.at(s.phi).loss + s.strength * _square(s.phi - s.theta),
    "the support's loss at phi": lambda s: s.support.at(s.phi).loss,
    "the support's loss at phi plus the proximal term": lambda s: s.support.at(s.phi).loss + s.strength / 2 * _square(s.phi - s.theta),
    "both losses at phi": lambda s: s.query.at(s.phi).loss + s.support.at(s.phi).loss,
    "the query's loss at theta": lambda s: s.query.at(s.theta).loss,
}
HESSIANS: dict[str, Callable[[Solved], Array] | None] = {
    "the support's at phi": None,
    "the support's at theta": lambda s: _hessian(s.support, s.theta),
    "the query's at phi": lambda s: _hessian(s.query, s.phi),
    "both, added": lambda s: _hessian(s.query, s.phi) + _hessian(s.support, s.phi),
    "the support's diagonal": lambda s: _hessian(s.support, s.phi) * np.eye(s.phi.shape[-1]),
    "the mean over the tasks": lambda s: np.mean(_hessian(s.support, s.phi), axis=0) + 0 * _hessian(s.support, s.phi),
}
AS_STRENGTH = ("halved, in the support only", "doubled, in the support only")  # these are 2λ and λ/2
CHOICES: Choices = {
    "linear system": SOLUTIONS,
    "lambda": _strengths(),
    "proximal term": {"around theta": None, "left out": "none", "around 0": "zero"},
    "phi": PHI,
    "Hessian": HESSIANS,
    "right side": RIGHT_SIDES,
    "outer loss": OUTER,
    "split": COMMON["split"],
    "loss": {words: x for words, x in {**COMMON["loss"], **sided(BY_POINT_COUNT)}.items() if words not in AS_STRENGTH},
    "result": RESULTS,
}


def _hessian(task: Any, phi: Array) -> Array:
    """∇²L of every task at φ (N, d), (N, d, d)."""
    point = task.at(phi)
    return np.stack([point.hvp(np.broadcast_to(axis, phi.shape)) for axis in np.eye(phi.shape[-1])], axis=-1)


def _square(x: Array) -> Array:
    """‖x‖² of every row."""
    return dot(x, x)


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
    phi = _minimum(support, theta, pull, centre, point.get("phi"))
    return Solved(phi, theta, support, query, of_system)


def _minimum(task: Any, theta: Array, strength: float, centre: Array, descent: Descent | None) -> Array:
    """argmin L + (λ/2)‖φ − centre‖² by Newton's method from θ, the nearest where there are many, or steps of descent."""
    phi, rate = theta, descent and descent.rate(strength, np.linalg.eigvalsh(_hessian(task, theta))[..., -1:])
    for _ in range(20 if descent is None else descent.steps):
        slope = task.at(phi).grad + strength * (phi - centre)
        if descent is None:
            step = matvec(np.linalg.pinv(_hessian(task, phi) + strength * np.eye(phi.shape[-1]), rcond=1e-12), slope)
        else:
            step = rate * slope
        phi = phi - step
        if np.all(np.abs(step) <= 1e-15 * np.abs(phi)):
            break
    return phi


def _right_side(solved: Solved, point: Point) -> Array:
    """∇L_query(φ), or what stands for it."""
    return np.asarray(point["right side"](solved) if "right side" in point else solved.query.at(solved.phi).grad)


def _gradient(solved: Solved, point: Point) -> Array:
    """(I + H/λ)⁻¹ ∇L_query(φ)."""
    H = point["Hessian"](solved) if "Hessian" in point else _hessian(solved.support, solved.phi)
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
            "|phi - theta|^2": lambda: _square(solved.phi - solved.theta), "|theta|^2": lambda: _square(solved.theta),
            "|phi|^2": lambda: _square(solved.phi), "the support's loss at phi": lambda: solved.support.at(solved.phi).loss,
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
