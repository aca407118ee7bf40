"""What implementations of implicit MAML choose, the right alternative first.  Derivation: derivations/implicit-and-zeroth-order.md

A point is run as it is written: the losses are changed, φ is found, the linear system is made and solved.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array, dot, matvec
from refmeta.oracle.choices import Choices, Point
from refmeta.oracle.suites.implicit.solvers import SOLUTIONS, damped, richardson, weighted_curvature
from refmeta.oracle.suites.maml.losses import COMMON, SCALES, Change, changed_losses, sided
from refmeta.oracle.suites.maml.losses_of_data import BY_POINT_COUNT, QUADRATICS
from refmeta.oracle.suites.maml.losses_of_points import INPUTS, OUTPUTS, POINTS
from refmeta.oracle.suites.maml.matrices import MATRICES
from refmeta.oracle.suites.maml.results import FAMILIES_OF_RESULTS, RESULTS

__all__ = ["CHOICES", "FAMILIES", "Descent", "Solved", "Strength", "additions", "variant"]

Departures = frozenset[tuple[str, Any]]
LATER = ("linear system", "Hessian", "right side", "gradient", "outer loss", "result")
CONCERNED = {
    "adapted": ("result",), "first_order": ("right side", "result"), "objective": ("outer loss", "result"),
    "gradient": ("linear system", "Hessian", "right side", "gradient", "result"),
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


class Stop(NamedTuple):
    """Descent until the loss falls by less, or the slope is shorter, than a number."""

    least: float
    rate: Callable[[float, Array], Any]
    of_loss: bool
    steps: int = 3000


def _largest(H: Array) -> Array:
    """The largest eigenvalue, (N, 1)."""
    return np.linalg.eigvalsh(H)[..., -1:]


def _row_sum(H: Array) -> Array:
    """The largest sum of sizes of a row, (N, 1)."""
    return np.max(np.sum(np.abs(H), axis=-1), axis=-1)[..., None]


def _trace(H: Array) -> Array:
    """The trace, (N, 1)."""
    return np.trace(H, axis1=-2, axis2=-1)[..., None]


RATES: dict[str, Callable[[float, Array], Any]] = {
    "1/(lambda + L)": lambda strength, H: 1 / (strength + _largest(H)),
    "1/(lambda + the largest row sum of H)": lambda strength, H: 1 / (strength + _row_sum(H)),
    "1/(lambda + tr H)": lambda strength, H: 1 / (strength + _trace(H)),
    "1/(2(lambda + L))": lambda strength, H: 0.5 / (strength + _largest(H)),
    "2/(2 lambda + L + the least eigenvalue)": lambda strength, H: 2 / (2 * strength + _largest(H) + np.linalg.eigvalsh(H)[..., :1]),
    "1/lambda": lambda strength, H: 1 / strength,
    "0.5": lambda strength, H: 0.5,
    "0.1": lambda strength, H: 0.1,
    "0.05": lambda strength, H: 0.05,
    "0.01": lambda strength, H: 0.01,
}
COUNTS = (1, 2, 3, 4, 5, 8, 10, 16, 20, 25, 30, 32, 50, 64, 100)
PHI: dict[str, Any] = {"stationary": None, "theta": Descent(0, RATES["0.1"])} | {
    f"after {k} step{'s' * (k > 1)} of {name}": Descent(k, rate) for name, rate in RATES.items() for k in COUNTS
} | {
    f"descent at {name} until {what} less than {least:g}": Stop(least, rate, what.startswith("the loss"))
    for name, rate in list(RATES.items())[:3] for what in ("the loss falls by", "the slope is") for least in (0.01, 1e-3, 1e-4, 1e-5, 1e-6)
}  # fmt: skip
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
def _changed(change: Callable[[Array], Array]) -> Callable[[Solved], Array]:
    """A matrix of the support's Hessian at φ."""
    return lambda s: change(_hessian(s.support, s.phi))


