"""Losses and numeric derivatives in any arithmetic.  Derivation: derivations/judges.md

Numbers are `Decimal`, `Fraction`, `complex`, or complex in two units (`bicomplex`).  In two units, an array stands for one
number at many small perturbations.  No derivative formula stands here: a gradient is numeric, and so is every inner gradient.
"""

import cmath
import itertools
from collections.abc import Callable, Sequence
from decimal import Decimal, getcontext
from functools import lru_cache, singledispatch
from operator import mul
from typing import Any, NamedTuple, Protocol

__all__ = [
    "Central", "Inputs", "Loss", "Losses", "Number", "NumericStep", "Softmax", "Steps", "Vector", "adaptation", "dot", "exp", "flatten", "gradient", "gradients",
    "hessian_product", "largest", "leaf_gradient", "least_norm", "linear_quadratic", "linear_regression", "ln",
    "magnitude", "map_numbers", "policy", "policy_kl", "policy_return", "proximal", "quadratic", "real", "step_size_rows", "softmax",
    "softmax_regression", "solution", "sqrt",
]  # fmt: skip

Number = Any
Vector = list[Number]
Loss = Callable[[Vector], Number]
Losses = Callable[[Vector], Vector]
Softmax = Callable[[Vector], Vector]
Inputs = dict[str, Any]


class NumericStep(Protocol):
    """Numeric derivatives of first order: the slope of f at x along v, and of every entry of a list f(x) along every axis."""

    def slope(self, f: Loss, x: Vector, v: Vector) -> Number: ...
    def gradients(self, f: Losses, x: Vector) -> list[Vector]: ...


class Central(NamedTuple):
    """The central difference with step h."""

    h: Number

    def slope(self, f: Loss, x: Vector, v: Vector) -> Number:
        """(f(x + hv) − f(x − hv)) / 2h."""
        up, down = ([a + s * self.h * b for a, b in zip(x, v, strict=True)] for s in (1, -1))
        return (f(up) - f(down)) / (2 * self.h)

    def gradients(self, f: Losses, x: Vector) -> list[Vector]:
        """The slope along each axis in turn; the other coordinates keep their digits."""
        x = [a + 0 * self.h for a in x]
        lines = [[f([*x[:j], x[j] + h, *x[j + 1 :]]) for h in (self.h, -self.h)] for j in range(len(x))]
        slopes = [[(a - b) / (2 * self.h) for a, b in zip(up, down, strict=True)] for up, down in lines]
        return [list(row) for row in zip(*slopes, strict=True)]


class Steps(NamedTuple):
    """How to differentiate: inside an objective, the objective itself, and its slope a second time."""

    inner: NumericStep
    outer: NumericStep
    second: NumericStep


@singledispatch
def exp(x: Number) -> Number:
    """eˣ."""
    return x.exp()


@singledispatch
def ln(x: Number) -> Number:
    """The natural logarithm."""
    return x.ln()


@singledispatch
def sqrt(x: Number) -> Number:
    """The square root."""
    return x.sqrt()


exp.register(complex, cmath.exp)
ln.register(complex, cmath.log)
sqrt.register(complex, cmath.sqrt)


@exp.register
def _exp(x: Decimal) -> Decimal:
    """Remembered: a difference along one axis leaves most numbers as they were."""
    return _remembered(Decimal.exp, x, getcontext().prec)


@ln.register
def _ln(x: Decimal) -> Decimal:
    """Remembered, as the exponential is."""
    return _remembered(Decimal.ln, x, getcontext().prec)


@lru_cache(maxsize=1 << 15)
def _remembered(f: Callable[[Any], Any], x: Any, precision: int) -> Any:
    """f(x) in the current context, which has this precision."""
    return f(x)


@singledispatch
def real(x: Number) -> Number:
    """The real part, on which every comparison is made."""
    return x.real


def largest(x: Sequence[Number]) -> Number:
    """The entry with the largest real part."""
    return max(x, key=real)


def magnitude(x: Number) -> Number:
    """The size of the real part."""
    return abs(real(x))


