"""What is used instead of a Hessian product, and what becomes of a derivative before it is returned.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.surrogates.jets import Jets, jets
from refmeta.oracle.suites.surrogates.problem import Batches

__all__ = ["finished", "hessian_product"]

Gradient = Callable[[Batches], Array]
FUNCTIONS: dict[str, Callable[[Array, float], Array]] = {
    "entries": lambda g, c: np.clip(g, -c, c), "signs": lambda g, c: np.sign(g), "largest": lambda g, c: g / np.max(np.abs(g), axis=-1, keepdims=True),
    "adam": lambda g, c: g / (np.abs(g) + c), "centred": lambda g, c: g - np.mean(g, axis=-1, keepdims=True), "magnitude": lambda g, c: np.abs(g),
    "less the mean": lambda g, c: g - np.mean(g, axis=0), "reversed": lambda g, c: g[:, ::-1],
}  # fmt: skip


def hessian_product(how: Any, problem: Batches, j: Jets, of: tuple[Array, Array, Any], gradient: Gradient) -> Array:
    """Dᵀ U D v + Σ u ∇²x v, or what is used instead of it; `of` are u, the change of u along v, and −1/M."""
    name, number = how if isinstance(how, tuple) else (how, 0.0)
    slope, bent, scale = of
    if name in ("forward", "backward", "central"):
        return _difference(name, problem, number, gradient)
    if name in ("gradients", "gradient", "gradient times v"):
        g = gradient(problem)
        return g if name == "gradient" else g * problem.v if name == "gradient times v" else g * (g @ problem.v)[:, None]
    weighted = {"fisher": -j.along, "scores": slope * j.along, "absolute scores": np.abs(slope) * j.along}.get(name, bent)
    outer = scale * np.einsum("nmh,nmhd->nd", weighted, j.slopes)
    if name in ("outer", "fisher", "scores", "absolute scores"):
        return np.asarray(outer)
    inner = scale * np.einsum("nmh,nmhd->nd", slope, j.bend)
    unit = 1 / np.linalg.norm(problem.v) if name == "unit" else 1.0
    return np.asarray({"inner": inner, "difference": inner - outer, "outer twice": inner + 2 * outer}.get(name, unit * (outer + inner)))


def _difference(name: str, problem: Batches, step: float, gradient: Gradient) -> Array:
    """Differences of gradients along v."""
    at: Callable[[float], Array] = lambda h: gradient(replace_fields(problem, theta=problem.theta + h * problem.v))
    if name == "forward":
        return (at(step) - at(0.0)) / step
    if name == "backward":
        return (at(0.0) - at(-step)) / step
    return (at(step) - at(-step)) / (2 * step)


def finished(value: Array, problem: Batches, point: Point, kind: str) -> Array:
    """A derivative as it is returned: clipped, divided by its norm, its signs."""
    if "after differentiation" not in point:
        return value
    how = point["after differentiation"]
    name, number, *epsilon = how if isinstance(how, tuple) else (how, 0.0)
    if name in ("norm", "norm of all", "unit", "unit of all"):
        norm = np.linalg.norm(value) if name.endswith("all") else np.linalg.norm(value, axis=-1, keepdims=True)
        if name.startswith("unit"):
            return value / (norm + number)
        return value * np.minimum(1.0, number / np.maximum(norm + (epsilon[0] if epsilon else 0.0), 1e-300))
    if name == "natural":
        return _natural(value, problem, point, number)
    return np.asarray(FUNCTIONS[name](value, number))


def _natural(value: Array, problem: Batches, point: Point, damping: float) -> Array:
    """(F + c)⁻¹ times the derivative, F the mean of the scores' outer products over trajectories."""
    J = jets(problem, {name: x for name, x in point.items() if name != "log ratio"}).slopes
    F = np.einsum("nmhd,nmhe->nde", J, J) / J.shape[1] + damping * np.eye(J.shape[-1])
    return np.linalg.solve(F, value[..., None])[..., 0]
