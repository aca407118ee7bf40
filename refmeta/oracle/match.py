"""Does a candidate give the numbers that a target returned?  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.judge import JudgeSettings, Outcome, as_returned, gap, limit_of, right_result
from refmeta.oracle.suite import Case

__all__ = ["NEAR", "Candidate", "Match", "Pair", "candidate_of", "in_all", "is_right", "matches", "pairs", "refuting"]

NEAR = 10.0
Candidate = Callable[[Case, str], Array | None]


class Match(NamedTuple):
    """What every failing vector equals: in a few words, as a sentence, and as a candidate."""

    what: str
    line: str
    value: Candidate


class Pair(NamedTuple):
    """A result beside the right one, with its tolerance."""

    case: Case
    name: str
    got: Array
    right: Array
    limit: Array


def candidate_of(result: Candidate, settings: JudgeSettings) -> Candidate:
    """A result with one row per task, as the target would return it; None where it cannot be computed."""

    def value(case: Case, name: str) -> Array | None:
        with np.errstate(all="ignore"):
            try:
                raw = result(case, name)
            except (ArithmeticError, AttributeError, KeyError, ValueError, np.linalg.LinAlgError):
                return None
        return None if raw is None else as_returned(np.asarray(raw), case, settings, name)

    return value


def pairs(outcomes: Sequence[Outcome], settings: JudgeSettings) -> list[Pair]:
    """Every result of every outcome."""
    return [
        Pair(o.case, name, got, right_result(o.case, name, settings), limit_of(o.case, name, settings))
        for o in outcomes
        for name, got in (o.got or {}).items()
    ]


def matches(failing: Sequence[Outcome], settings: JudgeSettings, candidate: Candidate) -> bool:
    """Does every wrong result of every failing vector equal the candidate, to ten tolerances?"""
    told_apart = False
    for case, name, got, right, limit in pairs(failing, settings):
        if gap(got, right, limit) <= 1:
            continue
        value = candidate(case, name)
        if value is None or value.shape != got.shape or not np.isfinite(value).all():
            return False
        growth = np.maximum(1, np.max(np.abs(value)) / np.maximum(np.max(np.abs(right)), 1e-300))
        if gap(got, value, limit * NEAR * growth) > 1:
            return False
        told_apart |= gap(value, right, limit) > NEAR
    return told_apart


def is_right(o: Outcome, name: str, settings: JudgeSettings) -> bool:
    """Is the result of this name right, to its tolerance?"""
    return gap((o.got or {})[name], right_result(o.case, name, settings), limit_of(o.case, name, settings)) <= 1


def refuting(passing: Sequence[Outcome], settings: JudgeSettings, candidate: Candidate) -> list[Outcome]:
    """The vectors that passed on which the candidate gives something else."""

    def differs(o: Outcome, name: str, got: Array) -> bool:
        value = candidate(o.case, name)
        limit = limit_of(o.case, name, settings) * NEAR
        return value is not None and (value.shape != got.shape or not gap(got, value, limit) <= 1)

    return [o for o in passing if any(differs(o, name, got) for name, got in (o.got or {}).items())]


def in_all(failing: Sequence[Outcome]) -> str:
    """In how many of the failing vectors an explanation holds."""
    return f"in {len(failing)} of {len(failing)} failing vectors" if len(failing) > 1 else "in the one failing vector"
