"""What implementations choose in exact returns.  Derivation: derivations/exact-policy-gradient.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, dot, replace_fields
from refmeta.oracle.suites.maml.changed import holomorphic, mapped
from refmeta.oracle.suites.maml.loops import LOOPS
from refmeta.oracle.suites.maml.losses import Change, Side, from_support, scaled, sided
from refmeta.oracle.suites.maml.losses_of_policies import FORMULAS, LOOPS_OF_POLICIES
from refmeta.policies import TabularSoftmax
from refmeta.softmax import softmax

__all__ = ["DISCOUNTS", "HORIZONS", "LINEAR", "TABULAR", "WEIGHTS_OF_TIME", "action_major", "fields_changed", "weighted_by_time"]


def _process(change: Callable[[Any], dict[str, Any]]) -> Change:
    """Other fields of the process."""
    return Change(lambda task, side: replace_fields(task, mdp=replace_fields(task.mdp, **change(task.mdp))))


def weighted_by_time(factor: Callable[[float, int | None], float]) -> Change:
    """The return times a factor of γ and H."""

    def of(side: Side) -> float:
        inner = side.own.mdp if hasattr(side.own, "mdp") else side.own.lq
        return factor(inner.gamma, inner.horizon)

    return scaled(of)


def _one_state(size: int, which: int) -> Array:
    """All probability on one state."""
    return np.eye(size)[which]


def _by_hand(axis: int = -1, visits: bool = True, horizon: int | None = None) -> Change:
    """−J of a softmax over an axis of the table; with −Σ_t d_t π Q_t for its gradient if visits are not discounted.

    `horizon` is that of a process without one, which else is right.
    """

    def of(task: Any, side: Side) -> Any:
        H = task.mdp.horizon or horizon
        right = axis == -1 and (horizon and task.mdp.horizon or not horizon and not H)
        return task if right else holomorphic(lambda theta: _return(task, theta, axis, visits, H))

    return Change(of, stage=1)


def _return(task: Any, theta: Array, axis: int, visits: bool, horizon: int | None) -> tuple[Array, Array]:
    """−J and its gradient, for policies whose rows need not add to 1."""
    z = task.policy.table(theta)
    pi = softmax(z) if axis == -1 else softmax(z.swapaxes(-1, -2)).swapaxes(-1, -2)
    J, G = _discounted(task.mdp, pi) if horizon is None else _finite(task.mdp, pi, visits, horizon)
    mean = np.sum(pi * G, axis=axis, keepdims=True)
    return -J, -task.policy.pullback(pi * (G - mean))


def _discounted(mdp: Any, pi: Array) -> tuple[Array, Array]:
    """J, and ∂J/∂π = d Q."""
    M = np.eye(mdp.states) - mdp.gamma * mdp.transitions(pi)
    V = np.linalg.solve(M, dot(pi, mdp.expected_reward)[..., None])[..., 0]
    rho = np.broadcast_to(mdp.rho, V.shape)
    d = np.linalg.solve(M.swapaxes(-1, -2), rho[..., None])[..., 0]
    return dot(rho, V), d[..., None] * (mdp.expected_reward + mdp.gamma * mdp.expect(V))


def _finite(mdp: Any, pi: Array, visits: bool, horizon: int) -> tuple[Array, Array]:
    """J, and ∂J/∂π = Σ_t γᵗd_t Q_t or that without γᵗ, Q_t = R + γP V_{t+1}, from the powers of P_π."""
    powers, discounts = _powers(mdp.transitions(pi), horizon), mdp.gamma ** np.arange(horizon)[:, None, None]
    d = (mdp.rho[..., None, :] @ powers)[..., 0, :] * (discounts if visits else 1.0)
    V = np.cumsum(discounts * (powers @ dot(pi, mdp.expected_reward)[..., None])[..., 0], axis=0)
    following = np.concatenate([V[:-1][::-1], 0 * V[:1]])
    both = np.einsum("tns,tnu->nsu", d, following)
    G = np.sum(d, axis=0)[..., None] * mdp.expected_reward + mdp.gamma * np.einsum("nsau,nsu->nsa", mdp.P, both)
    return dot(mdp.rho, V[-1]), G


def _powers(M: Array, count: int) -> Array:
    """I, M, M² … by doubling, (count, N, S, S)."""
    powers = np.broadcast_to(np.eye(M.shape[-1]), (1, *M.shape))
    while len(powers) < count:
        powers, M = np.concatenate([powers, powers @ M]), M @ M
    return powers[:count]


HORIZONS = {
    "H": None,
    "H - 1": lambda x: {"horizon": x.horizon and x.horizon - 1},
    "H + 1": lambda x: {"horizon": x.horizon and x.horizon + 1},
    "2H": lambda x: {"horizon": x.horizon and 2 * x.horizon},
    "none": lambda x: {"horizon": None} if x.gamma < 1 else {},
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
WEIGHTS_OF_TIME = {
    "gamma^(t + 1)": weighted_by_time(lambda gamma, H: gamma),
    "gamma^(t - 1)": weighted_by_time(lambda gamma, H: 1 / gamma if gamma else np.nan),
    "(1 - gamma) gamma^t": weighted_by_time(lambda gamma, H: 1 - gamma),
    "(1 - gamma) gamma^t where there is no horizon": weighted_by_time(lambda gamma, H: 1.0 if H else 1 - gamma),
    "gamma^t/H": weighted_by_time(lambda gamma, H: 1 / (H or 1)),
    "gamma^t/(sum of gamma^t)": weighted_by_time(lambda gamma, H: (1 - gamma) / (1 - gamma**H if H else 1.0) if gamma < 1 else 1 / (H or 1)),
}


def fields_changed(table: dict[str, Any], change: Callable[[Any], Change]) -> dict[str, Change | None]:
    """Changes of fields, made of what they change."""
    return {words: each and change(each) for words, each in table.items()}


def action_major(task: Any) -> Array:
    """The index of entry a·S + s in the order s·A + a."""
    return np.arange(task.dim).reshape(task.policy.actions, task.policy.states).T.ravel()


def _tabular_layout(task: Any, side: Side) -> Any:
    """The table read action after action."""
    if not isinstance(side.own.policy, TabularSoftmax):
        raise AttributeError("features have no layout")
    return mapped(task, order=action_major(side.own))


LINEAR = {
    "inner loop": LOOPS | LOOPS_OF_POLICIES,
    **FORMULAS,
    "horizon": sided(fields_changed(HORIZONS, _process)) | {f"{H} where there is none": _by_hand(horizon=H) for H in (50, 100, 200)},
    "discount": sided(fields_changed(DISCOUNTS, _process) | WEIGHTS_OF_TIME),
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
        "2": Change(lambda task, side: mapped(task, scale=0.5), stage=2),
        "1/2": Change(lambda task, side: mapped(task, scale=2.0), stage=2),
    }),
    "query's data": {
        "its own": None, "P of the support": from_support("P"), "R of the support": from_support("R"),
        "rho of the support": from_support("rho"), "P and rho of the support": from_support("P", "rho"),
        "R and rho of the support": from_support("R", "rho"), "P and R of the support": from_support("P", "R"),
    },
}  # fmt: skip
TABULAR = LINEAR | {
    "layout of theta": sided({"state after state": None, "action after action": Change(_tabular_layout, stage=3)}),
}
