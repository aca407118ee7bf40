"""The inner loop: adaptation by gradient descent.  Derivation: derivations/maml.md"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, batch_shape, count, numbers, parameters, scalar, settled
from refmeta.tasks.distributions import Split


class Point(Protocol):
    """A task linearised at θ: loss (...), grad (..., d), and the Hessian product hvp(v) (..., d)."""

    @property
    def theta(self) -> Any: ...
    @property
    def loss(self) -> Any: ...
    @property
    def grad(self) -> Any: ...
    def hvp(self, v: ArrayLike) -> Any: ...


@runtime_checkable
class Task(Protocol):
    """A twice-differentiable loss over θ in R^d: batch axes `shape`, number of parameters `dim`, and `at`."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dim(self) -> int: ...
    def at(self, theta: ArrayLike) -> Point: ...


Tasks = Task | Sequence[Task]
MOST_STEPS = 10**7  # every step is kept


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
    steps, alpha = count(steps, "steps", most=MOST_STEPS), numbers(alpha, "alpha")
    shape = alpha.shape
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
    steps = count(steps, "steps", most=MOST_STEPS)
    if isinstance(tasks, Task):
        return [tasks] * (steps + 1)
    if isinstance(tasks, Split) or not isinstance(tasks, Sequence) or not all(isinstance(t, Task) for t in tasks):
        hint = "; give its support, or *split to a function that takes a query" if isinstance(tasks, Split) else ""
        raise TypeError(f"expected a task with at(theta), or a sequence of tasks, got {type(tasks).__name__}{hint}")
    if len(tasks) != steps or steps == 0:
        raise ValueError(
            f"got a sequence of {len(tasks)} tasks, expected one for each of {steps} steps, and at least one"
        )
    for i, task in enumerate(tasks):
        if task.dim != tasks[0].dim:
            raise ValueError(f"task {i} has {task.dim} parameters, expected {tasks[0].dim} as task 0")
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
    tasks, theta = each_point(task, steps), parameters(theta)
    batch, path = common_batch(theta, tasks), [tasks[0].at(theta)]
    for a, following in zip(step_sizes(alpha, steps, tasks[0].dim), tasks[1:], strict=True):
        path.append(following.at(_step(path[-1], a, len(path))))
    return Adaptation(np.array(np.broadcast_to(path[-1].theta, (*batch, tasks[0].dim))), tuple(path))


def common_batch(theta: Array, tasks: Sequence[Task]) -> tuple[int, ...]:
    """The batch axes of theta and the tasks."""
    several = len({id(task) for task in tasks}) > 1
    shapes = {f"task {i}": task.shape for i, task in enumerate(tasks)} if several else {"task": tasks[0].shape}
    return batch_shape(theta=theta.shape[:-1], **shapes)


def _step(point: Point, a: Array, k: int) -> Array:
    """θ − α ⊙ ∇L(θ)."""
    gradient = np.asarray(point.grad)
    if gradient.shape[-1:] != point.theta.shape[-1:]:
        raise ValueError(f"the task's grad has shape {gradient.shape}, expected last axis {point.theta.shape[-1]}")
    with np.errstate(all="ignore"):
        return settled(point.theta - a * gradient, f"inner step {k} left the finite numbers; alpha may be too large")


def query_task(support: Tasks, query: Task | None) -> Task:
    """The query task, checked against the support; the support itself where there is none."""
    first = support if isinstance(support, Task) else support[0]
    if query is None and first is not support:
        raise ValueError("query is required where support is a sequence of tasks")
    query = first if query is None else query
    if not isinstance(query, Task):
        raise TypeError(f"query must be a task with at(theta), got {type(query).__name__}")
    if query.dim != first.dim:
        raise ValueError(f"query has {query.dim} parameters, expected {first.dim} as the support")
    return query


def at_query(inner: Adaptation, support: Tasks, query: Task | None) -> Point:
    """The query at φ; the support's own last point where they are the same."""
    task = query_task(support, query)
    batch_shape(support=inner.adapted.shape[:-1], query=task.shape)
    return inner.path[-1] if task is support else task.at(inner.adapted)


def summed(gradients: Array) -> Array:
    """Σ over every leading axis: the direction of a rule, (d,)."""
    return np.sum(gradients, axis=tuple(range(gradients.ndim - 1)))


def adjoints(inner: Adaptation, alpha: ArrayLike, sources: list[Array]) -> list[Array]:
    """λ_0 … λ_K by λ_k = s_k + λ_{k+1} − ∇²L(θ⁽ᵏ⁾)(α_k ⊙ λ_{k+1}) from λ_K = s_K; the sources end in s_K, else 0."""
    steps = len(inner.path) - 1
    alphas, early = step_sizes(alpha, steps, inner.adapted.shape[-1]), steps + 1 - len(sources)
    found = [np.array(sources[-1])]
    for k in reversed(range(steps)):
        source = sources[k - early] if k >= early else 0
        earlier = source + found[0] - inner.path[k].hvp(alphas[k] * found[0])
        found.insert(0, settled(earlier, f"the adjoint of inner step {k + 1} left the finite numbers"))
    return found
