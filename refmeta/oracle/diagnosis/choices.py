"""Points in a suite's product of choices: one departure, two, and more while time remains.

A candidate that is no multiple of the first result is not computed on the others.
Derivation: derivations/using-the-oracle.md
"""

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import singles, words
from refmeta.oracle.diagnosis.factors import scaled
from refmeta.oracle.judge import JudgeSettings, Outcome
from refmeta.oracle.match import (
    NEAR,
    Candidate,
    Match,
    Pair,
    alike,
    candidate_of,
    generic_first,
    in_all,
    matching,
    pairs,
)
from refmeta.oracle.suite import Case

__all__ = ["departures_with_effect", "pair_matches", "product_matches", "single_factor_matches", "single_matches", "value_at"]

Departures = tuple[tuple[str, str], ...]
FIRST, LARGEST = 3, 6


@lru_cache(maxsize=20_000)
def _variant(case: Case, part: str, departures: Departures) -> Any:
    """The part of a case with some departures, kept while a diagnosis goes through the product."""
    point = {name: case.about.choices[name][each] for name, each in departures}
    return case.about.variant(part, case.problem, point)


def value_at(departures: Departures, settings: JudgeSettings) -> Candidate:
    """What the target would return with these departures."""
    return candidate_of(lambda case, part: _variant(case, part, departures), settings)


def _match(departures: Departures, failing: Sequence[Outcome], settings: JudgeSettings) -> Match:
    """A point of the product as an explanation."""
    what = f"another formula ({words(departures)})"
    line = f"computes another formula, {in_all(failing)}: {words(departures)}"
    return Match(what, line, value_at(departures, settings), float(len(departures)))


def single_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """One departure."""
    every = [(each,) for each in singles(failing[0].case.about.choices)]
    return matching((_match(each, failing, settings) for each in every), generic_first(failing), settings)


def single_factor_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """One departure, times a factor."""
    return [m for each in singles(failing[0].case.about.choices) for m in _scaled((each,), failing, settings)]


def _scaled(departures: Departures, failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """A point of the product times a factor."""
    base = Match(f"computes another formula ({words(departures)}), which is", "", value_at(departures, settings), len(departures))
    return scaled(base, failing, settings)


def pair_matches(failing: Sequence[Outcome], settings: JudgeSettings, until: float = np.inf) -> list[Match]:
    """Two departures, if need be times a factor."""
    return _search(itertools.combinations(departures_with_effect(failing, settings), 2), failing, settings, until)


def product_matches(failing: Sequence[Outcome], settings: JudgeSettings, until: float = np.inf) -> list[Match]:
    """Three departures and more: those first that alone come nearest to the first result."""
    kept = departures_with_effect(failing, settings)
    first = pairs(generic_first(failing), settings)[0]
    ranked = sorted(kept, key=lambda each: _distance(first, value_at((each,), settings)(first.case, first.name)))
    return _search(_by_rank(ranked), failing, settings, until)


def _search(points: Iterable[Departures], failing: Sequence[Outcome], settings: JudgeSettings, until: float) -> list[Match]:
    """The points that every failing vector equals; the first that does but for a factor, if none does without."""
    ordered = generic_first(failing)
    first, found, multiples = pairs(ordered, settings)[0], list[Match](), list[Match]()
    for departures in points:
        if time.perf_counter() > until:
            break
        if found and len(departures) > found[0].cost:
            break
        if len({name for name, _ in departures}) == len(departures):
            value = value_at(departures, settings)(first.case, first.name)
            if alike(first, value):
                found += matching([_match(departures, failing, settings)], ordered, settings)
            elif not found and not multiples and _is_parallel(first, value):
                multiples = _scaled(departures, failing, settings)
    return found or multiples


def departures_with_effect(failing: Sequence[Outcome], settings: JudgeSettings) -> list[tuple[str, str]]:
    """The departures that change one of the first results by more than its tolerance."""
    some = pairs(generic_first(failing)[:FIRST], settings)

    def has_effect(each: tuple[str, str]) -> bool:
        values = [(p, value_at((each,), settings)(p.case, p.name)) for p in some]
        return any(v is not None and not alike(p._replace(got=p.right), v) for p, v in values)

    return [each for each in singles(failing[0].case.about.choices) if has_effect(each)]


def _is_parallel(pair: Pair, value: Array | None) -> bool:
    """Is the result a multiple of the value?  One entry is one of every value, and tells nothing."""
    if value is None or value.shape != pair.got.shape or value.size < 2 or not np.isfinite(value).all():
        return False
    return _distance(pair, value) * np.max(np.abs(pair.got)) <= NEAR * float(np.max(pair.limit))


def _distance(pair: Pair, value: Array | None) -> float:
    """The largest distance of the result from the multiples of the value, over its own size."""
    if value is None or value.shape != pair.got.shape or not np.isfinite(value).all() or not np.any(value):
        return np.inf
    got, x = np.ravel(pair.got), np.ravel(value) / np.max(np.abs(value))
    size = np.max(np.abs(got))
    return float(np.max(np.abs(got - (got @ x) / (x @ x) * x)) / size) if size > 0 else np.inf


def _by_rank(ranked: Sequence[tuple[str, str]]) -> Iterator[Departures]:
    """Sets of three departures and more, those of low ranks first."""
    for total in range(LARGEST * (len(ranked) + 2) + 1):
        for size in range(3, min(LARGEST, len({name for name, _ in ranked})) + 1):
            yield from (tuple(ranked[i] for i in each) for each in _of_sum(size, total, len(ranked)))


def _of_sum(size: int, total: int, end: int) -> Iterator[tuple[int, ...]]:
    """The falling sequences of different numbers below `end` of which, with 2 each, the sum is the total."""
    if size == 0:
        if total == 0:
            yield ()
        return
    least = size * (size - 1) // 2 + 2 * size
    for last in range(min(end - 1, total - least + size - 1), size - 2, -1):
        yield from ((last, *rest) for rest in _of_sum(size - 1, total - last - 2, last))
