"""Call a user's estimator on batches of trajectories.  Derivation: derivations/sampled-meta-gradients.md"""

import contextlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.numerics.returned import EndedBySignal
from refmeta.oracle.results import CallError, as_array, failure_text
from refmeta.oracle.suites.expected_estimators.by_batch import BatchFunction, Query
from refmeta.sampling.trajectories import Trajectories
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["Calls", "as_estimates", "asked", "called", "shown"]

LARGEST, SHOWN = 1e100, 24


def as_estimates(value: Any, shape: tuple[int, ...], words: str) -> Array:
    """What was returned as real numbers of this shape; `CallError` with `words` if it is something else, or too large."""
    try:
        array = as_array(value)
    except TypeError as error:
        raise CallError(f"{words}: {error}") from error
    if array.shape != shape:
        raise CallError(f"{words}: returned shape {array.shape}, expected {shape}")
    if not (fits := np.abs(array) <= LARGEST).all():
        index = tuple(map(int, np.argwhere(~fits)[0]))
        hint = f"; numbers up to {LARGEST:g} can be averaged" if np.isfinite(array[index]) else ""
        raise CallError(f"{words}: returned {array[index]} at index {list(index)}{hint}")
    return array


class Calls(NamedTuple):
    """What is called, and with what besides the batches; `read` makes an array of what is returned, or raises `CallError`."""

    f: BatchFunction
    task: PolicyReturn
    alpha: float
    v: Array | None = None
    read: Callable[[Any, tuple[int, ...], str], Array] = as_estimates


def asked(calls: Calls, theta: Array, batches: Trajectories, first: int, number: int) -> tuple[Array, list[Query]]:
    """What the function returns for n batches at theta (n, d), and the queries that it was given."""
    n, d = theta.shape
    if calls.f.vectorised:
        words = f"on the batches {first + 1} to {first + n} of {number}"
        value, query = called(calls, theta, batches, words)
        return calls.read(value, (n, d), words), [query]
    each = []
    for i in range(n):
        batch = Trajectories(*(x[i] for x in batches))
        words = f"on batch {first + i + 1} of {number}{shown(batch)}"
        value, query = called(calls, theta[i], batch, words)
        each.append((calls.read(value, (d,), words), query))
    return np.stack([row for row, _ in each]), [query for _, query in each]


def called(calls: Calls, theta: Array, batches: Trajectories, words: str) -> tuple[Any, Query]:
    """What one call returned, and the query that it was given."""
    query = Query(calls.task, theta.shape)
    mdp = calls.task.mdp
    given = {"theta": np.array(theta), "gamma": float(mdp.gamma), "alpha": calls.alpha, "v": calls.v}
    given |= {"state_count": mdp.states, "action_count": mdp.actions}
    return _returned(calls.f, given, batches, query if calls.f.kind == "meta" else None, words), query


def shown(batch: Trajectories) -> str:
    """The states, actions and rewards of a batch, if they are few."""
    if not 0 < batch.mask.size <= SHOWN:
        return ""
    return f" (states {batch.states.tolist()}, actions {batch.actions.tolist()}, rewards {batch.rewards.tolist()})"


def _returned(
    f: BatchFunction, given: Mapping[str, Any], batches: Trajectories, query: Query | None, words: str
) -> Any:
    """What the function returns for arrays of batches; its own copies are checked for changes.  `CallError` with `words`.

    `given` holds theta, gamma, alpha and v; `batches` the arrays as the function is to get them.
    """
    offered = {**given, **batches._asdict(), "query": query}
    before = {name: offered[name] for name in f.asks if offered.get(name) is not None}
    inputs = {name: x.copy() if isinstance(x, np.ndarray) else x for name, x in before.items()}
    try:
        with contextlib.redirect_stdout(sys.stderr):
            value = f.function(**inputs)
    except (KeyboardInterrupt, EndedBySignal):
        raise
    except BaseException as error:
        raise CallError(f"{words}: {failure_text(error)}") from error
    for name, x in before.items():
        if isinstance(x, np.ndarray) and not np.array_equal(x, inputs[name]):
            raise CallError(f"{words}: {name} was changed in place; work on a copy of it")
    return value
