"""A task made of a user's own functions of θ: what is missing is a difference.  Derivation: derivations/judges.md"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_count,
    as_direction,
    as_parameters,
    as_read_only,
    batch_shape,
    entry,
    index_text,
    lazy_property,
    reduce_record,
)  # fmt: skip
from refmeta.numerics.differences import Difference
from refmeta.numerics.gradient_check import GradientVerdict
from refmeta.numerics.user_loss import UserLoss
from refmeta.numerics.user_loss_check import UserLossVerdict, check_user_loss

__all__ = ["BlackBox", "BlackBoxPoint"]


@dataclass(frozen=True)
class _OfTask:
    """The user's function of θ and the index of the task, for one task."""

    function: Callable[..., Any]
    index: tuple[int, ...]

    def __call__(self, *arguments: Array) -> Any:
        return self.function(*arguments, *self.index)


def _least(verdicts: Sequence[GradientVerdict | None]) -> GradientVerdict | None:
    """The verdict with the fewest digits; one that cannot tell has none."""
    return min((v for v in verdicts if v is not None), key=lambda v: -1.0 if np.isnan(v.digits) else v.digits, default=None)


def _per_task(functions: Any, name: str, shape: tuple[int, ...]) -> Array:
    """An array of functions of θ of this shape, one per task."""
    if isinstance(functions, np.ndarray):
        functions = functions.ravel().tolist() if functions.ndim else functions.item()
    table = np.empty(shape, dtype=object)
    if callable(functions):
        for index in np.ndindex(shape):
            table[index] = _OfTask(functions, index) if shape else functions
        return table
    if not isinstance(functions, Sequence) or not all(map(callable, functions)):
        raise TypeError(f"{name} must be a function, or a sequence of functions, one per task; got {type(functions).__name__}")
    if len(functions) != table.size or not shape:
        raise ValueError(f"{name} has {len(functions)} functions, expected {table.size} as shape {shape}")
    table.ravel()[:] = functions
    return table


