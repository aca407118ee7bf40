"""What a result becomes where an input is another: in single precision, times 1 + ε, or plus ε.

The library computes it on objects that are not validated again.  Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.judge import JudgeSettings
from refmeta.oracle.match import Candidate, candidate_of, inputs_of
from refmeta.oracle.suite import Case, Suite

__all__ = [
    "answer_with", "change_floats", "float_inputs", "group_text", "input_groups", "is_at", "rounded_result", "single_precision",
    "slope_in",
]  # fmt: skip

Names = tuple[str, ...]
Change = Callable[[Any], Any]
STEP = 1e-5
SHIFTS: dict[str, Callable[[Any, float], Any]] = {
    "times": lambda x, h: x * (1 + h), "plus": lambda x, h: x + h, "plus, but for 0": lambda x, h: x + h * (x != 0)
}  # fmt: skip


def change_floats(value: Any, at: Callable[[str], bool], change: Change, path: str = "") -> Any:
    """The object, every float changed whose path satisfies `at`.  Integers stay, and nothing is validated again."""
    inside: Callable[[Any], str] = lambda name: f"{path}.{name}".strip(".")
    if isinstance(value, (float, np.floating)) or isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return change(value) if at(path) else value
    if isinstance(value, (tuple, list)):
        names: Sequence[Any] = getattr(value, "_fields", range(len(value)))
        parts = [change_floats(entry, at, change, inside(name)) for name, entry in zip(names, value, strict=True)]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if is_dataclass(value) and not isinstance(value, type):
        entries = {f.name: getattr(value, f.name) for f in fields(value)}
        return replace_fields(value, **{name: change_floats(x, at, change, inside(name)) for name, x in entries.items()})
    return value


def is_at(path: str, name: str, suite: Suite) -> bool:
    """Does a path in the problem of a suite end at an input?"""
    base = name.removeprefix("query_")
    if base != name and f".{path}".endswith(f".{name}"):
        return True
    if (base != name or f"query_{name}" in suite.inputs) and path.startswith("query.") != (base != name):
        return False
    place = suite.inputs[name].place or base
    return f".{path}".endswith(f".{place}") and (place.startswith("context") or not path.startswith("context"))


def answer_with(case: Case, part: str, names: Names, change: Change) -> Array:
    """The library's answer where some inputs are changed."""
    at: Callable[[str], bool] = lambda path: any(is_at(path, name, case.about) for name in names)
    return np.asarray(case.about.answer(part, change_floats(case.problem, at, change)))


def float_inputs(case: Case) -> list[str]:
    """The inputs that are floats, or arrays of floats."""
    return [n for n, x in inputs_of(case).items() if x is not None and np.asarray(x).dtype.kind == "f"]


def input_groups(cases: Sequence[Case]) -> list[Names]:
    """Every float input of the cases alone, each pair of support and query, and all at once."""
    names = list(dict.fromkeys(name for case in cases for name in float_inputs(case)))
    both = [(name, f"query_{name}") for name in names if f"query_{name}" in names]
    return [*((name,) for name in names), *both, *([tuple(names)] if len(names) > 1 else [])]


def group_text(names: Names) -> str:
    """The inputs of a group in words."""
    return " and ".join(names) if len(names) <= 2 else "every input"


def single_precision(value: Any) -> Any:
    """A number or an array rounded to single precision, in double."""
    rounded = np.asarray(value, np.float32).astype(float)
    return float(rounded) if np.ndim(value) == 0 else rounded


@lru_cache(maxsize=256)
def _rounded(case: Case, part: str, names: Names) -> Array:
    """The library's answer where some inputs are rounded; the certified one where that changes nothing."""
    x = inputs_of(case)
    if all(x.get(name) is None or np.array_equal(single_precision(x[name]), x[name]) for name in names):
        return case.expected[part].value
    return answer_with(case, part, names, single_precision)


def _slope(case: Case, part: str, names: Names, how: str) -> Array:
    """The derivative of the library's answer by ε, a central difference."""
    up, down = (answer_with(case, part, names, lambda x, h=h: SHIFTS[how](x, h)) for h in (STEP, -STEP))  # type: ignore[misc]
    return (up - down) / (2 * STEP)


def rounded_result(names: Names, settings: JudgeSettings) -> Candidate:
    """What the target would return if some inputs were kept in single precision."""
    return candidate_of(lambda case, part: _rounded(case, part, names), settings)


def slope_in(names: Names, how: str, settings: JudgeSettings) -> Candidate:
    """The slope in an ε of some inputs, as the target would return it."""
    return candidate_of(lambda case, part: _slope(case, part, names, how), settings)
