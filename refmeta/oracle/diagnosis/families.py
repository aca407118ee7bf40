"""A choice with a number in it: momentum c, a weight decay c, an entropy bonus c, a clip at c.

The number is fitted on one vector, and must explain all.  Derivation: derivations/using-the-oracle.md
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.diagnosis.choices import is_exact
from refmeta.oracle.diagnosis.fitted import root
from refmeta.oracle.judge import JudgeSettings, Outcome
from refmeta.oracle.match import Candidate, Match, Pair, alike, candidate_of, generic_first, match_of, matching, pairs

__all__ = ["GRID", "family_matches"]

SIZES = (1e-3, 3e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)
GRID = (*SIZES, *(-c for c in SIZES))
STARTS, VECTORS, DIGITS, LARGEST, MISSES = 3, 3, 9, 1e6, 2
PROBES = (0.1, 2.0)
Make = Callable[[float], Any]


def family_matches(failing: Sequence[Outcome], settings: JudgeSettings, until: float = np.inf) -> list[Match]:
    """The families of a suite of which one number explains every failing vector."""
    some, found = pairs(generic_first(failing)[:VECTORS], settings), list[Match]()
    for words, (choice, make) in failing[0].case.about.families.items():
        if time.perf_counter() > until:
            break
        for number in _numbers(choice, make, some, settings):
            what = f"another formula, {choice}: {words.format(f'{number:.{DIGITS}g}')}"
            match = match_of(f"computes {what}", candidate_of(_value(choice, make, number), settings), failing, cost=2.0)
            if one := matching([match], failing, settings):
                found += one
                break
    return found


def _value(choice: str, make: Make, number: float) -> Candidate:
    """The part where the choice has this number in it."""
    value = make(number)
    return lambda case, part: case.about.variant(part, case.problem, {choice: value}) if is_exact(case, part) else None


def _numbers(choice: str, make: Make, some: Sequence[Pair], settings: JudgeSettings) -> Iterator[float]:
    """The numbers that explain the first of some vectors that has one, rounded to nine digits or as they are.

    A vector on which the number changes nothing is passed over; two that have none are enough.
    """
    missed = 0
    for pair in some:
        residual = _residual(choice, make, pair, settings)
        with np.errstate(all="ignore"):
            one, other = residual(PROBES[0]), residual(PROBES[1])
            if np.array_equal(one, other):
                continue
            size = {c: float(np.max(np.abs(residual(c)), initial=0.0)) for c in GRID}
            roots = [root(residual, start) for start in sorted(size, key=lambda c: size[c])[:STARTS]]
        numbers = [c for c in roots if c is not None and np.isfinite(c) and abs(c) < LARGEST and not np.any(_is_far(residual(c), pair))]
        if numbers:
            yield from dict.fromkeys(each for c in numbers for each in (float(f"{c:.{DIGITS}g}"), c))
            return
        missed += 1
        if missed == MISSES:
            return


def _residual(choice: str, make: Make, pair: Pair, settings: JudgeSettings) -> Callable[[float], Array]:
    """What a number leaves of one result."""

    def residual(number: float) -> Array:
        value = candidate_of(_value(choice, make, number), settings)(pair.case, pair.name)
        if value is None or value.shape != pair.got.shape:
            return np.full(pair.got.size, np.inf)
        return np.ravel(pair.got - value)

    return residual


def _is_far(residual: Array, pair: Pair) -> bool:
    """Is what remains more than ten tolerances?"""
    return not alike(pair, pair.got - residual.reshape(pair.got.shape))
