"""Checks of arguments with one message format, and the operations on arrays that every task uses.

A message names the argument, what is required, what was passed, and where.  Code below the checks never casts:
a complex parameter stays complex, so that a complex step can differentiate every formula.
"""

import functools
import operator
from collections.abc import Callable
from dataclasses import fields
from math import isfinite
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Array", "along", "as_array", "as_count", "as_direction", "as_discount", "as_flags", "as_fraction", "as_generator",
    "as_integers", "as_numbers", "as_parameters", "as_positive", "as_read_only", "as_real", "as_real_scalar",
    "as_scalar", "as_symmetric", "batch_shape", "check_all", "check_finite", "dot", "entry", "finite_result",
    "index_text", "lazy_property", "matvec", "one_hot", "rebuild_record", "reduce_record", "replace_fields", "trusted",
]  # fmt: skip

Array = NDArray[Any]
Record = TypeVar("Record")
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
LARGEST = int(np.iinfo(np.intp).max)
REMEDY = "use horizon= for an undiscounted task"


def as_array(value: Any, name: str) -> Array:
    """The value as an array of any type; ValueError if its rows differ in length."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain array of numbers, got a masked array; fill it first")
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a rectangular array of numbers: {error}") from None


def as_numbers(value: ArrayLike, name: str) -> Array:
    """The value as an array of numbers in double precision or less; TypeError for anything else."""
    array = as_array(value, name)
    if array.dtype.kind not in "iufc" or array.dtype.char in "gG":  # long doubles
        raise TypeError(f"{name} must be numbers of float64 or less, got dtype {array.dtype}")
    return array


def index_text(index: tuple[int, ...]) -> str:
    """The text "[1, 2]" for (1, 2); the empty text for the index of a scalar, ()."""
    return str([int(i) for i in index]) if index else ""


def check_all(ok: Array, sentence: Callable[[tuple[int, ...]], str]) -> None:
    """Raise ValueError unless every entry of `ok` is true; `sentence` makes the message from the first false index."""
    if not ok.all():
        raise ValueError(sentence(tuple(np.argwhere(~ok)[0])))


def as_read_only(array: Array) -> Array:
    """The same array, made read-only."""
    array.flags.writeable = False
    return array


def _finite_copy(array: Array, dtype: type, name: str) -> Array:
    """A finite, read-only copy in C order: what the caller writes into the original later does not change it."""
    copy: Array = np.array(array, dtype=dtype, order="C")
    check_all(np.isfinite(copy), lambda i: f"{name}{index_text(i)} is {copy[i]}; every number must be finite")
    return as_read_only(copy)


def as_real(value: ArrayLike, name: str) -> Array:
    """Data of a task: a finite, real, read-only copy in float64."""
    array = as_numbers(value, name)
    if array.dtype.kind == "c":
        raise TypeError(f"{name} must be real, got dtype {array.dtype}")
    return _finite_copy(array, np.float64, name)


def as_parameters(value: ArrayLike, name: str = "theta", *, dim: int | None = None, why: str = "") -> Array:
    """Parameters (..., d), real or complex, as a finite read-only copy; `dim` is the required last axis."""
    array = as_numbers(value, name)
    if array.ndim == 0:
        raise ValueError(f"{name} is a scalar, expected an array of parameters with {dim or 'd'} in its last axis")
    if dim is not None and array.shape[-1] != dim:
        raise ValueError(f"{name} has shape {array.shape}, expected last axis {dim}{why}")
    return _finite_copy(array, np.complex128 if array.dtype.kind == "c" else np.float64, name)


def as_integers(value: ArrayLike, name: str, *, below: int | None = None) -> Array:
    """Indices: a read-only copy of integers in [0, below)."""
    array = as_numbers(value, name)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got dtype {array.dtype}")
    top, bound = (LARGEST, "") if below is None else (below, f" < {below}")
    check_all((array >= 0) & (array < top), lambda i: f"{name}{index_text(i)} is {array[i]}, expected 0 <= it{bound}")
    return as_read_only(np.array(array, dtype=np.intp, order="C"))


def as_flags(value: Any, name: str) -> Array:
    """An array of bool; an array of the integers 0 and 1 is accepted, too."""
    array = as_array(value, name)
    return array if array.dtype == bool else as_integers(array, name, below=2).astype(bool)


def one_hot(index: Array, size: int) -> Array:
    """e_i for every index, (..., size)."""
    return (index[..., None] == np.arange(size)).astype(float)


def as_generator(rng: Any) -> Generator:
    """A Generator as it is; from a seed or None, a new one."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise TypeError(f"rng must be a Generator, a seed (whole numbers from 0) or None, got {rng!r}") from None


