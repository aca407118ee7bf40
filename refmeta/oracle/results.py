"""Read what a target returned as arrays.  Derivation: derivations/using-the-oracle.md"""

import inspect
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.numerics.returned import error_text, on_host, text_of

__all__ = ["CallError", "as_array", "error_text", "failure_text", "on_host", "text_of"]


class CallError(Exception):
    """The function gave no result; `refusal` if it raised an exception itself, as it must for an invalid input."""

    def __init__(self, message: str, *, refusal: bool = False) -> None:
        super().__init__(message)
        self.refusal = refusal


def as_array(value: Any, name: str = "") -> Array:
    """A result as a real array of double precision; TypeError names the remedy if it is not one."""
    of = f" for {name}" if name else ""
    if value is None:
        raise TypeError(f"returned None{of}: is a return statement missing, or the gradient cut off?")
    if isinstance(value, dict):
        raise TypeError(f"returned a dict with the keys {', '.join(map(str, value))}{of}; return the array alone")
    try:
        value = on_host(value)
        kind, remedy = _misreading(value)
        array = np.asarray(0.0 if remedy else value)
    except Exception as error:
        raise TypeError(f"returned {type(value).__name__}{of}, which is no array: {text_of(error, str)}") from error
    if array.dtype == object:
        kind, remedy = "dtype object", _objects(array)
    if remedy:
        raise TypeError(f"returned {kind}{of} {remedy}")
    if array.dtype.kind not in "iuf":
        raise TypeError(f"returned dtype {array.dtype}{of}, expected real numbers")
    with np.errstate(over="ignore"):
        return array.astype(np.float64)


def _misreading(value: Any) -> tuple[str, str]:
    """The kind of a value that NumPy would misread, and the remedy."""
    if _is_masked(value):
        return "a masked array", "whose mask would be ignored; fill it first, as with value.filled(0.0)"
    if inspect.iscoroutine(value):
        value.close()
        return "a coroutine", "since the function is async; return its result, as asyncio.run(...) does"
    return _sequence(value) if isinstance(value, (list, tuple)) else ("", "")


def _is_masked(value: Any) -> bool:
    """Is an entry masked, at any depth of lists and tuples?"""
    return any(map(_is_masked, value)) if isinstance(value, (list, tuple)) else np.ma.is_masked(value)


def _sequence(entries: list[Any] | tuple[Any, ...]) -> tuple[str, str]:
    """The kind of a list or tuple, and the remedy if it holds several results, or rows of different shapes."""
    kind, shapes = f"a {type(entries).__name__} of {len(entries)}", list(map(_shape, entries))
    if len(set(shapes)) < 2 and not (isinstance(entries, tuple) and any(len(shape) > 1 for shape in shapes)):
        return kind, ""
    remedy = "return the result that is asked for alone" if len(entries) > 1 else "return its entry alone"
    if isinstance(entries, list):
        remedy = "return one array, whose rows have the same shape"
    return kind, f"with the shapes {', '.join(map(str, shapes))}; {remedy}"


def _shape(value: Any) -> tuple[Any, ...]:
    """The shape of an array; for rows of different lengths, their number."""
    try:
        return tuple(np.shape(value))
    except ValueError:
        return len(value), "rows of different lengths"


def _objects(array: Array) -> str:
    """What an array of objects holds, and the remedy."""
    entries = array.ravel().tolist()
    lengths = sorted({len(entry) for entry in entries if hasattr(entry, "__len__")})
    types = sorted({type(entry).__name__ for entry in entries})
    what = f"rows of different lengths {tuple(lengths)}" if len(lengths) > 1 else f"entries of type {', '.join(types)}"
    return f"with {what}; return one array of float64"


def failure_text(error: BaseException) -> str:
    """What the target did, from its exception."""
    return f"{'the target' if isinstance(error, SystemExit) else 'raised'} {error_text(error)}"
