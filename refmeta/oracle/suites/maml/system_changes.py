"""Other fields of a system, and other coordinates of its parameters.  Derivation: derivations/linear-quadratic-control.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.suites.maml.changed import Made, MadePoint, held, holomorphic, mapped, weighted
from refmeta.oracle.suites.maml.costs_by_hand import Weights, cost
from refmeta.oracle.suites.maml.losses import Change, Side
from refmeta.oracle.suites.maml.lq_directions import changed_cost, free_noise

__all__ = ["any_system", "charged_free", "charged_late", "column_major", "coordinates", "reweighted", "endless", "entropic", "floor", "held_deviation", "last", "softplus", "system", "without_last"]


def system(change: Callable[[Any], dict[str, Any]]) -> Change:
    """Other fields of the system."""
    return Change(lambda task, side: replace_fields(task, lq=replace_fields(task.lq, **change(task.lq))))


def any_system(change: Callable[[Any], dict[str, Any]]) -> Change:
    """Other fields of the system, whose last coordinate need not stay 1."""
    return Change(lambda task, side: holomorphic(lambda theta: changed_cost(side.own.lq, theta, change(side.own.lq))), stage=1)


def charged_free(task: Any, side: Side) -> Any:
    """The cost without Rσ²."""
    return holomorphic(lambda theta: free_noise(side.own.lq, theta))


def charged_late(task: Any, side: Side) -> Any:
    """The costs of the states x_{t+1} at t: those of x_t over γ, but for the start."""
    lq = task.lq
    if lq.horizon is not None:
        return holomorphic(lambda theta: cost(lq, theta, Weights(states=lambda H, gamma: np.append(0.0, np.ones(H) / gamma))))
    later = replace_fields(task, lq=replace_fields(lq, Q=lq.Q / lq.gamma))
    start = np.einsum("...ij,...ji->...", lq.Q, lq.start) / lq.gamma
    return weighted((1.0, later), (-1.0, holomorphic(lambda theta: (start + 0 * theta[..., 0], 0 * theta))))


def reweighted(**changes: Any) -> Change:
    """Other weights in a cost with a horizon; without one, what is right."""
    weights = Weights(**changes)

    def of(task: Any, side: Side) -> Any:
        return task if task.lq.horizon is None else holomorphic(lambda theta: cost(task.lq, theta, weights))

    return Change(of, stage=1)


def coordinates(gain: float, log: float, offset: float = 0.0) -> Change:
    """The parameters times numbers, with an offset of log σ."""

    def of(task: Any, side: Side) -> Any:
        m, d = side.own.lq.actions, side.own.dim
        return mapped(task, scale=np.repeat([gain, log], [d - m, m]), offset=np.repeat([0.0, offset], [d - m, m]))

    return Change(of, stage=2)


def held_deviation(task: Any, side: Side) -> Any:
    """log σ is not differentiated."""
    return held(task, np.arange(side.own.dim) < side.own.dim - side.own.lq.actions)


def column_major(task: Any) -> Array:
    """The index of the gain's entry column by column in its order row by row; log σ stays last."""
    m, d = task.lq.actions, task.dim
    return np.append(np.arange(d - m).reshape(-1, m).T.ravel(), np.arange(d - m, d))


def softplus(x: Array) -> tuple[Array, Array]:
    """log(1 + exp x)², and its slope."""
    sigma = np.log1p(np.exp(x))
    return sigma**2, 2 * sigma / (1 + np.exp(-x))


def without_last(x: Array) -> Array:
    """x without the products with the constant 1."""
    inside = np.arange(x.shape[-1]) < x.shape[-1] - 1
    return x * (inside[:, None] & inside)


def endless(of: Callable[[float], int]) -> Change:
    """A horizon of the discount where there is none."""
    return system(lambda x: {"horizon": x.horizon or of(x.gamma)})


def entropic(c: float) -> Change:
    """The cost less c times the sum of log σ."""

    def of(task: Any, side: Side) -> Any:
        last = (np.arange(side.own.dim) >= side.own.dim - side.own.lq.actions).astype(float)
        return weighted((1.0, task), (c, holomorphic(lambda theta: (-np.sum(theta * last, axis=-1), -last + 0 * theta))))

    return Change(of, stage=3)


def floor(bound: float, above: bool) -> Change:
    """log σ at least, or at most, a bound, beyond which it has no gradient."""

    def of(task: Any, side: Side) -> Any:
        m, d = side.own.lq.actions, side.own.dim
        last = np.arange(d) >= d - m

        def at(theta: Array) -> MadePoint:
            out = last & ((theta.real > bound) if above else (theta.real < bound))
            point = task.at(np.where(out, bound, theta))
            return MadePoint(theta, lambda: point.loss, lambda: ~out * point.grad, lambda v: ~out * point.hvp(~out * v))

        return Made(at)

    return Change(of, stage=2)


def last(x: Array) -> Array:
    """x with its last entry only."""
    corner = np.arange(x.shape[-1]) == x.shape[-1] - 1
    return x * (corner[:, None] & corner)
