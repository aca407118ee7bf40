"""MAML's objective in any arithmetic, on six kinds of loss.  Derivation: derivations/maml.md

No derivative formula stands here: the inner gradients are numeric, and so is the gradient of the objective.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from refmeta.oracle.decimals import (
    Inputs,
    Loss,
    Number,
    Steps,
    Vector,
    adaptation,
    gradient,
    leaf_gradient,
    linear_quadratic,
    linear_regression,
    policy_return,
    quadratic,
    softmax_regression,
    step_size_rows,
)

__all__ = ["Losses", "costs", "define", "entropies", "quadratics", "regressions", "returns"]

Losses = Callable[[Inputs, str], Iterator[Loss]]


def _data(x: Inputs, prefix: str, *names: str) -> Iterator[tuple[Any, ...]]:
    """The data of one task after another; `prefix` is "" for the support, "query_" for the query."""
    return zip(*(x[prefix + name] for name in names), strict=True)


def returns(x: Inputs, prefix: str) -> Iterator[Loss]:
    """−J of a softmax policy, of tables or of features."""
    shared = {"gamma": x["gamma"], "horizon": x["horizon"], "features": x.get("features")}
    return (policy_return(*data, **shared) for data in _data(x, prefix, "P", "R", "rho"))


def regressions(x: Inputs, prefix: str) -> Iterator[Loss]:
    """Mean squared errors."""
    return (linear_regression(*data) for data in _data(x, prefix, "X", "y"))


def entropies(x: Inputs, prefix: str) -> Iterator[Loss]:
    """Cross-entropies."""
    return (softmax_regression(X, labels, x["classes"], x["ridge"]) for X, labels in _data(x, prefix, "X", "labels"))


def quadratics(x: Inputs, prefix: str) -> Iterator[Loss]:
    """Quadratic losses."""
    return (quadratic(*data) for data in _data(x, prefix, "A", "c"))


def costs(x: Inputs, prefix: str) -> Iterator[Loss]:
    """Linear-quadratic costs."""
    systems = _data(x, prefix, "A", "B", "Q", "R", "start", "noise")
    loss = partial(linear_quadratic, gamma=x["gamma"], horizon=x["horizon"])
    return (loss(*data) for data in systems)


def define(part: str, x: Inputs, steps: Steps, *, losses: Losses) -> list[Any]:
    """φ, L_query(φ), ∇L_query at φ, or the slope of L_query(φ) in θ or in α, one entry for each task."""
    theta, alpha = x["theta"], x["alpha"]
    pairs = zip(losses(x, ""), losses(x, "query_"), strict=True)
    return [_of_task(part, theta, alpha, x["steps"], *pair, steps) for pair in pairs]


def _of_task(part: str, theta: Vector, alpha: Any, K: int, support: Loss, query: Loss, steps: Steps) -> Any:
    """One task's part."""

    def phi(theta: Vector, alpha: Any) -> Vector:
        return adaptation(theta, support, step_size_rows(alpha, K, len(theta)), steps.inner)

    def F(theta: Vector, alpha: Any) -> Number:
        return query(phi(theta, alpha))

    if part == "adapted":
        return phi(theta, alpha)
    if part == "objective":
        return F(theta, alpha)
    if part == "first_order":
        return gradient(query, phi(theta, alpha), steps.outer)
    if part == "gradient":
        return gradient(lambda t: F(t, alpha), theta, steps.outer)
    return leaf_gradient(lambda a: F(theta, a), alpha, steps.outer)
