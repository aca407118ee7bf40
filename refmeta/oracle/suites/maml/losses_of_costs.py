"""What implementations choose in linear-quadratic costs.  Derivation: derivations/linear-quadratic-control.md"""

import numpy as np

from refmeta.oracle.suites.maml.changed import holomorphic, mapped
from refmeta.oracle.suites.maml.families import sided_families
from refmeta.oracle.suites.maml.horizons import ENDLESS
from refmeta.oracle.suites.maml.loops import LOOPS
from refmeta.oracle.suites.maml.losses import Change, from_support, sided
from refmeta.oracle.suites.maml.losses_of_gains import (
    ENTRIES_OF_COSTS,
    FAMILIES_OF_COSTS,
    INNER_GRADIENTS,
    LOOPS_OF_COSTS,
)
from refmeta.oracle.suites.maml.lq_directions import early_noise, one_noise
from refmeta.oracle.suites.maml.process_changes import DISCOUNTS, HORIZONS, WEIGHTS_OF_TIME, fields_changed
from refmeta.oracle.suites.maml.system_changes import (
    any_system,
    charged_free,
    charged_late,
    column_major,
    coordinates,
    endless,
    entropic,
    floor,
    held_deviation,
    last,
    reweighted,
    softplus,
    system,
    without_last,
)

__all__ = ["COSTS", "FAMILIES_OF_LQ"]

