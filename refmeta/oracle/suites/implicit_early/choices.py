"""What implementations of early hypergradients choose, the right alternative first.  Derivation: derivations/implicit-and-zeroth-order.md

A point is run as it is written, with dense matrices: the losses are changed, φ is found, the series or the steps are taken.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array, dot, matvec
from refmeta.oracle.choices import Choices, Point, Predicate
from refmeta.oracle.suites.implicit.choices import CHOICES as EXACT
from refmeta.oracle.suites.implicit.inner_problem import hessian, minimum
from refmeta.oracle.suites.implicit_early.problem import Early
from refmeta.oracle.suites.maml.losses import COMMON, changed_losses
from refmeta.oracle.suites.maml.results import FAMILIES_OF_RESULTS, RESULTS

__all__ = ["CHOICES", "COUNTED", "FAMILIES", "PREDICATES", "EarlySolved", "additions", "variant"]

SERIES = ("neumann", "finite_difference")
AT_MINIMUM = (*SERIES, "one_step", "cg")


class EarlySolved(NamedTuple):
    """Support, query, θ (N, d), λ of φ, λ of H, η, φ (N, d), H (N, d, d) and g (N, d)."""

    support: Any
    query: Any
    theta: Array
    pull: float
    strength: float
    eta: float
    phi: Array
    H: Array
    g: Array


Other = Callable[[float, float], float]  # of λ and η
ETAS: dict[str, Other | None] = {
    "eta": None, "eta times lambda": lambda s, e: e * s, "eta over lambda": lambda s, e: e / s, "1": lambda s, e: 1.0,
    "half of eta": lambda s, e: e / 2, "twice eta": lambda s, e: 2 * e, "1/lambda": lambda s, e: 1 / s, "0.1": lambda s, e: 0.1,
    "eta squared": lambda s, e: e * e,
}  # fmt: skip
LAMBDAS: dict[str, Any] = {
    "lambda": None, "1/lambda": (lambda s: 1 / s,) * 2, "2 lambda": (lambda s: 2 * s,) * 2, "lambda/2": (lambda s: s / 2,) * 2,
    "1": (lambda s: 1.0,) * 2, "2 lambda, for phi only": (lambda s: 2 * s, lambda s: s),
    "lambda/2, for phi only": (lambda s: s / 2, lambda s: s), "1/lambda, in H only": (lambda s: s, lambda s: 1 / s),
    "2 lambda, in H only": (lambda s: s, lambda s: 2 * s), "1, in H only": (lambda s: s, lambda s: 1.0),
}  # fmt: skip
COUNTS: dict[str, Callable[[int], int] | None] = {
    "as many as asked for": None, "one more": lambda k: k + 1, "one fewer": lambda k: k - 1, "two more": lambda k: k + 2,
    "one in every case": lambda k: 1, "two in every case": lambda k: 2, "three in every case": lambda k: 3, "five in every case": lambda k: 5,
    "ten in every case": lambda k: 10, "twice as many": lambda k: 2 * k, "until nothing is left": lambda k: 400,
}  # fmt: skip
COUNTED = {  # of a part: what there is a number of
    "neumann": "terms of the series", "finite_difference": "terms of the series", "cg": "steps of conjugate gradients", "truncated": "differentiated steps",
}  # fmt: skip
MATRICES: dict[str, Callable[[Any, Array, Array, float], Array] | None] = {
    "I + H/lambda": None,
    "I + H, not over lambda": lambda m, one, A, s: one + A,
    "H/lambda, without I": lambda m, one, A, s: A / s,
    "lambda I + H": lambda m, one, A, s: s * one + A,
    "-(I + H/lambda)": lambda m, one, A, s: -one - A / s,
    "I - H/lambda": lambda m, one, A, s: one - A / s,
    "I + 2 H/lambda": lambda m, one, A, s: one + 2 * A / s,
    "I + H/(2 lambda)": lambda m, one, A, s: one + A / (2 * s),
    "I + H/lambda, its diagonal": lambda m, one, A, s: one + A * one / s,
    "I + the query's H/lambda": lambda m, one, A, s: one + hessian(m.query, m.phi) / s,
    "damped by 1": lambda m, one, A, s: 2 * one + A / s,
}
RIGHT_SIDES: dict[str, Callable[[EarlySolved], Array] | None] = {
    "the query's gradient at phi": None,
    "the query's gradient at theta": lambda m: m.query.at(m.theta).grad,
    "the support's gradient at phi": lambda m: m.support.at(m.phi).grad,
    "the support's gradient at theta": lambda m: m.support.at(m.theta).grad,
    "plus lambda (phi - theta)": lambda m: m.query.at(m.phi).grad + m.pull * (m.phi - m.theta),
}
FRONT: dict[str, Other | None] = {
    "eta": None, "left out": lambda s, e: 1.0, "eta over lambda": lambda s, e: e / s, "1/lambda": lambda s, e: 1 / s,
    "2 eta": lambda s, e: 2 * e, "eta lambda": lambda s, e: e * s,
}  # fmt: skip
DIFFERENCES: dict[str, Callable[[float, float], float] | None] = {
    "(p - n)/(2 delta lambda)": None, "(p - n)/2 * delta/lambda": lambda d, s: d * d, "(p - n)/(delta lambda)": lambda d, s: 2.0,
    "(p - n)/(2 lambda)": lambda d, s: d, "(p - n)/(2 delta)": lambda d, s: s, "(p - n) lambda/(2 delta)": lambda d, s: s * s,
    "(n - p)/(2 delta lambda)": lambda d, s: -1.0, "(p - n)/(4 delta lambda)": lambda d, s: 0.5,
}  # fmt: skip
CHOICES: Choices = {
    "solved": {"early": None, "to the end": "exact", "not at all": "first order"},
    **dict.fromkeys(COUNTED.values(), COUNTS),
    "eta": ETAS,
    "factor in front": FRONT,
    "lambda": LAMBDAS,
    "matrix": MATRICES,
    "begins at": {"0": None, "g": lambda g: g, "eta g": "eta"},
    "directions": {"conjugate": None, "steepest": lambda new, old: 0 * new, "beta upside down": lambda new, old: old / np.where(new == 0, 1, new)},
    "difference": DIFFERENCES,
    "start": {"held": None, "differentiated, too": "moves"},
    "unrolled steps": {
        "as many as asked for": None, "one more": lambda T: T + 1, "one fewer": lambda T: T - 1, "as many as are kept": "kept",
        "until nothing moves": lambda T: 400,
    },  # fmt: skip
    "proximal term of the unrolled steps": {
        "lambda (phi - theta)": None, "left out": lambda s: 0.0, "2 lambda (phi - theta)": lambda s: 2.0, "phi - theta": lambda s: 1 / s,
        "lambda/2 (phi - theta)": lambda s: 0.5, "lambda^2 (phi - theta)": lambda s: s,
    },
    "step lengths": {"each task's own": None, "one for all tasks": True},
    "signs of the terms": {"all plus": None, "in turn, plus first": 1.0, "in turn, plus last": -1.0},
    "differentiated": {"the last steps": None, "the first steps": "first"},
    "phi": {
        "the minimiser": None, "after the unrolled steps": lambda m, steps: _descended(m, steps),
        "the minimiser without the proximal term": lambda m, steps: minimum(m.support, m.theta, 0.0, m.theta, None),
    },  # fmt: skip
    "right side": RIGHT_SIDES,
    "split": COMMON["split"],
    "loss": {"as it is": None, **{words: x for words, x in EXACT["loss"].items() if "data points" in words or "regressions" in words}},
    "result": RESULTS,
}
CONCERNED: dict[str, tuple[str, ...]] = {
    **{name: tuple(part for part in COUNTED if COUNTED[part] == name) for name in COUNTED.values()},
    "solved": AT_MINIMUM, "eta": (*SERIES, "one_step", "truncated"),
    "factor in front": (*SERIES, "one_step", "truncated"), "matrix": (*SERIES, "cg", "truncated"), "begins at": (*SERIES, "cg"), "directions": ("cg",),
    "difference": ("finite_difference",), "start": ("truncated",), "unrolled steps": ("truncated",), "differentiated": ("truncated",),
    "proximal term of the unrolled steps": ("truncated",), "step lengths": ("cg",), "signs of the terms": SERIES,
    "right side": AT_MINIMUM, "phi": AT_MINIMUM,
}  # fmt: skip
FAMILIES: dict[str, tuple[Any, ...]] = {
    "eta times {}": ("eta", lambda c: lambda s, e: c * e, (0.5, 1.5)), "{} for eta": ("eta", lambda c: lambda s, e: c, (0.1, 0.5)),
    "damped by {}": ("matrix", lambda c: lambda m, one, A, s: (1 + c) * one + A / s, (0.01, 0.1, 1.0)),
    "lambda times {}": ("lambda", lambda c: (lambda s: c * s,) * 2, (0.5, 3.0)), **FAMILIES_OF_RESULTS,
}  # fmt: skip

PREDICATES = (
    Predicate(
        "cg_steps >= d", "cg_steps may not be read: once the solution is reached, every larger number gives the same",
        lambda case: case.arguments()["cg_steps"] >= len(case.arguments()["theta"]), lambda x: x | {"cg_steps": max(x["cg_steps"], len(x["theta"]))},
    ),
)  # fmt: skip


def variant(part: str, problem: Early, point: Point) -> Array | None:
    """The part where a point departs from what is right; None where a departure does not concern it."""
    point = {name: value for name, value in point.items() if value is not None}
    if not all(part in CONCERNED.get(name, (part,)) for name in point):
        return None
    with np.errstate(all="ignore"):
        made = _made(problem, point)
        value = _truncated(problem, made, point) if part == "truncated" else _solution(part, problem, made, point)
        if value is None or not np.isfinite(value).all():
            return None
        return np.asarray(point["result"](value, made.theta.shape[-1])) if "result" in point else value


def _made(problem: Early, point: Point) -> EarlySolved:
    """What every part is made of."""
    support, query = changed_losses(problem, point)
    theta = np.broadcast_to(problem.theta, (*problem.support.shape, problem.support.dim))
    pull, strength = (f(problem.strength) for f in point.get("lambda", (float, float)))
    eta = float(point["eta"](problem.strength, problem.eta)) if "eta" in point else problem.eta
    phi = minimum(support, theta, pull, theta, None)
    made = EarlySolved(support, query, theta, pull, strength, eta, phi, hessian(support, phi), query.at(phi).grad)
    if "phi" in point:
        phi = point["phi"](made, problem.steps)
        made = made._replace(phi=phi, H=hessian(support, phi), g=query.at(phi).grad)
    A, one = made.H, np.eye(theta.shape[-1])
    H = point["matrix"](made, one, A, strength) if "matrix" in point else one + A / strength
    return made._replace(H=H, g=np.asarray(point["right side"](made) if "right side" in point else made.g))


def _solution(part: str, problem: Early, m: EarlySolved, point: Point) -> Array | None:
    """A part at φ*."""
    if "solved" in point:
        return m.g if point["solved"] == "first order" else matvec(np.linalg.inv(m.H), m.g)
    count = {"cg": problem.cg_steps, "one_step": 1}.get(part, problem.terms)
    count = point.get(COUNTED.get(part, ""), int)(count)
    x = point.get("begins at", lambda g: 0 * g)
    x = m.eta * m.g if x == "eta" else x(m.g)
    if part == "cg":
        inner = _over_tasks if "step lengths" in point else dot
        return _conjugate_gradients(m.H, m.g, x, count, point.get("directions", lambda new, old: new / np.where(old == 0, 1, old)), inner)
    factor = point["difference"](problem.delta, problem.strength) if "difference" in point else 1.0
    H = factor * (m.H - np.eye(m.theta.shape[-1])) + np.eye(m.theta.shape[-1])
    if "signs of the terms" in point:
        return _alternating(m, H, count, point["signs of the terms"])
    for _ in range(count):
        x = x + m.eta * (m.g - matvec(H, x))
    return x * (point["factor in front"](problem.strength, problem.eta) / m.eta if "factor in front" in point else 1.0)


def _alternating(m: EarlySolved, H: Array, count: int, first: float) -> Array:
    """The terms of the series with signs in turn: 1 if the first is plus, −1 if the last one is."""
    total, term = 0 * m.g, m.eta * m.g
    for j in range(max(count, 0)):
        total, term = total + (-1) ** (j if first > 0 else count - 1 - j) * term, term - m.eta * matvec(H, term)
    return total


def _over_tasks(a: Array, b: Array) -> Array:
    """The sum of the products of all tasks, for each of them."""
    return np.sum(a * b) + 0 * a[..., 0]


def _conjugate_gradients(
    H: Array, g: Array, x: Array, count: int, beta: Callable[[Array, Array], Array], dot: Callable[[Array, Array], Array] = dot
) -> Array:
    """So many steps from x, with the inner products of each task or of all; where the residual is 1e-14 of g or less, x stays."""
    r = g - matvec(H, x)
    p, least = r, 1e-28 * dot(g, g)
    for _ in range(min(count, 60)):
        going, Hp, rr = dot(r, r) > least, matvec(H, p), dot(r, r)
        length = np.where(going, rr / np.where(going, dot(p, Hp), 1), 0)[..., None]
        x, r = x + length * p, r - length * Hp
        p = r + beta(dot(r, r), rr)[..., None] * p
    return x


def _descended(m: EarlySolved, steps: int, share: float = 1.0) -> Array:
    """φ after so many unrolled steps from θ, with a share of the proximal term."""
    phi = m.theta
    for _ in range(steps):
        phi = phi - m.eta * (m.support.at(phi).grad / m.pull + share * (phi - m.theta))
    return phi


def _truncated(problem: Early, m: EarlySolved, point: Point) -> Array | None:
    """Through the last, or the first, steps."""
    steps, kept = problem.steps, problem.kept
    steps = kept if point.get("unrolled steps") == "kept" else point["unrolled steps"](steps) if "unrolled steps" in point else steps
    kept = min(max(0, point.get(COUNTED["truncated"], int)(kept)), steps)
    share = point.get("proximal term of the unrolled steps", lambda s: 1.0)(problem.strength)
    A, phi = hessian(m.support, m.phi), _descended(m, steps, share)
    adjoint = m.query.at(phi).grad
    one = np.eye(m.theta.shape[-1])
    H = m.H if "matrix" in point or m.strength != m.pull else one + A / m.strength
    total, step = 0 * phi, one - m.eta * H
    for _ in range(steps - kept if point.get("differentiated") == "first" else 0):
        adjoint = matvec(step, adjoint)
    for _ in range(kept):
        total, adjoint = total + m.eta * adjoint, matvec(step, adjoint)
    total = total * (point["factor in front"](problem.strength, problem.eta) / m.eta if "factor in front" in point else 1.0)
    return total + adjoint if point.get("start") == "moves" else total


def additions(part: str, problem: Early) -> dict[str, Callable[[], Array]]:
    """Terms of a part, one row per task."""
    m = _made(problem, {})
    return {
        "theta": lambda: m.theta, "phi": lambda: m.phi, "phi - theta": lambda: m.phi - m.theta, "g": lambda: m.g,
        "H g": lambda: matvec(m.H, m.g), "the query's gradient at theta": lambda: m.query.at(m.theta).grad,
        "the support's gradient at phi": lambda: m.support.at(m.phi).grad, "1 in every entry": lambda: np.ones_like(m.theta),
    }  # fmt: skip
