"""The loop of every training: progress on a terminal, a callback, Ctrl-C.  Derivation: derivations/meta-training.md"""

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from refmeta.arrays import Array
from refmeta.tables import show_line

__all__ = ["LoopResult", "check_methods", "run_loop", "sum_over_tasks"]

State = TypeVar("State")
LONGEST = 80


class LoopResult(NamedTuple):
    """The last state, the number of iterations done, and whether Ctrl-C ended them."""

    state: Any
    done: int
    interrupted: bool


def run_loop(
    step: Callable[[State, int], State],
    state: State,
    iterations: int,
    *,
    name: str,
    summary: Callable[[State], str],
    callback: Callable[[State, int], Any] | None = None,
) -> LoopResult:
    """state ← step(state, k) for k = 0 … iterations − 1.

    On a terminal the iteration, the `summary` of the state and the time are shown.  Ctrl-C ends the loop with the state
    of the last full iteration and a message on standard error; a StopIteration from the callback ends it without a
    message.  An error in a step gets a note that names the iteration.
    """
    done, start = 0, time.perf_counter()
    try:
        while done < iterations:
            state, done = _step_with_note(step, state, done, name), done + 1
            show_line(f"{name}: {done} of {iterations}, {summary(state)}, {time.perf_counter() - start:.0f} s")
            if callback is not None and _stops(callback, state, done):
                break
    except KeyboardInterrupt:
        show_line("")
        print(f"{name}: interrupted after {done} of {iterations} iterations", file=sys.stderr)
        return LoopResult(state, done, True)
    finally:
        show_line("")
    return LoopResult(state, done, False)


def check_methods(**arguments: tuple[Any, str]) -> None:
    """TypeError unless each argument is an object with its method; a class is none, since it has no instance yet."""
    for name, (value, method) in arguments.items():
        if isinstance(value, type) or not callable(getattr(value, method, None)):
            got = repr(value)
            raise TypeError(f"{name} must be an object with {method}(...), got {got if len(got) <= LONGEST else f'a {type(value).__name__}'}")


def _step_with_note(step: Callable[[State, int], State], state: State, done: int, name: str) -> State:
    """One step; its errors get a note that names the iteration."""
    try:
        return step(state, done)
    except Exception as error:
        error.add_note(f"in iteration {done + 1} of {name}, after {done} that were done")
        raise


def _stops(callback: Callable[[State, int], Any], state: State, done: int) -> bool:
    """Call the callback; True if it raises StopIteration."""
    try:
        callback(state, done)
    except StopIteration:
        return True
    return False


def sum_over_tasks(gradients: Array) -> Array:
    """Σ over all leading axes, (d,)."""
    return np.sum(gradients, axis=tuple(range(gradients.ndim - 1)))
