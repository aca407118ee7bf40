"""The return of a process with ends, its values and visits, and the best values, in any arithmetic.

What happens is summed over the states that are no ends: among them the process is one that is left with some probability.
No derivative is taken by a formula.  Derivation: derivations/exact-policy-gradient.md
"""

import itertools
from typing import Any, NamedTuple

from refmeta.oracle.decimals import (
    Inputs,
    Loss,
    Number,
    Steps,
    Vector,
    dot,
    largest,
    policy_return,
    real,
)
from refmeta.oracle.suites.policy_gradient.definition import define as without_ends
from refmeta.oracle.suites.policy_gradient.definition import of_loss

__all__ = ["define"]


class _Going(NamedTuple):
    """The states that are no ends: their numbers among all S, P among them, R[s][a], ρ, γ, the horizon, and the features.

    may_end : does an end follow s and a with some probability?
    """

    numbers: list[int]
    states: int
    may_end: list[list[bool]]
    P: Any
    R: Any
    rho: Vector
    gamma: Number
    horizon: int | None
    features: Any

    def entries(self, theta: Vector) -> Vector:
        """The parameters that play a part: without features the logits of these states."""
        A = len(self.R[0])
        return theta if self.features is not None else [x for s in self.numbers for x in theta[s * A : (s + 1) * A]]


def define(part: str, x: Inputs, steps: Steps) -> list[Any]:
    """−J at θ and its derivatives; values and visits of the states that are no ends, and 0 in the ends."""
    tasks = [_going(x, *rows) for rows in zip(x["P"], x["R"], x["rho"], x["terminal"], strict=True)]
    if part in ("loss", "grad", "hvp"):
        return [of_loss(part, _loss(task), x["theta"], x, steps) for task in tasks]
    return [_with_ends(task, _of_states(part, task, x, steps)) for task in tasks]


def _going(x: Inputs, P: Any, R: Any, rho: Vector, terminal: list[int]) -> _Going:
    """What is left without the ends; the reward of a step into an end counts."""
    numbers = [s for s, end in enumerate(terminal) if not end]
    paid = [[dot(p, r) if isinstance(r, list) else r for p, r in zip(P[s], R[s], strict=True)] for s in numbers]
    inside = [[[p[t] for t in numbers] for p in P[s]] for s in numbers]
    may_end = [[any(real(q) > 0 for q, end in zip(p, terminal, strict=True) if end) for p in P[s]] for s in numbers]
    features = None if x["features"] is None else [x["features"][s] for s in numbers]
    return _Going(numbers, len(P), may_end, inside, paid, [rho[s] for s in numbers], x["gamma"], x["horizon"], features)


def _loss(task: _Going) -> Loss:
    """−J."""
    inner = policy_return(task.P, task.R, task.rho, task.gamma, task.horizon, task.features)
    return lambda theta: inner(task.entries(theta))


def _of_states(part: str, task: _Going, x: Inputs, steps: Steps) -> Any:
    """Values and visits of the states that are no ends."""
    if part == "optimal_value" and task.horizon is None and task.gamma == 1:
        return _best_of_ending(task)
    inputs = {"P": [task.P], "R": [task.R], "rho": [task.rho], "gamma": task.gamma, "horizon": task.horizon}
    return without_ends(part, inputs | {"features": task.features, "theta": task.entries(x["theta"])}, steps)[0]


def _best_of_ending(task: _Going) -> Vector:
    """The largest return from each start of all deterministic policies that reach an end from every state."""
    A, S = len(task.R[0]), len(task.R)
    returns = []
    for actions in itertools.product(range(A), repeat=S):
        if _ends(task, actions):
            table = [int(a == b) for a in actions for b in range(A)]
            starts = [[int(s == t) for t in range(S)] for s in range(S)]
            returns.append([0 - policy_return(task.P, task.R, start, task.gamma, None, None, list)(table) for start in starts])
    return [largest(each) for each in zip(*returns, strict=True)]


def _ends(task: _Going, actions: tuple[int, ...]) -> bool:
    """Does a deterministic policy reach an end from every state?"""
    reached = {s for s, a in enumerate(actions) if task.may_end[s][a]}
    for _ in actions:
        reached |= {s for s, a in enumerate(actions) if any(real(task.P[s][a][t]) > 0 for t in reached)}
    return len(reached) == len(actions)


def _with_ends(task: _Going, values: Any) -> Any:
    """The values with 0 in the ends; with a horizon at each time."""
    if task.horizon is not None:
        return [_filled(task, row) for row in values]
    return _filled(task, values)


def _filled(task: _Going, values: list[Any]) -> list[Any]:
    """One entry per state, 0 in the ends."""
    nothing = [0 * x for x in values[0]] if isinstance(values[0], list) else 0 * values[0]
    return [values[task.numbers.index(s)] if s in task.numbers else nothing for s in range(task.states)]
