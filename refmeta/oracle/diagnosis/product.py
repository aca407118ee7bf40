"""Several departures at once, in the order of how near their single effects come to the first results.

Every point is computed; only the order is a guess: effects are added, or multiplied.
Derivation: derivations/using-the-oracle.md
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import singles
from refmeta.oracle.clock import now
from refmeta.oracle.diagnosis.choices import Departures, point_match, point_times, value_at
from refmeta.oracle.diagnosis.factors import wrong_pairs
from refmeta.oracle.judge import JudgeSettings, Outcome
from refmeta.oracle.match import NEAR, Match, Pair, alike, generic_first, pairs

__all__ = ["pair_matches", "product_matches"]

FIRST, MOST, BEAM, TRIED, WITHOUT = 3, 6, 12, 150, 3.0
TINY, ENTRIES, SOME = 1e-6, 3, 64


class _Screen(NamedTuple):
    """The first results, their values at some points, entry by entry, and the departures that have an effect on them."""

    first: tuple[Pair, ...]
    settings: JudgeSettings
    got: Array
    right: Array
    departures: tuple[tuple[str, str], ...]
    values: Array


def pair_matches(failing: Sequence[Outcome], settings: JudgeSettings, until: float = np.inf) -> list[Match]:
    """Two departures, if need be times a factor."""
    if _entries(failing, settings) < 2 * ENTRIES:
        return []
    ordered = _unexplained_first(generic_first(failing), settings, until)
    if (screen := _screen(ordered, settings, until)) is None:
        return []
    i, j = np.triu_indices(len(screen.departures), 1)
    names = np.array([name for name, _ in screen.departures])
    i, j = i[names[i] != names[j]], j[names[i] != names[j]]
    order = np.argsort(_predicted(screen, screen.values[i], screen.values[j]), kind="stable")
    points = ((screen.departures[a], screen.departures[b]) for a, b in zip(i[order], j[order], strict=True))
    return _search(points, screen, ordered, until)


def product_matches(failing: Sequence[Outcome], settings: JudgeSettings, until: float = np.inf) -> list[Match]:
    """Three departures and more, and pairs that are left, while time remains."""
    if _entries(failing, settings) < 2 * ENTRIES:
        return []
    ordered = _unexplained_first(generic_first(failing), settings, until)
    if (screen := _screen(ordered, settings, until)) is None or len(screen.departures) < 3:
        return []
    return _search(_beams(screen, until), screen, ordered, until)


def _entries(outcomes: Sequence[Outcome], settings: JudgeSettings) -> int:
    """The number of wrong entries."""
    return sum(pair.got.size for pair in wrong_pairs(outcomes, settings))


def _unexplained_first(ordered: list[Outcome], settings: JudgeSettings, until: float) -> list[Outcome]:
    """The failing vectors, last those that one departure explains which also explains the first: there a second mistake cannot show.

    Departures that are not tried in time explain nothing.
    """
    first = pairs(ordered[:1], settings)[0]
    alone = (value_at((each,), settings) for each in singles(first.case.about.choices))
    in_time = itertools.takewhile(lambda value: now() < until, alone)
    explaining = [value for value in in_time if alike(first, value(first.case, first.name))]
    return sorted(ordered, key=lambda o: any(alike(p, v(p.case, p.name)) for v in explaining for p in pairs([o], settings)))


def _screen(ordered: Sequence[Outcome], settings: JudgeSettings, until: float) -> _Screen | None:
    """The departures with an effect on the first results, and what each alone gives; None if time ends or there are none."""
    first, kept, values = tuple(pairs(ordered[:FIRST], settings)), [], []
    for each in singles(ordered[0].case.about.choices):
        if now() > until:
            return None
        value = _at((each,), first, settings)
        if value is not None and not all(alike(p._replace(got=p.right), v) for p, v in zip(first, value, strict=True)):
            kept.append(each)
            values.append(_flat(first, value))
    if not kept:
        return None
    got, right = _flat(first, [p.got for p in first]), _flat(first, [p.right for p in first])
    return _Screen(first, settings, got, right, tuple(kept), np.array(values))


def _at(departures: Departures, first: Sequence[Pair], settings: JudgeSettings) -> list[Array] | None:
    """The first results with these departures, what is right where they do not apply; None if they apply nowhere."""
    every = [value_at(departures, settings)(p.case, p.name) for p in first]
    usable = [v is not None and v.shape == p.got.shape and bool(np.isfinite(v).all()) for p, v in zip(first, every, strict=True)]
    if not any(usable):
        return None
    return [v if v is not None and u else p.right for p, v, u in zip(first, every, usable, strict=True)]


def _flat(first: Sequence[Pair], values: Sequence[Array]) -> Array:
    """Some entries of all results, each result in units of its largest entry; the order of the points is made from them."""
    sizes = [max(np.max(np.abs(p.got), initial=0.0), 1e-300) for p in first]
    return np.concatenate([np.ravel(v)[:: 1 + np.size(v) // SOME] / size for size, v in zip(sizes, values, strict=True)])


def _predicted(screen: _Screen, one: Array, other: Array) -> Array:
    """How far the results are from two departures at once, if their effects add or if they multiply."""
    right = screen.right
    ratio = np.where(np.abs(right) > TINY, right, np.inf)
    return np.minimum(_distance(screen, one + other - right), _distance(screen, one * other / ratio))


def _distance(screen: _Screen, value: Array) -> Array:
    """The distance of the results from values, or from their multiples, which counts more."""
    plain = np.linalg.norm(screen.got - value, axis=-1)
    size = np.maximum(np.linalg.norm(value, axis=-1, keepdims=True), 1e-300)
    along = (value / size) @ screen.got
    free = np.linalg.norm(screen.got - along[..., None] * value / size, axis=-1)
    return np.minimum(plain, WITHOUT * free)


def _search(points: Iterable[Departures], screen: _Screen, ordered: Sequence[Outcome], until: float) -> list[Match]:
    """The points that every failing vector equals; the first that does but for a factor, if none does without.

    A point needs a few wrong entries for each of its departures.
    """
    first, settings = screen.first[0], screen.settings
    entries = _entries(ordered, settings)
    found, multiples, tried = list[Match](), list[Match](), 0
    for departures in points:
        if now() > until or found and (len(departures) > found[0].cost or tried > TRIED):
            break
        if ENTRIES * len(departures) > entries:
            continue
        tried += bool(found)
        value = value_at(departures, settings)(first.case, first.name)
        if alike(first, value):
            found += point_match(departures, ordered, settings)
        elif not found and not multiples and _is_parallel(first, value):
            multiples = point_times(departures, ordered, settings)
    return found or multiples


def _is_parallel(pair: Pair, value: Array | None) -> bool:
    """Is the result a multiple of the value?  One entry is one of every value, and tells nothing."""
    if value is None or value.shape != pair.got.shape or value.size < 2 or not np.isfinite(value).all() or not np.any(value):
        return False
    got, x = np.ravel(pair.got), np.ravel(value) / np.max(np.abs(value))
    return bool(np.max(np.abs(got - (got @ x) / (x @ x) * x)) <= NEAR * np.max(pair.limit))


def _beams(screen: _Screen, until: float) -> Iterator[Departures]:
    """Sets of three and more: the nearest pairs, extended by what brings them nearest, again and again with wider beams."""
    seen: set[frozenset[tuple[str, str]]] = set()
    for width in (BEAM * 2**n for n in range(20)):
        some: list[Departures] = [(each,) for each in screen.departures]
        for _ in range(2, MOST + 1):
            near = _extended(some, screen, width, until)
            for each in near:
                if frozenset(each) not in seen:
                    seen.add(frozenset(each))
                    yield each
            if now() > until:
                return
            some = sorted(near, key=lambda each: _actual(each, screen))[:width]
            if not some:
                break
        if width > len(screen.departures) ** 3:
            return


def _extended(some: Sequence[Departures], screen: _Screen, width: int, until: float) -> list[Departures]:
    """The sets with one departure more of another choice that are expected to come nearest, ten to each of the beam."""
    scored: dict[frozenset[tuple[str, str]], tuple[float, Departures]] = {}
    for each in some:
        value = None if now() > until else _at(each, screen.first, screen.settings)
        if value is None:
            continue
        names = {name for name, _ in each}
        scores = _predicted(screen, _flat(screen.first, value)[None], screen.values)
        for score, more in zip(scores, screen.departures, strict=True):
            if more[0] not in names:
                scored.setdefault(frozenset((*each, more)), (float(score), (*each, more)))
    return [each for _, each in itertools.islice(sorted(scored.values()), 10 * width)]


def _actual(departures: Departures, screen: _Screen) -> float:
    """How far the results are from a point."""
    value = _at(departures, screen.first, screen.settings)
    return np.inf if value is None else float(_distance(screen, _flat(screen.first, value)))