def softmax(x: Vector) -> Vector:
    """exp(x)/Σ exp(x), shifted by the largest; of decimals it is remembered."""
    return list(_remembered(_softmax, tuple(x), getcontext().prec)) if isinstance(x[0], Decimal) else _softmax(x)


def _softmax(x: Sequence[Number]) -> Vector:
    """The same, computed."""
    top = largest(x)
    e = [exp(a - top) for a in x]
    total = sum(e)
    return [a / total for a in e]


def quadratic(A: Any, c: Any) -> Loss:
    """½(θ − c)ᵀA(θ − c)."""

    def loss(theta: Vector) -> Number:
        x = [t - b for t, b in zip(theta, c, strict=True)]
        return sum(a * p * q for row, p in zip(A, x, strict=True) for a, q in zip(row, x, strict=True)) / 2

    return loss


def linear_regression(X: Any, y: Any) -> Loss:
    """1/(2n) ‖Xθ − y‖²."""

    def loss(theta: Vector) -> Number:
        return sum((dot(row, theta) - b) ** 2 for row, b in zip(X, y, strict=True)) / (2 * len(y))

    return loss


def softmax_regression(X: Any, labels: Any, classes: int, ridge: Number, softmax: Softmax = softmax) -> Loss:
    """Mean cross-entropy + ridge/2 ‖θ‖², θ class after class."""

    def loss(theta: Vector) -> Number:
        W = [theta[k * len(X[0]) : (k + 1) * len(X[0])] for k in range(classes)]
        data = sum(ln(softmax([dot(w, x) for w in W])[label]) for x, label in zip(X, labels, strict=True))
        return ridge * dot(theta, theta) / 2 - data / len(labels)

    return loss


def policy_return(
    P: Any, R: Any, rho: Any, gamma: Number, horizon: int | None, features: Any = None, softmax: Softmax = softmax
) -> Loss:
    """−J: the Bellman system by Gaussian elimination, or H steps of its recursion."""
    S, A = len(R), len(R[0])
    reward = [[dot(*pair) if isinstance(pair[1], list) else pair[1] for pair in zip(*rows, strict=True)] for rows in zip(P, R, strict=True)]
    reached = [list(zip(*P[s], strict=True)) for s in range(S)]

    def loss(theta: Vector) -> Number:
        pi = policy(theta, S, A, features, softmax)
        r = [dot(pi[s], reward[s]) for s in range(S)]
        K = [[gamma * sum(map(mul, pi[s], p)) for p in reached[s]] for s in range(S)]
        if horizon is None:
            V = solution([[(s == t) - K[s][t] for t in range(S)] for s in range(S)], r)
        else:
            V = [0 * x for x in r]
            for _ in range(horizon):
                V = [r[s] + dot(K[s], V) for s in range(S)]
        return -dot(rho, V)

    return loss


def policy(theta: Vector, S: int, A: int, features: Any = None, softmax: Softmax = softmax) -> list[Vector]:
    """π of the table θ or of the logits Φθ, one row per state."""
    if features is not None:
        return [softmax([dot(row, theta) for row in state]) for state in features]
    return [softmax(theta[s * A : (s + 1) * A]) for s in range(S)]


def policy_kl(start: Vector, P: Any, rho: Any, gamma: Number, horizon: int | None, features: Any = None) -> Loss:
    """Σ_s d(s) Σ_a π₀ ln(π₀/π), d the discounted visits of π₀, the policy of `start`."""
    S, A = len(P), len(P[0])
    old = policy(start, S, A, features)
    K = [[gamma * sum(old[s][a] * P[s][a][t] for a in range(A)) for s in range(S)] for t in range(S)]
    if horizon is None:
        d = solution([[(s == t) - K[t][s] for s in range(S)] for t in range(S)], rho)
    else:
        d, now = [0 * x for x in rho], rho
        for _ in range(horizon):
            d, now = [x + y for x, y in zip(d, now, strict=True)], [dot(row, now) for row in K]

    def loss(theta: Vector) -> Number:
        new = policy(theta, S, A, features)
        return sum(d[s] * old[s][a] * (ln(old[s][a]) - ln(new[s][a])) for s in range(S) for a in range(A))

    return loss


