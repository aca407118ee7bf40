"""Call a user's function with the inputs of a vector.

Derivation: derivations/using-the-oracle.md
"""

import copy
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from refmeta.numerics.returned import EndedBySignal
from refmeta.oracle.results import CallError, as_array, error_text, failure_text
from refmeta.oracle.suites import SUITES

__all__ = ["CallError", "changed_arrays", "error_text", "result_of", "failure_text", "parameter_sentence"]


def result_of(function: Callable[..., Any], inputs: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """What the function returns, as arrays, and warnings; `CallError` says why there is no result.

    An interrupt and the end by a signal are passed on: in the process of the judge they are the user's.
    """
    before = copy.deepcopy(inputs)
    try:
        value = function(**inputs)
    except (KeyboardInterrupt, EndedBySignal, CallError):
        raise
    except BaseException as error:
        sentence = parameter_sentence(function, inputs) if isinstance(error, TypeError) else ""
        refusal = isinstance(error, Exception) and not sentence
        raise CallError(sentence or failure_text(error), refusal=refusal) from error
    warnings = tuple(f"the input {name} was changed in place: work on a copy of it" for name in changed_arrays(before, inputs))
    try:
        if isinstance(value, dict):
            return {str(key): as_array(entry, str(key)) for key, entry in value.items()}, warnings
        return as_array(value), warnings
    except TypeError as error:
        raise CallError(str(error)) from error


def changed_arrays(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names of the arrays that differ; NaN equals NaN."""
    arrays = [(name, value) for name, value in before.items() if isinstance(value, np.ndarray)]
    return [name for name, value in arrays if not np.array_equal(value, after[name], equal_nan=True)]


def parameter_sentence(function: Callable[..., Any], inputs: Iterable[str]) -> str:
    """A sentence on the inputs that the function does not take or that it lacks; "" if there are none."""
    unexpected, missing = _differences(function, inputs)
    if not unexpected and not missing:
        return ""
    faults = [f"it does not accept {', '.join(unexpected)}"] if unexpected else []
    faults += [f"it requires {', '.join(missing)}, which this suite does not have"] if missing else []
    others = [name for name, suite in SUITES.items() if not any(_differences(function, suite.inputs))]
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