def as_count(value: int, name: str, *, least: int = 0, most: int = LARGEST) -> int:
    """A whole number of at least `least` and at most `most`."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    if number > most:
        raise ValueError(f"{name} must be at most {most}, got {number}")
    return number


def as_direction(v: ArrayLike, dim: int, batch: tuple[int, ...], name: str = "v") -> Array:
    """A direction v (..., d) whose batch axes broadcast with those of a point."""
    v = as_parameters(v, name, dim=dim)
    batch_shape(**{name: v.shape[:-1]}, point=batch)
    return v


def as_scalar(value: Any, name: str) -> Any:
    """One finite number, real or complex."""
    if type(value) is float and isfinite(value):
        return value
    array = as_numbers(value, name)
    if array.ndim:
        raise ValueError(f"{name} must be one number, got shape {array.shape}")
    if not np.isfinite(array):
        raise ValueError(f"{name} must be finite, got {value}")
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)[()].item()


def as_real_scalar(value: Any, name: str, least: float = -np.inf) -> float:
    """One finite real number of at least `least`."""
    number = as_scalar(value, name)
    if isinstance(number, complex):
        raise TypeError(f"{name} must be real, got {value}")
    if not number >= least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def as_positive(value: Any, name: str) -> float:
    """One finite real number above 0."""
    if not (number := as_real_scalar(value, name)) > 0:
        raise ValueError(f"{name} must be positive, got {number}")
    return number


def as_fraction(value: Any, name: str) -> float:
    """One real number in [0, 1]."""
    if not 0 <= (number := as_real_scalar(value, name)) <= 1:
        raise ValueError(f"{name} must satisfy 0 <= {name} <= 1, got {number}")
    return number


def as_discount(gamma: Any, horizon: Any, *, ends: bool = False, remedy: str = REMEDY) -> tuple[float, int | None]:
    """γ, in [0, 1] with a horizon or where the task `ends` by itself, else in [0, 1); and the horizon, None or at least 1."""
    gamma = as_real_scalar(gamma, "gamma")
    if horizon is None and not ends and not 0 <= gamma < 1:
        raise ValueError(f"gamma must satisfy 0 <= gamma < 1, got {gamma}; {remedy}")
    return as_fraction(gamma, "gamma"), None if horizon is None else as_count(horizon, "horizon", least=1)


def batch_shape(**shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that the batch axes of all arguments broadcast to; keywords are the names for the message."""
    if set(map(type, shapes.values())) == {tuple}:  # a task of a user's own may have a list
        different = {shape for shape in shapes.values() if shape}
        if len(different) < 2:
            return different.pop() if different else ()
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        text = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"batch axes must broadcast against each other, got {text}") from None


def check_finite(result: Array, sentence: str) -> Array:
    """The result if all its numbers are finite; else FloatingPointError with the sentence and the first bad index."""
    if not np.isfinite(result).all():
        where = index_text(tuple(np.argwhere(~np.isfinite(result))[0]))
        raise FloatingPointError(sentence + (f" (first at index {where})" if where else ""))
    return result