HESSIANS: dict[str, Callable[[Solved], Array] | None] = {
    "the support's at phi": None,
    "the support's at theta": lambda s: _hessian(s.support, s.theta),
    "the query's at phi": lambda s: _hessian(s.query, s.phi),
    "both, added": lambda s: _hessian(s.query, s.phi) + _hessian(s.support, s.phi),
    "the support's diagonal": lambda s: _hessian(s.support, s.phi) * np.eye(s.phi.shape[-1]),
    **{words: _changed(change) for words, change in MATRICES.items()},
}
GRADIENTS: dict[str, Callable[[Solved], Array] | None] = {
    "of the query's loss at phi": None,
    "lambda (theta - phi)": lambda s: s.strength * (s.theta - s.phi),
    "lambda (phi - theta)": lambda s: s.strength * (s.phi - s.theta),
    "theta - phi": lambda s: s.theta - s.phi,
    "phi - theta": lambda s: s.phi - s.theta,
    "the query's at phi plus lambda (theta - phi)": lambda s: s.query.at(s.phi).grad + s.strength * (s.theta - s.phi),
    "the query's at theta": lambda s: s.query.at(s.theta).grad,
    "the mean of the query's at theta and phi": lambda s: (s.query.at(s.theta).grad + s.query.at(s.phi).grad) / 2,
    "the support's at phi": lambda s: s.support.at(s.phi).grad,
    "the support's at theta": lambda s: s.support.at(s.theta).grad,
}


