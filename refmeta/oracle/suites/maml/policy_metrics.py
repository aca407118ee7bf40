"""Natural gradients, trust regions, and what stands for the Hessian of a return.  Derivation: derivations/exact-policy-gradient.md"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.maml.changed import bent, directed
from refmeta.oracle.suites.maml.families import sided_families
from refmeta.oracle.suites.maml.losses import SUPPORT, Change, Side
from refmeta.oracle.suites.maml.penalties import PENALTIES_OF_POLICIES, times
from refmeta.oracle.suites.maml.policy_bonuses import WEIGHTS_OF_STATES, entropy, explored, soft
from refmeta.oracle.suites.maml.policy_directions import ALL, FLOW, GradientFormula, direction, fisher
from refmeta.oracle.suites.maml.programs import Loop, inner

__all__ = ["CURVATURES", "FAMILIES_OF_POLICIES", "LOOPS_OF_POLICIES"]


def _metric(weigh: Callable[[Array], Array], damping: float, held: bool = False, radius: float = 0.0) -> Loop:
    """(F + damping)⁻¹g for the gradient; with a radius of length √(2 radius/gᵀF⁻¹g), which is held constant."""

    def step(tasks: Any, k: int, path: list[Array]) -> Array:
        phi, g = path[-1], tasks.support.grad(path[-1])
        F = fisher(tasks.support.task, phi.real if held else phi, weigh)
        x = np.linalg.solve(F + damping * np.eye(F.shape[-1]), g[..., None])[..., 0]
        return x * np.sqrt(2 * radius / np.sum(x * g, axis=-1, keepdims=True).real) if radius else x

    return inner(step)


def _region(damping: float, radius: float) -> Loop:
    """The step of a trust region."""
    return _metric(lambda d: d, damping, held=True, radius=radius)


def _bent(matrix: Callable[[Any, Array], Array]) -> Change:
    """A matrix of the support's task at θ for the Hessian."""

    def of(task: Any, side: Side) -> Any:
        return bent(task, lambda theta, v: np.einsum("...ij,...j->...i", matrix(side.own, theta), v))

    return Change(of, SUPPORT, stage=4)


def _bent_by(**parts: Any) -> Change:
    """The derivative of another formula of the gradient for the Hessian."""

    def of(task: Any, side: Side) -> Any:
        other = directed(task, lambda theta, held: direction(side.own, GradientFormula(**parts), theta, held))
        return bent(task, lambda theta, v: other.at(theta).hvp(v))

    return Change(of, SUPPORT, stage=4)


VISITED: dict[str, Callable[[Array], Array]] = {
    "": lambda d: d,
    ", visits a distribution": lambda d: d / np.sum(d, axis=-1, keepdims=True),
    ", all states alike": lambda d: 0 * d + 1 / d.shape[-1],
}
CURVATURES: dict[str, Change | None] = {
    "the Hessian": None,
    **{f"the Fisher matrix{words}": _bent(partial(fisher, weigh=weigh)) for words, weigh in VISITED.items()},
    **{f"minus the Fisher matrix{words}": _bent(partial(fisher, weigh=weigh, sign=-1.0)) for words, weigh in VISITED.items()},
    "visits and action values held constant": _bent_by(held=FLOW),
    "all but the score held constant": _bent_by(held=ALL),
    "visits held constant": _bent_by(held=("visits",)),
    "action values held constant": _bent_by(held=("values",)),
    "probabilities in front of the score held constant": _bent_by(held=("weights",)),
    "visits and probabilities in front of the score held constant": _bent_by(held=("visits", "weights")),
    "action values and probabilities in front of the score held constant": _bent_by(held=("values", "weights")),
}


def _stale(held: tuple[str, ...], at: int | None) -> Loop:
    """The gradient with parts of its formula from the first point of the path, or from the point before."""

    def step(tasks: Any, k: int, path: list[Array]) -> Array:
        return direction(tasks.support.task, GradientFormula(held=held), path[-1], path[0] if at is None else path[at:][0])

    return inner(step)


LOOPS_OF_POLICIES: dict[str, Loop | None] = {
    "visits and action values of theta": _stale(FLOW, None),
    "visits and action values of the point before": _stale(FLOW, -2),
    "visits of theta": _stale(("visits",), None),
    "action values of theta": _stale(("values",), None),
    "all but the score of theta": _stale(ALL, None),
}
DAMPED = {
    f"the natural gradient{words}{', its matrix held constant' * held}, damped by {{}}": (weigh, held)
    for words, weigh in VISITED.items() for held in (False, True)
}  # fmt: skip
FAMILIES_OF_POLICIES: dict[str, tuple[Any, ...]] = {
    **sided_families({
        **{f"{{}} times the entropy, {words}": ("bonus", entropy(weigh), (0.01, 1.0)) for words, weigh in WEIGHTS_OF_STATES.items()},
        "{} times minus log pi in every reward": ("bonus", soft, (0.01, 0.5)),
        "{} of a uniform policy mixed in": ("policy", explored, (0.05, 0.3)),
    }),
    **{f"plus {words}": ("added to the outer loss", times(each), (0.01, 1.0)) for words, each in PENALTIES_OF_POLICIES.items()},
    **{words: ("inner loop", partial(_metric, weigh, held=held), (1e-3, 0.1, 1.0)) for words, (weigh, held) in DAMPED.items()},
    **{
        f"the natural gradient, damped by {damping:g}, in a trust region of {{}}": (
            "inner loop", partial(_region, damping), (1e-3, 0.1)
        )
        for damping in (0.1, 0.01, 0.001)
    },
}
