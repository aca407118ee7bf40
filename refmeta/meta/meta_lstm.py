"""Meta-LSTM: an LSTM whose cell state is the learner's parameters.  Derivation: derivations/meta-lstm.md

Tasks are as in `maml`; d is the number of parameters of a task, H the hidden size.  Two layers work on every coordinate
with shared weights: an ordinary LSTM on the preprocessed gradient and loss, and the gates of

    θ_t = f_t ⊙ θ_{t−1} − i_t ⊙ ∇L(θ_{t−1}).

There is one result per task; only the rules reduce: they sum over the tasks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_count,
    as_generator,
    as_numbers,
    as_parameters,
    as_scalar,
    check_finite,
    dot,
    finite_result,
)
from refmeta.meta.arguments import Point, Task, Tasks, as_initialisation, as_query, as_step_tasks, common_batch
from refmeta.meta.loop import sum_over_tasks
from refmeta.meta.lstm import Cell, backward, forward, preprocessing, preprocessing_slope, sigmoid

__all__ = [
    "Gate", "IndependentMetaLSTM", "MetaLSTM", "Parameters", "Recurrence", "Step", "Unrolled", "gates",
    "gates_released", "gradient", "gradient_independent", "init", "objective", "unravel", "unroll",
]  # fmt: skip


class Parameters(NamedTuple):
    """The first layer's W (4H, 4 + H) and b (4H,); the gates' W_I, W_F (H + 2,), b_I, b_F (); the start c0 (d,).

    The rows of W are for the input, forget and output gates and the candidate; its columns are for the preprocessed
    gradient (2), the preprocessed loss (2) and h.  The columns of W_I and W_F are for h, θ and the previous gate.
    A gradient is a `Parameters`, too; every field then has the axes of the tasks in front.
    """

    W: Any
    b: Any
    W_I: Any
    b_I: Any
    W_F: Any
    b_F: Any
    c0: Any

    @property
    def hidden(self) -> int:
        """H."""
        return int(np.shape(self.W_I)[-1]) - 2

    def ravel(self) -> Array:
        """Every number in the order of the fields, W row by row; (..., size)."""
        batch = np.shape(self.b_I)
        return np.concatenate([np.reshape(leaf, (*batch, -1)) for leaf in self], axis=-1)


def shapes(dim: int, hidden: int) -> Parameters:
    """The shape of every field."""
    H = as_count(hidden, "hidden", least=1)
    return Parameters((4 * H, 4 + H), (4 * H,), (H + 2,), (), (H + 2,), (), (as_count(dim, "dim", least=1),))


def unravel(flat: ArrayLike, *, dim: int, hidden: int) -> Parameters:
    """The parameters of a flat (..., size) array: the inverse of `ravel`."""
    leaves = shapes(dim, hidden)
    sizes = [int(np.prod(shape)) for shape in leaves]
    flat = as_parameters(flat, "flat", dim=sum(sizes), why=f" = those of {hidden} hidden units and {dim} coordinates")
    pieces = np.split(flat, np.cumsum(sizes)[:-1], axis=-1)
    return Parameters(*(x.reshape(flat.shape[:-1] + shape) for x, shape in zip(pieces, leaves, strict=True)))


def init(
    dim: int, *, hidden: int = 20, rng: Generator | int | None = None, start: ArrayLike | None = None
) -> Parameters:
    """Random weights in [−0.01, 0.01], b_F in [4, 6], b_I in [−5, −4], the rest 0: f is nearly 1, i is small.

    `start` is c0, (d,), by default zeros.
    """
    rng, leaves = as_generator(rng), shapes(dim, hidden)
    W, _, W_I, _, W_F, _, _ = (rng.uniform(-0.01, 0.01, shape) for shape in leaves)
    c0 = np.zeros(dim) if start is None else as_parameters(start, "start", dim=dim)
    return Parameters(W, np.zeros(leaves.b), W_I, rng.uniform(-5, -4), W_F, rng.uniform(4, 6), np.array(c0))


class Gate(NamedTuple):
    """A gate (..., d), the memory that the next step gets of it, and the derivatives of both by z."""

    value: Array
    memory: Array
    slope: Array
    memory_slope: Array


Recurrence = Callable[[Array], Gate]


def gates(z: Array) -> Gate:
    """σ(z), with the memory σ(z): the recurrence in the paper.

    Eq: meta-lstm-gates
    """
    value = sigmoid(z)
    slope = value * sigmoid(-z)
    return Gate(value, value, slope, slope)


def gates_released(z: Array) -> Gate:
    """σ(z), with the memory z, the gate *before* its sigmoid: the recurrence in the released code.

    Eq: meta-lstm-gates-released
    """
    value = sigmoid(z)
    return Gate(value, z, value * sigmoid(-z), np.ones_like(z))


class Step(NamedTuple):
    """One step: the point before it, the first layer, the gates, the inputs of the gates, and θ after it."""

    point: Point
    cell: Cell
    input_gate: Gate
    forget_gate: Gate
    input_inputs: Array
    forget_inputs: Array
    theta: Array


class Unrolled(NamedTuple):
    """The adapted parameters (..., d), and the K steps."""

    adapted: Array
    steps: tuple[Step, ...]


def unroll(weights: Parameters, support: Tasks, *, steps: int, recurrence: Recurrence = gates) -> Unrolled:
    """θ_t = f_t ⊙ θ_{t−1} − i_t ⊙ ∇L(θ_{t−1}) from θ_0 = c0, K times, with i_t = σ(W_I[h_t, θ_{t−1}, i_{t−1}] + b_I).

    Eq: meta-lstm-cell

    f_t is like i_t, with W_F and b_F; h_t is the output of the first layer on the preprocessed (∇L, L).  i_0, f_0 and
    the first states of that layer are 0.  `support` may be a sequence of K tasks, one per step; `recurrence` is `gates`
    or `gates_released`.

    Raises
    ------
    ValueError, TypeError
        For parameters of the wrong shape, or if `steps` is not a whole number.
    FloatingPointError
        If a gradient or a step leaves the finite numbers; the message names the step.
    """
    tasks = as_step_tasks(support, steps)
    weights = as_weights(weights, tasks[0].dim)
    theta = np.broadcast_to(weights.c0, (*common_batch(weights.c0, tasks), tasks[0].dim))
    h = c = np.zeros((*theta.shape, weights.hidden))
    memory_i = memory_f = np.zeros(theta.shape)
    path: list[Step] = []
    for k, task in enumerate(tasks[: as_count(steps, "steps")], start=1):
        point = task.at(theta)
        g, loss = _slope_and_loss(point, k)
        x = np.concatenate(np.broadcast_arrays(preprocessing(g), preprocessing(loss)[..., None, :]), axis=-1)
        cell = forward(weights.W, weights.b, x, h, c)
        h, c = cell.output, cell.state
        to_i, to_f = (np.concatenate([h, theta[..., None], m[..., None]], axis=-1) for m in (memory_i, memory_f))
        i, f = recurrence(to_i @ weights.W_I + weights.b_I), recurrence(to_f @ weights.W_F + weights.b_F)
        with np.errstate(all="ignore"):
            theta = check_finite(f.value * theta - i.value * g, f"step {k} left the finite numbers")
        memory_i, memory_f = i.memory, f.memory
        path.append(Step(point, cell, i, f, to_i, to_f, theta))
    return Unrolled(np.array(theta), tuple(path))


def _slope_and_loss(point: Point, k: int) -> tuple[Array, Array]:
    """∇L and L at step k, which must be finite."""
    try:
        g = check_finite(np.asarray(point.grad), "the gradient is not finite")
        return g, check_finite(np.asarray(point.loss), "the loss is not finite")
    except FloatingPointError as error:
        raise FloatingPointError(f"step {k} of Meta-LSTM: {error}") from error


@finite_result
def objective(
    weights: Parameters, support: Tasks, query: Task | None = None, *, steps: int, recurrence: Recurrence = gates
) -> Array:
    """F = L_query(θ_K), (...).

    Eq: meta-lstm-cell
    """
    adapted = unroll(weights, support, steps=steps, recurrence=recurrence).adapted
    return np.array(as_query(support, query).at(adapted).loss)[()]


def gradient(
    weights: Parameters, support: Tasks, query: Task | None = None, *, steps: int, recurrence: Recurrence = gates
) -> Parameters:
    """∂F by every weight and by c0, exact: through the inputs of step t, H_t a_t + b_t ∇L_t flows back to θ_{t−1}.

    Eq: meta-lstm-bptt-exact

    a_t and b_t are the adjoints of ∇L_t and L_t.  Each step needs one Hessian product; time and memory are linear in K.
    """
    through_inputs = lambda point, a, b: point.hvp(a) + b[..., None] * point.grad
    return _back_propagation(weights, support, query, steps, recurrence, through_inputs)


def gradient_independent(
    weights: Parameters, support: Tasks, query: Task | None = None, *, steps: int, recurrence: Recurrence = gates
) -> Parameters:
    """The gradient with every ∇L_t and L_t held constant, as in the paper; the path θ_{t−1} → gates is kept.

    Eq: meta-lstm-bptt
    """
    return _back_propagation(weights, support, query, steps, recurrence, lambda point, a, b: np.zeros_like(a))


class Adjoint(NamedTuple):
    """The derivatives of F by the state between two steps: θ, the memories of the gates, h and c of the first layer."""

    theta: Array
    memory_i: Array
    memory_f: Array
    h: Array
    c: Array


@finite_result
def _back_propagation(
    weights: Parameters,
    support: Tasks,
    query: Task | None,
    steps: int,
    recurrence: Recurrence,
    through_inputs: Callable[..., Array],
) -> Parameters:
    """Back-propagation through time; `through_inputs` is what flows back to θ through the inputs of a step."""
    unrolled = unroll(weights, support, steps=steps, recurrence=recurrence)
    H, weights = weights.hidden, as_weights(weights, unrolled.adapted.shape[-1])
    theta = np.array(as_query(support, query).at(unrolled.adapted).grad)
    zeros, layer = np.zeros(theta.shape), np.zeros((*theta.shape, H))
    adjoint = Adjoint(theta, zeros, zeros, layer, layer)
    total: list[Array] = [np.zeros((*theta.shape[:-1], *shape)) for shape in shapes(theta.shape[-1], H)[:-1]]
    for step in reversed(unrolled.steps):
        adjoint, terms = _step_back(weights, step, adjoint, through_inputs)
        total = [x + y for x, y in zip(total, terms, strict=True)]
    return Parameters(*[*total, adjoint.theta])


def _step_back(
    weights: Parameters, step: Step, after: Adjoint, through_inputs: Callable[..., Array]
) -> tuple[Adjoint, tuple[Array, ...]]:
    """The adjoints before a step, and the terms that it adds to the gradient of every field but c0."""
    H, g, before = weights.hidden, np.asarray(step.point.grad), step.input_inputs[..., weights.hidden]
    z_i = -after.theta * g * step.input_gate.slope + after.memory_i * step.input_gate.memory_slope
    z_f = after.theta * before * step.forget_gate.slope + after.memory_f * step.forget_gate.memory_slope
    to_i, to_f = z_i[..., None] * weights.W_I, z_f[..., None] * weights.W_F
    cell = backward(weights.W, step.cell, after.h + to_i[..., :H] + to_f[..., :H], after.c)
    a = -after.theta * step.input_gate.value + dot(cell.inputs[..., :2], preprocessing_slope(g))
    slope = preprocessing_slope(np.asarray(step.point.loss))[..., None, :]
    b = np.sum(cell.inputs[..., 2:4] * slope, axis=(-2, -1))
    theta = after.theta * step.forget_gate.value + to_i[..., H] + to_f[..., H] + through_inputs(step.point, a, b)
    terms = (
        cell.gates.swapaxes(-1, -2) @ step.cell.inputs, np.sum(cell.gates, axis=-2),
        (z_i[..., None, :] @ step.input_inputs)[..., 0, :], np.sum(z_i, axis=-1),
        (z_f[..., None, :] @ step.forget_inputs)[..., 0, :], np.sum(z_f, axis=-1),
    )  # fmt: skip
    return Adjoint(theta, to_i[..., H + 1], to_f[..., H + 1], cell.inputs[..., 4:], cell.state), terms


def as_weights(weights: Parameters, dim: int) -> Parameters:
    """The weights as arrays, checked for their shapes."""
    if not isinstance(weights, Parameters):
        raise TypeError(
            f"expected meta_lstm.Parameters, got {type(weights).__name__}; unravel(...) makes them from a flat array"
        )
    if as_numbers(weights.W_I, "W_I").ndim != 1 or weights.hidden < 1:
        raise ValueError(f"W_I has shape {np.shape(weights.W_I)}, expected (H + 2,) with at least one hidden unit")
    arrays = []
    for name, leaf, shape in zip(Parameters._fields, weights, shapes(dim, weights.hidden), strict=True):
        array = as_parameters(leaf, name) if shape else np.asarray(as_scalar(leaf, name))
        if array.shape != shape:
            raise ValueError(
                f"{name} has shape {array.shape}, expected {shape} for {weights.hidden} hidden units and d = {dim}"
            )
        arrays.append(array)
    return Parameters(*arrays)


@dataclass(frozen=True)
class MetaLSTM:
    """Rule for `meta_train` on `Parameters.ravel()`: Σᵢ of the exact gradients."""

    dim: int
    hidden: int = 20
    steps: int = 5

    def direction(self, theta: ArrayLike, support: Tasks, query: Task | None = None) -> Array:
        """Σᵢ ∇Fᵢ, (size,)."""
        weights = unravel(as_initialisation(theta), dim=self.dim, hidden=self.hidden)
        return sum_over_tasks(gradient(weights, support, query, steps=self.steps).ravel())


@dataclass(frozen=True)
class IndependentMetaLSTM:
    """Rule for `meta_train` on `Parameters.ravel()`: Σᵢ of the gradients under the independence assumption."""

    dim: int
    hidden: int = 20
    steps: int = 5

    def direction(self, theta: ArrayLike, support: Tasks, query: Task | None = None) -> Array:
        """Σᵢ of `gradient_independent`, (size,)."""
        weights = unravel(as_initialisation(theta), dim=self.dim, hidden=self.hidden)
        return sum_over_tasks(gradient_independent(weights, support, query, steps=self.steps).ravel())
