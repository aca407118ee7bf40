"""Which matches stand: no passing vector refutes them, and they hold where the target is asked.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from refmeta.oracle.diagnosis.mechanisms import Mechanism
from refmeta.oracle.diagnosis.witnesses import Witnesses, holds
from refmeta.oracle.judge import JudgeSettings, Outcome
from refmeta.oracle.match import Match, refuting

__all__ = ["Evidence", "Found", "first_standing", "with_tie"]


class Evidence(NamedTuple):
    """What a diagnosis goes by: the failing and the passing outcomes, the settings, and answers to more questions."""

    failing: Sequence[Outcome]
    passing: Sequence[Outcome]
    settings: JudgeSettings
    witnesses: Witnesses


class Found(NamedTuple):
    """The mechanism that explains, "" if none does, its matches, and those that a passing vector refutes, by mechanism."""

    name: str
    matches: list[Match]
    refuted: list[list[Match]]


def first_standing(mechanisms: Iterable[Mechanism], on: Evidence) -> Found:
    """The first mechanism of which a match stands, with the simplest of its matches."""
    refuted: list[list[Match]] = []
    for name, find, refutable in mechanisms:
        candidates = find(on.failing, on.settings)
        agreed = [m for m in candidates if not refutable or not refuting(on.passing, on.settings, m.value)]
        if stands := [m for m in agreed if holds(m.value, on.witnesses, on.settings)]:
            return Found(name, [m for m in stands if m.cost <= min(m.cost for m in stands)], refuted)
        refuted += [candidates] if candidates and not agreed else []
    return Found("", [], refuted)


def with_tie(stands: Sequence[Match]) -> list[str]:
    """The sentences of at most four matches, after one that says how many there are."""
    tie = [f"a tie: {len(stands)} formulas give the same numbers on these vectors"] if len(stands) > 1 else []
    return [*tie, *(m.line for m in stands[:4])]
