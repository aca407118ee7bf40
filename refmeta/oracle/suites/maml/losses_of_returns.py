"""What implementations choose in exact returns.  Derivation: derivations/exact-policy-gradient.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, dot, replace_fields
from refmeta.oracle.suites.maml.changed import holomorphic, mapped
from refmeta.oracle.suites.maml.families import sided_families
from refmeta.oracle.suites.maml.horizons import ENDLESS
from refmeta.oracle.suites.maml.loops import LOOPS
from refmeta.oracle.suites.maml.losses import Change, Side, from_support, scaled, sided
from refmeta.oracle.suites.maml.losses_of_policies import CURVATURES, FAMILIES_OF_POLICIES, FORMULAS, LOOPS_OF_POLICIES
from refmeta.oracle.suites.maml.policy_directions import flow
from refmeta.oracle.suites.maml.schedules import OF_PARAMETERS, reordered
from refmeta.policies import TabularSoftmax
from refmeta.softmax import softmax

__all__ = ["DISCOUNTS", "FAMILIES_OF_RETURNS", "FEATURES", "HORIZONS", "LINEAR", "TABULAR", "WEIGHTS_OF_TIME", "action_major", "fields_changed", "weighted_by_time"]


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


def _by_hand(axis: int = -1, visits: bool = True, horizon: Callable[[float], int] | None = None) -> Change:
    """−J of a softmax over an axis of the table; with −Σ_t d_t π Q_t for its gradient if visits are not discounted.

    `horizon` makes that of a process without one of its discount; else such a process is right.
    """

    def of(task: Any, side: Side) -> Any:
        H = task.mdp.horizon or horizon and horizon(task.mdp.gamma)
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


def _least(x: Array) -> Array:
    """The least entry of every task."""
    return np.min(x, axis=(-1, -2), keepdims=True)


def fields_changed(table: dict[str, Any], change: Callable[[Any], Change]) -> dict[str, Change | None]:
    """Changes of fields, made of what they change."""
    return {words: each and change(each) for words, each in table.items()}


def action_major(task: Any) -> Array:
    """The index of entry a·S + s in the order s·A + a."""
    return np.arange(task.dim).reshape(task.policy.actions, task.policy.states).T.ravel()


def _of_table(which: Callable[[Array, Array, int, int], Any]) -> Any:
    """Step sizes of some states and actions only."""

    def entries(a: Array, task: Any) -> Array:
        S, A = task.policy.states, task.policy.actions
        return a * which(*np.divmod(np.arange(task.dim), A), S, A)

    return entries


def _features(change: Callable[[Array], Array]) -> Change:
    """Other features."""
    return Change(lambda task, side: replace_fields(task, policy=replace_fields(task.policy, features=change(task.policy.features))))


def _over_states(task: Any, side: Side) -> Any:
    """A softmax over the states, each state's row scaled to add up to 1."""

    def both(theta: Array) -> tuple[Array, Array]:
        mdp, policy = side.own.mdp, side.own.policy
        p = softmax(policy.table(theta).swapaxes(-1, -2)).swapaxes(-1, -2)
        total = np.sum(p, axis=-1, keepdims=True)
        f = flow(mdp, p / total, mdp.horizon)
        by_pi = np.sum(f.visits[..., None] * f.values, axis=-3)
        by_p = (by_pi - np.sum(by_pi * p / total, axis=-1, keepdims=True)) / total
        J = np.sum(mdp.rho * np.sum(p / total * f.values[..., 0, :, :], axis=-1), axis=-1)
        return -J, -policy.pullback(p * (by_p - np.sum(p * by_p, axis=-2, keepdims=True)))

    return holomorphic(both)


def _tabular_layout(task: Any, side: Side) -> Any:
    """The table read action after action."""
    if not isinstance(side.own.policy, TabularSoftmax):
        raise AttributeError("features have no layout")
    return mapped(task, order=action_major(side.own))


