"""Statements on the inputs of a case that may tell where a target is right: K <= 1, ridge = 0, gamma = 1, one task.

Those of numbers, sizes and arrays are made for every suite; a suite adds its own.  Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from refmeta.oracle.choices import Predicate
from refmeta.oracle.sizes import INTEGERS, axes_of, fits
from refmeta.oracle.suite import Case, Suite

__all__ = ["predicates_of", "thresholds", "trimmed"]

Inputs = dict[str, Any]
READINGS = {
    "nothing is adapted": "what is wrong is in the inner steps, or in what is differentiated through them",
    "K = 0": "what is wrong is in the inner steps, or in what is differentiated through them",
    "K <= 1": "from the second inner step on something differs",
    "N = 1": "something passes between tasks, or a sum or mean runs over them",
    "H = 1": "from the second step in time on something differs",
    "M = 1": "a sum or mean over trajectories, or something that passes between them",
    "n = 1": "a sum or mean over data points",
    "c = 1": "a sum, mean or product over the transitions of the context",
    "b = 1": "a sum or mean over the transitions of the batch",
    "horizon is None": "what is wrong is in the finite horizon",
    "horizon is not None": "what is wrong is in the infinite discounted horizon",
    "gamma = 1": "the discount enters otherwise",
    "gamma = 0": "what comes after the first reward differs",
}  # fmt: skip
LEFT_OUT = ("d", "F")


def predicates_of(suite: Suite, cases: Sequence[Case]) -> list[Predicate]:
    """The suite's own, and those of its numbers, sizes, optional inputs and arrays; the most general first."""
    values = [case.arguments() for case in cases]
    names = {name for case_values in values for name in suite.sizes_of(case_values)} - set(LEFT_OUT)
    sizes = [p for name in sorted(names) for p in _of_size(suite, name)]
    inputs = [p for name in suite.inputs for p in _of_input(suite, name, values)]
    pairs = [name for name in suite.inputs if f"query_{name}" in suite.inputs]
    return [*suite.predicates, *_of_adaptation(suite), *sizes, *inputs, *([_of_split(pairs)] if pairs else [])]


def _predicate(name: str, reading: str, holds: Callable[[Inputs], bool], move: Callable[[Inputs], Inputs | None]) -> Predicate:
    """A predicate on the inputs; its reading is the usual one, if it has one."""
    return Predicate(name, READINGS.get(name, reading), lambda case: bool(holds(case.arguments())), move)


def _of_adaptation(suite: Suite) -> list[Predicate]:
    """K = 0 or α = 0."""
    if not {"steps", "alpha"} <= set(suite.inputs):
        return []
    none: Callable[[Inputs], bool] = lambda x: x["steps"] == 0 or not np.any(x["alpha"])
    return [_predicate("nothing is adapted", "", none, lambda x: x | {"alpha": np.asarray(x["alpha"]) * 0.0 if np.ndim(x["alpha"]) else 0.0})]


def _of_size(suite: Suite, name: str) -> list[Predicate]:
    """A size is at most 1; for the number of steps, also 0."""
    whole = name in INTEGERS.values() and name != "C"
    bounds = {f"{name} = 0": 0, f"{name} <= 1": 1} if name == "K" else {f"{name} = 1": 1}
    reading = f"something runs over the {name} of a case" + " in its own way" * whole
    return [
        _predicate(text, reading, lambda x, n=n: suite.sizes_of(x).get(name, n + 1) <= n, partial(trimmed, suite, name, n))  # type: ignore[misc]
        for text, n in bounds.items()
    ]


def trimmed(suite: Suite, size: str, n: int, inputs: Inputs) -> Inputs | None:
    """The inputs with the first n entries of every axis of a size; None where a longer formula holds the size."""
    sizes, changed = suite.sizes_of(inputs), dict(inputs)
    for name, entry in suite.inputs.items():
        shape = next((each for each in entry.shape.split(" or ") if fits(each, inputs[name], dict(sizes))), "")
        axes = axes_of(shape)
        if any(size in axis and size != axis for axis in axes if "*" in axis or "+" in axis):
            return None
        if INTEGERS.get(name) == size:
            changed[name] = n
        elif size in axes and isinstance(inputs[name], np.ndarray):
            changed[name] = inputs[name][tuple(slice(n) if axis == size else slice(None) for axis in axes)]
    return changed


def _of_input(suite: Suite, name: str, values: Sequence[Inputs]) -> list[Predicate]:
    """An input is None or not, a number or an array, 0 or 1, or an array of zeros or of ones."""
    seen = [x[name] for x in values if x[name] is not None]
    ranks, whole = {np.ndim(x) for x in seen}, suite.inputs[name].kind == "integer"
    found = _of_optional(name, seen) if len(seen) < len(values) else []
    if suite.inputs[name].kind == "word":
        return [*found, *(_of_word(name, word) for word in sorted(set(seen)))]
    if {0} < ranks:
        mean: Callable[[Inputs], Inputs | None] = lambda x: x | {name: float(np.mean(x[name]))} if np.size(x[name]) else None
        found.append(_predicate(f"{name} is a number", f"an array of {name} is read otherwise", lambda x: np.ndim(x[name]) == 0, mean))
    if 0 in ranks and whole and name not in INTEGERS:
        found += _of_count(name, seen)
    elif 0 in ranks and name not in INTEGERS:
        found += [_constant(name, 0, f"what {name} multiplies differs"), _constant(name, 1, f"a factor or power of {name} differs")]
    elif ranks and not whole:
        found.append(_constant(name, 0, f"what {name} enters differs", arrays=True))
    elif ranks and set(np.unique(np.concatenate([np.ravel(x) for x in seen]))) == {0, 1}:
        found.append(_constant(name, 1, f"what stands where {name} is 0 is read", arrays=True))
    return found


