"""Certificates: expected values from the objective alone, in decimals or fractions.  Derivation: derivations/judges.md

No derivative formula stands here.  A gradient is a central difference of the objective, and so is every inner gradient.
Numbers are `Decimal` at 100 and again at 120 digits, with steps so small that the two agree to 30 digits or more; for
quadratic losses they are `Fraction`, on which a central difference in θ is exact for every step.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from refmeta.oracle import lstm_decimals, model_decimals, pearl_decimals
from refmeta.oracle.decimals import (
    Loss,
    Number,
    Vector,
    adapted,
    flattened,
    gradient,
    hessian_product,
    leaf_gradient,
    least_norm,
    linear_quadratic,
    linear_regression,
    policy_kl,
    policy_return,
    proximal,
    quadratic,
    rows_of,
    softmax_regression,
)
from refmeta.oracle.sampled_decimals import Process, surrogate

PRECISIONS = (100, 120)


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
    a, b = flattened(one)[0], flattened(other)[0]
    gap = max((abs(x - y) for x, y in zip(a, b, strict=True)), default=Decimal(0))
    size = max((abs(y) for y in b), default=Decimal(0))
    return PRECISIONS[0] if gap == 0 else int((size / gap).log10()) if size > 0 else 0


def losses(suite: str, x: dict[str, Any], prefix: str, kind: type) -> list[Loss]:
    """The loss of every task of a vector's input, support or (prefix "query_") query, in numbers of a kind."""

    def each(make: Callable[..., Loss], *names: str, **shared: Any) -> list[Loss]:
        return [make(*data, **shared) for data in zip(*(converted(x[prefix + n], kind) for n in names), strict=True)]

    if suite == "maml-quadratic" or suite == "implicit" and x[prefix + "A"] is not None:
        return each(quadratic, "A", "c")
    if suite == "maml-lq":
        system = ("A", "B", "Q", "R", "start", "noise")
        return each(linear_quadratic, *system, gamma=kind(x["gamma"]), horizon=x["horizon"])
    if suite in ("maml-regression", "implicit"):
        return each(linear_regression, "X", "y")
    if suite in ("maml-classification", "meta-lstm"):
        return each(softmax_regression, "X", "labels", classes=x["classes"], ridge=kind(x["ridge"]))
    features = converted(x.get("features"), kind)
    return each(policy_return, "P", "R", "rho", gamma=kind(x["gamma"]), horizon=x["horizon"], features=features)


def certified(suite: str, x: dict[str, Any], quantity: str) -> tuple[list[Any], int]:
    """A quantity of a vector's input, one entry a task, and the digits to which two precisions agree.

    Eq: decimal-certificate
    """
    rational = suite in ("maml-quadratic", "maml-regression") and quantity != "step_size_gradient"
    rational = rational or suite in ("reptile", "implicit")
    compute = PARTS_OF[suite](quantity) if suite in PARTS_OF else QUANTITIES[quantity]
    return exactly(lambda kind, h, outer: compute(suite, x, kind, h, outer), rational)


def _each(suite: str, x: dict[str, Any], kind: type, h: Number) -> Iterator[tuple[Loss, Callable[..., Vector]]]:
    """For each task the query's loss, and φ as a function of θ and of nested α."""
    for support, query in zip(losses(suite, x, "", kind), losses(suite, x, "query_", kind), strict=True):
        if suite == "implicit":
            yield query, lambda theta, strength, f=support: proximal(f, theta, strength, h)
        else:
            yield query, lambda theta, alpha, f=support: adapted(theta, f, rows_of(alpha, x["steps"], len(theta)), h)


def _start(suite: str, x: dict[str, Any], kind: type) -> tuple[Vector, Any]:
    """θ, and α or λ."""
    return converted(x["theta"], kind), converted(x["strength" if suite == "implicit" else "alpha"], kind)