def finite_result(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorator: a result, an array or a tuple of arrays, that is not finite raises FloatingPointError."""
    name = function.__qualname__

    @functools.wraps(function)
    def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with np.errstate(all="ignore"):
            result = function(*args, **kwargs)
        for part in result if isinstance(result, tuple) else (result,):
            check_finite(
                np.asarray(part), f"{name} left the finite numbers: an argument, or a step size, is too large"
            )
        return result

    return checked


def lazy_property(function: Callable[..., Any]) -> Any:
    """Decorator: a property that is computed once, must be finite, and is read-only because the object keeps it.

    At a `trusted` point it is only computed once.
    """
    checked = finite_result(function)

    @functools.wraps(function)
    def kept(self: Any) -> Any:
        return function(self) if "_trusted" in self.__dict__ else as_read_only(np.asarray(checked(self)))[()]

    return functools.cached_property(kept)


def along(function: Callable[..., Any]) -> Any:
    """Decorator of a point's product with a direction v (..., d): v is checked, and the result must be finite.

    At a `trusted` point neither is.  The point has `theta` and `batch`, the batch axes that those of v broadcast with.
    """
    checked = finite_result(function)

    @functools.wraps(function)
    def product(self: Any, v: ArrayLike) -> Any:
        if "_trusted" in self.__dict__:
            return function(self, v)
        return checked(self, as_direction(v, self.theta.shape[-1], self.batch))

    return product


def trusted(point: Record) -> Record:
    """The point, which from now on checks nothing: for points that no user sees, at checked parameters, and a checked result."""
    point.__dict__["_trusted"] = True
    return point


def replace_fields(record: Record, **changes: Any) -> Record:
    """A copy of the frozen record with some fields replaced; the fields are not validated again."""
    new = object.__new__(type(record))
    new.__dict__.update({f.name: getattr(record, f.name) for f in fields(record)}, **changes)  # type: ignore[arg-type]
    return new


def rebuild_record(kind: type[Record], values: dict[str, Any]) -> Record:
    """A record with these fields, its arrays read-only again: copying and pickling make arrays writeable."""
    new = object.__new__(kind)
    new.__dict__.update({name: _read_only_again(value) for name, value in values.items()})
    return new


def _read_only_again(value: Any) -> Any:
    """The value, with its arrays and the arrays in its tuples made read-only."""
    for part in value if isinstance(value, tuple) else ():
        _read_only_again(part)
    return as_read_only(value) if isinstance(value, np.ndarray) else value


def reduce_record(record: Any) -> tuple[Any, ...]:
    """`__reduce__` of a frozen record: only its fields are copied; cached properties are computed again."""
    return rebuild_record, (type(record), {f.name: getattr(record, f.name) for f in fields(record)})


def entry(array: Array, index: int | slice, shape: tuple[int, ...], core: int) -> Array:
    """Task `index`, or a slice of tasks, of an array with batch axes that broadcast to `shape`, and `core` others."""
    if not shape:
        raise TypeError("one task has no batch axis to index or to iterate over; give arrays whose first axis holds the tasks")
    try:
        index = range(shape[0])[index]  # type: ignore[assignment]
    except TypeError:
        raise TypeError(f"a task is chosen by an integer or a slice, got {type(index).__name__}") from None
    except IndexError:
        raise IndexError(f"task {index} does not exist: there are {shape[0]}") from None
    if isinstance(index, range):
        index = slice(index.start, index.stop if index.stop >= 0 else None, index.step)
    return np.broadcast_to(array, shape + array.shape[array.ndim - core :])[index]


def matvec(matrix: Array, vector: Array) -> Array:
    """Matrix times vector over leading batch axes; complex numbers are not conjugated."""
    return (matrix @ vector[..., None])[..., 0]


def as_symmetric(array: Array, name: str) -> Array:
    """Square matrices (..., n, n) that are symmetric up to rounding, n·eps·‖A‖∞, made exactly symmetric."""
    if array.ndim < 2 or array.shape[-1] != array.shape[-2] or array.shape[-1] == 0:
        raise ValueError(f"{name} has shape {array.shape}, expected (..., d, d)")
    mirrored = array.swapaxes(-1, -2)
    if np.array_equal(array, mirrored):
        return array
    unit = array.shape[-1] * np.finfo(np.float64).eps
    with np.errstate(all="ignore"):
        size = np.max(np.sum(unit * np.abs(array), axis=-1, keepdims=True), axis=-2, keepdims=True)
        near = np.abs(array - mirrored) <= size
    check_all(
        near,
        lambda i: (
            f"{name}{index_text(i)} is {array[i]}, its mirror image {mirrored[i]}; {name} must be symmetric: "
            f"({name} + {name}.T)/2"
        ),
    )
    return as_read_only(np.where(array == mirrored, array, array / 2 + mirrored / 2))


def dot(a: Array, b: Array) -> Array:
    """Σ a b over the last axis, for every batch axis; complex numbers are not conjugated."""
    return np.einsum("...i,...i->...", a, b)