LINEAR = {
    "inner loop": LOOPS | LOOPS_OF_POLICIES,
    **FORMULAS,
    "curvature": CURVATURES,
    "horizon": sided(fields_changed(HORIZONS, _process)) | {f"{words} where there is none": _by_hand(horizon=of) for words, of in ENDLESS.items()},
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
        "of the first task": _process(lambda x: {"P": x.P[:1] + 0 * x.P}),
        "of the next task": _process(lambda x: {"P": np.roll(x.P, -1, axis=0)}),
        "of the first action": _process(lambda x: {"P": 0 * x.P + x.P[..., :1, :]}),
        "actions in reverse": _process(lambda x: {"P": x.P[..., ::-1, :]}),
        "the likeliest next state": _process(lambda x: {"P": np.eye(x.states)[np.argmax(x.P, axis=-1)]}),
        "the mean over the actions": _process(lambda x: {"P": 0 * x.P + np.mean(x.P, axis=-2, keepdims=True)}),
        "uniform": _process(lambda x: {"P": 0 * x.P + 1 / x.states}),
    }),
    "reward": sided({
        "R[s, a]": None,
        "R[s', a]": _process(lambda x: {"R": np.einsum("...sat,...ta->...sa", x.P, x.R)}),
        "the mean of R over the actions": _process(lambda x: {"R": 0 * x.R + np.mean(x.R, axis=-1, keepdims=True)}),
        "R clipped to [-1, 1]": _process(lambda x: {"R": np.clip(x.R, -1, 1)}),
        "R over its largest size": _process(lambda x: {"R": x.R / np.max(np.abs(x.R), axis=(-1, -2), keepdims=True)}),
        "R's sign": _process(lambda x: {"R": np.sign(x.R)}),
        "R between 0 and 1": _process(lambda x: {"R": (x.R - _least(x.R)) / (np.max(x.R, axis=(-1, -2), keepdims=True) - _least(x.R))}),
        "R standardised": _process(lambda x: {"R": (x.R - np.mean(x.R, axis=(-1, -2), keepdims=True)) / np.std(x.R, axis=(-1, -2), keepdims=True)}),
        "R standardised over the tasks, too": _process(lambda x: {"R": (x.R - np.mean(x.R)) / np.std(x.R) + 0 * x.R}),
        "R of the first task": _process(lambda x: {"R": x.R[:1] + 0 * x.R}),
        "R of the next task": _process(lambda x: {"R": np.roll(x.R, -1, axis=0)}),
        "R over its deviation": _process(lambda x: {"R": x.R / np.std(x.R, axis=(-1, -2), keepdims=True)}),
    }) | {"R less its mean": _process(lambda x: {"R": x.R - np.mean(x.R, axis=(-1, -2), keepdims=True)})},
    "visits": sided({"discounted": None, "not discounted": _by_hand(visits=False)}),
    "softmax over": sided({"the actions": None, "the states": _by_hand(axis=-2), "the states, rows scaled to 1": Change(_over_states, stage=1)}),
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
FEATURES = LINEAR | {
    "features": sided({
        "as they are": None,
        "of length 1": _features(lambda f: f / np.maximum(np.linalg.norm(f, axis=-1, keepdims=True), 1e-12)),
        "over the root of d": _features(lambda f: f / np.sqrt(f.shape[-1])),
        "times the root of d": _features(lambda f: f * np.sqrt(f.shape[-1])),
        "over d": _features(lambda f: f / f.shape[-1]),
        "standardised over states and actions": _features(lambda f: (f - np.mean(f, axis=(-3, -2), keepdims=True)) / (np.std(f, axis=(-3, -2), keepdims=True) + 1e-8)),
        "over their deviation": _features(lambda f: f / np.std(f, axis=(-3, -2), keepdims=True)),
        "over their largest": _features(lambda f: f / np.max(np.abs(f), axis=(-3, -2), keepdims=True)),
        "standardised over the states": _features(lambda f: (f - np.mean(f, axis=-3, keepdims=True)) / (np.std(f, axis=-3, keepdims=True) + 1e-8)),
        "standardised over the parameters": _features(lambda f: (f - np.mean(f, axis=-1, keepdims=True)) / (np.std(f, axis=-1, keepdims=True) + 1e-8)),
        "of the first action for all": _features(lambda f: np.concatenate([f[..., :1, :], 0 * f[..., 1:, :]], axis=-2)),
        "their size": _features(np.abs),
        "1 in the first": _features(lambda f: np.where(np.arange(f.shape[-1]) == 0, 1.0, f)),
        "1 in the last": _features(lambda f: np.where(np.arange(f.shape[-1]) == f.shape[-1] - 1, 1.0, f)),
        "in reverse": _features(lambda f: f[..., ::-1]),
        "actions in reverse": _features(lambda f: f[..., ::-1, :]),
    }),
}  # fmt: skip
TABULAR = LINEAR | {
    "alpha of the parameters": OF_PARAMETERS | {
        "none for the last state": _of_table(lambda s, a, S, A: s < S - 1),
        "none for the first state": _of_table(lambda s, a, S, A: s > 0),
        "none for the last action": _of_table(lambda s, a, S, A: a < A - 1),
        "none for the first action": _of_table(lambda s, a, S, A: a > 0),
        "read action after action": reordered(lambda task: np.argsort(action_major(task))),
        "laid out action after action": reordered(action_major),
    },
    "layout of theta": sided({"state after state": None, "action after action": Change(_tabular_layout, stage=3)}),
}


def _mixed(x: Array, axis: int, c: float) -> Array:
    """(1 − c) x + c of what is uniform."""
    return (1 - c) * x + c / x.shape[axis]


FAMILIES_OF_RETURNS = FAMILIES_OF_POLICIES | sided_families({
    "a temperature of {}": ("temperature", lambda c: Change(lambda task, side: mapped(task, scale=1 / c), stage=2), (0.3, 2.0)),
    "{}^t": ("discount", lambda c: _process(lambda x: {"gamma": min(max(c, 0.0), 1.0)}), (0.3, 0.8, 0.95)),
    "({} gamma)^t": ("discount", lambda c: _process(lambda x: {"gamma": min(max(c * x.gamma, 0.0), 1.0)}), (0.5, 0.9)),
    "{} added to R": ("reward", lambda c: _process(lambda x: {"R": x.R + c}), (0.1, -1.0)),
    "{} of uniform in P": ("transitions", lambda c: _process(lambda x: {"P": _mixed(x.P, -1, c)}), (0.05, 0.3)),
    "{} of uniform in rho": ("start", lambda c: _process(lambda x: {"rho": _mixed(x.rho, -1, c)}), (0.05, 0.3)),
})  # fmt: skip
