"""What a user's own function returned, as arrays of double precision.  Derivation: derivations/judges.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, index_text

__all__ = ["EndedBySignal", "error_text", "in_single_precision", "on_host", "returned_array", "text_of", "user_function"]


class EndedBySignal(SystemExit):
    """A signal ends the process: where a user's function runs at that moment, it is not to blame, and this passes on."""


def text_of(value: Any, form: Callable[[Any], str]) -> str:
    """A value as text; where the value's own code fails, which exception it raised."""
    try:
        return form(value)
    except BaseException as error:
        return f"(its {form.__name__}() raised {type(error).__name__})"


def error_text(error: BaseException) -> str:
    """An exception with its message."""
    if isinstance(error, SystemExit):
        return f"called sys.exit({text_of(error.code, repr)})"
    message = text_of(error, str).strip()
    return f"{type(error).__name__}: {message}" if message else f"{type(error).__name__} without a message"


def user_function(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The user's function, whose exceptions say that they are its own.

    An overflow or a division by zero becomes a FloatingPointError, every other exception a ValueError.
    """

    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except FloatingPointError:
            raise
        except ArithmeticError as error:
            raise FloatingPointError(f"{name} raised {error_text(error)}") from error
        except Exception as error:
            raise ValueError(f"{name} raised {error_text(error)}") from error

    return call


def on_host(value: Any) -> Any:
    """Tensors at any depth of lists and tuples, without their graph and in main memory."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(on_host, value)) if type(value) in (list, tuple) else tuple(map(on_host, value))
    if hasattr(value, "detach") and not isinstance(value, np.ndarray):
        value = value.detach()
        return value.cpu() if hasattr(value, "cpu") else value
    return value


def returned_array(value: Any, name: str, shape: tuple[int, ...], verb: str = "returned") -> Array:
    """A result of the user's function `name` as finite real numbers of this shape; `verb="has"` for a given array."""
    if value is None:
        raise TypeError(f"{name} {verb} None: is a return statement missing?")
    try:
        array = np.asarray(on_host(value))
    except Exception as error:
        raise TypeError(f"{name} {verb} {type(value).__name__}, which is no array of numbers: {error}") from error
    if array.dtype.kind not in "iuf" or array.dtype == np.longdouble:
        raise TypeError(f"{name} {verb} dtype {array.dtype}, expected real numbers of float64 or less")
    if array.shape != shape:
        hint = "; it is the transposed shape" if array.shape == shape[::-1] else ""
        raise ValueError(f"{name} {verb} shape {array.shape}, expected {_shape_text(shape)}{hint}")
    if not np.isfinite(array).all():
        where = tuple(np.argwhere(~np.isfinite(array))[0])
        raise FloatingPointError(f"{name} {verb} {array[where]}" + (f" at index {index_text(where)}" if where else ""))
    return array.astype(np.float64)


def _shape_text(shape: tuple[int, ...]) -> str:
    """The shape, or what a shape without axes means."""
    return str(shape) if shape else "(): one number"


def in_single_precision(result: Any) -> bool:
    """Was this computed in float32?

    It is, if that is its dtype, or if every number is one of single precision and several are no short fractions.
    """
    values = np.asarray(on_host(result))
    if values.dtype.kind == "f" and values.dtype.itemsize <= 4:
        return True
    digits = np.frexp(values)[0] * 2**12
    long = values[digits != np.round(digits)]
    with np.errstate(over="ignore"):
        return long.size >= 3 and bool(np.all(values.astype(np.float32) == values))
