"""One departure from what is right, in a suite's product of choices.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.oracle.choices import singles, words
from refmeta.oracle.clock import now
from refmeta.oracle.diagnosis.factors import factor_matches, scaled
from refmeta.oracle.judge import JudgeSettings, Outcome, gap, limit_of
from refmeta.oracle.match import Candidate, Match, candidate_of, generic_first, in_all, matches
from refmeta.oracle.suite import EXTREME, Case

__all__ = ["Departures", "factor_or_choice", "is_exact", "point_match", "point_times", "single_factor_matches", "single_matches", "value_at"]

NUMBERS = 3
Departures = tuple[tuple[str, str], ...]


@lru_cache(maxsize=50_000)
def _variant(case: Case, part: str, departures: Departures) -> Any:
    """The part of a case with some departures, kept while a diagnosis goes through the product; None where it fails."""
    point = {name: case.about.choices[name][each] for name, each in departures}
    try:
        with np.errstate(all="ignore"):
            return case.about.variant(part, case.problem, point)
    except Exception:  # of a million points nobody has tried all; one that fails explains nothing
        return None


def value_at(departures: Departures, settings: JudgeSettings) -> Candidate:
    """What the target would return with these departures; None on an extreme vector of whose right result a variant loses digits."""
    return candidate_of(lambda case, part: _variant(case, part, departures) if is_exact(case, part) else None, settings)


@lru_cache(maxsize=2048)
def is_exact(case: Case, part: str) -> bool:
    """Does the point without departures give the right result of a vector, to its tolerance?"""
    if EXTREME not in case.flags:
        return True
    right, value = case.expected[part], _variant(case, part, ())
    limit = limit_of(case, part, JudgeSettings())
    return value is not None and gap(np.asarray(value), right.value, limit) <= 1


def point_match(departures: Departures, failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """A point of the product, if every failing vector equals it; several departures need more numbers than they are."""
    value = value_at(departures, settings)
    told = sum(got.size for o in failing for got in (o.got or {}).values())
    if len(departures) > 1 and told < NUMBERS * len(departures) or not matches(failing, settings, value):
        return []
    line = f"computes another formula, {in_all(failing, value)}: {words(departures)}"
    return [Match(f"another formula ({words(departures)})", line, value, float(len(departures)))]


def point_times(departures: Departures, failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """A point of the product times a factor, if every failing vector equals it."""
    what = f"another formula ({words(departures)}),"
    base = Match(what, "", value_at(departures, settings), float(len(departures)))
    return [m._replace(line=f"computes {m.line}") for m in scaled(base, failing, settings)]


def single_matches(failing: Sequence[Outcome], settings: JudgeSettings, until: float = np.inf) -> list[Match]:
    """One departure."""
    ordered, found = generic_first(failing), list[Match]()
    for each in singles(failing[0].case.about.choices):
        if now() > until:
            break
        found += point_match((each,), ordered, settings)
    return found


def factor_or_choice(failing: Sequence[Outcome], settings: JudgeSettings, until: float = np.inf) -> list[Match]:
    """The right result times a factor, with the departures that give the same."""
    found = factor_matches(failing, settings)
    same = [m.what for m in single_matches(failing, settings, until)] if found else []
    more = f"; the same as {' or '.join(same[:3])}" if same else ""
    return [m._replace(line=m.line + more) for m in found]


def single_factor_matches(failing: Sequence[Outcome], settings: JudgeSettings, until: float = np.inf) -> list[Match]:
    """One departure, times a factor."""
    ordered, found = generic_first(failing), list[Match]()
    for each in singles(failing[0].case.about.choices):
        if now() > until:
            break
        found += point_times((each,), ordered, settings)
    return found
