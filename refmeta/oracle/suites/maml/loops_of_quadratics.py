"""Inner loops on losses with one Hessian, which they know.  Derivation: derivations/maml.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import unit_vectors
from refmeta.oracle.suites.maml.programs import Loop, Tasks, inner, stepwise

__all__ = ["FAMILIES_OF_QUADRATICS", "LOOPS_OF_QUADRATICS"]


def _hessian(tasks: Tasks, theta: Array) -> Array:
    """∇²L of every task, (N, d, d)."""
    base = (theta[0] if theta.ndim > 2 else theta).real
    hvp = tasks.support.task.at(base).hvp
    return np.stack([hvp(axis + 0 * base) for axis in unit_vectors(base.shape[-1])], axis=-1)


def _solved(matrix: Callable[[Array, Array], Array]) -> Loop:
    """φ − α M⁻¹g, M a function of H and I."""

    def direction(tasks: Tasks, k: int, path: list[Array]) -> Array:
        H = _hessian(tasks, path[0])
        M = matrix(H, np.eye(H.shape[-1]))
        return np.linalg.solve(M, tasks.support.grad(path[-1])[..., None])[..., 0]

    return inner(direction)


def _implicit(tasks: Tasks, k: int, path: list[Array], alpha: Array) -> Array:
    """φ − (I + αH)⁻¹αg."""
    H = _hessian(tasks, path[0])
    M = np.eye(H.shape[-1]) + alpha[..., None] * H
    return path[-1] - np.linalg.solve(M, (alpha * tasks.support.grad(path[-1]))[..., None])[..., 0]


def _searched(first: bool, held: bool) -> Loop:
    """The length of an exact line search for α, in the first step or in every one, a constant or not."""

    def step(tasks: Tasks, k: int, path: list[Array], alpha: Array) -> Array:
        g = tasks.support.grad(path[-1])
        Hg = np.einsum("nij,...nj->...ni", _hessian(tasks, path[0]), g)
        length = np.sum(g * g, axis=-1, keepdims=True) / np.sum(g * Hg, axis=-1, keepdims=True)
        return path[-1] - (alpha if first and k else length.real if held else length) * g

    return stepwise(step)


def _minimum(scale: float) -> Callable[[Tasks, Array, Any], list[Array]]:
    """Every point after θ is the loss's minimum."""
    return stepwise(lambda tasks, k, path, alpha: path[-1] - scale * np.linalg.solve(_hessian(tasks, path[0]), tasks.support.grad(path[-1])[..., None])[..., 0])


LOOPS_OF_QUADRATICS: dict[str, Loop | None] = {
    "the gradient where the step ends": stepwise(_implicit),
    "Newton's steps times alpha": _solved(lambda H, one: H),
    "the minimum after the first step": _minimum(1.0),
    "the gradient over the Hessian's diagonal": _solved(lambda H, one: H * one),
    "the gradient over the Hessian's largest eigenvalue": _solved(lambda H, one: np.max(np.abs(np.linalg.eigvalsh(H)), axis=-1)[:, None, None] * one),
    "the gradient over the Hessian's trace": _solved(lambda H, one: np.trace(H, axis1=-2, axis2=-1)[:, None, None] * one),
    **{
        f"{'the first step' if first else 'every step'} by an exact line search{', held constant' * held}": _searched(first, held)
        for first in (False, True) for held in (False, True)
    },
}  # fmt: skip
FAMILIES_OF_QUADRATICS: dict[str, tuple[Any, ...]] = {
    "Newton's steps times alpha, damped by {}": ("inner loop", lambda c: _solved(lambda H, one: H + c * one), (0.01, 0.3, 1.0)),
}
