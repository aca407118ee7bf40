"""One task of adaptation through a learned model in any arithmetic.  Derivation: derivations/judges.md

No derivative formula stands here, and none of the closed forms for rewards: those of a state and action are jointly
Gaussian, their covariance is written down, and its system is solved.
"""

from collections.abc import Callable
from typing import Any

from refmeta.oracle.decimals import (
    Loss,
    Number,
    Vector,
    adapted,
    gradient,
    leaf_gradient,
    policy_return,
    rows_of,
    solved,
)

Given = dict[str, Any]


def _seen(x: Given, task: int, s: int, a: int) -> tuple[list[int], Vector]:
    """The next states and the rewards met at (s, a)."""
    names = ("states", "actions", "following", "rewards", "mask")
    rows = [
        row for row in zip(*(x[f"context_{name}"][task] for name in names), strict=True) if row[4] and row[:2] == (s, a)
    ]
    return [row[2] for row in rows], [row[3] for row in rows]


def _covariance(x: Given, n: int) -> list[Vector]:
    """Of n rewards of one (s, a): noise I + variance 1 1ᵀ."""
    return [[x["reward_variance"] + (i == j) * x["noise_variance"] for j in range(n)] for i in range(n)]


def transition(x: Given, task: int, s: int, a: int) -> Vector:
    """(c + n)/Σ(c + n)."""
    total = list(x["concentration"][s][a])
    for after in _seen(x, task, s, a)[0]:
        total[after] += 1
    return [c / sum(total) for c in total]


def reward(x: Given, task: int, s: int, a: int) -> Number:
    """m + variance 1ᵀ Σ⁻¹ (r − m): the mean reward given those that were met."""
    rewards, mean = _seen(x, task, s, a)[1], x["reward_mean"][s][a]
    weights = solved(_covariance(x, len(rewards)), [r - mean for r in rewards])
    return mean + x["reward_variance"] * sum(weights)


def log_marginal(x: Given, task: int, pi: Number) -> Number:
    """Next states: ∏ c (c + 1) … / ∏ c· (c· + 1) …; rewards: the joint Gaussian density."""
    total = 0 * x["gamma"]
    for s, row in enumerate(x["reward_mean"]):
        for a, mean in enumerate(row):
            following, rewards = _seen(x, task, s, a)
            c = list(x["concentration"][s][a])
            for after in following:
                total += (c[after] / sum(c)).ln()
                c[after] += 1
            off, Sigma = [r - mean for r in rewards], _covariance(x, len(rewards))
            square = sum(o * w for o, w in zip(off, solved(Sigma, off), strict=True))
            total -= (len(off) * (2 * pi).ln() + _determinant(Sigma, total).ln() + square) / 2
    return total


def _determinant(M: list[Vector], zero: Number) -> Number:
    """The product of the pivots of a positive definite matrix."""
    rows, product = [list(row) for row in M], 0 * zero + 1
    for k in range(len(rows)):
        product *= rows[k][k]
        for i in range(k + 1, len(rows)):
            factor = rows[i][k] / rows[k][k]
            rows[i] = [p - factor * q for p, q in zip(rows[i], rows[k], strict=True)]
    return product


def _arctan(x: Number, tiny: Number) -> Number:
    """arctan of a small number, by its series."""
    term, total, k = x, x, 1
    while abs(term) > tiny:
        term, k = -term * x * x, k + 2
        total += term / k
    return total


def circle(one: Number, tiny: Number) -> Number:
    """π = 16 arctan(1/5) − 4 arctan(1/239)."""
    return 16 * _arctan(one / 5, tiny) - 4 * _arctan(one / 239, tiny)


def objective(x: Given, task: int, theta: Vector, h: Number) -> Number:
    """The true loss of θ adapted on the model's, by numeric gradients."""
    S, A, rest = len(x["reward_mean"]), len(x["reward_mean"][0]), {"gamma": x["gamma"], "horizon": x["horizon"]}
    P, R = ([[f(x, task, s, a) for a in range(A)] for s in range(S)] for f in (transition, reward))
    support: Loss = policy_return(P, R, x["rho"][task], **rest)
    query = policy_return(x["P"][task], x["R"][task], x["rho"][task], **rest)
    return query(adapted(theta, support, rows_of(x["alpha"], x["steps"], len(theta)), h))


def part(name: str, x: Given, task: int, h: Number, outer: Number) -> Any:
    """A part of the suite `model`, of one task; slopes by concentration and variance are in their logarithms."""
    S, A = len(x["reward_mean"]), len(x["reward_mean"][0])
    if name in ("transition", "reward"):
        function = transition if name == "transition" else reward
        return [[function(x, task, s, a) for a in range(A)] for s in range(S)]
    if name == "objective":
        return objective(x, task, x["theta"], h)
    if name == "gradient":
        return gradient(lambda theta: objective(x, task, theta, h), x["theta"], outer)
    pi = circle(0 * x["gamma"] + 1, outer**6)
    if name == "log_marginal":
        return log_marginal(x, task, pi)
    leaf = name.removesuffix("_grad")
    if leaf == "reward_mean":
        return leaf_gradient(lambda mean: log_marginal({**x, leaf: mean}, task, pi), x[leaf], outer)
    logarithms = _each(x[leaf], lambda value: value.ln())
    powers: Callable[[Any], Any] = lambda nested: _each(nested, lambda value: value.exp())
    return leaf_gradient(lambda nested: log_marginal({**x, leaf: powers(nested)}, task, pi), logarithms, outer)


def _each(nested: Any, function: Callable[[Number], Number]) -> Any:
    """The function of every number of a nested list."""
    return [_each(entry, function) for entry in nested] if isinstance(nested, list) else function(nested)