def _objective(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    theta, alpha = _start(suite, x, kind)
    return [query(phi(theta, alpha)) for query, phi in _each(suite, x, kind, h)]


def _gradient(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    theta, alpha = _start(suite, x, kind)
    return [gradient(lambda t: query(phi(t, alpha)), theta, outer) for query, phi in _each(suite, x, kind, h)]  # noqa: B023


def _first_order(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    theta, alpha = _start(suite, x, kind)
    return [gradient(query, phi(theta, alpha), outer) for query, phi in _each(suite, x, kind, h)]


def _step_size_gradient(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    theta, alpha, each = converted(x["theta"], kind), converted(x["alpha"], kind), _each(suite, x, kind, h)
    return [leaf_gradient(lambda a: query(phi(theta, a)), alpha, outer) for query, phi in each]  # noqa: B023


def _loss(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    return [loss(converted(x["theta"], kind)) for loss in losses(suite, x, "", kind)]


def _grad(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    return [gradient(loss, converted(x["theta"], kind), outer) for loss in losses(suite, x, "", kind)]


def _hvp(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    theta, v = converted(x["theta"], kind), converted(x["v"], kind)
    return [hessian_product(loss, theta, v, outer) for loss in losses(suite, x, "", kind)]


def _divergences(x: dict[str, Any], kind: type) -> list[Loss]:
    """The KL from θ of every task, the policies of θ and their visits held."""
    theta, P, rho, features = (converted(x[name], kind) for name in ("theta", "P", "rho", "features"))
    return [policy_kl(theta, p, r, kind(x["gamma"]), x["horizon"], features) for p, r in zip(P, rho, strict=True)]


def _moved(x: dict[str, Any], kind: type) -> Vector:
    """θ + v."""
    return [a + b for a, b in zip(converted(x["theta"], kind), converted(x["v"], kind), strict=True)]


def _fisher(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    theta, v = converted(x["theta"], kind), converted(x["v"], kind)
    return [hessian_product(kl, theta, v, outer) for kl in _divergences(x, kind)]


def _natural_gradient(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    theta, found = converted(x["theta"], kind), []
    axes = [[int(i == j) for j in range(len(theta))] for i in range(len(theta))]
    for kl, g in zip(_divergences(x, kind), _grad(suite, x, kind, h, outer), strict=True):
        F = [hessian_product(kl, theta, e, outer) for e in axes]
        found.append(least_norm(F, [-slope for slope in g], kind("1e-15")))
    return found


def _kl(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    return [kl(_moved(x, kind)) for kl in _divergences(x, kind)]


def _kl_grad(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    return [gradient(kl, _moved(x, kind), outer) for kl in _divergences(x, kind)]


def _kl_hvp(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    v = converted(x["v"], kind)
    return [hessian_product(kl, _moved(x, kind), v, outer) for kl in _divergences(x, kind)]


def _update(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
    theta, rows, epsilon = (converted(x[name], kind) for name in ("theta", "adapted", "epsilon"))
    return [t + epsilon * sum(row[j] - t for row in rows) / len(rows) for j, t in enumerate(theta)]


def _surrogate(name: str) -> Callable[..., list[Any]]:
    """The loss, gradient or Hessian product of a surrogate, one entry a task."""
    kind_of, part = name.rsplit("_", 1)

    def compute(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
        given = {key: converted(value, kind) for key, value in x.items()}
        losses = [surrogate(kind_of, given, task) for task in range(len(given["rewards"]))]
        if part == "loss":
            return [loss(given["theta"]) for loss in losses]
        if part == "grad":
            return [gradient(loss, given["theta"], outer) for loss in losses]
        return [hessian_product(loss, given["theta"], given["v"], outer) for loss in losses]

    return compute


def _expectation(name: str) -> Callable[..., list[Any]]:
    """A meta-gradient or an expected Hessian product, one entry a task."""

    def compute(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
        given = {key: converted(value, kind) for key, value in x.items()}
        theta, v = given["theta"], given["v"]
        tasks = [Process(given, task) for task in range(len(given["P"]))]
        rows = [[given["alpha"]] * len(theta)] * given["steps"]
        if name == "formulation_exact":
            return [gradient(lambda t, f=p.loss: f(adapted(t, f, rows, h)), theta, outer) for p in tasks]  # type: ignore[misc]
        if name == "formulation_sampled":
            return [gradient(lambda t, p=p: p.expected(t, given["steps"], h), theta, outer) for p in tasks]  # type: ignore[misc]
        if name == "dice_hessian":
            return [hessian_product(p.loss, theta, v, outer) for p in tasks]
        return [p.curvature(name, theta, v, outer) for p in tasks]

    return compute


def _learner(name: str) -> Callable[..., list[Any]]:
    """The objective of a Meta-LSTM, or its derivative by one leaf, one entry a task."""
    kind_of, _, leaf = name.partition("_")

    def compute(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
        given, found = {key: converted(value, kind) for key, value in x.items()}, []
        pairs = zip(losses(suite, x, "", kind), losses(suite, x, "query_", kind), strict=True)
        for support, query in pairs:
            if name == "objective":
                found.append(query(lstm_decimals.adapted(given, support, h)[0]))
            else:
                hold = kind_of == "independent"
                found.append(lstm_decimals.slope_in(given, leaf, support, query, h, outer, hold))
        return found

    return compute


def _task_by_task(part: Callable[..., Any], name: str) -> Callable[..., list[Any]]:
    """A part of a suite whose every task is computed by itself, one entry a task."""

    def compute(suite: str, x: dict[str, Any], kind: type, h: Number, outer: Number) -> list[Any]:
        given = {key: converted(value, kind) for key, value in x.items()}
        return [part(name, given, task, h, outer) for task in range(len(given["context_mask"]))]

    return compute


QUANTITIES: dict[str, Callable[..., list[Any]]] = {
    "objective": _objective, "gradient": _gradient, "first_order": _first_order,
    "step_size_gradient": _step_size_gradient, "loss": _loss, "grad": _grad, "hvp": _hvp, "update": _update,
    "fisher": _fisher, "natural_gradient": _natural_gradient, "kl": _kl, "kl_grad": _kl_grad, "kl_hvp": _kl_hvp,
}  # fmt: skip
PARTS_OF: dict[str, Callable[[str], Callable[..., list[Any]]]] = {
    "surrogates": _surrogate,
    "expected-estimators": _expectation,
    "meta-lstm": _learner,
    "pearl": lambda name: _task_by_task(pearl_decimals.part, name),
    "model": lambda name: _task_by_task(model_decimals.part, name),
}
