"""The loop of every training: progress on a terminal, a callback, Ctrl-C.  Derivation: derivations/meta-training.md"""

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from refmeta.arrays import Array

__all__ = ["LoopResult", "check_methods", "run_loop", "sum_over_tasks"]

State = TypeVar("State")


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

    On a terminal the iteration, the `summary` of the state and the time are shown.  Ctrl-C ends the loop with the
    last whole state and a note on standard error; so does, without a note, a StopIteration of the callback.  An error of
    a step is given a note that says in which iteration.
    """
    done, begun = 0, time.perf_counter()
    try:
        while done < iterations:
            state, done = _step_with_note(step, state, done, name), done + 1
            _show(f"{name}: {done} of {iterations}, {summary(state)}, {time.perf_counter() - begun:.0f} s")
            if callback is not None and _stops(callback, state, done):
                break
    except KeyboardInterrupt:
        _show("")
        print(f"{name}: interrupted after {done} of {iterations} iterations", file=sys.stderr)
        return LoopResult(state, done, True)
    finally:
        _show("")
    return LoopResult(state, done, False)


def check_methods(**things: tuple[Any, str]) -> None:
    """Refuse what is not an object with its method: a class, for instance, that has not been called."""
    for name, (thing, method) in things.items():
        if isinstance(thing, type) or not callable(getattr(thing, method, None)):
            raise TypeError(f"{name} must be an object with {method}(...), got {thing!r}")


def _step_with_note(step: Callable[[State, int], State], state: State, done: int, name: str) -> State:
    """One step; an error of it says in which iteration."""
    try:
        return step(state, done)
    except Exception as error:
        error.add_note(f"in iteration {done + 1} of {name}, after {done} that were done")
        raise


def _stops(callback: Callable[[State, int], Any], state: State, done: int) -> bool:
    """Tell the callback; does it raise StopIteration?"""
    try:
        callback(state, done)
    except StopIteration:
        return True
    return False


def _show(text: str) -> None:
    """One line that rewrites itself, on a terminal only."""
    if sys.stderr.isatty():
        print(text.ljust(78), end="\r", file=sys.stderr, flush=True)


def sum_over_tasks(gradients: Array) -> Array:
    """Σ over every leading axis: the direction of a rule, (d,)."""
    return np.sum(gradients, axis=tuple(range(gradients.ndim - 1)))