def _of_count(name: str, seen: Sequence[Any]) -> list[Predicate]:
    """A count is 0 or 1, and multiplies nothing, or is a larger one or on one side of it; one that is never more than 1 is a mark of a case."""
    if set(seen) <= {0, 1}:
        return [_constant(name, c, f"a case with {name} = {1 - c} goes another way") for c in (0, 1)]
    few = [_constant(name, c, f"what is done only with {name} above {c} differs") for c in (0, 1)]
    larger = sorted(c for c in set(seen) if c > 1)
    return [*few, *(p for c in larger for p in _beside(name, c, c < larger[-1]))]


def _beside(name: str, c: int, inner: bool) -> list[Predicate]:
    """A count is c, at most c if some are larger, or at least c."""
    at_least = lambda x: x[name] is not None and x[name] >= c
    at_most = lambda x: x[name] is not None and x[name] <= c
    move: Callable[[Inputs, Any], Inputs | None] = lambda x, bound: None if x[name] is None else x | {name: bound(x[name], c)}
    return [
        _constant(name, c, f"{name} may not be read, and count as {c} in every case"),
        *([_predicate(f"{name} <= {c}", f"{name} may be limited to {c}", at_most, lambda x: move(x, min))] if inner else []),
        _predicate(f"{name} >= {c}", f"{name} may count as {c} at least, or its end be reached whatever it is", at_least, lambda x: move(x, max)),
    ]


def _of_optional(name: str, seen: Sequence[Any]) -> list[Predicate]:
    """An input is None, or it is not."""
    some = seen[0] if seen and not np.ndim(seen[0]) else None
    other: Callable[[Inputs], Inputs | None] = lambda x: None if some is None else x | {name: some}
    return [
        _predicate(f"{name} is None", f"{name} enters otherwise", lambda x: x[name] is None, lambda x: x | {name: None}),
        _predicate(f"{name} is not None", f"a case without {name} goes another way", lambda x: x[name] is not None, other),
    ]


def _of_word(name: str, word: str) -> Predicate:
    """An input is one of its words; no other inputs can be made of those of a case that has another word."""
    return _predicate(f"{name} is {word}", f"another {name} is computed otherwise", lambda x: x[name] == word, lambda x: None)


def _constant(name: str, c: int, reading: str, *, arrays: bool = False) -> Predicate:
    """An input is 0 or 1, in every entry if it is an array."""

    def move(x: Inputs) -> Inputs | None:
        if x[name] is None:
            return None
        return x | {name: np.full_like(x[name], c) if np.ndim(x[name]) else type(x[name])(c)}

    holds: Callable[[Inputs], bool] = lambda x: x[name] is not None and bool(np.all(np.asarray(x[name]) == c))
    return _predicate(f"{name} is {c} everywhere" if arrays else f"{name} = {c}", reading, holds, move)


def _of_split(pairs: Sequence[str]) -> Predicate:
    """Support and query are the same."""

    def same(x: Inputs) -> bool:
        return all(np.array_equal(x[name], x[f"query_{name}"]) for name in pairs if x[name] is not None)

    move: Callable[[Inputs], Inputs] = lambda x: x | {f"query_{name}": x[name] for name in pairs}
    return _predicate("support = query", "one of the two is used where the other is meant", same, move)


def thresholds(right: Sequence[Case], wrong: Sequence[Case]) -> list[Predicate]:
    """Bounds on the size of one input that separate right from wrong, and that are far from both."""
    found = []
    for name, entry in wrong[0].about.inputs.items() if right else ():
        if entry.kind == "integer" and name not in INTEGERS or entry.kind == "word":
            continue
        r, w = ([_size(case.arguments()[name]) for case in cases] for cases in (right, wrong))
        if 0 < max(r) < 0.9 * min(w):
            found.append(_bound(wrong[0].about, name, max(r)))
    return found


def _size(value: Any) -> float:
    """The largest magnitude; NaN, with which every comparison fails, where there is none."""
    return float(np.max(np.abs(value))) if value is not None and np.size(value) else np.nan


def _bound(suite: Suite, name: str, most: float) -> Predicate:
    """An input is at most so large."""

    def move(x: Inputs) -> Inputs | None:
        if name in INTEGERS:
            return trimmed(suite, INTEGERS[name], int(most), x)
        scaled = np.asarray(x[name]) * (most / _size(x[name]))
        return x | {name: scaled if np.ndim(scaled) else float(scaled)}

    text = f"{INTEGERS[name] if name in INTEGERS else f'|{name}|'} <= {most:.3g}"
    return _predicate(text, f"a large {name} is clamped, cut off or lost", lambda x: _size(x[name]) <= most * (1 + 1e-12), move)
