"""A mistake in one branch: what explains every failing vector, but passing ones, which another branch computes, contradict it.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Sequence

from refmeta.oracle.diagnosis.kinds import Fact, facts, facts_of_words
from refmeta.oracle.diagnosis.standing import Evidence
from refmeta.oracle.diagnosis.witnesses import holds
from refmeta.oracle.judge import JudgeSettings, right_result
from refmeta.oracle.match import Candidate, Match, refuting

__all__ = ["conditional_matches"]

FEWEST = 2


def conditional_matches(refuted: Sequence[Sequence[Match]], on: Evidence) -> list[Match]:
    """The simplest matches of the first mechanism that has one where a fact holds; `refuted` are the matches by mechanism."""
    every = ([one for m in matches if (one := _in_branch(m, on)) is not None] for matches in refuted)
    found = next(filter(None, every), [])
    return [m for m in found if m.cost == min(each.cost for each in found)]


def _in_branch(m: Match, on: Evidence) -> Match | None:
    """A match where a fact holds that tells all failing vectors from those that refute it, at least two of both.

    The fact holds in no passing vector of which the match says nothing.
    """
    against = refuting(on.passing, on.settings, m.value)
    if min(len(on.failing), len(against)) < FEWEST:
        return None
    others = [*against, *(o for o in on.passing if any(m.value(o.case, name) is None for name in o.got or {}))]
    about, wrong, right = on.failing[0].case.about, [o.case for o in on.failing], [o.case for o in against]
    for fact in (*facts(about, wrong), *facts_of_words(about, right)):
        if all(fact.holds(o.case) for o in on.failing) and not any(fact.holds(o.case) for o in others):
            value = _where(fact, m.value, on.settings)
            one = m._replace(what=f"{m.what} where {fact.name}", line=f"{m.line}; only where {fact.name}", value=value)
            return one if holds(value, on.witnesses, on.settings) else None
    return None


def _where(fact: Fact, value: Candidate, settings: JudgeSettings) -> Candidate:
    """One value where a fact holds, what is right elsewhere."""
    return lambda case, part: value(case, part) if fact.holds(case) else right_result(case, part, settings)