def _where(field: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """Changes of losses that have a field; other losses stay."""

    def of(change: Change) -> Change:
        return change._replace(of=lambda task, side: change.of(task, side) if hasattr(side.own, field) else task)

    return {words: each and of(each) for words, each in table.items()}


ONE_KIND = {
    f"{words}, {what} only": each
    for what, field in (("regressions", "X"), ("quadratics", "A"))
    for words, each in _where(field, sided(SCALES)).items() if each is not None
}  # fmt: skip
AS_STRENGTH = ("halved, in the support only", "doubled, in the support only")  # these are 2λ and λ/2
CHOICES: Choices = {
    "linear system": SOLUTIONS,
    "lambda": _strengths(),
    "proximal term": {
        "around theta": None, "left out": "none", "around 0": "zero", "around the phi of the task before": "before",
        "around -theta": lambda problem, support, theta: -theta,
        "around the mean of theta": lambda problem, support, theta: 0 * theta + np.mean(theta, axis=-1, keepdims=True),
        "around theta less a step": lambda problem, support, theta: theta - support.at(theta).grad / problem.strength,
    },
    "gradient": GRADIENTS,
    "points": _where("X", POINTS),
    "inputs": _where("X", INPUTS),
    "outputs": _where("X", OUTPUTS),
    "matrix": _where("A", QUADRATICS["matrix"]),
    "centre": _where("A", QUADRATICS["centre"]),
    "phi": PHI,
    "Hessian": HESSIANS,
    "right side": RIGHT_SIDES,
    "outer loss": OUTER,
    "split": COMMON["split"],
    "loss": {words: x for words, x in {**COMMON["loss"], **sided(BY_POINT_COUNT), **ONE_KIND}.items() if words not in AS_STRENGTH},
    "result": RESULTS,
}


def _hessian(task: Any, phi: Array) -> Array:
    """∇²L of every task at φ (N, d), (N, d, d)."""
    point = task.at(phi)
    return np.stack([point.hvp(np.broadcast_to(axis, phi.shape)) for axis in np.eye(phi.shape[-1])], axis=-1)


def _square(x: Array) -> Array:
    """‖x‖² of every row."""
    return dot(x, x)


APART = (0.05, 0.5, 3.0)
FAMILIES: dict[str, tuple[Any, ...]] = {
    "(I + H/lambda + {} I)^-1 g": ("linear system", damped, APART),
    "(I + {} H/lambda)^-1 g": ("linear system", weighted_curvature, APART),
    **{f"{k} step{'s' * (k > 1)} of rate {{}} for the linear system": ("linear system", lambda c, k=k: richardson(k, c), (0.05, 0.3)) for k in (1, 3, 5, 10)},
    **{
        f"after {k} step{'s' * (k > 1)} of rate {{}}": ("phi", lambda c, k=k: Descent(k, lambda strength, H: c), (0.05, 0.3))
        for k in (1, 2, 3, 5, 10, 20)
    },
    **{
        f"after {k} step{'s' * (k > 1)} of {{}}/(lambda + L)": ("phi", lambda c, k=k: Descent(k, lambda strength, H: c / (strength + _largest(H))), (0.5, 1.5))
        for k in (1, 3, 5, 10)
    },
    "lambda times {}": ("lambda", lambda c: Strength(lambda s: c * s), APART),
    "lambda times {}, for phi only": ("lambda", lambda c: Strength(lambda s: c * s, in_system=False), APART),
    "lambda times {}, in the linear system only": ("lambda", lambda c: Strength(lambda s: c * s, in_problem=False), APART),
    "{} for lambda": ("lambda", lambda c: Strength(lambda s: c), APART),
    "{} added to lambda": ("lambda", lambda c: Strength(lambda s: s + c), (0.01, 0.3)),
    "{} added to lambda, for phi only": ("lambda", lambda c: Strength(lambda s: s + c, in_system=False), (0.01, 0.3)),
    "around {} theta": ("proximal term", lambda c: lambda problem, support, theta: c * theta, (0.3, 0.9)),
    "plus {} |phi - theta|^2/2": ("outer loss", lambda c: lambda s: s.query.at(s.phi).loss + c / 2 * _square(s.phi - s.theta), (0.1, 1.0)),
    "plus {} times the support's loss": ("outer loss", lambda c: lambda s: s.query.at(s.phi).loss + c * s.support.at(s.phi).loss, (0.1, 1.0)),
    "the query's gradient at phi plus {} phi": ("right side", lambda c: lambda s: s.query.at(s.phi).grad + c * s.phi, (0.1, 1.0)),
    "the query's gradient at phi plus {} (phi - theta)": ("right side", lambda c: lambda s: s.query.at(s.phi).grad + c * (s.phi - s.theta), (0.1, 1.0)),
    "the query's gradient at phi plus {} times the support's": ("right side", lambda c: lambda s: s.query.at(s.phi).grad + c * s.support.at(s.phi).grad, (0.1, 1.0)),
    **FAMILIES_OF_RESULTS,
}  # fmt: skip


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
    phi = _minimum(support, theta, pull, centre, point.get("phi"))
    if term == "before":
        for _ in range(len(theta)):
            phi = _minimum(support, theta, pull, np.concatenate([theta[:1], phi[:-1]]), point.get("phi"))
    return Solved(phi, theta, support, query, of_system)


def _minimum(task: Any, theta: Array, strength: float, centre: Array, descent: Descent | None) -> Array:
    """argmin L + (λ/2)‖φ − centre‖² by Newton's method from θ, the nearest where there are many, or steps of descent."""
    phi, rate = theta, descent and descent.rate(strength, _hessian(task, theta))
    if isinstance(descent, Stop):
        return _stopped(task, theta, strength, centre, descent, rate)
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


def _stopped(task: Any, theta: Array, strength: float, centre: Array, stop: Stop, rate: Any) -> Array:
    """Descent of every task until it stops: the loss at the new point has fallen too little, or the slope is short."""

    def loss(x: Array) -> Array:
        return np.asarray(task.at(x).loss + strength / 2 * _square(x - centre))

    phi, done = theta, np.zeros(theta.shape[:-1], bool)
    for _ in range(stop.steps):
        slope = task.at(phi).grad + strength * (phi - centre)
        new = phi - rate * slope
        if not stop.of_loss:
            done = done | (_square(slope) < stop.least**2)
        phi_next = np.where(done[..., None], phi, new)
        if stop.of_loss:
            done = done | (loss(phi) - loss(new) < stop.least)
        phi = phi_next
        if np.all(done):
            break
    return phi


def _right_side(solved: Solved, point: Point) -> Array:
    """∇L_query(φ), or what stands for it."""
    return np.asarray(point["right side"](solved) if "right side" in point else solved.query.at(solved.phi).grad)


def _gradient(solved: Solved, point: Point) -> Array:
    """(I + H/λ)⁻¹ ∇L_query(φ)."""
    if "gradient" in point:
        return np.asarray(point["gradient"](solved))
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
