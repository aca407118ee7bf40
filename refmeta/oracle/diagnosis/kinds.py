"""Simple facts on a case, which may tell the branches of a target apart: what kind an input is of, and whether there is one task.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.oracle.match import inputs_of, task_count
from refmeta.oracle.suite import Case, Suite

__all__ = ["Fact", "facts"]


class Fact(NamedTuple):
    """A statement on a case, in words and as a function."""

    name: str
    holds: Callable[[Case], bool]


KINDS: dict[str, Callable[[Any], bool]] = {
    "is None": lambda x: x is None,
    "is not None": lambda x: x is not None,
    "is a number": lambda x: isinstance(x, (int, float)),
    "is an array": lambda x: isinstance(x, np.ndarray),
    "is an array with two axes": lambda x: isinstance(x, np.ndarray) and x.ndim == 2,
    "is 0": lambda x: isinstance(x, (int, float)) and x == 0,
    "is not 0": lambda x: isinstance(x, (int, float)) and x != 0,
    "is 1": lambda x: isinstance(x, (int, float)) and x == 1,
    "is not 1": lambda x: isinstance(x, (int, float)) and x != 1,
    "is at most 1": lambda x: isinstance(x, int) and x <= 1,
    "is more than 1": lambda x: isinstance(x, int) and x > 1,
}


def facts(suite: Suite) -> list[Fact]:
    """What every input may be, and whether there is one task; each with its opposite."""
    one = [Fact("N = 1", lambda case: task_count(case) == 1), Fact("N > 1", lambda case: task_count(case) > 1)]
    return [*(_fact(name, words) for name in suite.inputs for words in KINDS), *one]


def _fact(name: str, words: str) -> Fact:
    """An input is of a kind."""
    return Fact(f"{name} {words}", lambda case: KINDS[words](inputs_of(case).get(name)))
