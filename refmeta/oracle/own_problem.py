"""A user's own two tasks as a case of the oracle, judged by the library.  Derivation: derivations/using-the-oracle.md"""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_count, as_real, index_text, replace_fields
from refmeta.meta.arguments import Point, Task, as_query, as_step_sizes
from refmeta.oracle.results import on_host
from refmeta.oracle.suite import Case, Expected, Input, Part, Suite, choice_facts
from refmeta.oracle.suites.maml import choices
from refmeta.oracle.suites.maml.epsilons import effects
from refmeta.oracle.suites.maml.patterns import detached_steps, odd_terms
from refmeta.oracle.suites.maml.problem import Problem, answer, terms
from refmeta.oracle.suites.maml.wrong import LETTERS, ROWS
from refmeta.tolerance import condition_number, max_per_task

__all__ = ["case_of", "own_problem"]

STEP, FAR = 1e-5, 1e-4
INPUTS = {
    "theta": Input("(d,)", "parameters"),
    "alpha": Input("number or (d,) or (K, 1) or (K, d)", "step sizes"),
    "steps": Input("integer", "number of inner steps", "integer"),
}


class _Opaque:
    """A task of whose inside nothing is seen: a diagnosis changes theta and alpha, never the data of a user's task."""

    def __init__(self, task: Task) -> None:
        self.shape, self.dim, self._task = tuple(task.shape), task.dim, task

    def at(self, theta: ArrayLike) -> Point:
        """The task linearised at θ."""
        return _OpaquePoint(np.asarray(theta), self._task.at(theta))


class _OpaquePoint:
    """A user's point, of which only `loss`, `grad` and `hvp` are used, as arrays of double precision."""

    def __init__(self, theta: Array, point: Point) -> None:
        self.theta, self._point = theta, point

    @cached_property
    def loss(self) -> Array:
        """L(θ) of every task."""
        return _as_floats(self._point.loss)

    @cached_property
    def grad(self) -> Array:
        """∇L(θ) of every task."""
        return _as_floats(self._point.grad)

    def hvp(self, v: ArrayLike) -> Array:
        """∇²L(θ) v of every task."""
        return _as_floats(self._point.hvp(v))


def _as_floats(value: ArrayLike) -> Array:
    """Numbers or tensors as an array of double precision."""
    return np.asarray(on_host(value), float)


def own_problem(theta: ArrayLike, support: Task, query: Task | None, alpha: ArrayLike, steps: int) -> Problem:
    """The arguments of a meta-gradient (N, d), checked; so are the derivatives of the tasks."""
    if not isinstance(support, Task):
        raise TypeError(f"support must be a task with shape, dim and at(theta), got {type(support).__name__}")
    for name, task in (("support", support), ("query", support if query is None else query)):
        if not isinstance(getattr(task, "shape", ()), tuple):
            raise TypeError(f"{name}.shape must be a tuple (N,), got {type(task.shape).__name__}")
    start, query = as_real(theta, "theta"), as_query(support, query)
    if start.shape != (support.dim,):
        raise ValueError(f"theta has shape {start.shape}, expected ({support.dim},): one initialisation for all tasks")
    if len(support.shape) != 1 or tuple(query.shape) != tuple(support.shape):
        raise ValueError(f"support and query have the batch axes {tuple(support.shape)} and {tuple(query.shape)}, expected (N,) of both")
    steps, sizes = as_count(steps, "steps"), as_real(alpha, "alpha")
    as_step_sizes(sizes, steps, support.dim)
    for name, task in (("support", support), ("query", query)):
        _check_derivatives(name, task, start)
    return Problem(start, _Opaque(support), _Opaque(query), sizes if sizes.ndim else float(sizes), steps)


def _check_derivatives(name: str, task: Task, theta: Array) -> None:
    """Check the shapes of a point, and that `grad` and `hvp` are derivatives along one direction, to four digits."""
    v = np.cos(np.arange(1.0, theta.size + 1))
    lacks = [of for of in ("loss", "grad", "hvp") if not hasattr(task.at(theta), of)]
    if lacks:
        raise TypeError(f"{name}.at(theta) is a {type(task.at(theta)).__name__} without {', '.join(lacks)}")
    point, up, down = (_Opaque(task).at(theta + h * v) for h in (0.0, STEP, -STEP))
    rows = tuple(task.shape)
    for of, value, shape in (("loss", point.loss, rows), ("grad", point.grad, (*rows, theta.size)), ("hvp(v)", point.hvp(v), (*rows, theta.size))):
        if np.shape(value) != shape:
            raise ValueError(f"{name}.at(theta).{of} has shape {np.shape(value)}, expected {shape}")
    _check_slope(f"{name}.at(theta).grad", "the loss", np.asarray(point.grad) @ v, (np.asarray(up.loss) - np.asarray(down.loss)) / (2 * STEP))
    _check_slope(f"{name}.at(theta).hvp(v)", "grad", np.asarray(point.hvp(v)), (np.asarray(up.grad) - np.asarray(down.grad)) / (2 * STEP))


def _check_slope(name: str, of: str, slope: Array, numeric: Array) -> None:
    """ValueError unless a slope is that of a central difference, to four digits."""
    bad = ~(np.abs(slope - numeric) <= FAR * np.maximum(1.0, np.max(np.abs(numeric))))
    if np.any(bad):
        at = tuple(np.argwhere(bad)[0])
        raise ValueError(
            f"{name} is not the derivative of {of} along v = cos(1, 2, ...): {slope[at]:.6g} at index {index_text(at)}, but "
            f"{numeric[at]:.6g} by a central difference; is it wrong, or in single precision?"
        )


def case_of(problem: Problem) -> Case:
    """The problem as a case of a suite of its own, with the library's answer and its condition in theta."""

    def at(x: dict[str, Any]) -> Problem:
        """The problem at another theta; a function of theta cannot be asked for other step sizes."""
        if x["steps"] != problem.steps or not np.array_equal(x["alpha"], problem.alpha):
            raise ValueError("the step sizes are those that were given")
        return replace_fields(problem, theta=x["theta"])

    suite = Suite(
        name="own", chapter="maml", title="a meta-gradient on losses of one's own", sizes="N tasks, d parameters, K steps",
        losses="those that are given", inputs=INPUTS, array="gradient", parts={"gradient": Part("(N, d)", "dF_i/dtheta")}, problem=at,
        answer=answer, definition=lambda part, x, steps: [], vectors="", rows=ROWS, effects=effects, terms=terms, letters=LETTERS,
        patterns={"detached step": detached_steps, "odd terms": odd_terms}, **choice_facts(choices),
    )  # fmt: skip
    inputs = {"theta": problem.theta.tolist(), "alpha": np.asarray(problem.alpha).tolist(), "steps": problem.steps}
    return Case("own", suite, "a problem of one's own", (), "valid", inputs, {"gradient": _expected(problem)}, {})


def _expected(problem: Problem) -> Expected:
    """The library's answer, and what its tolerance is made of."""
    right = answer("gradient", problem)
    scale = np.maximum(max_per_task(right), terms("gradient", problem, right))
    scale = np.where(scale > 0, scale, 1.0)
    kappa = condition_number(lambda theta: answer("gradient", replace_fields(problem, theta=theta)), problem.theta, scale, right)
    return Expected(right, kappa, scale, 0)
