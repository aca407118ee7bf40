"""Hypergradients that stop early, on quadratic losses, in any arithmetic.  Derivation: derivations/implicit-and-zeroth-order.md

What unrolled steps give is a numeric derivative of L_query at their end; the series and the one step are those of steps that
begin at φ*.  Conjugate gradients are the least of ½xᵀHx − gᵀx on the span of their residuals.
"""

from fractions import Fraction
from typing import Any

from refmeta.oracle.decimals import (
    Inputs,
    Loss,
    Steps,
    Vector,
    dot,
    gradient,
    hessian_product,
    magnitude,
    proximal,
    solution,
)
from refmeta.oracle.suites.implicit.definition import ANY, losses

__all__ = ["define"]


def define(part: str, x: Inputs, steps: Steps) -> list[Any]:
    """A part, one entry for each task."""
    return [METHODS[part](x, *pair, steps) for pair in zip(losses(x, ""), losses(x, "query_"), strict=True)]


def _descent(x: Inputs, support: Loss, phi: Vector, theta: Vector, count: int) -> Vector:
    """φ − (η/λ) of the slope of L(φ) + (λ/2)‖φ − θ‖², so many times."""
    for _ in range(count):
        slope = gradient(support, phi, ANY)
        phi = [p - x["eta"] / x["strength"] * (s + x["strength"] * (p - t)) for p, s, t in zip(phi, slope, theta, strict=True)]
    return phi


def _unrolled(x: Inputs, support: Loss, query: Loss, steps: Steps, start: Vector, count: int) -> Vector:
    """The derivative by θ of L_query after so many steps from a start that is held."""
    return gradient(lambda theta: query(_descent(x, support, start, theta, count)), x["theta"], steps.outer)


def _minimum(x: Inputs, support: Loss) -> Vector:
    """φ*."""
    return proximal(support, x["theta"], x["strength"], ANY)


def _truncated(x: Inputs, support: Loss, query: Loss, steps: Steps) -> Vector:
    """The last steps, from where the first ones end."""
    held = _descent(x, support, x["theta"], x["theta"], x["steps"] - x["kept"])
    return _unrolled(x, support, query, steps, held, x["kept"])


def _neumann(x: Inputs, support: Loss, query: Loss, steps: Steps, terms: int | None = None) -> Vector:
    """As many steps from φ* as there are terms."""
    return _unrolled(x, support, query, steps, _minimum(x, support), x["terms"] if terms is None else terms)


def _one_step(x: Inputs, support: Loss, query: Loss, steps: Steps) -> Vector:
    """One step from φ*."""
    return _neumann(x, support, query, steps, 1)


def _finite_difference(x: Inputs, support: Loss, query: Loss, steps: Steps) -> Vector:
    """v ← v + η(g − Hv) with Hv from two gradients."""
    phi = _minimum(x, support)
    g = gradient(query, phi, steps.outer)
    v = [x["eta"] * a for a in g]
    for _ in range(x["terms"] - 1):
        up, down = (gradient(support, [p + s * x["delta"] * a for p, a in zip(phi, v, strict=True)], ANY) for s in (1, -1))
        Hv = [a + (p - n) / (2 * x["delta"] * x["strength"]) for a, p, n in zip(v, up, down, strict=True)]
        v = [a + x["eta"] * (b - h) for a, b, h in zip(v, g, Hv, strict=True)]
    return v


def _cg(x: Inputs, support: Loss, query: Loss, steps: Steps) -> Vector:
    """The least of ½xᵀHx − gᵀx on the span of g and the residuals, as long as one is not zero; where numbers are rounded, 1e-12 of g."""
    phi = _minimum(x, support)
    g = gradient(query, phi, steps.outer)

    def image(v: Vector) -> Vector:
        return [a + h / x["strength"] for a, h in zip(v, hessian_product(support, phi, v, ANY, ANY), strict=True)]

    span: list[Vector] = []
    images: list[Vector] = []
    best, residual = [0 * a for a in g], g
    least = 0 if isinstance(g[0], Fraction) else 1e-12 * max(map(magnitude, g))
    while len(span) < x["cg_steps"] and max(map(magnitude, residual)) > least:
        span, images = [*span, residual], [*images, image(residual)]
        weights = solution([[dot(u, h) for h in images] for u in span], [dot(u, g) for u in span])
        best = [sum(w * v[i] for w, v in zip(weights, span, strict=True)) for i in range(len(g))]
        residual = [a - sum(w * h[i] for w, h in zip(weights, images, strict=True)) for i, a in enumerate(g)]
    return best


METHODS = {"neumann": _neumann, "one_step": _one_step, "cg": _cg, "truncated": _truncated, "finite_difference": _finite_difference}