FAMILIES_OF_LQ = FAMILIES_OF_COSTS | sided_families({
    "at least {} in log sigma": ("sigma", lambda c: floor(c, False), (-1.0, -0.3, 0.1)),
    "at most {} in log sigma": ("sigma", lambda c: floor(c, True), (-1.0, -0.3, 0.1)),
    "{} added to log sigma": ("sigma", lambda c: coordinates(1.0, 1.0, c), (-0.5, 0.5)),
    "log sigma times {}": ("sigma", lambda c: coordinates(1.0, c), (0.5, 2.0)),
    "the gain times {}": ("gain", lambda c: coordinates(c, 1.0), (0.5, -0.5)),
    "{}^t": ("discount", lambda c: system(lambda x: {"gamma": min(max(c, 0.0), 1.0)}), (0.3, 0.8, 0.95)),
    "{} times R": ("cost of the action", lambda c: system(lambda x: {"R": c * x.R}), (0.3, 3.0)),
    "{} times Q": ("cost of the state", lambda c: system(lambda x: {"Q": c * x.Q}), (0.3, 3.0)),
    "{} times the process's": ("noise", lambda c: system(lambda x: {"noise": c * x.noise}), (0.3, 3.0)),
    "less {} times the sum of log sigma": ("bonus", entropic, (0.1, 1.0)),
})  # fmt: skip
COSTS = {
    "horizon": sided(fields_changed(HORIZONS, system)) | {f"{words} where there is none": endless(of) for words, of in ENDLESS.items()},
    "inner gradient": INNER_GRADIENTS,
    "inner loop": LOOPS | LOOPS_OF_COSTS,
    "alpha of the parameters": ENTRIES_OF_COSTS,
    "discount": sided(fields_changed(DISCOUNTS, system) | WEIGHTS_OF_TIME),
    "charged": sided({
        "x_t and a_t": None,
        "x_H, too": reweighted(states=lambda H, gamma: np.ones(H + 1)),
        "x_(t+1) and a_t": Change(charged_late, stage=1),
        "not x_0": reweighted(states=lambda H, gamma: np.append(np.append(0.0, np.ones(H))[:-1], 0.0)),
        "of the states x_H only": reweighted(states=lambda H, gamma: np.eye(H + 1)[H]),
        "not the last action": reweighted(actions=lambda H: np.append(np.ones(H - 1), 0.0)),
        "the mean action, without R sigma^2": Change(charged_free, stage=1),
    }),
    "noise": sided({
        "as it is": None,
        "none of the process": system(lambda x: {"noise": 0 * x.noise}),
        "at step 0, too": system(lambda x: {"start": x.start + x.noise}),
        "at step 0, too, where there is no horizon": system(lambda x: {"start": x.start + x.noise} if x.horizon is None else {}),
        "its diagonal": system(lambda x: {"noise": x.noise * np.eye(x.states)}),
        "halved": system(lambda x: {"noise": x.noise / 2}),
        "squared": system(lambda x: {"noise": x.noise @ x.noise}),
        "one noise for all actions": Change(lambda task, side: holomorphic(lambda theta: one_noise(side.own.lq, theta)), stage=1),
        "that of the policy at step 0, too": Change(lambda task, side: holomorphic(lambda theta: early_noise(side.own.lq, theta, 0.0)), stage=1),
        "both at step 0, too": Change(lambda task, side: holomorphic(lambda theta: early_noise(side.own.lq, theta, 1.0)), stage=1),
        "both at step 0, too, without a horizon, the process's with one": Change(
            lambda task, side: holomorphic(lambda theta: early_noise(side.own.lq, theta, 1.0, side.own.lq.horizon is None)), stage=1
        ),
        "none of the policy": coordinates(1.0, 0.0, -400.0),
        "that of the policy moves no state": reweighted(driven=0.0),
        "that of the process doubled": system(lambda x: {"noise": 2 * x.noise}),
    }),
    "sigma": sided({
        "exp": None,
        "exp of the half (log of the variance)": coordinates(1.0, 0.5),
        "exp of the double": coordinates(1.0, 2.0),
        "softplus": reweighted(variance=softplus),
        "the parameter itself": reweighted(variance=lambda x: (x**2, 2 * x)),
        "exp, not differentiated": Change(held_deviation, stage=2),
    }),
    "gain": sided({"a = Kx": None, "a = -Kx": coordinates(-1.0, 1.0)}),
    "dynamics": sided({
        "A and B": None,
        "A transposed": any_system(lambda x: {"A": x.A.swapaxes(-1, -2)}),
        "B negated": any_system(lambda x: {"B": -x.B}),
        "B left out": any_system(lambda x: {"B": 0 * x.B}),
        "A plus the identity": any_system(lambda x: {"A": x.A + np.eye(x.states)}),
        "A over its largest singular value": any_system(lambda x: {"A": x.A / np.maximum(np.linalg.norm(x.A, 2, axis=(-2, -1))[..., None, None], 1.0)}),
        "A and B of the first task": any_system(lambda x: {"A": x.A[:1] + 0 * x.A, "B": x.B[:1] + 0 * x.B}),
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
        "those of its mean": system(lambda x: {"start": x.start[..., -1:] * x.start[..., -1:, :]}),
        "none": any_system(lambda x: {"start": 0 * x.start}),
        "its diagonal": any_system(lambda x: {"start": x.start * np.eye(x.states)}),
        "twice": any_system(lambda x: {"start": 2 * x.start}),
        "its mean left out": system(lambda x: {"start": without_last(x.start) + last(x.start)}),
    }),
    "cost of the state": sided({
        "Q": None,
        "Q/2": system(lambda x: {"Q": x.Q / 2}),
        "2Q": system(lambda x: {"Q": 2 * x.Q}),
        "none": system(lambda x: {"Q": 0 * x.Q}),
        "Q without its linear terms": system(lambda x: {"Q": without_last(x.Q) + last(x.Q)}),
        "Q's upper triangle": system(lambda x: {"Q": (np.triu(x.Q) + np.triu(x.Q).swapaxes(-1, -2)) / 2}),
        "the identity": system(lambda x: {"Q": np.eye(x.states) + 0 * x.Q}),
        "Q's diagonal": system(lambda x: {"Q": x.Q * np.eye(x.states)}),
    }),
    "cost of the action": sided({
        "R": None,
        "R/2": system(lambda x: {"R": x.R / 2}),
        "2R": system(lambda x: {"R": 2 * x.R}),
        "none": system(lambda x: {"R": 0 * x.R}),
        "the identity": system(lambda x: {"R": np.eye(x.actions) + 0 * x.R}),
        "R squared": system(lambda x: {"R": x.R @ x.R}),
        "R's diagonal": system(lambda x: {"R": x.R * np.eye(x.actions)}),
    }),
    "query's data": {"its own": None} | {
        f"{name} of the support": from_support(name) for name in ("A", "B", "Q", "R", "start", "noise")
    } | {"A and B of the support": from_support("A", "B"), "Q and R of the support": from_support("Q", "R")},
}  # fmt: skip
