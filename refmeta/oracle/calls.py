"""Call a user's function with the inputs of a vector, and read what it returns as arrays.

Derivation: derivations/using-the-oracle.md
"""

import copy
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.case import INPUTS


class CallError(Exception):
    """The function gave no result; `refusal` if it raised an exception of its own, as it must for an invalid input."""

    def __init__(self, message: str, *, refusal: bool = False) -> None:
        super().__init__(message)
        self.refusal = refusal


def result_of(function: Callable[..., Any], inputs: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """What the function returns, as arrays, and warnings; `CallError` says in a sentence why there is no result.

    An interrupt is passed on: in the process of the judge it is the user's.
    """
    before = copy.deepcopy(inputs)
    try:
        value = function(**inputs)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        sentence = wrong_parameters(function, inputs) if isinstance(error, TypeError) else ""
        refusal = isinstance(error, Exception) and not sentence
        raise CallError(sentence or told(error), refusal=refusal) from error
    warnings = tuple(f"the input {name} was changed in place: work on a copy of it" for name in changes(before, inputs))
    try:
        if isinstance(value, dict):
            return {str(key): as_array(entry, str(key)) for key, entry in value.items()}, warnings
        return as_array(value), warnings
    except TypeError as error:
        raise CallError(str(error)) from error


def told(error: BaseException) -> str:
    """What the target did, from its exception."""
    return f"{'the target' if isinstance(error, SystemExit) else 'raised'} {named(error)}"


def named(error: BaseException) -> str:
    """An exception with its message."""
    if isinstance(error, SystemExit):
        return f"called sys.exit({_text(error.code, repr)})"
    message = _text(error, str).strip()
    return f"{type(error).__name__}: {message}" if message else f"{type(error).__name__} without a message"


def _text(value: Any, form: Callable[[Any], str]) -> str:
    """A value as text; where its own code fails at that, which exception it raised."""
    try:
        return form(value)
    except BaseException as error:
        return f"(its {form.__name__}() raised {type(error).__name__})"


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names of the arrays that differ; NaN equals NaN."""
    arrays = [(name, value) for name, value in before.items() if isinstance(value, np.ndarray)]
    return [name for name, value in arrays if not np.array_equal(value, after[name], equal_nan=True)]


def wrong_parameters(function: Callable[..., Any], inputs: Iterable[str]) -> str:
    """A sentence on the inputs that the function does not take or that it lacks; "" if there are none."""
    unexpected, missing = _differences(function, inputs)
    if not unexpected and not missing:
        return ""
    faults = [f"it does not accept {', '.join(unexpected)}"] if unexpected else []
    faults += [f"it requires {', '.join(missing)}, which this suite does not have"] if missing else []
    others = [suite for suite, names in INPUTS.items() if not any(_differences(function, names))]
    hint = f"; its parameters are those of {' or '.join(others)}" if others else ""
    return f"the function cannot be called with the inputs of this suite: {' and '.join(faults)}{hint}"


def _differences(function: Callable[..., Any], inputs: Iterable[str]) -> tuple[list[str], list[str]]:
    """The inputs that the function does not take as keywords, and the parameters that it requires beyond them."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return [], []
    inputs = list(inputs)
    keywords = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    names = {p.name for p in keywords}
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    unexpected = [] if takes_all else [name for name in inputs if name not in names]
    return unexpected, [p.name for p in keywords if p.default is p.empty and p.name not in inputs]


def as_array(value: Any, name: str = "") -> Array:
    """A result as a real array of double precision; TypeError with a sentence that names the remedy if it is none."""
    of = f" for {name}" if name else ""
    if value is None:
        raise TypeError(f"returned None{of}: is a return statement missing, or the gradient cut off?")
    if isinstance(value, dict):
        raise TypeError(f"returned a dict with the keys {', '.join(map(str, value))}{of}; return the array alone")
    try:
        value = on_host(value)
        kind, remedy = _unreadable(value)
        array = np.asarray(0.0 if remedy else value)
    except Exception as error:
        raise TypeError(f"returned {type(value).__name__}{of}, which is no array: {_text(error, str)}") from error
    if array.dtype == object:
        kind, remedy = "dtype object", _objects(array)
    if remedy:
        raise TypeError(f"returned {kind}{of} {remedy}")
    if array.dtype.kind not in "iuf":
        raise TypeError(f"returned dtype {array.dtype}{of}, expected real numbers")
    with np.errstate(over="ignore"):
        return array.astype(np.float64)


def on_host(value: Any) -> Any:
    """Tensors at any depth of lists and tuples, without their graph and in main memory."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(on_host, value)) if type(value) in (list, tuple) else tuple(map(on_host, value))
    if hasattr(value, "detach") and not isinstance(value, np.ndarray):
        value = value.detach()
        return value.cpu() if hasattr(value, "cpu") else value
    return value


def _unreadable(value: Any) -> tuple[str, str]:
    """What a value is that NumPy would not read as it is meant, and the remedy."""
    if _is_masked(value):
        return "a masked array", "whose mask would be ignored; fill it first, as with value.filled(0.0)"
    if inspect.iscoroutine(value):
        value.close()
        return "a coroutine", "since the function is async; return its result, as asyncio.run(...) does"
    return _rows(value) if isinstance(value, (list, tuple)) else ("", "")


def _is_masked(value: Any) -> bool:
    """Is an entry masked, at any depth of lists and tuples?"""
    return any(map(_is_masked, value)) if isinstance(value, (list, tuple)) else np.ma.is_masked(value)


def _rows(entries: list[Any] | tuple[Any, ...]) -> tuple[str, str]:
    """What a list or tuple is, and the remedy if it holds several results, or rows of different shapes."""
    kind, shapes = f"a {type(entries).__name__} of {len(entries)}", list(map(_shape, entries))
    if len(set(shapes)) < 2 and not (isinstance(entries, tuple) and any(len(shape) > 1 for shape in shapes)):
        return kind, ""
    remedy = "return the result that is asked for alone" if len(entries) > 1 else "return its entry alone"
    if isinstance(entries, list):
        remedy = "return one array, whose rows have the same shape"
    return kind, f"with the shapes {', '.join(map(str, shapes))}; {remedy}"


def _shape(value: Any) -> tuple[Any, ...]:
    """The shape of an array; of rows that differ in length their number."""
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
