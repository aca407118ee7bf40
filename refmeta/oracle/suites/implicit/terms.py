"""What stands for the parts of an implicit gradient.  Derivation: derivations/implicit-and-zeroth-order.md"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array, matvec
from refmeta.oracle.suites.implicit.inner_problem import RATES, Descent, hessian, largest, square
from refmeta.oracle.suites.implicit.solvers import damped, richardson, weighted_curvature
from refmeta.oracle.suites.maml.matrices import MATRICES
from refmeta.oracle.suites.maml.results import FAMILIES_OF_RESULTS

__all__ = ["FAMILIES", "GRADIENTS", "HESSIANS", "OUTER", "RIGHT_SIDES", "Solved", "Strength", "strengths", "through_steps"]


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


def strengths() -> dict[str, Strength | None]:
    """Other λ, in both places and in one."""
    table = {
        "1/lambda": lambda s: 1 / s, "lambda^2": lambda s: s * s, "2 lambda (no 1/2)": lambda s: 2 * s,
        "lambda/2": lambda s: s / 2, "sqrt(lambda)": lambda s: float(np.sqrt(s)), "1": lambda s: 1.0,
    }  # fmt: skip
    both: dict[str, Strength | None] = {"lambda": None} | {words: Strength(of) for words, of in table.items()}
    alone = {f"{words}, for phi only": Strength(of, in_system=False) for words, of in table.items()}
    return both | alone | {f"{words}, in the linear system only": Strength(of, in_problem=False) for words, of in table.items()}


RIGHT_SIDES: dict[str, Callable[[Solved], Array] | None] = {
    "the query's gradient at phi": None,
    "the support's gradient at theta": lambda s: s.support.at(s.theta).grad,
    "the query's gradient at phi plus lambda (phi - theta)": lambda s: s.query.at(s.phi).grad + s.strength * (s.phi - s.theta),
    "the query's gradient at phi plus that of the support at theta": lambda s: s.query.at(s.phi).grad + s.support.at(s.theta).grad,
}
OUTER: dict[str, Callable[[Solved], Array] | None] = {
    "the query's loss at phi": None,
    "plus the proximal term": lambda s: s.query.at(s.phi).loss + s.strength / 2 * square(s.phi - s.theta),
    "plus the proximal term without 1/2": lambda s: s.query.at(s.phi).loss + s.strength * square(s.phi - s.theta),
    "the support's loss at phi": lambda s: s.support.at(s.phi).loss,
    "the support's loss at phi plus the proximal term": lambda s: s.support.at(s.phi).loss + s.strength / 2 * square(s.phi - s.theta),
    "both losses at phi": lambda s: s.query.at(s.phi).loss + s.support.at(s.phi).loss,
    "the query's loss at theta": lambda s: s.query.at(s.theta).loss,
}


def _count(task: Any) -> int:
    """The number of data points; 1 where there are none."""
    return int(task.X.shape[-2]) if hasattr(task, "X") else 1


def _changed(change: Callable[[Array], Array]) -> Callable[[Solved], Array]:
    """A matrix of the support's Hessian at φ."""
    return lambda s: change(hessian(s.support, s.phi))


HESSIANS: dict[str, Callable[[Solved], Array] | None] = {
    "the support's at phi": None,
    "the support's at theta": lambda s: hessian(s.support, s.theta),
    "the query's at phi": lambda s: hessian(s.query, s.phi),
    "the support's at phi, times n/q": lambda s: hessian(s.support, s.phi) * _count(s.support) / _count(s.query),
    "the support's at phi, times q/n": lambda s: hessian(s.support, s.phi) * _count(s.query) / _count(s.support),
    "the support's at phi, times n": lambda s: hessian(s.support, s.phi) * _count(s.support),
    "the support's at phi, over n": lambda s: hessian(s.support, s.phi) / _count(s.support),
    "the query's at theta": lambda s: hessian(s.query, s.theta),
    "both, added": lambda s: hessian(s.query, s.phi) + hessian(s.support, s.phi),
    "the support's diagonal": lambda s: hessian(s.support, s.phi) * np.eye(s.phi.shape[-1]),
    **{words: _changed(change) for words, change in MATRICES.items()},
}
def through_steps(count: int, rate: Callable[[float, Array], Any]) -> Callable[[Solved], Array]:
    """The derivative through so many steps of descent from θ, of which θ is also the centre."""

    def gradient(s: Solved) -> Array:
        each, path = rate(s.strength, hessian(s.support, s.theta)), [s.theta]
        for _ in range(count):
            path.append(path[-1] - each * (s.support.at(path[-1]).grad + s.strength * (path[-1] - s.theta)))
        total, back = 0 * s.theta, s.query.at(path[-1]).grad
        for phi in reversed(path[:-1]):
            pulled = each * back
            total, back = total + s.strength * pulled, back - s.support.at(phi).hvp(pulled) - s.strength * pulled
        return np.asarray(total + back)

    return gradient


