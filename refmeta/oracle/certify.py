"""Certificates: expected values from the objective alone, in decimals or fractions.  Derivation: derivations/judges.md

No derivative formula stands here.  A gradient is a central difference of the objective, and so is every inner gradient.
Numbers are `Decimal` at 100 and again at 120 digits, with steps so small that the two agree to 30 digits or more; for
quadratic losses they are `Fraction`, on which a central difference in θ is exact for every step.
"""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

Number = Any
Vector = list[Number]
Loss = Callable[[Vector], Number]
PRECISIONS = (100, 120)


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


def converted(value: Any, kind: type) -> Any:
    """Every float of a nested list as an exact Decimal or Fraction; integers and None stay."""
    if isinstance(value, list):
        return [converted(entry, kind) for entry in value]
    return kind(value) if isinstance(value, float) else value


def exactly(compute: Callable[[type, Number, Number], Any], rational: bool) -> tuple[Any, int]:
    """`compute(kind, inner step, outer step)`, and the digits to which two runs agree (0: exact, in fractions)."""
    if rational:
        return compute(Fraction, Fraction(1), Fraction(1)), 0
    found = []
    for digits in PRECISIONS:
        with localcontext() as context:
            context.prec = digits
            found.append(compute(Decimal, Decimal(10) ** (-3 * digits // 10), Decimal(10) ** (-digits // 5)))
    return found[-1], agreement(*found)


def agreement(one: Any, other: Any) -> int:
    """The number of decimal digits, relative to the largest entry, to which two results agree."""
    a, b = _flat(one), _flat(other)
    gap = max((abs(x - y) for x, y in zip(a, b, strict=True)), default=Decimal(0))
    size = max((abs(y) for y in b), default=Decimal(0))
    return PRECISIONS[0] if gap == 0 else int((size / gap).log10()) if size > 0 else 0


def _flat(value: Any) -> list[Any]:
    return [x for entry in value for x in _flat(entry)] if isinstance(value, list) else [value]


def losses(suite: str, x: dict[str, Any], prefix: str, kind: type) -> list[Loss]:
    """The loss of every task of a vector's input, support or (prefix "query_") query, in numbers of a kind."""

    def each(make: Callable[..., Loss], *names: str, **shared: Any) -> list[Loss]:
        return [make(*data, **shared) for data in zip(*(converted(x[prefix + n], kind) for n in names), strict=True)]

    if suite == "maml-quadratic":
        return each(quadratic, "A", "c")
    if suite == "maml-regression":
        return each(linear_regression, "X", "y")
    if suite == "maml-classification":
        return each(softmax_regression, "X", "labels", classes=x["classes"], ridge=kind(x["ridge"]))
    features = converted(x.get("features"), kind)
    return each(policy_return, "P", "R", "rho", gamma=kind(x["gamma"]), horizon=x["horizon"], features=features)


def rows_of(alpha: Any, steps: int, dim: int) -> list[Vector]:
    """α, nested as the user gives it, as one row of d a step."""
    if not isinstance(alpha, list):
        return [[alpha] * dim] * steps
    if not alpha or not isinstance(alpha[0], list):
        return [alpha] * steps
    return [row * dim if len(row) == 1 else row for row in alpha]


def certified(suite: str, x: dict[str, Any], quantity: str) -> tuple[list[Any], int]:
    """A quantity of a vector's input, one entry a task, and the digits to which two precisions agree.

    Eq: decimal-certificate
    """
    rational = suite in ("maml-quadratic", "maml-regression") and quantity != "step_size_gradient" or suite == "reptile"
    return exactly(lambda kind, h, outer: QUANTITIES[quantity](suite, x, kind, h, outer), rational)


def _each(suite: str, x: dict[str, Any], kind: type, h: Number) -> Iterator[tuple[Loss, Callable[..., Vector]]]:
    """For each task the query's loss, and φ as a function of θ and of nested α."""
    for support, query in zip(losses(suite, x, "", kind), losses(suite, x, "query_", kind), strict=True):
        yield query, lambda theta, alpha, f=support: adapted(theta, f, rows_of(alpha, x["steps"], len(theta)), h)


def _objective(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    theta, alpha = converted(x["theta"], kind), converted(x["alpha"], kind)
    return [query(phi(theta, alpha)) for query, phi in _each(suite, x, kind, h)]


def _gradient(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    theta, alpha = converted(x["theta"], kind), converted(x["alpha"], kind)
    return [gradient(lambda t: query(phi(t, alpha)), theta, outer) for query, phi in _each(suite, x, kind, h)]  # noqa: B023


def _first_order(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    theta, alpha = converted(x["theta"], kind), converted(x["alpha"], kind)
    return [gradient(query, phi(theta, alpha), outer) for query, phi in _each(suite, x, kind, h)]


def _step_size_gradient(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    theta, flat, shaped = converted(x["theta"], kind), *_flattened(converted(x["alpha"], kind))
    each = _each(suite, x, kind, h)
    return [shaped(gradient(lambda a: query(phi(theta, shaped(a))), flat, outer)) for query, phi in each]  # noqa: B023


def _flattened(alpha: Any) -> tuple[Vector, Callable[[Vector], Any]]:
    """α as one list, and the way back to its nesting."""
    if not isinstance(alpha, list):
        return [alpha], lambda a: a[0]
    if not alpha or not isinstance(alpha[0], list):
        return alpha, lambda a: a
    wide = len(alpha[0])
    return _flat(alpha), lambda a: [a[i : i + wide] for i in range(0, len(a), wide)]


def _loss(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    return [loss(converted(x["theta"], kind)) for loss in losses(suite, x, "", kind)]


def _grad(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    return [gradient(loss, converted(x["theta"], kind), outer) for loss in losses(suite, x, "", kind)]


def _hvp(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    theta, v = converted(x["theta"], kind), converted(x["v"], kind)
    return [hessian_product(loss, theta, v, outer) for loss in losses(suite, x, "", kind)]


def _update(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    theta, rows, epsilon = (converted(x[name], kind) for name in ("theta", "adapted", "epsilon"))
    return [t + epsilon * sum(row[j] - t for row in rows) / len(rows) for j, t in enumerate(theta)]


QUANTITIES = {
    "objective": _objective, "gradient": _gradient, "first_order": _first_order,
    "step_size_gradient": _step_size_gradient, "loss": _loss, "grad": _grad, "hvp": _hvp, "update": _update,
}  # fmt: skip
