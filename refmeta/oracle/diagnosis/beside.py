"""Matches of one part held against the other parts of the same results.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Sequence
from functools import partial

from refmeta.oracle.diagnosis.choices import factor_or_choice, single_matches
from refmeta.oracle.diagnosis.mechanisms import Mechanism
from refmeta.oracle.diagnosis.standing import Evidence, Found, first_standing
from refmeta.oracle.judge import JudgeSettings, Outcome
from refmeta.oracle.match import Match, Pair, alike, generic_first, is_like_right, pairs

__all__ = ["consistent", "not_contradicted"]

FEW = 3


def _others(beside: Sequence[Outcome], settings: JudgeSettings) -> list[Pair]:
    """The other wrong parts, on the first vectors."""
    return [pair for pair in pairs(generic_first(beside)[:FEW], settings) if not is_like_right(pair)]


def _given(match: Match, others: Sequence[Pair]) -> int:
    """How many of the other wrong parts a match gives."""
    return sum(alike(pair, match.value(pair.case, pair.name)) for pair in others)


def _contradicted(match: Match, others: Sequence[Pair]) -> bool:
    """Does a match have another value for another wrong part?  A part that it does not concern says nothing."""
    values = ((pair, match.value(pair.case, pair.name)) for pair in others)
    return any(value is not None and not alike(pair, value) for pair, value in values)


def consistent(tied: list[Match], beside: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """Of several matches of a part those that give most of the other wrong parts, too, on the first vectors."""
    if len(tied) < 2:
        return tied
    others = _others(beside, settings)
    given = [_given(m, others) for m in tied]
    return [m for m, n in zip(tied, given, strict=True) if n == max(given)]


def not_contradicted(found: Found, beside: Sequence[Outcome], on: Evidence, until: float) -> Found:
    """What was found; if another wrong part contradicts all of it, a factor or a choice that gives every other part it concerns.

    Two mistakes may give one number in one part: the other parts tell which of them was made.
    """
    others = _others(beside, on.settings)
    if not others or not all(_contradicted(m, others) for m in found.matches):
        return found
    for name, find in (("factor", factor_or_choice), ("choice", single_matches)):
        rival = first_standing([Mechanism(name, partial(find, until=until))], on)
        agreed = [m for m in rival.matches if _given(m, others) and not _contradicted(m, others)]
        if agreed:
            return found._replace(name=name, matches=agreed)
    return found