def linear_quadratic(
    A: Any, B: Any, Q: Any, R: Any, start: Any, noise: Any, gamma: Number, horizon: int | None
) -> Loss:
    """Σ γᵗ E[xᵀQx + aᵀRa] of a = Kx + σε by the recursion of E[xxᵀ], or its discounted sum by one linear system."""
    n, m = len(B), len(B[0])

    def loss(theta: Vector) -> Number:
        K, variance = [theta[j * n : (j + 1) * n] for j in range(m)], [exp(2 * x) for x in theta[m * n :]]
        M = [[A[i][j] + dot(B[i], [row[j] for row in K]) for j in range(n)] for i in range(n)]
        N = [[noise[i][j] + sum(B[i][k] * B[j][k] * variance[k] for k in range(m)) for j in range(n)] for i in range(n)]

        def cost(S: Any, weight: Number) -> Number:
            actions = [
                [dot(_times(S, K[i]), K[j]) + weight * (i == j) * variance[i] for j in range(m)] for i in range(m)
            ]
            return sum(map(dot, Q, S)) + sum(map(dot, R, actions))

        if horizon is None:
            s, pairs = gamma / (1 - gamma), [(i, j) for i in range(n) for j in range(n)]
            system = [[(p == q) - gamma * M[p[0]][q[0]] * M[p[1]][q[1]] for q in pairs] for p in pairs]
            flat = solution(system, [start[i][j] + s * N[i][j] for i, j in pairs])
            return cost([flat[i * n : (i + 1) * n] for i in range(n)], 1 / (1 - gamma))
        S, weight, total = start, 0 * gamma + 1, 0 * gamma
        for _ in range(horizon):
            total, weight = total + weight * cost(S, 0 * gamma + 1), weight * gamma
            MS = [_times(S, row) for row in M]
            S = [[dot(MS[i], M[j]) + N[i][j] for j in range(n)] for i in range(n)]
        return total

    return loss


def proximal(support: Loss, theta: Vector, strength: Number, step: NumericStep) -> Vector:
    """argmin_φ L(φ) + (λ/2)‖φ − θ‖² of a quadratic L: one Newton step of numeric derivatives, exact in fractions."""

    def objective(phi: Vector) -> Number:
        return support(phi) + strength * sum((p - t) ** 2 for p, t in zip(phi, theta, strict=True)) / 2

    H = [hessian_product(objective, theta, e, step, step) for e in _axes(len(theta))]
    move = solution(H, gradient(objective, theta, step))
    return [t - m for t, m in zip(theta, move, strict=True)]


def least_norm(F: list[Vector], g: Vector, tiny: Number) -> Vector:
    """The solution of least norm of F x = g, F symmetric; a pivot below `tiny` counts as zero.

    With a basis N of the null space, (F + NNᵀ) x = g has NᵀN Nᵀx = Nᵀg = 0.  NNᵀ hides digits of a small F from floats, and
    one step of refinement brings them back.
    """
    rows, free, pivots, d = [list(row) for row in F], [], [], len(g)
    for j in range(d):
        rest = [i for i in range(d) if i not in pivots]
        best = max(rest, key=lambda i: magnitude(rows[i][j]), default=None)
        if best is None or magnitude(rows[best][j]) < tiny:
            free.append(j)
            continue
        pivots.append(best)
        rows[best] = [x / rows[best][j] for x in rows[best]]
        for i in range(d):
            if i != best:
                rows[i] = [x - rows[i][j] * y for x, y in zip(rows[i], rows[best], strict=True)]
    bound = [j for j in range(d) if j not in free]
    null = []
    for j in free:
        vector = [0 * g[0]] * d
        vector[j] = 0 * g[0] + 1
        for i, column in zip(pivots, bound, strict=True):
            vector[column] = -rows[i][j]
        null.append(vector)
    full = [[F[i][j] + sum(v[i] * v[j] for v in null) for j in range(d)] for i in range(d)]
    x = solution(full, g)
    rest = [g[i] - dot(F[i], x) - sum(v[i] * dot(v, x) for v in null) for i in range(d)]
    return [a + b for a, b in zip(x, solution(full, rest), strict=True)]


