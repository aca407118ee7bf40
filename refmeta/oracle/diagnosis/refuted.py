"""What is said where an explanation holds on the failing vectors but a passing one refutes it, or where nothing is known.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from refmeta.oracle.judge import JudgeSettings, Outcome
from refmeta.oracle.match import Match, inputs_of, refuting, task_count

__all__ = ["flag_sentence", "refutation"]


def refutation(m: Match, failing: Sequence[Outcome], passing: Sequence[Outcome], settings: JudgeSettings) -> str:
    """What every failing vector equals and some passing ones do not."""
    against = refuting(passing, settings, m.value)
    special = " and ".join(_special(failing, against)) or "no flag and no number"
    ours = f"the {len(failing)} failing vectors" if len(failing) > 1 else "the one failing vector"
    theirs = f"{len(against)} others" if len(against) > 1 else "one other"
    what = m.what.removeprefix("computes ")
    return f"equals {what} in {ours}, but is right in {theirs}, where that is wrong; what only the failing have: {special}"


def _special(failing: Sequence[Outcome], against: Sequence[Outcome]) -> list[str]:
    """The words, the flags, and the whole numbers or bounds of numbers, that all failing vectors have and no other."""
    words, bounds = [*_words(failing, against), *(f"the flag {flag!r}" for flag in _flags(failing, against))], []
    for name in _numbers(failing[0]):
        ours, theirs = ({_numbers(o).get(name, np.nan) for o in outcomes} for outcomes in (failing, against))
        if None in ours | theirs:
            words += [f"{name} is None"] * (ours == {None} and None not in theirs)
        elif len(ours) == 1 and not ours & theirs and all(isinstance(x, int) for x in ours):
            words.append(f"{name} is {ours.pop()}")
        elif max(ours) < min(theirs):
            bounds.append(f"{name} is at most {max(ours):g}")
        elif min(ours) > max(theirs):
            bounds.append(f"{name} is at least {min(ours):g}")
    return (words or bounds)[:3]


def _words(failing: Sequence[Outcome], against: Sequence[Outcome]) -> list[str]:
    """Inputs that are one word, or one of two or three, in the failing vectors and none of them in the others."""
    found = []
    for name in (name for name, entry in failing[0].case.about.inputs.items() if entry.kind == "word"):
        ours, theirs = ({inputs_of(o.case).get(name) for o in outcomes} for outcomes in (failing, against))
        if len(ours) <= 3 and not ours & theirs and None not in ours:
            found.append(f"{name} is {' or '.join(sorted(map(str, ours)))}")
    return found


def _numbers(o: Outcome) -> dict[str, Any]:
    """The inputs that are single numbers or none, and N."""
    x = inputs_of(o.case)
    numbers = {n: value for n, value in x.items() if value is None or isinstance(value, (int, float))}
    return {"the number of tasks": task_count(o.case), **numbers}


def _flags(failing: Sequence[Outcome], others: Sequence[Outcome]) -> list[str]:
    """The flags that every failing vector has and no other."""
    return sorted(set.intersection(*(set(o.case.flags) for o in failing)).difference(*(o.case.flags for o in others)))


def flag_sentence(failing: Sequence[Outcome], passing: Sequence[Outcome]) -> str:
    """Where to look when nothing is known: the flags that tell the failing vectors from the passing ones."""
    if not (words := " and ".join(map(repr, _flags(failing, passing)))) or not passing:
        return ""
    others = f"the {len(passing)} others" if len(passing) > 1 else "the other one"
    return f"; it is wrong exactly where the flag is {words}, and right in {others}"
