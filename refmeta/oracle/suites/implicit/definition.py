"""Implicit MAML on quadratic losses, in any arithmetic.  Derivation: derivations/implicit-and-zeroth-order.md"""

from typing import Any

from refmeta.oracle.decimals import (
    Central,
    Inputs,
    Loss,
    Steps,
    Vector,
    gradient,
    linear_regression,
    proximal,
    quadratic,
)

__all__ = ["ANY", "define", "losses"]

ANY = Central(1)  # a difference of a quadratic is its derivative, for every step


def define(part: str, x: Inputs, steps: Steps) -> list[Any]:
    """L_query(φ*), its gradient in θ, or ∇L_query at φ*, one entry for each task."""
    return [_of_task(part, x, *pair, steps) for pair in zip(losses(x, ""), losses(x, "query_"), strict=True)]


def losses(x: Inputs, prefix: str) -> list[Loss]:
    """The loss of each task, of the support or of the query."""
    form, names = (quadratic, "Ac") if x[prefix + "A"] is not None else (linear_regression, "Xy")
    return [form(*data) for data in zip(*(x[prefix + name] for name in names), strict=True)]


def _of_task(part: str, x: Inputs, support: Loss, query: Loss, steps: Steps) -> Any:
    """One task's part."""

    def phi(theta: Vector) -> Vector:
        return proximal(support, theta, x["strength"], ANY)

    if part == "objective":
        return query(phi(x["theta"]))
    if part == "first_order":
        return gradient(query, phi(x["theta"]), steps.outer)
    return gradient(lambda theta: query(phi(theta)), x["theta"], steps.outer)
