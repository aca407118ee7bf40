"""What popular code computes, by name: points of a suite's product of choices.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Iterator, Sequence

import numpy as np

from refmeta.oracle.choices import Point
from refmeta.oracle.clock import now
from refmeta.oracle.diagnosis.choices import Departures, point_match
from refmeta.oracle.judge import JudgeSettings, Outcome
from refmeta.oracle.match import Match, generic_first
from refmeta.oracle.suite import Suite

__all__ = ["changed_recipe_matches", "recipe_matches"]


def recipe_matches(failing: Sequence[Outcome], settings: JudgeSettings, until: float = np.inf) -> list[Match]:
    """A recipe."""
    return _fewest(_as_shipped(failing[0].case.about), failing, settings, until)


def changed_recipe_matches(failing: Sequence[Outcome], settings: JudgeSettings, until: float = np.inf) -> list[Match]:
    """A recipe with one choice made otherwise."""
    return _fewest(_changed(failing[0].case.about), failing, settings, until)


def _fewest(
    points: Iterator[tuple[str, Departures]], failing: Sequence[Outcome], settings: JudgeSettings, until: float
) -> list[Match]:
    """The points that every failing vector equals, with the fewest departures."""
    ordered, found = generic_first(failing), list[Match]()
    for name, departures in points:
        if now() > until:
            break
        found += [m._replace(line=f"{m.line} ({name})") for m in point_match(departures, ordered, settings)]
    return [m for m in found if m.cost == min(each.cost for each in found)]


def _as_shipped(about: Suite) -> Iterator[tuple[str, Departures]]:
    """Every recipe."""
    for name, point in about.recipes.items():
        yield f"as {name}", _departures(about, point)


def _changed(about: Suite) -> Iterator[tuple[str, Departures]]:
    """Every recipe with one choice made otherwise; a point that several come to is one of the first."""
    seen = {frozenset(departures) for _, departures in _as_shipped(about)}
    for name, departures in _as_shipped(about):
        for choice, alternatives in about.choices.items():
            rest = tuple(each for each in departures if each[0] != choice)
            right = next(iter(alternatives))
            for words in alternatives:
                point = rest if words == right else (*rest, (choice, words))
                if point and frozenset(point) not in seen:
                    seen.add(frozenset(point))
                    yield f"{name}, but for {choice}", point


def _departures(about: Suite, point: Point) -> Departures:
    """A point in the words of its suite."""
    return tuple((name, next(words for words, x in about.choices[name].items() if x == value)) for name, value in point.items())
