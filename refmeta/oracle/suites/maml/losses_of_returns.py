"""What implementations choose in exact returns.  Derivation: derivations/exact-policy-gradient.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.suites.maml.changed import mapped
from refmeta.oracle.suites.maml.families import sided_families
from refmeta.oracle.suites.maml.horizons import ENDLESS
from refmeta.oracle.suites.maml.loops import LOOPS
from refmeta.oracle.suites.maml.losses import Change, Side, from_support, sided
from refmeta.oracle.suites.maml.losses_of_policies import FORMULAS
from refmeta.oracle.suites.maml.policy_metrics import CURVATURES, FAMILIES_OF_POLICIES, LOOPS_OF_POLICIES
from refmeta.oracle.suites.maml.process_changes import (
    DISCOUNTS,
    HORIZONS,
    WEIGHTS_OF_TIME,
    fields_changed,
    least,
    mixed,
    one_state,
    process,
)
from refmeta.oracle.suites.maml.returns_by_hand import by_hand, over_states
from refmeta.oracle.suites.maml.schedules import OF_PARAMETERS, reordered
from refmeta.policies import TabularSoftmax

__all__ = ["FAMILIES_OF_RETURNS", "FEATURES", "LINEAR", "TABULAR", "action_major"]


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


def _tabular_layout(task: Any, side: Side) -> Any:
    """The table read action after action."""
    if not isinstance(side.own.policy, TabularSoftmax):
        raise AttributeError("features have no layout")
    return mapped(task, order=action_major(side.own))


LINEAR = {
    "inner loop": LOOPS | LOOPS_OF_POLICIES,
    **FORMULAS,
    "curvature": CURVATURES,
    "horizon": sided(fields_changed(HORIZONS, process)) | {f"{words} where there is none": by_hand(horizon=of) for words, of in ENDLESS.items()},
    "discount": sided(fields_changed(DISCOUNTS, process) | WEIGHTS_OF_TIME),
    "start": sided({
        "rho": None,
        "the first state": process(lambda x: {"rho": one_state(x.states, 0) + 0 * x.rho}),
        "the last state": process(lambda x: {"rho": one_state(x.states, -1) + 0 * x.rho}),
        "uniform": process(lambda x: {"rho": np.full(x.states, 1 / x.states) + 0 * x.rho}),
    }),
    "transitions": sided({
        "P[s, a, s']": None,
        "P[s', a, s]": process(lambda x: {"P": x.P.swapaxes(-1, -3)}),
        "of the first task": process(lambda x: {"P": x.P[:1] + 0 * x.P}),
        "of the next task": process(lambda x: {"P": np.roll(x.P, -1, axis=0)}),
        "of the first action": process(lambda x: {"P": 0 * x.P + x.P[..., :1, :]}),
        "actions in reverse": process(lambda x: {"P": x.P[..., ::-1, :]}),
        "the likeliest next state": process(lambda x: {"P": np.eye(x.states)[np.argmax(x.P, axis=-1)]}),
        "the mean over the actions": process(lambda x: {"P": 0 * x.P + np.mean(x.P, axis=-2, keepdims=True)}),
        "uniform": process(lambda x: {"P": 0 * x.P + 1 / x.states}),
    }),
    "reward": sided({
        "R[s, a]": None,
        "R[s', a]": process(lambda x: {"R": np.einsum("...sat,...ta->...sa", x.P, x.R)}),
        "the mean of R over the actions": process(lambda x: {"R": 0 * x.R + np.mean(x.R, axis=-1, keepdims=True)}),
        "R clipped to [-1, 1]": process(lambda x: {"R": np.clip(x.R, -1, 1)}),
        "R over its largest size": process(lambda x: {"R": x.R / np.max(np.abs(x.R), axis=(-1, -2), keepdims=True)}),
        "R's sign": process(lambda x: {"R": np.sign(x.R)}),
        "R between 0 and 1": process(lambda x: {"R": (x.R - least(x.R)) / (np.max(x.R, axis=(-1, -2), keepdims=True) - least(x.R))}),
        "R standardised": process(lambda x: {"R": (x.R - np.mean(x.R, axis=(-1, -2), keepdims=True)) / np.std(x.R, axis=(-1, -2), keepdims=True)}),
        "R standardised over the tasks, too": process(lambda x: {"R": (x.R - np.mean(x.R)) / np.std(x.R) + 0 * x.R}),
        "R of the first task": process(lambda x: {"R": x.R[:1] + 0 * x.R}),
        "R of the next task": process(lambda x: {"R": np.roll(x.R, -1, axis=0)}),
        "R over its deviation": process(lambda x: {"R": x.R / np.std(x.R, axis=(-1, -2), keepdims=True)}),
    }) | {"R less its mean": process(lambda x: {"R": x.R - np.mean(x.R, axis=(-1, -2), keepdims=True)})},
    "visits": sided({"discounted": None, "not discounted": by_hand(visits=False)}),
    "softmax over": sided({"the actions": None, "the states": by_hand(axis=-2), "the states, rows scaled to 1": Change(over_states, stage=1)}),
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
FAMILIES_OF_RETURNS = FAMILIES_OF_POLICIES | {
    "{} added to R": ("reward", lambda c: process(lambda x: {"R": x.R + c}), (0.1, -1.0)),
} | sided_families({
    "a temperature of {}": ("temperature", lambda c: Change(lambda task, side: mapped(task, scale=1 / c), stage=2), (0.3, 2.0)),
    "{}^t": ("discount", lambda c: process(lambda x: {"gamma": min(max(c, 0.0), 1.0)}), (0.3, 0.8, 0.95)),
    "({} gamma)^t": ("discount", lambda c: process(lambda x: {"gamma": min(max(c * x.gamma, 0.0), 1.0)}), (0.5, 0.9)),
    "{} of uniform in P": ("transitions", lambda c: process(lambda x: {"P": mixed(x.P, -1, c)}), (0.05, 0.3)),
    "{} of uniform in rho": ("start", lambda c: process(lambda x: {"rho": mixed(x.rho, -1, c)}), (0.05, 0.3)),
})  # fmt: skip
