"""What implementations choose in exact returns and linear-quadratic costs.  Derivation: derivations/exact-policy-gradient.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, dot, replace_fields
from refmeta.oracle.suites.maml.changed import Held, Holomorphic, Mapped
from refmeta.oracle.suites.maml.costs_by_hand import Weights, cost
from refmeta.oracle.suites.maml.losses import Change, Side, from_support, scaled, sided
from refmeta.policies import TabularSoftmax
from refmeta.softmax import softmax

__all__ = ["COSTS", "RETURNS", "TABULAR", "action_major", "column_major"]


def _process(change: Callable[[Any], dict[str, Any]]) -> Change:
    """Other fields of the process."""
    return Change(lambda task, side: replace_fields(task, mdp=replace_fields(task.mdp, **change(task.mdp))))


def _weight(factor: Callable[[float, int | None], float]) -> Change:
    """The return times a factor of γ and H."""

    def of(side: Side) -> float:
        inner = side.own.mdp if hasattr(side.own, "mdp") else side.own.lq
        return factor(inner.gamma, inner.horizon)

    return scaled(of)


def _one_state(size: int, which: int) -> Array:
    """All probability on one state."""
    return np.eye(size)[which]


def _by_hand(axis: int = -1, visits: bool = True) -> Change:
    """−J of a softmax over an axis of the table, and −Σ_t γᵗd_t π Q_t without the γᵗ of the visits if they are not discounted."""
    return Change(lambda task, side: Holomorphic(lambda theta: _return(task, theta, axis, visits)), stage=1)


def _return(task: Any, theta: Array, axis: int, visits: bool) -> tuple[Array, Array]:
    """−J and its gradient, for policies whose rows need not add to 1."""
    z = task.policy.table(theta)
    pi = softmax(z) if axis == -1 else softmax(z.swapaxes(-1, -2)).swapaxes(-1, -2)
    J, G = (_discounted if task.mdp.horizon is None else _finite)(task.mdp, pi, visits)
    mean = np.sum(pi * G, axis=axis, keepdims=True)
    return -J, -task.policy.pullback(pi * (G - mean))


def _discounted(mdp: Any, pi: Array, visits: bool) -> tuple[Array, Array]:
    """J, and ∂J/∂π = d Q; both are right, whatever is done with γᵗ."""
    M = np.eye(mdp.states) - mdp.gamma * mdp.transitions(pi)
    V = np.linalg.solve(M, dot(pi, mdp.expected_reward)[..., None])[..., 0]
    rho = np.broadcast_to(mdp.rho, V.shape)
    d = np.linalg.solve(M.swapaxes(-1, -2), rho[..., None])[..., 0]
    return dot(rho, V), d[..., None] * (mdp.expected_reward + mdp.gamma * mdp.expect(V))


def _finite(mdp: Any, pi: Array, visits: bool) -> tuple[Array, Array]:
    """J, and ∂J/∂π = Σ_t γᵗd_t Q_t, or that without γᵗ."""
    V: Array = 0 * pi[..., 0]
    Q: list[Array] = []
    for _ in range(mdp.horizon):
        Q.insert(0, mdp.expected_reward + mdp.gamma * mdp.expect(V))
        V = dot(pi, Q[0])
    d, G = np.broadcast_to(mdp.rho, V.shape), 0 * pi
    for each in Q:
        G = G + d[..., None] * each
        d = (mdp.gamma if visits else 1.0) * mdp.push(d[..., None] * pi)
    return dot(mdp.rho, V), G


HORIZONS = {
    "H": None,
    "H - 1": lambda x: {"horizon": x.horizon and x.horizon - 1},
    "H + 1": lambda x: {"horizon": x.horizon and x.horizon + 1},
    "2H": lambda x: {"horizon": x.horizon and 2 * x.horizon},
    "none": lambda x: {"horizon": None} if x.gamma < 1 else {},
    "50 where there is none": lambda x: {"horizon": x.horizon or 50},
    "100 where there is none": lambda x: {"horizon": x.horizon or 100},
    "200 where there is none": lambda x: {"horizon": x.horizon or 200},
}
DISCOUNTS = {
    "gamma^t": None,
    "none where there is a horizon": lambda x: {"gamma": 1.0} if x.horizon else {},
    "gamma^(2t)": lambda x: {"gamma": x.gamma**2},
    "sqrt(gamma)^t": lambda x: {"gamma": x.gamma**0.5},
    "0.99^t": lambda x: {"gamma": 0.99},
    "0.95^t": lambda x: {"gamma": 0.95},
    "0.9^t": lambda x: {"gamma": 0.9},
    "0^t": lambda x: {"gamma": 0.0},
}
WEIGHTS = {
    "gamma^(t + 1)": _weight(lambda gamma, H: gamma),
    "gamma^(t - 1)": _weight(lambda gamma, H: 1 / gamma if gamma else np.nan),
    "(1 - gamma) gamma^t": _weight(lambda gamma, H: 1 - gamma),
    "(1 - gamma) gamma^t where there is no horizon": _weight(lambda gamma, H: 1.0 if H else 1 - gamma),
    "gamma^t/H": _weight(lambda gamma, H: 1 / (H or 1)),
    "gamma^t/(sum of gamma^t)": _weight(lambda gamma, H: (1 - gamma) / (1 - gamma**H if H else 1.0) if gamma < 1 else 1 / (H or 1)),
}


def _chosen(table: dict[str, Any], change: Callable[[Any], Change]) -> dict[str, Change | None]:
    """Changes of fields, made of what they change."""
    return {words: each and change(each) for words, each in table.items()}


def action_major(task: Any) -> Array:
    """The index of entry a·S + s in the order s·A + a."""
    return np.arange(task.dim).reshape(task.policy.actions, task.policy.states).T.ravel()


def _tabular_layout(task: Any, side: Side) -> Any:
    """The table read action after action."""
    if not isinstance(side.own.policy, TabularSoftmax):
        raise AttributeError("features have no layout")
    return Mapped(task, order=action_major(side.own))


RETURNS = {
    "horizon": sided(_chosen(HORIZONS, _process)),
    "discount": sided(_chosen(DISCOUNTS, _process) | WEIGHTS),
    "start": sided({
        "rho": None,
        "the first state": _process(lambda x: {"rho": _one_state(x.states, 0) + 0 * x.rho}),
        "the last state": _process(lambda x: {"rho": _one_state(x.states, -1) + 0 * x.rho}),
        "uniform": _process(lambda x: {"rho": np.full(x.states, 1 / x.states) + 0 * x.rho}),
    }),
    "transitions": sided({
        "P[s, a, s']": None,
        "P[s', a, s]": _process(lambda x: {"P": x.P.swapaxes(-1, -3)}),
        "the mean over the actions": _process(lambda x: {"P": 0 * x.P + np.mean(x.P, axis=-2, keepdims=True)}),
        "uniform": _process(lambda x: {"P": 0 * x.P + 1 / x.states}),
    }),
    "reward": sided({
        "R[s, a]": None,
        "R[s', a]": _process(lambda x: {"R": np.einsum("...sat,...ta->...sa", x.P, x.R)}),
        "the mean of R over the actions": _process(lambda x: {"R": 0 * x.R + np.mean(x.R, axis=-1, keepdims=True)}),
        "R clipped to [-1, 1]": _process(lambda x: {"R": np.clip(x.R, -1, 1)}),
        "R over its deviation": _process(lambda x: {"R": x.R / np.std(x.R, axis=(-1, -2), keepdims=True)}),
    }) | {"R less its mean": _process(lambda x: {"R": x.R - np.mean(x.R, axis=(-1, -2), keepdims=True)})},
    "visits": sided({"discounted": None, "not discounted": _by_hand(visits=False)}),
    "softmax over": sided({"the actions": None, "the states": _by_hand(axis=-2)}),
    "temperature": sided({
        "1": None,
        "2": Change(lambda task, side: Mapped(task, scale=0.5), stage=2),
        "1/2": Change(lambda task, side: Mapped(task, scale=2.0), stage=2),
    }),
    "query's data": {
        "its own": None, "P of the support": from_support("P"), "R of the support": from_support("R"),
        "rho of the support": from_support("rho"), "P and rho of the support": from_support("P", "rho"),
        "R and rho of the support": from_support("R", "rho"), "P and R of the support": from_support("P", "R"),
    },
}  # fmt: skip
TABULAR = RETURNS | {
    "layout of theta": sided({"state after state": None, "action after action": Change(_tabular_layout, stage=3)}),
}


def _system(change: Callable[[Any], dict[str, Any]]) -> Change:
    """Other fields of the system."""
    return Change(lambda task, side: replace_fields(task, lq=replace_fields(task.lq, **change(task.lq))))


def _cost(**changes: Any) -> Change:
    """Other weights in a cost with a horizon; without one, what is right."""
    weights = Weights(**changes)

    def of(task: Any, side: Side) -> Any:
        return task if task.lq.horizon is None else Holomorphic(lambda theta: cost(task.lq, theta, weights))

    return Change(of, stage=1)


def _coordinates(gain: float, log: float, offset: float = 0.0) -> Change:
    """The parameters times numbers, with an offset of log σ."""

    def of(task: Any, side: Side) -> Any:
        m, d = side.own.lq.actions, side.own.dim
        return Mapped(task, scale=np.repeat([gain, log], [d - m, m]), offset=np.repeat([0.0, offset], [d - m, m]))

    return Change(of, stage=2)


def _held(task: Any, side: Side) -> Any:
    """log σ is not differentiated."""
    return Held(task, np.arange(side.own.dim) < side.own.dim - side.own.lq.actions)


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
    "horizon": sided(_chosen(HORIZONS, _system)),
    "discount": sided(_chosen(DISCOUNTS, _system) | WEIGHTS),
    "charged": sided({
        "x_t and a_t": None,
        "x_H, too": _cost(states=lambda H: np.ones(H + 1)),
        "x_1 ... x_H instead of x_0 ... x_(H-1)": _cost(states=lambda H: np.append(0.0, np.ones(H))),
        "not x_0": _cost(states=lambda H: np.append(np.append(0.0, np.ones(H))[:-1], 0.0)),
        "of the states x_H only": _cost(states=lambda H: np.eye(H + 1)[H]),
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
        "column by column": Change(lambda task, side: Mapped(task, order=column_major(side.own)), stage=3),
        "log sigma first": Change(
            lambda task, side: Mapped(task, order=np.roll(np.arange(side.own.dim), -side.own.lq.actions)), stage=3
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
