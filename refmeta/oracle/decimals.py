"""Losses and numeric derivatives in any arithmetic: `Decimal`, `Fraction`.  Derivation: derivations/judges.md

No derivative formula stands here: a gradient is a central difference of the objective, and so is every inner gradient.
"""

from collections.abc import Callable, Sequence
from typing import Any

Number = Any
Vector = list[Number]
Loss = Callable[[Vector], Number]


def quadratic(A: Any, c: Any) -> Loss:
    """½(θ − c)ᵀA(θ − c)."""

    def loss(theta: Vector) -> Number:
        x = [t - b for t, b in zip(theta, c, strict=True)]
        return sum(a * p * q for row, p in zip(A, x, strict=True) for a, q in zip(row, x, strict=True)) / 2

    return loss


def linear_regression(X: Any, y: Any) -> Loss:
    """1/(2n) ‖Xθ − y‖²."""

    def loss(theta: Vector) -> Number:
        return sum((_dot(row, theta) - b) ** 2 for row, b in zip(X, y, strict=True)) / (2 * len(y))

    return loss


def softmax_regression(X: Any, labels: Any, classes: int, ridge: Number) -> Loss:
    """Mean cross-entropy + ridge/2 ‖θ‖², θ class after class."""

    def loss(theta: Vector) -> Number:
        W = [theta[k * len(X[0]) : (k + 1) * len(X[0])] for k in range(classes)]
        data = sum(softmax([_dot(w, x) for w in W])[label].ln() for x, label in zip(X, labels, strict=True))
        return ridge * _dot(theta, theta) / 2 - data / len(labels)

    return loss


def policy_return(P: Any, R: Any, rho: Any, gamma: Number, horizon: int | None, features: Any = None) -> Loss:
    """−J: the Bellman system by Gaussian elimination, or H steps of its recursion."""
    S, A = len(R), len(R[0])
    nested = isinstance(R[0][0], list)

    def loss(theta: Vector) -> Number:
        table = [theta[s * A : (s + 1) * A] for s in range(S)]
        if features is not None:
            table = [[_dot(row, theta) for row in state] for state in features]
        pi = [softmax(row) for row in table]
        reward = [[_dot(P[s][a], R[s][a]) if nested else R[s][a] for a in range(A)] for s in range(S)]
        r = [_dot(pi[s], reward[s]) for s in range(S)]
        K = [[gamma * sum(pi[s][a] * P[s][a][t] for a in range(A)) for t in range(S)] for s in range(S)]
        if horizon is None:
            V = solved([[(s == t) - K[s][t] for t in range(S)] for s in range(S)], r)
        else:
            V = [0 * x for x in r]
            for _ in range(horizon):
                V = [r[s] + _dot(K[s], V) for s in range(S)]
        return -_dot(rho, V)

    return loss


def softmax(x: Vector) -> Vector:
    """exp(x)/Σ exp(x), shifted by the largest."""
    e = [(a - max(x)).exp() for a in x]
    return [a / sum(e) for a in e]


def solved(M: list[Vector], b: Vector) -> Vector:
    """M⁻¹b by Gaussian elimination with pivoting."""
    rows = [[*row, right] for row, right in zip(M, b, strict=True)]
    n = len(rows)
    for k in range(n):
        best = max(range(k, n), key=lambda i: abs(rows[i][k]))
        rows[k], rows[best] = rows[best], rows[k]
        for i in range(k + 1, n):
            factor = rows[i][k] / rows[k][k]
            rows[i] = [x - factor * y for x, y in zip(rows[i], rows[k], strict=True)]
    x: Vector = [0] * n
    for k in reversed(range(n)):
        x[k] = (rows[k][n] - sum(rows[k][j] * x[j] for j in range(k + 1, n))) / rows[k][k]
    return x


def slope(f: Loss, x: Vector, v: Vector, h: Number) -> Number:
    """(f(x + hv) − f(x − hv)) / 2h."""
    up, down = ([a + s * h * b for a, b in zip(x, v, strict=True)] for s in (1, -1))
    return (f(up) - f(down)) / (2 * h)


def gradient(f: Loss, x: Vector, h: Number) -> Vector:
    """Every partial derivative, as a slope."""
    return [slope(f, x, [int(i == j) for j in range(len(x))], h) for i in range(len(x))]


def hessian_product(f: Loss, x: Vector, v: Vector, h: Number) -> Vector:
    """The slope along v of every partial derivative."""
    axes = [[int(i == j) for j in range(len(x))] for i in range(len(x))]
    return [slope(lambda z, e=e: slope(f, z, e, h), x, v, h) for e in axes]  # type: ignore[misc]


def adapted(theta: Vector, support: Loss, alphas: Sequence[Vector], h: Number) -> Vector:
    """θ − α ⊙ ∇L(θ), a row of step sizes a step, every gradient numeric."""
    for row in alphas:
        theta = [t - a * g for t, a, g in zip(theta, row, gradient(support, theta, h), strict=True)]
    return theta


def _dot(a: Sequence[Number], b: Sequence[Number]) -> Number:
    return sum((x * y for x, y in zip(a, b, strict=True)), start=0 * b[0])
