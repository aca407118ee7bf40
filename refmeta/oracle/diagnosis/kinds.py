"""Simple facts on a case, which may tell the branches of a target apart: of what kind, or which word, an input is, and one task or more.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from refmeta.oracle.match import inputs_of, task_count
from refmeta.oracle.suite import Case, Suite

__all__ = ["Fact", "facts", "facts_of_words"]


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


def facts(suite: Suite, cases: Sequence[Case] = ()) -> list[Fact]:
    """What every input may be, whether there is one task, and which words the cases have; each with its opposite."""
    one = [Fact("N = 1", lambda case: task_count(case) == 1), Fact("N > 1", lambda case: task_count(case) > 1)]
    return [*(_fact(name, words) for name in suite.inputs for words in KINDS), *one, *facts_of_words(suite, cases)]


def facts_of_words(suite: Suite, cases: Sequence[Case]) -> list[Fact]:
    """An input is one of the words that it is in the cases, or is not, or is any of two or three that it is there."""
    found = []
    for name in (name for name, entry in suite.inputs.items() if entry.kind == "word"):
        seen = sorted({word for case in cases if (word := inputs_of(case).get(name)) is not None})
        found += [_word(name, (word,)) for word in seen] + [_word(name, (word,), other=True) for word in seen]
        found += [_word(name, tuple(seen))] * (2 <= len(seen) <= 3)
    return found


def _word(name: str, words: tuple[str, ...], other: bool = False) -> Fact:
    """An input is one of the words, or another."""
    return Fact(f"{name} is {'not ' * other}{' or '.join(words)}", lambda case: (inputs_of(case).get(name) in words) is not other)


def _fact(name: str, words: str) -> Fact:
    """An input is of a kind."""
    return Fact(f"{name} {words}", lambda case: KINDS[words](inputs_of(case).get(name)))
