"""What implementations choose for the best value, the right alternative first.  Derivation: derivations/exact-policy-gradient.md

An alternative is what `value_variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.policy_gradient.optima import Maximum, largest, log_sum, optimum, soft, weighted_sum
from refmeta.oracle.suites.policy_gradient.problem import TAU
from refmeta.oracle.suites.policy_gradient.readings import ReadProcess, run_of

__all__ = ["BEST_ACTIONS", "FAMILIES_OF_VALUES", "LARGEST", "SOFT", "STOPS", "first_step_forever"]

LARGEST: dict[str, Maximum | None] = {
    "over actions": None,
    "mean over actions": lambda Q, pi: np.mean(Q, axis=-1),
    "smallest": lambda Q, pi: -largest(-Q, pi),
    "of the policy": lambda Q, pi: np.sum(pi * Q, axis=-1),
    "mean of the largest and the policy's": lambda Q, pi: (largest(Q, pi) + np.sum(pi * Q, axis=-1)) / 2,
    "of the policy's likeliest action": lambda Q, pi: np.take_along_axis(Q, np.argmax(pi + 0 * Q.real, axis=-1)[..., None], axis=-1)[..., 0],
    "of the first action": lambda Q, pi: Q[..., 0],
    "of the last action": lambda Q, pi: Q[..., -1],
    "sum over actions, with the weights softmax(Q)": weighted_sum(1.0, 0.0),
    "log sum exp Q": soft(1.0),
    "positive part": lambda Q, pi: largest(Q, pi) * (largest(Q, pi).real > 0),
    "largest size": lambda Q, pi: largest(np.where(Q.real < 0, -Q, Q), pi),
}


def first_step_forever(process: ReadProcess, pi: Array, maximum: Maximum) -> Array:
    """The value of the policy that takes in every step what is best in the first, (H + 1, N, S)."""
    V = optimum(process, pi, maximum)
    Q = process.r + process.gamma * np.einsum("nsat,nt->nsa", process.P, V[min(1, len(V) - 1)])
    return _of_actions(process, np.argmax(Q, axis=-1))


def _last_step_forever(process: ReadProcess, pi: Array, maximum: Maximum) -> Array:
    """The value of the policy that takes in every step what is best in the last."""
    return _of_actions(process, np.argmax(process.r, axis=-1))


def _of_actions(process: ReadProcess, action: Array) -> Array:
    """The value of a deterministic policy."""
    V = run_of(process, np.eye(process.r.shape[-1])[action]).V
    return np.concatenate([V, 0 * V[:1]])


def _turned(process: ReadProcess, pi: Array, maximum: Maximum) -> Array:
    """What is right, the first time last."""
    return optimum(process, pi, maximum)[::-1]


BEST_ACTIONS: dict[str, Callable[[ReadProcess, Array, Maximum], Array] | None] = {
    "those of each step": None,
    "in every step those of the first": first_step_forever,
    "in every step those of the last": _last_step_forever,
    "times in reverse": _turned,
}
SOFT: dict[str, Maximum | None] = {
    "tau log sum exp(Q/tau)": None,
    "log sum exp Q, without tau": soft(1.0),
    "log sum exp(Q/tau), not times tau": soft(TAU, 1.0),
    "tau log sum exp Q, not over tau": soft(1.0, TAU),
    "log sum exp(tau Q)/tau": soft(1 / TAU),
    "tau log mean exp(Q/tau)": lambda Q, pi: TAU * (log_sum(Q / TAU) - np.log(Q.shape[-1])),
    "largest Q": largest,
    "log 10 instead of the natural one": lambda Q, pi: TAU * log_sum(Q / TAU) / np.log(10),
    "sum of softmax(Q/tau) Q, no entropy": weighted_sum(TAU, 0.0),
    "sum of softmax(Q/tau) Q, less tau times the entropy": weighted_sum(TAU, -TAU),
    "with the entropy, not times tau": weighted_sum(TAU, 1.0),
    "weights softmax(Q), with tau times the entropy": weighted_sum(1.0, TAU),
    "mean over actions instead of the sum": lambda Q, pi: TAU * log_sum(Q / TAU) / Q.shape[-1],
    "of the policy, with tau times its entropy": lambda Q, pi: np.sum(pi * (Q - TAU * np.log(pi)), axis=-1),
    "of the policy": lambda Q, pi: np.sum(pi * Q, axis=-1),
    "tau log of the policy's mean of exp(Q/tau)": lambda Q, pi: TAU * log_sum(Q / TAU + np.log(pi)),
    "-tau log sum exp(-Q/tau)": lambda Q, pi: -TAU * log_sum(-Q / TAU),
}
STOPS: dict[str, float | None] = {"nothing": None, **{f"{move:g}": move for move in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8)}}
FAMILIES_OF_VALUES: dict[str, tuple[str, Callable[[float], Any]]] = {
    "tau is {}": ("soft maximum", lambda c: soft(abs(c) + (c == 0))),
    "{} log sum exp(Q/tau)": ("soft maximum", lambda c: soft(TAU, c)),
}
