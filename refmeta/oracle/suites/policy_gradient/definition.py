"""The return of a softmax policy, its values and visits, the best values, and the divergence, in any arithmetic.

Values, visits and the best values are returns: from each start, of rewards that count a state, of every deterministic
policy.  Derivation: derivations/exact-policy-gradient.md
"""

import itertools
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
    gradient,
    hessian_product,
    largest,
    least_norm,
    ln,
    magnitude,
    policy,
    policy_kl,
    policy_return,
    softmax,
)

__all__ = ["TEMPERATURE", "define", "of_loss"]

ZERO, CLOSE, MOST = 1e-12, 1e-60, 60
TEMPERATURE = (3, 8)  # τ = 3/8, in whole numbers, which every arithmetic takes


class _Process(NamedTuple):
    """P[s][a][s'], the expected R[s][a], γ, the number of rewards or None, and the features or None."""

    P: Any
    R: Any
    gamma: Number
    horizon: int | None
    features: Any = None

    @property
    def states(self) -> range:
        """0 … S − 1."""
        return range(len(self.R))

    @property
    def times(self) -> list[int | None]:
        """How many rewards are left at each t = 0 … H − 1; None alone where there is no horizon."""
        return [None] if self.horizon is None else list(range(self.horizon, 0, -1))


def define(part: str, x: Inputs, steps: Steps) -> list[Any]:
    """−J at θ, its derivatives, F⁻¹∇J, the divergence from θ at θ + v, values, visits, and the best values."""
    time = x["gamma"], x["horizon"], x["features"]
    if part in PARTS:
        return [
            PARTS[part](_Process(P, _expected(P, R), *time), rho, x["theta"])
            for P, R, rho in zip(x["P"], x["R"], x["rho"], strict=True)
        ]
    return [
        _of_task(part, x, policy_return(P, R, rho, *time), policy_kl(x["theta"], P, rho, *time), steps)
        for P, R, rho in zip(x["P"], x["R"], x["rho"], strict=True)
    ]


def _of_task(part: str, x: Inputs, loss: Loss, kl: Loss, steps: Steps) -> Any:
    """One task's part."""
    theta = x["theta"]
    if part == "natural_gradient":
        axes = [[int(i == j) for j in range(len(theta))] for i in range(len(theta))]
        fisher = [hessian_product(kl, theta, e, steps.outer, steps.second) for e in axes]
        return least_norm(fisher, [-g for g in gradient(loss, theta, steps.outer)], ZERO)
    f = loss if part in ("loss", "grad", "hvp") else kl
    at = [a + b for a, b in zip(theta, x["v"], strict=True)] if part.startswith("kl") else theta
    return of_loss({"kl": "loss", "kl_grad": "grad"}.get(part, part), f, at, x, steps)


def of_loss(part: str, loss: Loss, theta: Vector, x: Inputs, steps: Steps) -> Any:
    """A loss at θ, its gradient, or its Hessian times the v of the inputs."""
    if part == "loss":
        return loss(theta)
    if part == "grad":
        return gradient(loss, theta, steps.outer)
    return hessian_product(loss, theta, x["v"], steps.outer, steps.second)


def _expected(P: Any, R: Any) -> Any:
    """R[s][a], from R[s][a] or R[s][a][s']."""
    return [[dot(p, r) if isinstance(r, list) else r for p, r in zip(*rows, strict=True)] for rows in zip(P, R, strict=True)]


def _at_each_time(process: _Process, rows: list[Any]) -> Any:
    """One entry per time; the only one where there is no horizon."""
    return rows[0] if process.horizon is None else rows


def _values(process: _Process, theta: Vector, left: int | None, softmax: Softmax = softmax) -> Vector:
    """The return of `left` rewards from each start."""
    P, R, gamma, _, features = process
    starts = [[int(s == t) for t in process.states] for s in process.states]
    return [0 - policy_return(P, R, start, gamma, left, features, softmax)(theta) for start in starts]


def _backup(process: _Process, V: Vector) -> list[Vector]:
    """R + γPV."""
    return [
        [r + process.gamma * dot(p, V) for p, r in zip(*rows, strict=True)]
        for rows in zip(process.P, process.R, strict=True)
    ]


