"""A return with ends, with some departures.  Derivation: derivations/exact-policy-gradient.md

What is made of the ends comes first: it leaves a process of P, r and ρ that is summed over all its states, with empty rows and
columns for the ends.  All else is then as in the suite of exact returns.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.episodic_return.ends import Table, cut
from refmeta.oracle.suites.episodic_return.problem import EpisodicReturn
from refmeta.oracle.suites.policy_gradient.problem import Evaluation
from refmeta.oracle.suites.policy_gradient.value_variants import CONCERNS as OF_VALUES
from refmeta.oracle.suites.policy_gradient.variants import variant as of_process

__all__ = ["IN_ENDS", "PARTS", "variant"]

PARTS = ("value", "action_value", "advantage", "occupancy", "loss", "grad", "hvp", "optimal_value")
STARTED = ("occupancy", "loss", "grad", "hvp")
IN_ENDS = "Q in an end"
CONCERNS = {"start": STARTED, "reward": tuple(part for part in PARTS if part != "occupancy"), IN_ENDS: ("action_value", "advantage")}
OF_TABLE = ("P", "reward", "start", "states that end", "after an end", IN_ENDS)  # P and the ends concern every part


class _Process(NamedTuple):
    """P, r, ρ, γ, the horizon and the ends, as the readings of exact returns take them."""

    P: Array
    R: Array
    rho: Array
    gamma: float
    horizon: int | None
    terminal: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """The axis of the tasks."""
        return self.P.shape[:1]

    @property
    def states(self) -> int:
        """S."""
        return int(self.P.shape[-1])

    @property
    def expected_reward(self) -> Array:
        """r."""
        return self.R


class _Task(NamedTuple):
    """A process and a policy."""

    mdp: _Process
    policy: Any


def variant(part: str, problem: EpisodicReturn, point: Point) -> Array | None:
    """A part where a point departs from what is right; None if it is not concerned."""
    if part not in PARTS or not all(part in CONCERNS.get(choice, PARTS) for choice in point if choice in OF_TABLE):
        return None
    rest = {name: value for name, value in point.items() if name not in OF_TABLE}
    with np.errstate(all="ignore"):
        table, process = _process(problem, tuple(point.get(name) for name in OF_TABLE[:-1]))
    value = of_process(part, process, rest)
    if value is None or point.get(IN_ENDS) is None:
        return value
    V = of_process("value", process, {name: each for name, each in rest.items() if "value" in OF_VALUES.get(name, ())})
    return None if V is None else _with_own_rows(value, V, table, point[IN_ENDS], problem.task.mdp.horizon is not None)


def _with_own_rows(Q: Array, V: Array, table: Table, how: Callable[[Array, Array], Array], timed: bool) -> Array:
    """Q, or Q − V, with other numbers in the ends, where V is 0; with a horizon (N, H, S, A)."""
    after, end, paid = (V[:, 1:], table.end[:, None], table.paid[:, None]) if timed else (V, table.end, table.paid)
    ahead = table.gamma * np.einsum("nsat,n...t->n...sa", table.P, after)
    return np.asarray(Q + end[..., None] * how(paid, ahead))


@lru_cache(maxsize=512)
def _process(problem: EpisodicReturn, reading: tuple[Any, ...]) -> tuple[Table, Evaluation]:
    """The process as a point reads it, with its ends and without them."""
    mdp, (P, reward, start, states, after) = problem.task.mdp, reading
    shape = (*mdp.shape, *problem.P.shape[-3:])
    given = np.broadcast_to(problem.P, shape)
    steps = P(given) if P else given
    R = np.broadcast_to(problem.R if problem.R.ndim == problem.P.ndim else problem.R[..., None], shape)
    if reward:
        R = reward(np.sum(steps * R, axis=-1), steps, problem.R)[..., None] + 0 * steps
    rho, end = (np.broadcast_to(x, shape[:2]) for x in (mdp.rho, 1.0 * mdp.terminal))
    table = Table(steps, R, start(rho) if start else rho, mdp.gamma, end)
    table = table._replace(end=states(table)) if states else table
    P, r, rho = (after or cut)(table)
    process = _Process(P, r, rho, mdp.gamma, mdp.horizon, mdp.terminal)
    return table, Evaluation(problem.theta, _Task(process, problem.task.policy), problem.v)  # type: ignore[arg-type]
