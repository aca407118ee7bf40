"""The inner loop: adaptation by gradient descent.  Derivation: derivations/maml.md"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_parameters, batch_shape, check_finite
from refmeta.meta.arguments import Point, Task, Tasks, as_query, as_step_sizes, as_step_tasks, common_batch

__all__ = ["Adaptation", "adapt", "adjoints", "query_point"]


class Adaptation(NamedTuple):
    """The adapted parameters, (..., d), and the points passed on the way, K + 1 of them."""

    adapted: Array
    path: tuple[Point, ...]


def adapt(theta: ArrayLike, task: Tasks, *, alpha: ArrayLike, steps: int) -> Adaptation:
    """θ⁽ᵏ⁺¹⁾ = θ⁽ᵏ⁾ − α ⊙ ∇L(θ⁽ᵏ⁾), K times.

    Eq: inner-step

    Parameters
    ----------
    theta : (..., d) array
        Where to start; its leading axes broadcast with the task's.
    task : task, or a sequence of K tasks
        The support loss; a sequence holds the loss of each step (a minibatch each).
    alpha : scalar, (d,), (K, 1) or (K, d)
        Inner step size: one for all, one a parameter, one a step, one a step and parameter.
    steps : int
        K, at least 0.

    Returns
    -------
    Adaptation
        `adapted` (..., d), and `path`: the points at θ⁽⁰⁾ … θ⁽ᴷ⁾, the last on the task of the last step.

    Raises
    ------
    ValueError, TypeError
        For a theta or alpha of the wrong shape or type.
    FloatingPointError
        If a step leaves the finite numbers.
    """
    tasks, theta = as_step_tasks(task, steps), as_parameters(theta)
    batch, path = common_batch(theta, tasks), [tasks[0].at(theta)]
    for a, following in zip(as_step_sizes(alpha, steps, tasks[0].dim), tasks[1:], strict=True):
        path.append(following.at(_step(path[-1], a, len(path))))
    return Adaptation(np.array(np.broadcast_to(path[-1].theta, (*batch, tasks[0].dim))), tuple(path))


def _step(point: Point, a: Array, k: int) -> Array:
    """θ − α ⊙ ∇L(θ)."""
    gradient = np.asarray(point.grad)
    if gradient.shape[-1:] != point.theta.shape[-1:]:
        raise ValueError(f"the task's grad has shape {gradient.shape}, expected last axis {point.theta.shape[-1]}")
    with np.errstate(all="ignore"):
        return check_finite(point.theta - a * gradient, f"inner step {k} left the finite numbers; alpha may be too large")


def query_point(inner: Adaptation, support: Tasks, query: Task | None) -> Point:
    """The query at φ; the support's own last point where they are the same."""
    task = as_query(support, query)
    batch_shape(support=inner.adapted.shape[:-1], query=task.shape)
    return inner.path[-1] if task is support else task.at(inner.adapted)


def adjoints(inner: Adaptation, alpha: ArrayLike, sources: list[Array]) -> list[Array]:
    """λ_0 … λ_K by λ_k = s_k + λ_{k+1} − ∇²L(θ⁽ᵏ⁾)(α_k ⊙ λ_{k+1}) from λ_K = s_K; the sources end in s_K, else 0."""
    steps = len(inner.path) - 1
    alphas, early = as_step_sizes(alpha, steps, inner.adapted.shape[-1]), steps + 1 - len(sources)
    found = [np.array(sources[-1])]
    for k in reversed(range(steps)):
        source = sources[k - early] if k >= early else 0
        earlier = source + found[0] - inner.path[k].hvp(alphas[k] * found[0])
        found.insert(0, check_finite(earlier, f"the adjoint of inner step {k + 1} left the finite numbers"))
    return found
