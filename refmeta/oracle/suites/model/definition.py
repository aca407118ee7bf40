"""Adaptation through a learned model, one task at a time, in any arithmetic.  Derivation: derivations/model-based.md

No derivative formula stands here, and none of the closed forms for rewards: those of a state and action are jointly
Gaussian, their covariance is written down, and its system is solved.
"""

from collections.abc import Callable
from typing import Any

from refmeta.oracle.decimals import (
    Inputs,
    Number,
    NumericStep,
    Steps,
    Vector,
    adaptation,
    exp,
    gradient,
    leaf_gradient,
    ln,
    map_numbers,
    policy_return,
    solution,
    step_size_rows,
)

__all__ = [
    "arctan", "circle", "covariance", "define", "determinant", "log_marginal", "objective", "of_task", "reward",
    "transition", "visits",
]  # fmt: skip

Covariance = Callable[[Inputs, int], list[Vector]]


def visits(x: Inputs, task: int, s: int, a: int) -> tuple[list[int], Vector]:
    """The next states and the rewards of (s, a) in the context."""
    names = ("states", "actions", "following", "rewards", "mask")
    rows = [
        row for row in zip(*(x[f"context_{name}"][task] for name in names), strict=True) if row[4] and row[:2] == (s, a)
    ]
    return [row[2] for row in rows], [row[3] for row in rows]


def covariance(x: Inputs, n: int) -> list[Vector]:
    """Of n rewards of one (s, a): noise I + variance 1 1ᵀ."""
    return [[x["reward_variance"] + (i == j) * x["noise_variance"] for j in range(n)] for i in range(n)]


def transition(x: Inputs, task: int, s: int, a: int) -> Vector:
    """(c + n)/Σ(c + n)."""
    total = list(x["concentration"][s][a])
    for after in visits(x, task, s, a)[0]:
        total[after] += 1
    return [c / sum(total) for c in total]


def reward(x: Inputs, task: int, s: int, a: int) -> Number:
    """m + variance 1ᵀ Σ⁻¹ (r − m): the mean reward after those of the context."""
    rewards, mean = visits(x, task, s, a)[1], x["reward_mean"][s][a]
    weights = solution(covariance(x, len(rewards)), [r - mean for r in rewards])
    return mean + x["reward_variance"] * sum(weights)


def log_marginal(x: Inputs, task: int, covariance: Covariance = covariance) -> Number:
    """Next states: ∏ c (c + 1) … / ∏ c· (c· + 1) …; rewards: the joint Gaussian density."""
    total, pi = 0 * x["gamma"], circle(0 * x["gamma"] + 1)
    for s, row in enumerate(x["reward_mean"]):
        for a, mean in enumerate(row):
            following, rewards = visits(x, task, s, a)
            c = list(x["concentration"][s][a])
            for after in following:
                total += ln(c[after] / sum(c))
                c[after] += 1
            off, Sigma = [r - mean for r in rewards], covariance(x, len(rewards))
            square = sum(o * w for o, w in zip(off, solution(Sigma, off), strict=True))
            total -= (len(off) * ln(2 * pi) + ln(determinant(Sigma, total)) + square) / 2
    return total


def determinant(M: list[Vector], zero: Number) -> Number:
    """The product of the pivots of a positive definite matrix."""
    rows, product = [list(row) for row in M], 0 * zero + 1
    for k in range(len(rows)):
        product *= rows[k][k]
        for i in range(k + 1, len(rows)):
            factor = rows[i][k] / rows[k][k]
            rows[i] = [p - factor * q for p, q in zip(rows[i], rows[k], strict=True)]
    return product


def arctan(x: Number) -> Number:
    """arctan of a small number by its series, until a term changes nothing."""
    term, total, k = -x * x * x, x, 3
    while total + term / k != total:
        total, term, k = total + term / k, -term * x * x, k + 2
    return total


def circle(one: Number) -> Number:
    """π = 16 arctan(1/5) − 4 arctan(1/239)."""
    return 16 * arctan(one / 5) - 4 * arctan(one / 239)


def objective(x: Inputs, task: int, step: NumericStep) -> Number:
    """The true loss of θ adapted on the model's, by numeric gradients."""
    S, A, rest = len(x["reward_mean"]), len(x["reward_mean"][0]), {"gamma": x["gamma"], "horizon": x["horizon"]}
    P, R = ([[f(x, task, s, a) for a in range(A)] for s in range(S)] for f in (transition, reward))
    support = policy_return(P, R, x["rho"][task], **rest)
    query = policy_return(x["P"][task], x["R"][task], x["rho"][task], **rest)
    return query(adaptation(x["theta"], support, step_size_rows(x["alpha"], x["steps"], len(x["theta"])), step))


def define(part: str, x: Inputs, steps: Steps, covariance: Covariance = covariance) -> list[Any]:
    """A part of the suite `model`, one entry for each task; `covariance` is that of the rewards in the likelihood."""
    return [of_task(part, x, task, steps, covariance) for task in range(len(x["context_mask"]))]


def of_task(part: str, x: Inputs, task: int, steps: Steps, covariance: Covariance) -> Any:
    """A part of one task; slopes by concentration and variance are in their logarithms."""
    if part in ("transition", "reward"):
        function: Callable[..., Any] = transition if part == "transition" else reward
        return [[function(x, task, s, a) for a in range(len(row))] for s, row in enumerate(x["reward_mean"])]
    if part == "objective":
        return objective(x, task, steps.inner)
    if part == "gradient":
        return gradient(lambda theta: objective({**x, "theta": theta}, task, steps.inner), x["theta"], steps.outer)
    if part == "log_marginal":
        return log_marginal(x, task, covariance)
    leaf = part.removesuffix("_grad")
    if leaf == "reward_mean":
        return leaf_gradient(lambda mean: log_marginal({**x, leaf: mean}, task, covariance), x[leaf], steps.outer)
    value: Callable[[Any], Number] = lambda logs: log_marginal({**x, leaf: map_numbers(exp, logs)}, task, covariance)
    return leaf_gradient(value, map_numbers(ln, x[leaf]), steps.outer)