def _value(process: _Process, rho: Vector, theta: Vector) -> Any:
    """The return from each start; with a horizon that of the rewards from t on, and 0 after the last."""
    left = process.times if process.horizon is None else [*process.times, 0]
    return _at_each_time(process, [_values(process, theta, n) for n in left])


def _action_value(process: _Process, rho: Vector, theta: Vector) -> Any:
    """The reward of s and a, and γ times the mean of the return from the next state."""
    left = [None if n is None else n - 1 for n in process.times]
    return _at_each_time(process, [_backup(process, _values(process, theta, n)) for n in left])


def _advantage(process: _Process, rho: Vector, theta: Vector) -> Any:
    """How much larger Q(s, a) is than its mean over the actions of the policy."""
    pi = policy(theta, len(process.R), len(process.R[0]), process.features)
    Q = _action_value(process, rho, theta)
    tables = [Q] if process.horizon is None else Q
    return _at_each_time(process, [[[q - dot(p, row) for q in row] for p, row in zip(pi, each, strict=True)] for each in tables])


def _occupancy(process: _Process, rho: Vector, theta: Vector) -> Any:
    """The return where only s pays, and pays 1; with a horizon how much of it comes with the reward of t."""
    P, _, gamma, _, features = process

    def visits(s: int, left: int | None) -> Number:
        paid = [[int(s == t) for _ in row] for t, row in enumerate(P)]
        return 0 - policy_return(P, paid, rho, gamma, left, features)(theta)

    if process.horizon is None:
        return [visits(s, None) for s in process.states]
    return [[visits(s, t + 1) - visits(s, t) for s in process.states] for t in range(process.horizon)]


def _optimal_value(process: _Process, rho: Vector, theta: Vector) -> Any:
    """The largest return from each start of all deterministic policies; with a horizon the largest R + γPV of each step."""
    if process.horizon is not None:
        return _inductions(process, largest)
    rows = [[int(a == b) for b in range(len(process.R[0]))] for a in range(len(process.R[0]))]
    policies = itertools.product(rows, repeat=len(process.R))
    plain = process._replace(features=None)
    returns = [_values(plain, [x for row in each for x in row], None, list) for each in policies]
    return [largest(each) for each in zip(*returns, strict=True)]


def _inductions(process: _Process, maximum: Any) -> Any:
    """V_t = the maximum of R + γPV_{t+1} in each state, from V_H = 0."""
    V = [[0 * row[0] for row in process.R]]
    for _ in process.times:
        V.insert(0, [maximum(row) for row in _backup(process, V[0])])
    return V


def _soft_value(process: _Process, rho: Vector, theta: Vector) -> Any:
    """V = τ ln Σ exp(Q/τ), Q = R + γPV: the policy softmax(Q/τ) is evaluated, with its entropy, until Q stands still."""
    if process.horizon is not None:
        return _inductions(process, _soft_maximum)
    Q, plain = process.R, process._replace(features=None)
    for _ in range(MOST):
        logs = [_log_softmax([_over(q) for q in row]) for row in Q]
        paid = [[r - _times(log) for r, log in zip(*rows, strict=True)] for rows in zip(process.R, logs, strict=True)]
        new = _backup(process, _values(plain._replace(R=paid), [exp(x) for row in logs for x in row], None, list))
        moved, Q = max(magnitude(a - b) for rows in zip(new, Q, strict=True) for a, b in zip(*rows, strict=True)), new
        if moved < CLOSE:
            break
    return [_soft_maximum(row) for row in Q]


def _soft_maximum(row: Vector) -> Number:
    """τ ln Σ exp(q/τ), shifted by the largest."""
    top = largest(row)
    return top + _times(ln(sum(exp(_over(q - top)) for q in row)))


def _log_softmax(x: Vector) -> Vector:
    """x − ln Σ exp(x), shifted by the largest."""
    shifted = [a - largest(x) for a in x]
    total = ln(sum(exp(a) for a in shifted))
    return [a - total for a in shifted]


def _times(x: Number) -> Number:
    """τ x."""
    return x * TEMPERATURE[0] / TEMPERATURE[1]


def _over(x: Number) -> Number:
    """x/τ."""
    return x * TEMPERATURE[1] / TEMPERATURE[0]


PARTS = {
    "value": _value, "action_value": _action_value, "advantage": _advantage, "occupancy": _occupancy,
    "optimal_value": _optimal_value, "soft_value": _soft_value,
}  # fmt: skip
