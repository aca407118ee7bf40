"""MAML's objective through an inner optimiser, in any arithmetic.  Derivation: derivations/inner-optimisers.md

No derivative formula stands here: the inner gradients are numeric, and so is the gradient of the objective.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from refmeta.oracle.decimals import (
    Central,
    Inputs,
    Loss,
    Number,
    NumericStep,
    Steps,
    Vector,
    dot,
    gradient,
    leaf_gradient,
    quadratic,
    real,
    softmax_regression,
    sqrt,
    step_size_rows,
)

__all__ = ["define"]

FINER = 10**4


class _State(NamedTuple):
    """What an optimiser remembers: two running means, and the number of steps."""

    m: Vector
    v: Vector
    t: int


Directions = dict[str, Callable[[Inputs, _State, Vector], tuple[Vector, _State]]]


def define(part: str, x: Inputs, steps: Steps) -> list[Any]:
    """φ, L_query(φ), ∇L_query at φ, or the slope of L_query(φ) in θ or in α, one entry for each task."""
    return [_of_task(part, x, *pair, steps) for pair in zip(_losses(x, ""), _losses(x, "query_"), strict=True)]


def _losses(x: Inputs, prefix: str) -> list[Loss]:
    """The loss of each task, of the support or of the query."""
    if x[prefix + "A"] is not None:
        return [quadratic(*data) for data in zip(x[prefix + "A"], x[prefix + "c"], strict=True)]
    data = zip(x[prefix + "X"], x[prefix + "labels"], strict=True)
    return [softmax_regression(X, labels, x["classes"], x["ridge"]) for X, labels in data]


def _of_task(part: str, x: Inputs, support: Loss, query: Loss, steps: Steps) -> Any:
    """One task's part."""
    outer = _fine(steps)

    def phi(theta: Vector, alpha: Any) -> Vector:
        return _adapted(x, theta, support, step_size_rows(alpha, x["steps"], len(theta)), steps.inner)

    def F(theta: Vector, alpha: Any) -> Number:
        return query(phi(theta, alpha))

    if part == "adapted":
        return phi(x["theta"], x["alpha"])
    if part == "objective":
        return F(x["theta"], x["alpha"])
    if part == "first_order":
        return gradient(query, phi(x["theta"], x["alpha"]), steps.outer)
    if part == "gradient":
        return gradient(lambda theta: F(theta, x["alpha"]), x["theta"], outer)
    return leaf_gradient(lambda alpha: F(x["theta"], alpha), x["alpha"], outer)


def _fine(steps: Steps) -> NumericStep:
    """A step below that of the inner gradients: at a gradient of 0 the objective has a slope, but its curvature jumps."""
    return Central(steps.inner.h / FINER) if isinstance(steps.inner, Central) else steps.outer


def _adapted(x: Inputs, theta: Vector, support: Loss, alphas: list[Vector], step: NumericStep) -> Vector:
    """φ: once per row of step sizes clip, add coupled decay, follow the rule, subtract decoupled decay."""
    w, decay, none = x["weight_decay"], x["decay"], [0 * t for t in theta]
    state = _State(none, none, 0)
    for alpha in alphas:
        g = _clipped(gradient(support, theta, step), x["clip"])
        if decay == "coupled":
            g = [a + w * t for a, t in zip(g, theta, strict=True)]
        move, state = DIRECTIONS[x["optimiser"]](x, state, g)
        shrink = [{"decoupled": a * w, "decoupled_paper": w}.get(decay, 0) for a in alpha]
        theta = [t - a * u - s * t for t, a, u, s in zip(theta, alpha, move, shrink, strict=True)]
    return theta


def _clipped(g: Vector, most: Number) -> Vector:
    """g, or c/‖g‖ · g where ‖g‖ is above c."""
    if most is None or real(dot(g, g)) <= real(most * most):
        return g
    norm = sqrt(dot(g, g))
    return [a * most / norm for a in g]


def _mean(rate: Number, old: Vector, new: Vector, share: Number) -> Vector:
    """rate · old + share · new."""
    return [rate * a + share * b for a, b in zip(old, new, strict=True)]


def _descent(x: Inputs, state: _State, g: Vector) -> tuple[Vector, _State]:
    """g."""
    return g, state


def _heavy_ball(x: Inputs, state: _State, g: Vector) -> tuple[Vector, _State]:
    """m ← βm + g."""
    m = _mean(x["momentum"], state.m, g, 1)
    return m, state._replace(m=m)


def _nesterov(x: Inputs, state: _State, g: Vector) -> tuple[Vector, _State]:
    """g + βm, m ← βm + g."""
    m = _mean(x["momentum"], state.m, g, 1)
    return _mean(x["momentum"], m, g, 1), state._replace(m=m)


def _rmsprop(x: Inputs, state: _State, g: Vector) -> tuple[Vector, _State]:
    """g/(√v + ε), v ← βv + (1 − β)g²."""
    v = _mean(x["beta2"], state.v, [a * a for a in g], 1 - x["beta2"])
    return [a / (sqrt(b) + x["epsilon"]) for a, b in zip(g, v, strict=True)], state._replace(v=v)


def _adam(of: Callable[[Number, Number, Number, Number, Number], Number]) -> Callable[[Inputs, _State, Vector], tuple[Vector, _State]]:
    """`of` m, v, 1 − β₁ᵗ, 1 − β₂ᵗ and ε; m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g²."""

    def direction(x: Inputs, state: _State, g: Vector) -> tuple[Vector, _State]:
        m = _mean(x["beta1"], state.m, g, 1 - x["beta1"])
        v = _mean(x["beta2"], state.v, [a * a for a in g], 1 - x["beta2"])
        t = state.t + 1
        one, two = 1 - x["beta1"] ** t, 1 - x["beta2"] ** t
        return [of(a, b, one, two, x["epsilon"]) for a, b in zip(m, v, strict=True)], _State(m, v, t)

    return direction


DIRECTIONS: Directions = {
    "gradient_descent": _descent,
    "heavy_ball": _heavy_ball,
    "nesterov": _nesterov,
    "rmsprop": _rmsprop,
    "adam": _adam(lambda m, v, one, two, e: (m / one) / (sqrt(v / two) + e)),
    "adam_epsilon_hat": _adam(lambda m, v, one, two, e: sqrt(two) / one * m / (sqrt(v) + e)),
    "adam_epsilon_root": _adam(lambda m, v, one, two, e: (m / one) / sqrt(v / two + e)),
}
