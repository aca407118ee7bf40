"""Does a candidate give the numbers that a target returned?  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.judge import NEAR, JudgeSettings, Outcome, as_returned, gap, growth, limit_of, right_result
from refmeta.oracle.suite import EXTREME, Case

__all__ = [
    "NEAR", "Candidate", "Match", "Pair", "alike", "candidate_of", "each_pair", "generic_first", "in_all", "inputs_of", "is_like_right", "is_right",
    "match_of", "matches", "matching", "pairs", "refuting", "right_of", "task_count", "told_apart", "widened",
]  # fmt: skip

MANY = 4  # entries of a result
Candidate = Callable[[Case, str], Array | None]
ERRORS = (ArithmeticError, AttributeError, LookupError, ValueError, np.linalg.LinAlgError)


class Match(NamedTuple):
    """What every failing vector equals: in a few words, as a sentence, and as a candidate.

    cost : how complicated it is, among matches of one mechanism.
    slug : of the known-wrong formula, if it is one.
    """

    what: str
    line: str
    value: Candidate
    cost: float = 0.0
    slug: str = ""


class Pair(NamedTuple):
    """A result beside the right one, with its tolerance."""

    case: Case
    name: str
    got: Array
    right: Array
    limit: Array


def candidate_of(result: Candidate, settings: JudgeSettings) -> Candidate:
    """A result with one row per task, as the target would return it; None where it cannot be computed, or is not real."""

    def value(case: Case, name: str) -> Array | None:
        with np.errstate(all="ignore"):
            try:
                raw = result(case, name)
                return None if raw is None or np.iscomplexobj(raw) else as_returned(np.asarray(raw), case, settings, name)
            except ERRORS:
                return None

    return value


def right_of(settings: JudgeSettings) -> Candidate:
    """The right result."""
    return lambda case, name: right_result(case, name, settings)


def match_of(what: str, value: Candidate, failing: Sequence[Outcome], more: str = "", cost: float = 0.0) -> Match:
    """A match whose sentence says in how many vectors it holds."""
    return Match(what, f"{what}, {in_all(failing, value)}{more}", value, cost)


def pairs(outcomes: Sequence[Outcome], settings: JudgeSettings) -> list[Pair]:
    """Every result of every outcome."""
    return list(each_pair(outcomes, settings))


def each_pair(outcomes: Sequence[Outcome], settings: JudgeSettings) -> Iterator[Pair]:
    """Every result, computed one by one: most candidates fail on the first."""
    for o in outcomes:
        for name, got in (o.got or {}).items():
            yield Pair(o.case, name, got, right_result(o.case, name, settings), limit_of(o.case, name, settings))


def widened(value: Array, pair: Pair) -> Array:
    """Ten tolerances, and more where the value is larger than the right result and its terms."""
    return pair.limit * NEAR * growth(value, pair.case.expected[pair.name])


def alike(pair: Pair, value: Array | None) -> bool:
    """Is the result the value, to ten tolerances?"""
    if value is None or value.shape != pair.got.shape or not np.isfinite(value).all():
        return False
    return gap(pair.got, value, widened(value, pair)) <= 1


def told_apart(pair: Pair, value: Array | None) -> bool:
    """Does a value that there is differ from the right result by more than ten tolerances?"""
    return value is not None and not (value.shape == pair.right.shape and gap(value, pair.right, pair.limit) <= NEAR)


def _is_seen(pair: Pair, value: Array | None) -> bool:
    """Is a value larger than ten tolerances, or zero like the result?  A smaller one is like every small result."""
    return value is not None and (gap(value, 0 * value, pair.limit) > NEAR or not (np.any(value) or np.any(pair.got)))


def matches(failing: Sequence[Outcome], settings: JudgeSettings, candidate: Candidate) -> bool:
    """Does every wrong result of every failing vector equal the candidate, to ten tolerances?

    Where it has no value on an extreme vector, it has too few digits there, and nothing is said.
    """
    apart = False
    for pair in each_pair(failing, settings):
        if is_like_right(pair):
            continue
        value = candidate(pair.case, pair.name)
        if value is None and EXTREME in pair.case.flags:
            continue
        if not alike(pair, value):
            return False
        apart |= told_apart(pair, value) and told_apart(pair, pair.got) and _is_seen(pair, value)
    return apart


def matching(candidates: Iterable[Match], failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The candidates that every failing vector equals."""
    return [m for m in candidates if matches(failing, settings, m.value)]


def is_like_right(pair: Pair) -> bool:
    """Is a result right, to its tolerance?"""
    return gap(pair.got, pair.right, pair.limit) <= 1


def is_right(o: Outcome, name: str, settings: JudgeSettings, share: float = 1.0) -> bool:
    """Is the result of this name right, to a share of its tolerance?"""
    return gap((o.got or {})[name], right_result(o.case, name, settings), limit_of(o.case, name, settings)) <= share


def refuting(passing: Sequence[Outcome], settings: JudgeSettings, candidate: Candidate) -> list[Outcome]:
    """The vectors that passed on which the candidate gives something else."""

    def differs(o: Outcome, name: str, got: Array) -> bool:
        value = candidate(o.case, name)
        limit = limit_of(o.case, name, settings) * NEAR
        return value is not None and (value.shape != got.shape or not gap(got, value, limit) <= 1)

    return [o for o in passing if any(differs(o, name, got) for name, got in (o.got or {}).items())]


def generic_first(failing: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes, generic and cheap ones first: several entries, valid, not extreme, no flag, small inputs."""

    def rank(o: Outcome) -> tuple[bool, bool, bool, bool, int]:
        few = sum(got.size for got in (o.got or {}).values()) < MANY
        return few, o.case.result != "valid", EXTREME in o.case.flags, bool(o.case.flags), _size(o.case)

    return sorted(failing, key=rank)


@lru_cache(maxsize=512)
def inputs_of(case: Case) -> Mapping[str, Any]:
    """The inputs of a case, to look at only: nobody writes to them."""
    return case.arguments()


@lru_cache(maxsize=512)
def _size(case: Case) -> int:
    """The number of entries of all inputs."""
    return sum(int(np.size(x)) for x in inputs_of(case).values() if x is not None)


def task_count(case: Case) -> int:
    """N, the number of rows of the first part that has one per task; 1 if there is no such part."""
    parts = (name for name, part in case.about.parts.items() if part.by_task and name in case.expected)
    size = next((len(case.expected[name].value) for name in parts), 1)
    return case.about.sizes_of(dict(inputs_of(case))).get("N", size)


def in_all(failing: Sequence[Outcome], value: Candidate | None = None) -> str:
    """In how many of the failing vectors an explanation holds: in those that it has a value for."""
    has = [o for o in failing if value is None or all(value(o.case, name) is not None for name in o.got or {})]
    return f"in {len(has)} of {len(failing)} failing vectors" if len(failing) > 1 else "in the one failing vector"
