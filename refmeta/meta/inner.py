"""The inner loop: adaptation by gradient descent.  Derivation: derivations/maml.md"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, batch_shape, count, parameters, scalar, settled


class Point(Protocol):
    """A task linearised at θ: loss (...), grad (..., d), and the Hessian product hvp(v) (..., d)."""

    @property
    def theta(self) -> Any: ...
    @property
    def loss(self) -> Any: ...
    @property
    def grad(self) -> Any: ...
    def hvp(self, v: ArrayLike) -> Any: ...


class Task(Protocol):
    """A twice-differentiable loss over θ in R^d: batch axes `shape`, number of parameters `dim`, and `at`."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dim(self) -> int: ...
    def at(self, theta: ArrayLike) -> Point: ...


Tasks = Task | Sequence[Task]


class Adaptation(NamedTuple):
    """The adapted parameters, (..., d), and the points passed on the way, K + 1 of them."""

    adapted: Array
    path: tuple[Point, ...]


def initialisation(theta: ArrayLike) -> Array:
    """θ of shape (d,), as the updates need it that reduce over tasks."""
    theta = parameters(theta)
    if theta.ndim != 1:
        raise ValueError(f"theta has shape {theta.shape}, expected (d,): one initialisation for all tasks")
    return theta


def step_sizes(alpha: ArrayLike, steps: int, dim: int) -> Array:
    """α as one row a step, (K, 1) or (K, d), read by its number of axes: a scalar, (d,), (K, 1) or (K, d)."""
    steps, shape = count(steps, "steps"), np.shape(alpha)
    if len(shape) == 0:
        return np.full((steps, 1), scalar(alpha, "alpha"))
    if len(shape) == 1 and shape != (dim,):
        raise ValueError(f"alpha has shape {shape}; one per parameter is ({dim},), one per step is ({steps}, 1)")
    if len(shape) == 2 and (shape[0] != steps or shape[1] not in (1, dim)):
        raise ValueError(f"alpha has shape {shape}; one row per step is ({steps}, 1) or ({steps}, {dim})")
    if len(shape) > 2:
        raise ValueError(f"alpha has shape {shape}; expected a scalar, ({dim},), ({steps}, 1) or ({steps}, {dim})")
    alpha = parameters(alpha, "alpha")
    return np.broadcast_to(alpha, (steps, alpha.shape[-1]))


def each_point(tasks: Tasks, steps: int) -> list[Task]:
    """The tasks of K + 1 points: one and the same, or a sequence's one a step, the last once more."""
    if not isinstance(tasks, Sequence):
        return [tasks] * (count(steps, "steps") + 1)
    if len(tasks) != count(steps, "steps", least=1):
        raise ValueError(f"task is a sequence of {len(tasks)}, expected one for each of {steps} steps")
    return [*tasks, tasks[-1]]


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
    tasks = each_point(task, steps)
    dim, batch = (
        tasks[0].dim,
        batch_shape(theta=np.shape(theta)[:-1], **{f"task {i}": t.shape for i, t in enumerate(tasks)}),
    )
    path = [tasks[0].at(theta)]
    for a, following in zip(step_sizes(alpha, steps, dim), tasks[1:], strict=True):
        path.append(following.at(_step(path[-1], a, len(path))))
    return Adaptation(np.array(np.broadcast_to(path[-1].theta, (*batch, dim))), tuple(path))


def _step(point: Point, a: Array, k: int) -> Array:
    with np.errstate(all="ignore"):
        return settled(point.theta - a * point.grad, f"inner step {k} left the finite numbers; alpha may be too large")
