"""What implementations choose in linear-quadratic costs.  Derivation: derivations/linear-quadratic-control.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.suites.maml.changed import Made, MadePoint, held, holomorphic, mapped, weighted
from refmeta.oracle.suites.maml.costs_by_hand import Weights, cost
from refmeta.oracle.suites.maml.families import sided_families
from refmeta.oracle.suites.maml.horizons import ENDLESS
from refmeta.oracle.suites.maml.loops import LOOPS
from refmeta.oracle.suites.maml.losses import Change, Side, from_support, sided
from refmeta.oracle.suites.maml.losses_of_gains import (
    ENTRIES_OF_COSTS,
    FAMILIES_OF_COSTS,
    INNER_GRADIENTS,
    LOOPS_OF_COSTS,
)
from refmeta.oracle.suites.maml.losses_of_returns import DISCOUNTS, HORIZONS, WEIGHTS_OF_TIME, fields_changed
from refmeta.oracle.suites.maml.lq_directions import early_noise, one_noise

__all__ = ["COSTS", "FAMILIES_OF_LQ", "column_major"]


def _system(change: Callable[[Any], dict[str, Any]]) -> Change:
    """Other fields of the system."""
    return Change(lambda task, side: replace_fields(task, lq=replace_fields(task.lq, **change(task.lq))))


def _cost(**changes: Any) -> Change:
    """Other weights in a cost with a horizon; without one, what is right."""
    weights = Weights(**changes)

    def of(task: Any, side: Side) -> Any:
        return task if task.lq.horizon is None else holomorphic(lambda theta: cost(task.lq, theta, weights))

    return Change(of, stage=1)


def _coordinates(gain: float, log: float, offset: float = 0.0) -> Change:
    """The parameters times numbers, with an offset of log σ."""

    def of(task: Any, side: Side) -> Any:
        m, d = side.own.lq.actions, side.own.dim
        return mapped(task, scale=np.repeat([gain, log], [d - m, m]), offset=np.repeat([0.0, offset], [d - m, m]))

    return Change(of, stage=2)


def _held(task: Any, side: Side) -> Any:
    """log σ is not differentiated."""
    return held(task, np.arange(side.own.dim) < side.own.dim - side.own.lq.actions)


def column_major(task: Any) -> Array:
    """The index of the gain's entry column by column in its order row by row; log σ stays last."""
    m, d = task.lq.actions, task.dim
    return np.append(np.arange(d - m).reshape(-1, m).T.ravel(), np.arange(d - m, d))


def _softplus(x: Array) -> tuple[Array, Array]:
    """log(1 + exp x)², and its slope."""
    sigma = np.log1p(np.exp(x))
    return sigma**2, 2 * sigma / (1 + np.exp(-x))


def _without_last(x: Array) -> Array:
    """x without the products with the constant 1."""
    inside = np.arange(x.shape[-1]) < x.shape[-1] - 1
    return x * (inside[:, None] & inside)


def _endless(of: Callable[[float], int]) -> Change:
    """A horizon of the discount where there is none."""
    return _system(lambda x: {"horizon": x.horizon or of(x.gamma)})


def _entropic(c: float) -> Change:
    """The cost less c times the sum of log σ."""

    def of(task: Any, side: Side) -> Any:
        last = (np.arange(side.own.dim) >= side.own.dim - side.own.lq.actions).astype(float)
        return weighted((1.0, task), (c, holomorphic(lambda theta: (-np.sum(theta * last, axis=-1), -last + 0 * theta))))

    return Change(of, stage=3)


def _floor(bound: float, above: bool) -> Change:
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


