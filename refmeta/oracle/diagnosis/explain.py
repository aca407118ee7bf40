"""Name the mistake: what the first wrong part equals, on every failing vector and on no passing one otherwise.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from refmeta.oracle.asking import Ask
from refmeta.oracle.clock import now
from refmeta.oracle.diagnosis.beside import consistent, not_contradicted
from refmeta.oracle.diagnosis.choices import single_matches
from refmeta.oracle.diagnosis.conditional import conditional_matches
from refmeta.oracle.diagnosis.mechanisms import Mechanism, fits, is_large, mechanisms, quickest
from refmeta.oracle.diagnosis.partial import partial_explanation
from refmeta.oracle.diagnosis.refuted import flag_sentence, refutation
from refmeta.oracle.diagnosis.standing import Evidence, first_standing, with_tie
from refmeta.oracle.diagnosis.witnesses import Witnesses
from refmeta.oracle.judge import JudgeSettings, Outcome
from refmeta.oracle.match import Candidate, Match, is_right

__all__ = ["SECONDS", "UNCERTAIN", "UNKNOWN", "Explanation", "diagnose", "explain", "first_of"]

UNCERTAIN = ("", "single precision", "asked twice")
UNKNOWN = "no mistake that is known here explains every failing vector"
SECONDS, PARTIAL, LATER, SINGLES = 10.0, 0.7, 0.2, 1.0
TWICE = (
    "the first case was asked twice and the answers differ: look for a random number, dropout, or a state that is kept "
    "between calls, and ask again when the answers are the same"
)


class Explanation(NamedTuple):
    """What explains a wrong part: the name of the mechanism, "" if nothing does, and sentences.

    value : what the sentences claim, as numbers; None if nothing is named.
    slug : of the known-wrong formula that is named.
    """

    part: str
    name: str
    lines: list[str]
    value: Candidate | None = None
    slug: str = ""


def diagnose(outcomes: Sequence[Outcome], settings: JudgeSettings, ask: Ask | None = None) -> list[str]:
    """Sentences, the best explanation first; an explanation must hold on every failing vector."""
    return first_of(explain(outcomes, settings, ask))


def first_of(explanations: Sequence[Explanation]) -> list[str]:
    """The explanation of the first wrong part, in order of dependence, and the names of the others."""
    if not explanations:
        return []
    others = ", ".join(e.part for e in explanations[1:])
    return [*explanations[0].lines, *([f"also wrong, perhaps because of it: {others}"] if others else [])]


def explain(
    outcomes: Sequence[Outcome], settings: JudgeSettings, ask: Ask | None = None, seconds: float = SECONDS
) -> list[Explanation]:
    """What explains every wrong part, in order of dependence, up to the first that is explained by a mistake.

    Results that are missing or have another shape explain nothing; the others are explained without them.  Where `ask` is
    given, what is named holds on other cases, too.
    """
    wrong = [o for o in outcomes if o.verdict == "mismatch" and o.got is not None]
    failing = [o for o in wrong if o.case.result == "valid"] or wrong
    if not failing:
        return []
    restless = max(o.differs for o in outcomes)
    if restless > 1:
        return [Explanation("", "asked twice", [TWICE])]
    with np.errstate(all="ignore"):
        explanations = _by_part(failing, outcomes, settings, ask, seconds)
    uncertain = restless > 0 and all(e.name in UNCERTAIN for e in explanations)
    return [Explanation("", "asked twice", [TWICE])] if uncertain else explanations


def _by_part(
    failing: Sequence[Outcome], outcomes: Sequence[Outcome], settings: JudgeSettings, ask: Ask | None, seconds: float
) -> list[Explanation]:
    """What explains every wrong part, or the result where there are no parts; after the first only what is quick is tried."""
    if failing[0].case.about.array:
        passing = [o for o in outcomes if o.verdict == "pass"]
        return [_explanation("", Evidence(failing, passing, settings, Witnesses(failing, ask, "")), seconds)]
    explanations: list[Explanation] = []
    end = now() + (1 + LATER) * seconds
    for name in failing[0].case.about.parts:
        wrong, known = _wrong_alone(failing, name, settings), any(e.name not in UNCERTAIN for e in explanations)
        if wrong and (known or now() > end):
            explanations.append(Explanation(name, "", []))
        elif wrong:
            on = Evidence(wrong, _right_alone(outcomes, name, settings), settings, Witnesses(wrong, ask, name))
            beside = [o._replace(got={n: got for n, got in (o.got or {}).items() if n != name}) for o in failing]
            explanations.append(_later(name, on) if explanations else _explanation(name, on, seconds, beside))
    return explanations


def _wrong_alone(failing: Sequence[Outcome], name: str, settings: JudgeSettings) -> list[Outcome]:
    """The outcomes whose result of this name is wrong, with this result alone."""
    alone = [o._replace(got={name: o.got[name]}) for o in failing if o.got and name in o.got]
    return [o for o in alone if not is_right(o, name, settings)]


def _right_alone(outcomes: Sequence[Outcome], name: str, settings: JudgeSettings) -> list[Outcome]:
    """The outcomes whose result of this name is right, with this result alone."""
    answered = [o for o in outcomes if o.verdict in ("pass", "mismatch") and name in (o.got or {})]
    return [o._replace(got={name: (o.got or {})[name]}) for o in answered if is_right(o, name, settings)]


def _later(part: str, on: Evidence) -> Explanation:
    """What explains a part after one that is not explained, if it is quickly seen."""
    singles = Mechanism("choice", partial(single_matches, until=now() + SINGLES))
    found = first_standing([*quickest(on.passing), singles], on)
    if found.matches:
        return _said(part, found.name, found.matches)
    return Explanation(part, "", [f"{part}: {UNKNOWN}{flag_sentence(on.failing, on.passing)}"])


def _said(part: str, name: str, matches: Sequence[Match], *, claimed: bool = True) -> Explanation:
    """The sentences on some matches, and what the first of them claims."""
    value = matches[0].value if claimed and name not in UNCERTAIN else None
    return Explanation(part, name, [_before(part) + line for line in with_tie(matches)], value, matches[0].slug)


def _before(part: str) -> str:
    """The part in front of a sentence, if there are several."""
    return f"{part}: " if part else ""


def _explanation(part: str, on: Evidence, seconds: float, beside: Sequence[Outcome] = ()) -> Explanation:
    """The first mechanism that explains every failing vector, then what explains some; else what there is to say."""
    before, start = _before(part), now()
    found = first_standing(mechanisms(on.failing, on.passing, start, PARTIAL * seconds), on)
    if found.name:
        found = not_contradicted(found, beside, on, start + PARTIAL * seconds)
        return _said(part, found.name, consistent(found.matches, beside, on.settings))
    if one_branch := conditional_matches(found.refuted, on):
        return _said(part, "in one branch", one_branch)
    if found.refuted:
        return Explanation(part, "refuted", [before + refutation(found.refuted[0][0], on.failing, on.passing, on.settings)])
    if is_large(on.failing) and (some := partial_explanation(on, start + seconds)):
        return Explanation(part, "partial", [before + line for line in some.lines], some.value, some.slug)
    if fitted := first_standing(fits(on.failing), on).matches:
        return _said(part, "fit", fitted, claimed=False)
    return Explanation(part, "", [before + UNKNOWN + flag_sentence(on.failing, on.passing) + _ended(start, seconds)])


def _ended(start: float, seconds: float) -> str:
    """Did the search end before everything was tried?"""
    return f"; the search ended after {seconds:g} s" if now() - start >= PARTIAL * seconds else ""