@dataclass(frozen=True, eq=False)
class BlackBox:
    """L(θ) = loss(θ), a function of your own; what is not given is a central difference with Richardson's extrapolation.

    Parameters
    ----------
    loss : function of theta (d,) that returns one number
        For N tasks a sequence of N such functions, or with `shape=(N,)` one function `loss(theta, i)` of theta and the
        number of the task.  The same holds for `grad` and `hvp`.
    dim : int
        d, the number of parameters.
    grad : function of theta that returns (d,), optional
        Without it a gradient costs 8d evaluations of the loss or more, and d is at most 1000.
    hvp : function of theta and v that returns (d,), optional
        ∇²L(θ) v.  Without it, it costs 8 gradients or more; without `grad`, 16d evaluations of the loss or more.
    shape : tuple of int
        The batch axes, () for one task; of a sequence of functions it need not be given.

    Your functions get a fresh array of float64 and may return a tensor; they are called task by task.

    Raises
    ------
    TypeError
        If one is no function; at a point, if theta is complex, or what a function returns is not real numbers.
    ValueError
        If the number of functions is not that of the tasks, a result has the wrong shape, or a function raises an
        exception of its own.
    FloatingPointError
        If a function returns a number that is not finite, or raises an ArithmeticError.
    """

    loss: Any
    dim: int
    _: KW_ONLY
    grad: Any = None
    hvp: Any = None
    shape: tuple[int, ...] = ()

    __reduce__ = reduce_record

    def __post_init__(self) -> None:
        several = isinstance(self.loss, Sequence) and self.shape == ()
        if several and not len(self.loss):
            raise ValueError(f"loss is an empty {type(self.loss).__name__}: give one function per task")
        shape = (len(self.loss),) if several else tuple(as_count(n, "shape") for n in np.atleast_1d(self.shape))
        object.__setattr__(self, "dim", as_count(self.dim, "dim", least=1))
        object.__setattr__(self, "shape", shape)
        for name in ("loss", "grad", "hvp"):
            given = getattr(self, name)
            if given is not None or name == "loss":
                object.__setattr__(self, name, _per_task(given, name, shape))

    def at(self, theta: ArrayLike) -> "BlackBoxPoint":
        """The point theta (..., d)."""
        theta = as_parameters(theta, dim=self.dim, why=" = dim")
        if np.iscomplexobj(theta):
            raise TypeError("theta must be real: a BlackBox cannot be differentiated by a complex step; use point.grad")
        batch_shape(theta=theta.shape[:-1], task=self.shape)
        return BlackBoxPoint(theta, self)

    def check(self, theta: ArrayLike) -> UserLossVerdict:
        """Judge `grad` against the loss and `hvp` against `grad` at theta (..., d); of several tasks the least digits.

        Returns
        -------
        UserLossVerdict
            `grad` and `hvp`, a verdict each, as of `refmeta.judges.check`; None of what was not given.

        Raises
        ------
        ValueError
            If one is no derivative, with the worst entry and what to try; if a function changes its argument.
        """
        found = [(i, check_user_loss(one, x)) for i, (one, x) in self.at(theta)._tasks()]
        for i, verdict in found:
            for name, part in zip(verdict._fields, verdict, strict=True):
                if part is not None and part.word == "WRONG":
                    raise ValueError(f"{name}{f' of task {index_text(i)}' if i else ''} is no derivative: {part}")
        return UserLossVerdict(*(_least(parts) for parts in zip(*(verdict for _, verdict in found), strict=True)))

    def __getitem__(self, index: int | slice) -> "BlackBox":
        """Task `index` of the first batch axis, or a slice of the tasks."""
        loss, grad, hvp = (f if f is None else np.asarray(entry(f, index, self.shape, 0)) for f in (self.loss, self.grad, self.hvp))
        return BlackBox(loss, self.dim, grad=grad, hvp=hvp, shape=np.shape(loss))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class BlackBoxPoint:
    """A black box at θ."""

    theta: Array
    task: BlackBox

    __reduce__ = reduce_record

    @lazy_property
    def loss(self) -> Array:
        """L(θ), (...)."""
        return np.reshape([one.loss(x) for _, (one, x) in self._tasks()], self._batch)

    @property
    def grad(self) -> Array:
        """∇L(θ), (..., d): yours, or a difference of the loss.

        Eq: richardson-difference
        """
        return self._gradient.derivative

    @property
    def error(self) -> Array:
        """A bound on the error of `grad`, (..., d); inf where the loss is not smooth.

        A gradient of your own has the error 0, or that of single precision where all its numbers are such.
        """
        return self._gradient.error

    def hvp(self, v: ArrayLike) -> Array:
        """∇²L(θ) v, (..., d): yours, or a difference of the gradient, or of the loss."""
        return self.difference(v).derivative

    def difference(self, v: ArrayLike) -> Difference:
        """∇²L(θ) v, and a bound on its error, (..., d) each; for a product of your own as in `error`.

        Eq: richardson-mixed-difference
        """
        v = as_direction(v, self.task.dim, self._batch)
        if np.iscomplexobj(v):
            raise TypeError("v must be real: a BlackBox cannot be differentiated by a complex step")
        shape = np.broadcast_shapes(self._batch, v.shape[:-1])
        return _stacked([one.hvp(x, along) for _, (one, x, along) in self._tasks(shape, v)], (*shape, self.task.dim))

    @property
    def _batch(self) -> tuple[int, ...]:
        """The batch axes."""
        return np.broadcast_shapes(self.theta.shape[:-1], self.task.shape)

    @functools.cached_property
    def _gradient(self) -> Difference:
        """∇L(θ) and its error."""
        return _stacked([one.grad(x) for _, (one, x) in self._tasks()], (*self._batch, self.task.dim))

    def _tasks(self, shape: tuple[int, ...] | None = None, *others: Array) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
        """Task by task its index, and the user's functions, θ, and its rows of other arrays."""
        shape = self._batch if shape is None else shape
        functions: list[Any] = [np.broadcast_to(np.array(f), shape) for f in (self.task.loss, self.task.grad, self.task.hvp)]
        rows = [np.broadcast_to(a, (*shape, self.task.dim)) for a in (self.theta, *others)]
        for i in np.ndindex(shape):
            loss, grad, hvp = (table[i] for table in functions)
            yield i, (UserLoss(loss, grad, hvp), *(row[i] for row in rows))


def _stacked(parts: list[Difference], shape: tuple[int, ...]) -> Difference:
    """One difference per task as one, read-only."""
    return Difference(*(as_read_only(np.reshape([part[k] for part in parts], shape)) for k in range(2)))
