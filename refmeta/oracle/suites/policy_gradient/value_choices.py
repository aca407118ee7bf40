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

__all__ = ["BEST_ACTIONS", "BEST_VALUES", "FAMILIES_OF_VALUES", "LARGEST", "SOFT", "STOPS", "TIMES", "first_step_forever"]

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


def _of_own(process: ReadProcess, pi: Array) -> Array:
    """max_a Q of the policy itself, (H + 1, N, S), and 0 after the last step."""
    V = np.max(run_of(process, pi).Q, axis=-1)
    return np.concatenate([V, 0 * process.r[None, ..., 0]])


def _improved(process: ReadProcess, pi: Array) -> Array:
    """Policy iteration from the policy that stops after one improvement."""
    return run_of(process, np.eye(process.r.shape[-1])[np.argmax(run_of(process, pi).Q[0], axis=-1)]).V


def _by_steps(value: Callable[[ReadProcess, Array], Array]) -> Callable[[ReadProcess, Array], Array]:
    """With a horizon what is right, from the last step to the first."""
    return lambda process, pi: value(process, pi) if process.horizon is None else optimum(process, pi, largest)


BEST_VALUES: dict[str, Callable[[ReadProcess, Array], Array] | None] = {
    "of the best policy": None,
    "largest Q of the policy itself": _of_own,
    "largest Q of the policy itself, where there is no horizon": _by_steps(_of_own),
    "after one improvement of the policy, where there is no horizon": _by_steps(_improved),
}
TIMES: dict[str, Callable[[Array], Array] | None] = {
    "in order": None,
    "in reverse": lambda x: x[:, ::-1],
    "the first at every time": lambda x: 0 * x + x[:, :1],
    "one later": lambda x: np.concatenate([x[:, 1:], 0 * x[:, :1]], axis=1),
    "one earlier": lambda x: np.concatenate([0 * x[:, :1], x[:, :-1]], axis=1),
}
"""What is computed for all times, (N, T, ...), and stored otherwise; where there is no horizon nothing changes."""
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
