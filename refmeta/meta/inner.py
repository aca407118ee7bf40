"""The inner loop: adaptation by gradient descent, and its exact adjoint.  Derivation: derivations/maml.md

A task is a loss L.  `task.at(theta)` is a point with `theta`, `loss`, `grad` and the Hessian product `hvp(v)`; nothing
else is needed.  `adapt` goes forwards from θ⁽⁰⁾ = θ to φ = θ⁽ᴷ⁾, and `adjoints` goes back over the same points.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_parameters, batch_shape, check_finite
from refmeta.meta.arguments import Point, Task, Tasks, as_query, as_step_sizes, as_step_tasks, common_batch

__all__ = ["Adaptation", "adapt", "adjoints", "query_point"]


class Adaptation(NamedTuple):
    """The adapted parameters φ (..., d), and the K + 1 points at θ⁽⁰⁾ … θ⁽ᴷ⁾."""

    adapted: Array
    path: tuple[Point, ...]


def adapt(theta: ArrayLike, task: Tasks, *, alpha: ArrayLike, steps: int) -> Adaptation:
    """θ⁽ᵏ⁺¹⁾ = θ⁽ᵏ⁾ − α ⊙ ∇L(θ⁽ᵏ⁾), K times.

    Eq: inner-step

    Parameters
    ----------
    theta : (..., d) array
        The initialisation; its leading axes broadcast with those of the task.
    task : task, or a sequence of K tasks
        The support loss; a sequence has one loss per step, for example a minibatch each.
    alpha : scalar, (d,), (K, 1) or (K, d)
        Inner step size: one for all, one per parameter, one per step, or one per step and parameter.
    steps : int
        K, at least 0.

    Returns
    -------
    Adaptation
        `adapted` (..., d), and `path`: the points at θ⁽⁰⁾ … θ⁽ᴷ⁾; the last one uses the task of the last step.

    Raises
    ------
    ValueError, TypeError
        For a theta or alpha of the wrong shape or type.
    FloatingPointError
        If a step leaves the finite numbers.
    """
    tasks, theta = as_step_tasks(task, steps), as_parameters(theta)
    batch, path = common_batch(theta, tasks), [tasks[0].at(theta)]
    for k, step_size in enumerate(as_step_sizes(alpha, steps, tasks[0].dim), start=1):
        path.append(tasks[k].at(_step(path[-1], step_size, k)))
    return Adaptation(np.array(np.broadcast_to(path[-1].theta, (*batch, tasks[0].dim))), tuple(path))


def _step(point: Point, alpha: Array, k: int) -> Array:
    """θ − α ⊙ ∇L(θ), the result of step k."""
    gradient = np.asarray(point.grad)
    if gradient.shape[-1:] != point.theta.shape[-1:]:
        raise ValueError(f"the task's grad has shape {gradient.shape}, expected last axis {point.theta.shape[-1]}")
    with np.errstate(all="ignore"):
        following = point.theta - alpha * gradient
    return check_finite(following, f"inner step {k} left the finite numbers; alpha may be too large")


def query_point(inner: Adaptation, support: Tasks, query: Task | None) -> Point:
    """The query at φ; where the query is the support itself, this is the last point of the path."""
    task = as_query(support, query)
    batch_shape(support=inner.adapted.shape[:-1], query=task.shape)
    return inner.path[-1] if task is support else task.at(inner.adapted)


def adjoints(inner: Adaptation, alpha: ArrayLike, sources: list[Array]) -> list[Array]:
    """λ_k = s_k + λ_{k+1} − ∇²L(θ⁽ᵏ⁾)(α_k ⊙ λ_{k+1}), backwards from λ_K = s_K; returns λ_0 … λ_K, (..., d) each.

    For an objective F(θ⁽⁰⁾, …, θ⁽ᴷ⁾) with s_k = ∂F/∂θ⁽ᵏ⁾, λ_k is its derivative by θ⁽ᵏ⁾ through all later steps, and
    λ_0 = dF/dθ.  `sources` are the last of s_0 … s_K, the others are 0: MAML has one, s_K = ∇L_query(φ).
    """
    steps = len(inner.path) - 1
    alphas = as_step_sizes(alpha, steps, inner.adapted.shape[-1])
    s: list[Any] = [0] * (steps + 1 - len(sources)) + sources
    adjoint = [np.array(sources[-1])]
    for k in reversed(range(steps)):
        later = adjoint[0]
        earlier = s[k] + later - inner.path[k].hvp(alphas[k] * later)
        adjoint.insert(0, check_finite(earlier, f"the adjoint of inner step {k + 1} left the finite numbers"))
    return adjoint
