"""Losses made of losses: sums, other coordinates, other tasks' rows.  Derivation: derivations/using-the-oracle.md

Each has `at(theta)`, and its points have `theta`, `loss`, `grad` and `hvp`, as all tasks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import unit_vectors

__all__ = ["Made", "MadePoint", "bent", "cached", "directed", "held", "holomorphic", "mapped", "one_for_all", "penalty", "rolled", "weighted"]

STEP = 1e-30


class Made(NamedTuple):
    """A loss by its points alone."""

    at: Callable[[Array], Any]


@dataclass(frozen=True, eq=False)
class MadePoint:
    """A loss at θ, by functions: its value and its gradient are computed once, and only where they are asked for.

    `hvp` is v → Jᵀv, J the derivative of what stands for the gradient, `forward` v → Jv where that is something else.
    """

    theta: Array
    of_loss: Callable[[], Array]
    of_grad: Callable[[], Array]
    hvp: Callable[[Array], Array]
    forward: Callable[[Array], Array] | None = None

    @cached_property
    def loss(self) -> Array:
        """L."""
        return self.of_loss()

    @cached_property
    def grad(self) -> Array:
        """∇L."""
        return self.of_grad()


def weighted(*terms: tuple[float, Any]) -> Made:
    """Σ_j w_j L_j."""

    def at(theta: Array) -> MadePoint:
        points = [(w, task.at(theta)) for w, task in terms]
        return MadePoint(
            theta,
            lambda: np.asarray(sum(w * point.loss for w, point in points)),
            lambda: np.asarray(sum(w * point.grad for w, point in points)),
            lambda v: np.asarray(sum(w * point.hvp(v) for w, point in points)),
        )

    return Made(at)


def penalty(weights: Array) -> Made:
    """½ Σ_j w_j θ_j²."""
    return Made(
        lambda theta: MadePoint(
            theta, lambda: np.asarray(np.sum(weights * theta**2, axis=-1) / 2), lambda: weights * theta, lambda v: weights * v
        )
    )


def mapped(task: Any, scale: Any = 1.0, order: Any = slice(None), offset: Any = 0.0) -> Made:
    """θ → L(Tθ), (Tθ)_j = scale_j θ[order_j] + offset_j, with the gradient Tᵀ∇L(Tθ)."""

    def transposed(g: Array) -> Array:
        out = np.empty_like(g)
        out[..., order] = scale * g
        return out

    def at(theta: Array) -> MadePoint:
        point = task.at(scale * theta[..., order] + offset)
        bend = lambda v: transposed(point.hvp(scale * v[..., order]))
        return MadePoint(theta, lambda: point.loss, lambda: transposed(point.grad), bend)

    return Made(at)


def rolled(task: Any, shift: int) -> Made:
    """The loss of task i is that of task i − shift."""

    def roll(x: Array, by: int) -> Array:
        return np.roll(x, by, axis=0)

    def at(theta: Array) -> MadePoint:
        point = task.at(roll(theta, -shift))
        bend = lambda v: roll(point.hvp(roll(v, -shift)), shift)
        return MadePoint(theta, lambda: roll(point.loss, shift), lambda: roll(point.grad, shift), bend)

    return Made(at)


def one_for_all(task: Any, index: int) -> Made:
    """The loss of one task stands for those of all."""

    def at(theta: Array) -> MadePoint:
        wide: Callable[[Array], Array] = lambda row: np.broadcast_to(row, theta.shape)
        chosen: Callable[[list[Array]], Array] = lambda rows: np.stack([each[index] for each in rows])
        points = [task.at(wide(row)) for row in theta]
        return MadePoint(
            theta,
            lambda: chosen([point.loss for point in points]),
            lambda: chosen([point.grad for point in points]),
            lambda v: chosen([point.hvp(wide(row)) for point, row in zip(points, v, strict=True)]),
        )

    return Made(at)


def holomorphic(both: Callable[[Array], tuple[Array, Array]]) -> Made:
    """A loss θ → (L, ∇L) whose gradient is holomorphic; its Hessian product is a complex step of the gradient."""

    def at(theta: Array) -> MadePoint:
        loss, grad = both(theta)
        bend = lambda v: np.imag(both(theta + 1j * STEP * v)[1]) / STEP
        return MadePoint(theta, lambda: loss, lambda: grad, bend)

    return Made(at)


def held(task: Any, mask: Array) -> Made:
    """A loss that is differentiated only where the mask is 1."""

    def at(theta: Array) -> MadePoint:
        point = task.at(theta)
        return MadePoint(theta, lambda: point.loss, lambda: mask * point.grad, lambda v: mask * point.hvp(mask * v))

    return Made(at)


def directed(task: Any, direction: Callable[[Array, Array], Array]) -> Made:
    """A loss with a direction (θ, θ held constant) → (..., N, d) for its gradient, which is differentiated as it is written."""

    def at(theta: Array) -> MadePoint:
        forward = lambda v: np.imag(direction(theta + 1j * STEP * v, theta)) / STEP
        point, d = task.at(theta), theta.shape[-1]
        slopes = cached(lambda: np.imag(direction(theta + 1j * STEP * unit_vectors(d)[:, None], theta)) / STEP)
        back = lambda v: np.einsum("jnd,nd->nj", slopes(), v)
        return MadePoint(theta, lambda: point.loss, lambda: direction(theta, theta), back, forward)

    return Made(at)


def cached(function: Callable[[], Array]) -> Callable[[], Array]:
    """A value that is computed when it is first wanted."""
    return lru_cache(maxsize=1)(function)


def bent(task: Any, bend: Callable[[Array, Array], Array]) -> Made:
    """A loss with (θ, v) → (N, d) for the product of its Hessian with a direction."""

    def at(theta: Array) -> MadePoint:
        point = task.at(theta)
        return MadePoint(theta, lambda: point.loss, lambda: point.grad, lambda v: bend(theta, v))

    return Made(at)
