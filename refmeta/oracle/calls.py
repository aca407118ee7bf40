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
    """What the function returns, as arrays, and warnings; `CallError` says in a sentence why there is no result."""
    before = copy.deepcopy(inputs)
    try:
        value = function(**inputs)
    except SystemExit as error:
        raise CallError(f"the target called sys.exit({error.code!r})") from error
    except Exception as error:
        sentence = wrong_parameters(function, inputs) if isinstance(error, TypeError) else ""
        raise CallError(sentence or f"raised {type(error).__name__}: {error}", refusal=not sentence) from error
    warnings = tuple(f"the input {name} was changed in place: work on a copy of it" for name in changes(before, inputs))
    try:
        if isinstance(value, dict):
            return {str(key): as_array(entry, str(key)) for key, entry in value.items()}, warnings
        return as_array(value), warnings
    except TypeError as error:
        raise CallError(str(error)) from error


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
        kind, remedy = _rows(value) if isinstance(value, (list, tuple)) else ("", "")
        array = np.asarray(0.0 if remedy else value)
    except Exception as error:
        raise TypeError(f"returned {type(value).__name__}{of}, which is no array: {error}") from error
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