GRADIENTS: dict[str, Callable[[Solved], Array] | None] = {
    "of the query's loss at phi": None,
    "lambda (theta - phi)": lambda s: s.strength * (s.theta - s.phi),
    "lambda (phi - theta)": lambda s: s.strength * (s.phi - s.theta),
    "theta - phi": lambda s: s.theta - s.phi,
    "phi - theta": lambda s: s.phi - s.theta,
    "the query's at phi plus lambda (theta - phi)": lambda s: s.query.at(s.phi).grad + s.strength * (s.theta - s.phi),
    "the query's at theta": lambda s: s.query.at(s.theta).grad,
    "the query's at theta, with the query's Hessian": lambda s: matvec(
        np.linalg.inv(np.eye(s.phi.shape[-1]) + hessian(s.query, s.theta) / s.strength), s.query.at(s.theta).grad
    ),
    "the query's at theta, with the support's Hessian there": lambda s: matvec(
        np.linalg.inv(np.eye(s.phi.shape[-1]) + hessian(s.support, s.theta) / s.strength), s.query.at(s.theta).grad
    ),
    "the mean of the query's at theta and phi": lambda s: (s.query.at(s.theta).grad + s.query.at(s.phi).grad) / 2,
    "the support's at phi": lambda s: s.support.at(s.phi).grad,
    "the support's at theta": lambda s: s.support.at(s.theta).grad,
    **{
        f"through {k} step{'s' * (k > 1)} of {name}": through_steps(k, RATES[name])
        for name in ("0.1", "0.5", "0.01", "1/lambda", "1/(lambda + L)") for k in (1, 3, 5, 10, 20)
    },
}  # fmt: skip
APART = (0.05, 0.5, 3.0)
FAMILIES: dict[str, tuple[Any, ...]] = {
    "(I + H/lambda + {} I)^-1 g": ("linear system", damped, APART),
    "(I + {} H/lambda)^-1 g": ("linear system", weighted_curvature, APART),
    **{f"{k} step{'s' * (k > 1)} of rate {{}} for the linear system, {k} term{'s' * (k > 1)} of Neumann's series": ("linear system", lambda c, k=k: richardson(k, c), (0.05, 0.3)) for k in (1, 2, 3, 4, 5, 7, 10, 20)},
    **{
        f"after {k} step{'s' * (k > 1)} of rate {{}}": ("phi", lambda c, k=k: Descent(k, lambda strength, H: c), (0.05, 0.3))
        for k in (1, 2, 3, 5, 10, 20)
    },
    **{
        f"after {k} step{'s' * (k > 1)} of {{}}/(lambda + L)": ("phi", lambda c, k=k: Descent(k, lambda strength, H: c / (strength + largest(H))), (0.5, 1.5))
        for k in (1, 3, 5, 10)
    },
    **{
        f"through {k} step{'s' * (k > 1)} of rate {{}}": ("gradient", lambda c, k=k: through_steps(k, lambda strength, H: c), (0.05, 0.3))
        for k in (1, 5, 10)
    },
    "lambda times {}": ("lambda", lambda c: Strength(lambda s: c * s), APART),
    "lambda times {}, for phi only": ("lambda", lambda c: Strength(lambda s: c * s, in_system=False), APART),
    "lambda times {}, in the linear system only": ("lambda", lambda c: Strength(lambda s: c * s, in_problem=False), APART),
    "{} for lambda": ("lambda", lambda c: Strength(lambda s: c), APART),
    "{} added to lambda": ("lambda", lambda c: Strength(lambda s: s + c), (0.01, 0.3)),
    "{} added to lambda, for phi only": ("lambda", lambda c: Strength(lambda s: s + c, in_system=False), (0.01, 0.3)),
    "around {} theta": ("proximal term", lambda c: lambda problem, support, theta: c * theta, (0.3, 0.9)),
    "plus {} |phi - theta|^2/2": ("outer loss", lambda c: lambda s: s.query.at(s.phi).loss + c / 2 * square(s.phi - s.theta), (0.1, 1.0)),
    "plus {} times the support's loss": ("outer loss", lambda c: lambda s: s.query.at(s.phi).loss + c * s.support.at(s.phi).loss, (0.1, 1.0)),
    "the query's gradient at phi plus {} phi": ("right side", lambda c: lambda s: s.query.at(s.phi).grad + c * s.phi, (0.1, 1.0)),
    "the query's gradient at phi plus {} (phi - theta)": ("right side", lambda c: lambda s: s.query.at(s.phi).grad + c * (s.phi - s.theta), (0.1, 1.0)),
    "the query's gradient at phi plus {} times the support's": ("right side", lambda c: lambda s: s.query.at(s.phi).grad + c * s.support.at(s.phi).grad, (0.1, 1.0)),
    **FAMILIES_OF_RESULTS,
}  # fmt: skip
