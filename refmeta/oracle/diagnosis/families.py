"""A choice with a number in it: momentum c, a weight decay c, an entropy bonus c, a clip at c.

The number is fitted on one vector, and must explain all.  Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.clock import now
from refmeta.oracle.diagnosis.choices import is_exact
from refmeta.oracle.diagnosis.factors import wrong_pairs
from refmeta.oracle.diagnosis.secant import Residual, root
from refmeta.oracle.judge import JudgeSettings, Outcome
from refmeta.oracle.match import Candidate, Match, Pair, alike, candidate_of, generic_first, match_of, matching, pairs

__all__ = ["family_matches"]

GRID = (1e-3, 0.01, 0.05, 0.1, 0.3, 0.5, 0.9, 1.5, 3.0, 10.0, 50.0, -0.01, -0.1, -0.5, -2.0)
STARTS, VECTORS, FEWEST, DIGITS = 2, 3, 4, 9
FALLS = {2: 0.7, 3: 0.4, 5: 0.05, 7: 1e-3}  # by which share of the first the residual must have fallen after so many steps
Make = Callable[[float], Any]
Choice = str | tuple[str, ...]


def family_matches(failing: Sequence[Outcome], settings: JudgeSettings, until: float = np.inf) -> list[Match]:
    """The first family of a suite of which one number explains every failing vector; from the nearest start, then from the next.

    Fewer than four wrong entries would be given by too many families.
    """
    if sum(pair.got.size for pair in wrong_pairs(failing, settings)) < FEWEST:
        return []
    some = pairs(generic_first(failing)[:VECTORS], settings)
    for attempt in range(STARTS):
        for words, (choice, make, *starts) in failing[0].case.about.families.items():
            if now() > until:
                return []
            for number in _numbers(choice, make, some, settings, starts[0] if starts else GRID, attempt):
                names = choice if isinstance(choice, str) else " and ".join(choice)
                what = f"another formula, {names}: {words.format(f'{number:.{DIGITS}g}')}"
                match = match_of(f"computes {what}", candidate_of(_value(choice, make, number), settings), failing, cost=2.0)
                if one := matching([match], failing, settings):
                    return one
    return []


def _value(choice: Choice, make: Make, number: float) -> Candidate:
    """The part where the choice, or several of them at once, has this number in it."""
    value = make(number)
    point = {choice: value} if isinstance(choice, str) else dict(zip(choice, value, strict=True))
    return lambda case, part: case.about.variant(part, case.problem, point) if is_exact(case, part) else None


def _numbers(
    choice: Choice, make: Make, some: Sequence[Pair], settings: JudgeSettings, starts: Sequence[float], attempt: int
) -> Iterator[float]:
    """The number that explains the first of some vectors on which it has an effect, rounded to nine digits or as it is."""
    for pair in some:
        residual = _residual(choice, make, pair, settings)
        with np.errstate(all="ignore"):
            size = {c: float(np.max(np.abs(residual(c)), initial=0.0)) for c in starts}
            if max(size.values()) - min(size.values()) <= np.max(pair.limit) or not np.isfinite(min(size.values())):
                continue
            for start in sorted(size, key=lambda c: size[c])[attempt : attempt + 1]:
                c = start if _explains(start, residual, pair) else root(residual, start, FALLS)
                if c is not None and _explains(c, residual, pair):
                    yield from dict.fromkeys((float(f"{c:.{DIGITS}g}"), c))
        return


def _explains(number: float, residual: Residual, pair: Pair) -> bool:
    """Does a number leave nothing of a result, to its tolerance?"""
    return alike(pair, pair.got - residual(number).reshape(pair.got.shape))


def _residual(choice: Choice, make: Make, pair: Pair, settings: JudgeSettings) -> Residual:
    """What a number leaves of one result."""

    def residual(number: float) -> Array:
        value = candidate_of(_value(choice, make, number), settings)(pair.case, pair.name)
        if value is None or value.shape != pair.got.shape:
            return np.full(pair.got.size, np.inf)
        return np.ravel(pair.got - value)

    return residual