FAMILIES_OF_LQ = FAMILIES_OF_COSTS | sided_families({
    "at least {} in log sigma": ("sigma", lambda c: _floor(c, False), (-1.0, -0.3, 0.1)),
    "at most {} in log sigma": ("sigma", lambda c: _floor(c, True), (-1.0, -0.3, 0.1)),
    "{} added to log sigma": ("sigma", lambda c: _coordinates(1.0, 1.0, c), (-0.5, 0.5)),
    "log sigma times {}": ("sigma", lambda c: _coordinates(1.0, c), (0.5, 2.0)),
    "the gain times {}": ("gain", lambda c: _coordinates(c, 1.0), (0.5, -0.5)),
    "{}^t": ("discount", lambda c: _system(lambda x: {"gamma": min(max(c, 0.0), 1.0)}), (0.3, 0.8, 0.95)),
    "{} times R": ("cost of the action", lambda c: _system(lambda x: {"R": c * x.R}), (0.3, 3.0)),
    "{} times Q": ("cost of the state", lambda c: _system(lambda x: {"Q": c * x.Q}), (0.3, 3.0)),
    "{} times the process's": ("noise", lambda c: _system(lambda x: {"noise": c * x.noise}), (0.3, 3.0)),
    "less {} times the sum of log sigma": ("bonus", _entropic, (0.1, 1.0)),
})  # fmt: skip
COSTS = {
    "horizon": sided(fields_changed(HORIZONS, _system)) | {f"{words} where there is none": _endless(of) for words, of in ENDLESS.items()},
    "inner gradient": INNER_GRADIENTS,
    "inner loop": LOOPS | LOOPS_OF_COSTS,
    "alpha of the parameters": ENTRIES_OF_COSTS,
    "discount": sided(fields_changed(DISCOUNTS, _system) | WEIGHTS_OF_TIME),
    "charged": sided({
        "x_t and a_t": None,
        "x_H, too": _cost(states=lambda H, gamma: np.ones(H + 1)),
        "x_(t+1) and a_t": _cost(states=lambda H, gamma: np.append(0.0, np.ones(H) / gamma)),
        "not x_0": _cost(states=lambda H, gamma: np.append(np.append(0.0, np.ones(H))[:-1], 0.0)),
        "of the states x_H only": _cost(states=lambda H, gamma: np.eye(H + 1)[H]),
        "not the last action": _cost(actions=lambda H: np.append(np.ones(H - 1), 0.0)),
        "the mean action, without R sigma^2": _cost(charged=0.0),
    }),
    "noise": sided({
        "as it is": None,
        "none of the process": _system(lambda x: {"noise": 0 * x.noise}),
        "at step 0, too": _system(lambda x: {"start": x.start + x.noise}),
        "at step 0, too, where there is no horizon": _system(lambda x: {"start": x.start + x.noise} if x.horizon is None else {}),
        "its diagonal": _system(lambda x: {"noise": x.noise * np.eye(x.states)}),
        "halved": _system(lambda x: {"noise": x.noise / 2}),
        "squared": _system(lambda x: {"noise": x.noise @ x.noise}),
        "one noise for all actions": Change(lambda task, side: holomorphic(lambda theta: one_noise(side.own.lq, theta)), stage=1),
        "that of the policy at step 0, too": Change(lambda task, side: holomorphic(lambda theta: early_noise(side.own.lq, theta, 0.0)), stage=1),
        "both at step 0, too": Change(lambda task, side: holomorphic(lambda theta: early_noise(side.own.lq, theta, 1.0)), stage=1),
        "both at step 0, too, without a horizon, the process's with one": Change(
            lambda task, side: holomorphic(lambda theta: early_noise(side.own.lq, theta, 1.0, side.own.lq.horizon is None)), stage=1
        ),
        "none of the policy": _coordinates(1.0, 0.0, -400.0),
        "that of the policy moves no state": _cost(driven=0.0),
        "that of the process doubled": _system(lambda x: {"noise": 2 * x.noise}),
    }),
    "sigma": sided({
        "exp": None,
        "exp of the half (log of the variance)": _coordinates(1.0, 0.5),
        "exp of the double": _coordinates(1.0, 2.0),
        "softplus": _cost(variance=_softplus),
        "the parameter itself": _cost(variance=lambda x: (x**2, 2 * x)),
        "exp, not differentiated": Change(_held, stage=2),
    }),
    "gain": sided({"a = Kx": None, "a = -Kx": _coordinates(-1.0, 1.0)}),
    "dynamics": sided({
        "A and B": None,
        "A transposed": _system(lambda x: {"A": x.A.swapaxes(-1, -2)}),
        "B negated": _system(lambda x: {"B": -x.B}),
        "B left out": _system(lambda x: {"B": 0 * x.B}),
        "A plus the identity": _system(lambda x: {"A": x.A + np.eye(x.states)}),
        "A over its largest singular value": _system(lambda x: {"A": x.A / np.maximum(np.linalg.norm(x.A, 2, axis=(-2, -1))[..., None, None], 1.0)}),
        "A and B of the first task": _system(lambda x: {"A": x.A[:1] + 0 * x.A, "B": x.B[:1] + 0 * x.B}),
    }),
    "layout of theta": sided({
        "row by row": None,
        "column by column": Change(lambda task, side: mapped(task, order=column_major(side.own)), stage=3),
        "log sigma first": Change(
            lambda task, side: mapped(task, order=np.roll(np.arange(side.own.dim), -side.own.lq.actions)), stage=3
        ),
    }),
    "start": sided({
        "its second moments": None,
        "those of its mean": _system(lambda x: {"start": x.start[..., -1:] * x.start[..., -1:, :]}),
        "none": _system(lambda x: {"start": 0 * x.start}),
        "its diagonal": _system(lambda x: {"start": x.start * np.eye(x.states)}),
        "twice": _system(lambda x: {"start": 2 * x.start}),
        "its mean left out": _system(lambda x: {"start": _without_last(x.start) + _last(x.start)}),
    }),
    "cost of the state": sided({
        "Q": None,
        "Q/2": _system(lambda x: {"Q": x.Q / 2}),
        "2Q": _system(lambda x: {"Q": 2 * x.Q}),
        "none": _system(lambda x: {"Q": 0 * x.Q}),
        "Q without its linear terms": _system(lambda x: {"Q": _without_last(x.Q) + _last(x.Q)}),
        "Q's upper triangle": _system(lambda x: {"Q": (np.triu(x.Q) + np.triu(x.Q).swapaxes(-1, -2)) / 2}),
        "the identity": _system(lambda x: {"Q": np.eye(x.states) + 0 * x.Q}),
        "Q's diagonal": _system(lambda x: {"Q": x.Q * np.eye(x.states)}),
    }),
    "cost of the action": sided({
        "R": None,
        "R/2": _system(lambda x: {"R": x.R / 2}),
        "2R": _system(lambda x: {"R": 2 * x.R}),
        "none": _system(lambda x: {"R": 0 * x.R}),
        "the identity": _system(lambda x: {"R": np.eye(x.actions) + 0 * x.R}),
        "R squared": _system(lambda x: {"R": x.R @ x.R}),
        "R's diagonal": _system(lambda x: {"R": x.R * np.eye(x.actions)}),
    }),
    "query's data": {"its own": None} | {
        f"{name} of the support": from_support(name) for name in ("A", "B", "Q", "R", "start", "noise")
    } | {"A and B of the support": from_support("A", "B"), "Q and R of the support": from_support("Q", "R")},
}  # fmt: skip


def _last(x: Array) -> Array:
    """x with its last entry only."""
    corner = np.arange(x.shape[-1]) == x.shape[-1] - 1
    return x * (corner[:, None] & corner)
