"""What implementations choose in linear-quadratic costs.  Derivation: derivations/linear-quadratic-control.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.suites.maml.changed import held, holomorphic, mapped
from refmeta.oracle.suites.maml.costs_by_hand import Weights, cost
from refmeta.oracle.suites.maml.losses import Change, Side, from_support, sided
from refmeta.oracle.suites.maml.losses_of_returns import DISCOUNTS, HORIZONS, WEIGHTS_OF_TIME, fields_changed

__all__ = ["COSTS", "column_major"]


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


COSTS = {
    "horizon": sided(fields_changed(HORIZONS, _system)) | {"50 where there is none": _system(lambda x: {"horizon": x.horizon or 50})},
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
        "its mean left out": _system(lambda x: {"start": _without_last(x.start) + _last(x.start)}),
    }),
    "cost of the state": sided({
        "Q": None,
        "Q/2": _system(lambda x: {"Q": x.Q / 2}),
        "2Q": _system(lambda x: {"Q": 2 * x.Q}),
        "none": _system(lambda x: {"Q": 0 * x.Q}),
        "Q without its linear terms": _system(lambda x: {"Q": _without_last(x.Q) + _last(x.Q)}),
        "Q's diagonal": _system(lambda x: {"Q": x.Q * np.eye(x.states)}),
    }),
    "cost of the action": sided({
        "R": None,
        "R/2": _system(lambda x: {"R": x.R / 2}),
        "2R": _system(lambda x: {"R": 2 * x.R}),
        "none": _system(lambda x: {"R": 0 * x.R}),
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
