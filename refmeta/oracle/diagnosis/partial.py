"""An explanation of some failing vectors, where none explains all: those in which a simple fact holds.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.clock import now
from refmeta.oracle.diagnosis.kinds import Fact, facts
from refmeta.oracle.diagnosis.mechanisms import Mechanism, quick, quickest
from refmeta.oracle.diagnosis.product import pair_matches
from refmeta.oracle.diagnosis.standing import Evidence, Found, first_standing, with_tie
from refmeta.oracle.judge import Outcome
from refmeta.oracle.match import Candidate
from refmeta.oracle.suite import Case

__all__ = ["Partial", "partial_explanation"]

FEWEST, SHARE = 2, 3


class Partial(NamedTuple):
    """What explains the failing vectors in which a fact holds: sentences, and the candidate that they claim."""

    lines: list[str]
    value: Candidate
    slug: str


def partial_explanation(on: Evidence, until: float = np.inf) -> Partial | None:
    """What explains the largest group of at least two failing vectors and a third of them; what is quick is tried first."""
    groups = list(_groups(on.failing, _facts(on.failing)))
    for effort in range(3):
        for fact, group, rest in groups:
            if now() > until:
                return None
            passing = [o for o in on.passing if fact.holds(o.case)]
            if (found := _explained(on._replace(failing=group, passing=passing), until, effort)).name:
                return _part(fact, group, rest, found, on, until)
    return None


def _explained(on: Evidence, until: float, effort: int) -> Found:
    """What explains a group: known-wrong formulas and factors; one choice or term; two choices."""
    about, soon = on.failing[0].case.about, min(until, now() + 1)
    pairs = Mechanism("choices", partial(pair_matches, until=soon))
    return first_standing([[m for m in quickest(on.passing) if m.refutable], quick(about, soon), [pairs]][effort], on)


def _part(fact: Fact, group: list[Outcome], rest: list[Outcome], found: Found, on: Evidence, until: float) -> Partial:
    """The sentences on a group and on the others, and the candidate, which is None outside of the group."""
    count = f"explains the {len(group)} of {len(on.failing)} failing vectors in which {fact.name}"
    others = _explained(on._replace(failing=rest, passing=[o for o in on.passing if not fact.holds(o.case)]), until, 1)
    lines = [f"{count}: {line}" for line in with_tie(found.matches)]
    first, second = found.matches[0].value, others.matches[0].value if others.matches else lambda case, name: None

    def value(case: Case, name: str) -> Array | None:
        return first(case, name) if fact.holds(case) else second(case, name)

    unknown = ["nothing known here explains them"]
    return Partial([*lines, *(f"the others: {line}" for line in with_tie(others.matches) or unknown)], value, found.matches[0].slug)


def _groups(failing: Sequence[Outcome], every: Sequence[Fact]) -> Iterator[tuple[Fact, list[Outcome], list[Outcome]]]:
    """The facts that hold in some failing vectors, in enough of them, and not in all; the largest groups first."""
    seen: set[tuple[bool, ...]] = set()
    for fact in sorted(every, key=lambda fact: -sum(fact.holds(o.case) for o in failing)):
        held = tuple(fact.holds(o.case) for o in failing)
        if held in seen or all(held) or sum(held) < max(FEWEST, len(failing) / SHARE):
            continue
        seen.add(held)
        yield fact, [o for o, h in zip(failing, held, strict=True) if h], [o for o, h in zip(failing, held, strict=True) if not h]


def _facts(failing: Sequence[Outcome]) -> list[Fact]:
    """Simple facts, and the flags of the vectors, which they have or have not."""
    flags = sorted({flag for o in failing for flag in o.case.flags})
    has = [Fact(f"the flag is {flag!r}", lambda case, f=flag: f in case.flags) for flag in flags]  # type: ignore[misc]
    has_not = [Fact(f"the flag is not {flag!r}", lambda case, f=flag: f not in case.flags) for flag in flags]  # type: ignore[misc]
    return [*facts(failing[0].case.about, [o.case for o in failing]), *has, *has_not]
