"""The arguments of the inner loop: tasks, initialisation, step sizes, query.  Derivation: derivations/maml.md"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeGuard, cast, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_count, as_numbers, as_parameters, as_scalar, batch_shape
from refmeta.tasks.distributions import Split

__all__ = ["Point", "Task", "Tasks", "common_batch", "as_step_tasks", "as_initialisation", "as_query", "as_step_sizes", "as_task", "is_task"]


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


def is_task(value: Any) -> TypeGuard[Task]:
    """Whether it has what a task has: the same as `isinstance(value, Task)`, several times as fast."""
    return hasattr(value, "at") and hasattr(value, "dim") and hasattr(value, "shape")


MOST_STEPS = 10**7  # every step is kept in memory


def as_initialisation(theta: ArrayLike) -> Array:
    """θ of shape (d,), for updates that reduce over the tasks."""
    theta = as_parameters(theta)
    if theta.ndim != 1:
        raise ValueError(f"theta has shape {theta.shape}, expected (d,): one initialisation for all tasks")
    return theta


def as_step_sizes(alpha: ArrayLike, steps: int, dim: int) -> Array:
    """α with one row per step, (K, 1) or (K, d); its number of axes says which of (), (d,), (K, 1) or (K, d) it is."""
    steps = as_count(steps, "steps", most=MOST_STEPS)
    shape = () if type(alpha) is float else (alpha := as_numbers(alpha, "alpha")).shape
    if len(shape) == 0:
        alpha = as_scalar(alpha, "alpha")
        alphas = np.empty((steps, 1), type(alpha))
        alphas.fill(alpha)
        return alphas
    if len(shape) == 1 and shape != (dim,):
        raise ValueError(f"alpha has shape {shape}; one per parameter is ({dim},), one per step is ({steps}, 1)")
    if len(shape) == 2 and (shape[0] != steps or shape[1] not in (1, dim)):
        raise ValueError(f"alpha has shape {shape}; one row per step is ({steps}, 1) or ({steps}, {dim})")
    if len(shape) > 2:
        raise ValueError(f"alpha has shape {shape}; expected a scalar, ({dim},), ({steps}, 1) or ({steps}, {dim})")
    alpha = as_parameters(alpha, "alpha")
    return np.broadcast_to(alpha, (steps, alpha.shape[-1]))


def as_step_tasks(tasks: Tasks, steps: int) -> list[Task]:
    """The tasks of the K + 1 points: always the same one, or one per step and the last once more."""
    steps = as_count(steps, "steps", most=MOST_STEPS)
    if is_task(tasks):
        return [tasks] * (steps + 1)
    if isinstance(tasks, Split) or not isinstance(tasks, Sequence) or not all(is_task(t) for t in tasks):
        hint = "; give its support, or *split to a function that has a query" if isinstance(tasks, Split) else ""
        raise TypeError(f"expected a task with at(theta), or a sequence of tasks, got {type(tasks).__name__}{hint}")
    if len(tasks) != steps or steps == 0:
        raise ValueError(
            f"got a sequence of {len(tasks)} tasks, expected one for each of {steps} steps, and at least one"
        )
    for i, task in enumerate(tasks):
        if task.dim != tasks[0].dim:
            raise ValueError(f"task {i} has {task.dim} parameters, expected {tasks[0].dim} as task 0")
    return [*tasks, tasks[-1]]


def as_task(task: Any, name: str) -> Task:
    """The task as it is; TypeError for anything else, a sequence of tasks included."""
    if not is_task(task):
        raise TypeError(f"{name} must be a task with at(theta), got {type(task).__name__}")
    return task


def common_batch(theta: Array, tasks: Sequence[Task]) -> tuple[int, ...]:
    """The shape that the batch axes of theta and the tasks broadcast to."""
    several = any(task is not tasks[0] for task in tasks)
    shapes = {f"task {i}": task.shape for i, task in enumerate(tasks)} if several else {"task": tasks[0].shape}
    return batch_shape(theta=theta.shape[:-1], **shapes)


def as_query(support: Tasks, query: Task | None) -> Task:
    """The query task, with as many parameters as the support; by default the support itself."""
    first: Task = support if is_task(support) else cast(Sequence[Task], support)[0]
    if query is None and first is not support:
        raise ValueError("query is required where support is a sequence of tasks")
    if query is None or query is first:
        return first
    as_task(query, "query")
    if query.dim != first.dim:
        raise ValueError(f"query has {query.dim} parameters, expected {first.dim} as the support")
    return query
