"""A mistake in one branch: what explains every failing vector, but is refuted by passing ones that another branch computes.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from refmeta.oracle.diagnosis.standing import Evidence
from refmeta.oracle.diagnosis.witnesses import holds
from refmeta.oracle.judge import JudgeSettings, Outcome, right_result
from refmeta.oracle.match import Candidate, Match, inputs_of, refuting, task_count
from refmeta.oracle.suite import Case

__all__ = ["conditional_matches"]

FEWEST = 2
Fact = tuple[str, Callable[[Case], bool]]


def conditional_matches(refuted: Sequence[Match], on: Evidence) -> list[Match]:
    """The refuted matches, each where a fact holds that tells all failing vectors from those that refute it; at least two of both.

    The fact holds in no passing vector of which a match says nothing.
    """
    found = list[Match]()
    for m in refuted:
        against = refuting(on.passing, on.settings, m.value)
        if min(len(on.failing), len(against)) < FEWEST:
            continue
        others = [*against, *(o for o in on.passing if any(m.value(o.case, name) is None for name in o.got or {}))]
        for words, fact in _facts(on.failing):
            if all(fact(o.case) for o in on.failing) and not any(fact(o.case) for o in others):
                value = _where(fact, m.value, on.settings)
                one = m._replace(what=f"{m.what} where {words}", line=f"{m.line}; only where {words}", value=value)
                found += [one] if holds(value, on.witnesses, on.settings) else []
                break
    return [m for m in found if m.cost == min(each.cost for each in found)]


def _where(fact: Callable[[Case], bool], value: Candidate, settings: JudgeSettings) -> Candidate:
    """One value where a fact holds, what is right elsewhere."""
    return lambda case, part: value(case, part) if fact(case) else right_result(case, part, settings)


def _facts(failing: Sequence[Outcome]) -> Iterator[Fact]:
    """What kind an input is of, and whether there is one task."""
    for name in inputs_of(failing[0].case):
        for words, kind in KINDS.items():
            yield f"{name} {words}", lambda case, name=name, kind=kind: kind(inputs_of(case).get(name))  # type: ignore[misc]
    yield "there is one task", lambda case: task_count(case) == 1
    yield "there are several tasks", lambda case: task_count(case) > 1


KINDS: dict[str, Callable[[Any], bool]] = {
    "is None": lambda x: x is None,
    "is not None": lambda x: x is not None,
    "is a number": lambda x: isinstance(x, (int, float)) and not isinstance(x, bool),
    "is an array": lambda x: isinstance(x, (list, tuple, np.ndarray)) and np.ndim(x) > 0,
    "is an array with two axes": lambda x: isinstance(x, (list, tuple, np.ndarray)) and np.ndim(x) == 2,
    "is 0": lambda x: isinstance(x, (int, float)) and x in (0,),
    "is not 0": lambda x: isinstance(x, (int, float)) and x not in (0,),
    "is 1": lambda x: isinstance(x, (int, float)) and x in (1,),
    "is not 1": lambda x: isinstance(x, (int, float)) and x not in (1,),
    "is more than 1": lambda x: isinstance(x, int) and x > 1,
}