def solution(M: list[Vector], b: Vector) -> Vector:
    """M⁻¹b by Gaussian elimination with pivoting."""
    rows = [[*row, right] for row, right in zip(M, b, strict=True)]
    n = len(rows)
    for k in range(n):
        best = max(range(k, n), key=lambda i: magnitude(rows[i][k]))
        rows[k], rows[best] = rows[best], rows[k]
        for i in range(k + 1, n):
            factor = rows[i][k] / rows[k][k]
            rows[i][k + 1 :] = [x - factor * y for x, y in zip(rows[i][k + 1 :], rows[k][k + 1 :], strict=True)]
    x: Vector = [0] * n
    for k in reversed(range(n)):
        x[k] = (rows[k][n] - sum(map(mul, rows[k][k + 1 : n], x[k + 1 :]))) / rows[k][k]
    return x


def _axes(d: int) -> list[list[int]]:
    """The unit vectors."""
    return [[int(i == j) for j in range(d)] for i in range(d)]


def gradient(f: Loss, x: Vector, step: NumericStep) -> Vector:
    """Every partial derivative."""
    return step.gradients(lambda z: [f(z)], x)[0]


def gradients(f: Losses, x: Vector, step: NumericStep) -> list[Vector]:
    """The gradient of every entry of a list; f is evaluated once for all."""
    return step.gradients(f, x)


def flatten(value: Any) -> tuple[Vector, Callable[[Vector], Any]]:
    """A number or a nested list as one list, and the function that nests such a list again."""
    if not isinstance(value, list):
        return [value], lambda flat: flat[0]
    parts = [flatten(entry) for entry in value]
    ends = [0, *itertools.accumulate(len(flat) for flat, _ in parts)]
    return [x for flat, _ in parts for x in flat], lambda flat: [
        nested(flat[i:j]) for (_, nested), i, j in zip(parts, ends[:-1], ends[1:], strict=True)
    ]


def map_numbers(f: Callable[[Any], Any], nested: Any) -> Any:
    """f of a number, or of every number of a nested list."""
    return [map_numbers(f, entry) for entry in nested] if isinstance(nested, list) else f(nested)


def leaf_gradient(f: Callable[[Any], Number], leaf: Any, step: NumericStep) -> Any:
    """Every partial derivative by a number or a nested list, nested as it is."""
    flat, nested = flatten(leaf)
    return nested(gradient(lambda x: f(nested(x)), flat, step))


def hessian_product(f: Loss, x: Vector, v: Vector, outer: NumericStep, second: NumericStep) -> Vector:
    """The slope along v of every partial derivative."""
    return [outer.slope(lambda z, e=e: second.slope(f, z, e), x, v) for e in _axes(len(x))]  # type: ignore[misc]


def step_size_rows(alpha: Any, steps: int, dim: int) -> list[Vector]:
    """α in any of its shapes, as one row of d step sizes per step."""
    if not isinstance(alpha, list):
        return [[alpha] * dim] * steps
    if not alpha or not isinstance(alpha[0], list):
        return [alpha] * steps
    return [row * dim if len(row) == 1 else row for row in alpha]


def adaptation(theta: Vector, support: Loss, alphas: Sequence[Vector], step: NumericStep) -> Vector:
    """θ − α ⊙ ∇L(θ), once per row of step sizes; every gradient is numeric."""
    for row in alphas:
        theta = [t - a * g for t, a, g in zip(theta, row, gradient(support, theta, step), strict=True)]
    return theta


def _times(S: Any, x: Vector) -> Vector:
    """S x, for a symmetric S."""
    return [dot(row, x) for row in S]


def dot(a: Sequence[Number], b: Sequence[Number]) -> Number:
    """Σ a b."""
    if len(a) != len(b):
        raise ValueError(f"dot takes two vectors of one length, got {len(a)} and {len(b)} numbers")
    return sum(map(mul, a, b), start=0 * b[0])
