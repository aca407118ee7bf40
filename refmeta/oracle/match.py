"""Does a candidate give the numbers that a target gave?  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.judge import JudgeSettings, Outcome, allowed, allowed_of, gap, transformed
from refmeta.oracle.suite import Case

__all__ = ["NEAR", "Match", "Pair", "agrees", "in_all", "matched", "matches", "pairs", "refuting"]

NEAR = 10.0


class Match(NamedTuple):
    """What every failing vector equals: in a few words, as a sentence, and its value."""

    what: str
    line: str
    value: Callable[[Case, str], Array | None]


def matches(failing: Sequence[Outcome], settings: JudgeSettings, candidate: Callable[[Case, str], Array | None]) -> bool:
    """Every result of every failing vector that is wrong equals the candidate, to ten tolerances."""
    told_apart = False
    for o in failing:
        for name, got in (o.got or {}).items():
            expected = o.case.expected[name]
            limit = allowed(expected, o.case, settings)
            right = transformed(expected.value, o.case, settings, name)
            if gap(got, right, limit) <= 1:
                continue
            value = candidate(o.case, name)
            if value is None or value.shape != got.shape or not np.isfinite(value).all():
                return False
            if (
                gap(
                    got,
                    value,
                    limit * NEAR * np.maximum(1, np.max(np.abs(value)) / np.maximum(np.max(np.abs(right)), 1e-300)),
                )
                > 1
            ):
                return False
            told_apart |= gap(value, right, limit) > NEAR
    return told_apart


class Pair(NamedTuple):
    """A result beside the right one, with its tolerance."""

    case: Case
    name: str
    got: Array
    right: Array
    limit: Array


def pairs(outcomes: Sequence[Outcome], settings: JudgeSettings) -> list[Pair]:
    """Every result of every outcome."""
    return [
        Pair(
            o.case,
            name,
            got,
            transformed(o.case.expected[name].value, o.case, settings, name),
            allowed_of(o.case, name, settings),
        )
        for o in outcomes
        for name, got in (o.got or {}).items()
    ]


def matched(o: Outcome, name: str, settings: JudgeSettings) -> bool:
    """Is the result of this name right, to its tolerance?"""
    expected = o.case.expected[name]
    right = transformed(expected.value, o.case, settings, name)
    return gap((o.got or {})[name], right, allowed(expected, o.case, settings)) <= 1


def agrees(passing: Sequence[Outcome], settings: JudgeSettings, candidate: Callable[[Case, str], Array | None]) -> bool:
    """Does the candidate, wherever it applies, give what the target returned on the vectors that passed?"""
    return not refuting(passing, settings, candidate)


def refuting(
    passing: Sequence[Outcome], settings: JudgeSettings, candidate: Callable[[Case, str], Array | None]
) -> list[Outcome]:
    """The vectors that passed on which the candidate is something else."""

    def differs(o: Outcome, name: str, got: Array) -> bool:
        value, limit = candidate(o.case, name), allowed(o.case.expected[name], o.case, settings)
        return value is not None and (value.shape != got.shape or not gap(got, value, limit * NEAR) <= 1)

    return [o for o in passing if any(differs(o, name, got) for name, got in (o.got or {}).items())]


def in_all(failing: Sequence[Outcome]) -> str:
    """In how many of the failing vectors an explanation holds."""
    return f"in {len(failing)} of {len(failing)} failing vectors" if len(failing) > 1 else "in the one failing vector"
