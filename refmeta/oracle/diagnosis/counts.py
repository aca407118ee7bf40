"""Another whole number inside: the right result for another number of terms, of steps or of rewards than was asked for.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.clock import now
from refmeta.oracle.judge import JudgeSettings, Outcome
from refmeta.oracle.match import (
    Candidate,
    Match,
    candidate_of,
    generic_first,
    inputs_of,
    match_of,
    matching,
    pairs,
    told_apart,
)
from refmeta.oracle.sizes import INTEGERS
from refmeta.oracle.suite import Case, Suite

__all__ = ["count_matches", "counts_of"]

NUMBERS, RESULTS = (*range(1, 13), 15, 16, 20, 25, 30, 32, 50, 64, 100), 4
Change = Callable[[int], int]


def counts_of(about: Suite) -> list[str]:
    """The inputs that are whole numbers, and count something else than the entries of an axis."""
    return [name for name, entry in about.inputs.items() if entry.shape == "integer" and (name == "steps" or name not in INTEGERS)]


def count_matches(failing: Sequence[Outcome], settings: JudgeSettings, until: float = np.inf) -> list[Match]:
    """The same number in every case, so many more or fewer, or a bound on the number; the simplest first."""
    ordered, matches = generic_first(failing), list[Match]()
    for name in counts_of(failing[0].case.about):
        if not _has_effect(ordered, name, settings):
            continue
        for cost, (what, change) in enumerate(_changes()):
            if now() > until:
                return matches
            match = match_of(f"the right result where {name} is {what}", _value(name, change, settings), ordered, cost=cost)
            matches += matching([match], ordered, settings)
    return matches


def _changes() -> Iterator[tuple[str, Change]]:
    """What may be done with a number, in words and as a function."""
    for c in NUMBERS:
        yield f"{c} in every case", lambda k, c=c: c  # type: ignore[misc]
    for c in (1, -1, 2, -2):
        yield f"{abs(c)} {'more' if c > 0 else 'fewer'}", lambda k, c=c: k + c  # type: ignore[misc]
    for c in NUMBERS:
        yield f"at most {c}", lambda k, c=c: min(k, c)  # type: ignore[misc]
    for c in NUMBERS[1:]:
        yield f"at least {c}", lambda k, c=c: max(k, c)  # type: ignore[misc]


def _has_effect(ordered: Sequence[Outcome], name: str, settings: JudgeSettings) -> bool:
    """Is the first of the results that has other ones another where the number is smaller or larger?"""
    for pair in pairs(ordered[:RESULTS], settings):
        others = (_value(name, lambda k, more=more: k + more, settings)(pair.case, pair.name) for more in (1, -1))  # type: ignore[misc]
        if any(told_apart(pair, other) for other in others):
            return True
    return False


def _value(name: str, change: Change, settings: JudgeSettings) -> Candidate:
    """The library's answer for the other number; None where it refuses that."""
    return candidate_of(lambda case, part: _answer(case, part, name, change(inputs_of(case)[name])), settings)


@lru_cache(maxsize=2048)
def _answer(case: Case, part: str, name: str, number: int) -> Array:
    """The library's answer to a case in which one whole number is another."""
    return np.asarray(case.about.answer(part, case.about.problem(case.arguments() | {name: number})))
