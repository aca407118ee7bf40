"""The return with entropy in any arithmetic: each state pays its entropy, written out, and no derivative is taken.

Derivation: derivations/exact-policy-gradient.md
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from refmeta.oracle.decimals import (
    Inputs,
    Loss,
    Number,
    Softmax,
    Steps,
    Vector,
    dot,
    exp,
    largest,
    ln,
    policy,
    policy_return,
)
from refmeta.oracle.suites.policy_gradient.definition import of_loss

__all__ = ["define", "soft_return"]


class _Process(NamedTuple):
    """P[s][a][s'], R[s][a], γ, the number of steps or None, the features or None, and τ."""

    P: Any
    R: Any
    gamma: Number
    horizon: int | None
    features: Any
    temperature: Number


def define(part: str, x: Inputs, steps: Steps) -> list[Any]:
    """−J at θ and its derivatives; V from each start, R + γPV, and by how much the latter, less τ ln π, is above V."""
    rest = x["gamma"], x["horizon"], x["features"], x["temperature"]
    tasks = [(_Process(P, R, *rest), rho) for P, R, rho in zip(x["P"], x["R"], x["rho"], strict=True)]
    if part in PARTS:
        return [PARTS[part](process, x["theta"]) for process, _ in tasks]
    return [of_loss(part, soft_return(*process, rho=rho), x["theta"], x, steps) for process, rho in tasks]


def _log_softmax(x: Vector) -> Vector:
    """x − ln Σ exp(x), shifted by the largest."""
    shifted = [a - largest(x) for a in x]
    total = ln(sum(exp(a) for a in shifted))
    return [a - total for a in shifted]


def soft_return(
    P: Any, R: Any, gamma: Number, horizon: int | None, features: Any, temperature: Number, rho: Vector, softmax: Softmax | None = None
) -> Loss:
    """−J: the return of R(s, a) + τ Ent(s); `softmax` stands for π where its logarithm is to be taken of it."""

    def loss(theta: Vector) -> Number:
        logs = policy(theta, len(R), len(R[0]), features, softmax or _log_softmax)
        pi, logs = (logs, [[ln(p) for p in row] for row in logs]) if softmax else ([[exp(x) for x in row] for row in logs], logs)
        paid = [[r - temperature * dot(p, log) for r in row] for row, p, log in zip(R, pi, logs, strict=True)]
        table = [p for row in pi for p in row]
        return policy_return(P, paid, rho, gamma, horizon, None, list)(table)

    return loss


def _values(process: _Process, theta: Vector, left: int | None) -> Vector:
    """The return of `left` steps from each start."""
    starts = [[int(s == t) for t in range(len(process.R))] for s in range(len(process.R))]
    return [0 - soft_return(*process._replace(horizon=left), rho=start)(theta) for start in starts]


def _times(process: _Process) -> list[int | None]:
    """How many steps are left at each t = 0 … H − 1; None alone where there is no horizon."""
    return [None] if process.horizon is None else list(range(process.horizon, 0, -1))


def _at_each_time(process: _Process, rows: list[Any]) -> Any:
    """One entry per time; the only one where there is no horizon."""
    return rows[0] if process.horizon is None else rows


def _value(process: _Process, theta: Vector) -> Any:
    """The return from each start; with a horizon that of the steps from t on, and 0 after the last."""
    left = _times(process) + ([] if process.horizon is None else [0])
    return _at_each_time(process, [_values(process, theta, n) for n in left])


def _backup(process: _Process, theta: Vector, left: int | None) -> list[Vector]:
    """R(s, a) + γ times the mean of the return from the next state."""
    V = _values(process, theta, None if left is None else left - 1)
    return [
        [r + process.gamma * dot(p, V) for p, r in zip(*rows, strict=True)] for rows in zip(process.P, process.R, strict=True)
    ]


def _action_value(process: _Process, theta: Vector) -> Any:
    """The reward of s and a, and what follows."""
    return _at_each_time(process, [_backup(process, theta, n) for n in _times(process)])


def _advantage(process: _Process, theta: Vector) -> Any:
    """How much larger Q − τ ln π is than its mean over the actions of the policy, which is V."""
    logs, tables = policy(theta, len(process.R), len(process.R[0]), process.features, _log_softmax), []
    for n in _times(process):
        rows = zip(_backup(process, theta, n), logs, strict=True)
        q = [([y - process.temperature * x for y, x in zip(Q, log, strict=True)], [exp(x) for x in log]) for Q, log in rows]
        tables.append([[y - dot(pi, row) for y in row] for row, pi in q])
    return _at_each_time(process, tables)


PARTS: dict[str, Callable[[_Process, Vector], Any]] = {"value": _value, "action_value": _action_value, "advantage": _advantage}
