"""Name the mistake: which known-wrong formula, pattern or factor a wrong result equals, on every failing vector.

An explanation that a passing vector refutes is not given.  Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from refmeta.oracle.diagnosis.patterns import (
    factor_matches,
    order_matches,
    quantity_matches,
    rounding_matches,
    row_matches,
    scaled_row_matches,
    task_count,
)
from refmeta.oracle.diagnosis.traces import offset, traces
from refmeta.oracle.judge import JudgeSettings, Outcome, gap
from refmeta.oracle.match import Match, is_right, pairs, refuting

__all__ = ["UNCERTAIN", "UNKNOWN", "Explanation", "diagnose", "explain", "first_of"]

UNCERTAIN = ("", "single precision", "asked twice")
UNKNOWN = "no mistake that is known here explains every failing vector"
ORDER = ("row", "detached step", "other quantity", "factor", "row times", "odd terms", "order", "rounded input")
GENERIC: dict[str, Callable[[Sequence[Outcome], JudgeSettings], list[Match]]] = {
    "row": row_matches, "other quantity": quantity_matches, "factor": factor_matches, "row times": scaled_row_matches,
    "order": order_matches, "rounded input": rounding_matches,
}  # fmt: skip
TWICE = (
    "the first case was asked twice and the answers differ: look for a random number, dropout, or a state that is kept "
    "between calls, and ask again when the answers are the same"
)


class Explanation(NamedTuple):
    """What explains a wrong part: the name of the mechanism, "" if nothing does, and sentences."""

    part: str
    name: str
    lines: list[str]
    slug: str = ""
    value: Any = None


def diagnose(outcomes: Sequence[Outcome], settings: JudgeSettings) -> list[str]:
    """Sentences, the best explanation first; an explanation must hold on every failing vector."""
    return first_of(explain(outcomes, settings))


def first_of(explanations: Sequence[Explanation]) -> list[str]:
    """The explanation of the first wrong part, in order of dependence, and the names of the others."""
    if not explanations:
        return []
    others = ", ".join(e.part for e in explanations[1:])
    return [*explanations[0].lines, *([f"also wrong, perhaps because of it: {others}"] if others else [])]


def explain(outcomes: Sequence[Outcome], settings: JudgeSettings, ask: Any = None) -> list[Explanation]:
    """What explains every wrong part, in order of dependence, up to the first that is explained by a mistake.

    Nothing is explained where a result does not have its shape.
    """
    failing = [o for o in outcomes if o.verdict == "mismatch"]
    if not failing or any(o.got is None for o in failing):
        return []
    restless = max(o.differs for o in outcomes)
    if restless > 1:
        return [Explanation("", "asked twice", [TWICE])]
    explanations = _by_part(failing, outcomes, settings)
    uncertain = restless > 0 and all(e.name in UNCERTAIN for e in explanations)
    return [Explanation("", "asked twice", [TWICE])] if uncertain else explanations


def _by_part(failing: Sequence[Outcome], outcomes: Sequence[Outcome], settings: JudgeSettings) -> list[Explanation]:
    """What explains every wrong part, or the result where there are no parts."""
    if failing[0].case.about.array:
        return [_explanation("", failing, settings, [o for o in outcomes if o.verdict == "pass"])]
    explanations: list[Explanation] = []
    for name in failing[0].case.about.parts:
        wrong, known = _wrong_alone(failing, name, settings), any(e.name not in UNCERTAIN for e in explanations)
        if wrong and known:
            explanations.append(Explanation(name, "", []))
        elif wrong:
            explanations.append(_explanation(name, wrong, settings, _right_alone(outcomes, name, settings)))
    return explanations


def _wrong_alone(failing: Sequence[Outcome], name: str, settings: JudgeSettings) -> list[Outcome]:
    """The outcomes whose result of this name is wrong, with this result alone."""
    alone = [o._replace(got={name: o.got[name]}) for o in failing if o.got and name in o.got]
    return [o for o in alone if not is_right(o, name, settings)]


def _right_alone(outcomes: Sequence[Outcome], name: str, settings: JudgeSettings) -> list[Outcome]:
    """The outcomes whose result of this name is right, with this result alone."""
    answered = [o for o in outcomes if o.verdict in ("pass", "mismatch") and name in (o.got or {})]
    return [o._replace(got={name: (o.got or {})[name]}) for o in answered if is_right(o, name, settings)]


def _explanation(part: str, failing: Sequence[Outcome], settings: JudgeSettings, passing: Sequence[Outcome]) -> Explanation:
    """The first mechanism that explains every failing vector and that no passing one refutes."""
    before, refutable = f"{part}: " if part else "", list[Match]()
    mechanisms = GENERIC | dict(failing[0].case.about.patterns)
    for name in sorted(mechanisms, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER)):
        candidates = mechanisms[name](failing, settings)
        if stands := [m for m in candidates if not refuting(passing, settings, m.value)]:
            return Explanation(part, name, [before + line for line in _with_tie(stands)], value=stands[0].value)
        refutable += candidates
    small: dict[str, Callable[..., list[str]]] = {
        "offset": offset, "trace": traces, "single precision": _single_precision
    }  # fmt: skip
    for name, fit in small.items():
        if lines := fit(failing, settings, passing):
            return Explanation(part, name, [before + line for line in lines])
    if refutable:
        return Explanation(part, "refuted", [before + _refutation(refutable[0], failing, passing, settings)])
    return Explanation(part, "", [before + UNKNOWN + _flag_sentence(failing, passing)])


def _with_tie(stands: Sequence[Match]) -> list[str]:
    """The sentences of at most four matches, after one that says how many there are."""
    tie = [f"a tie: {len(stands)} formulas give the same numbers on these vectors"] if len(stands) > 1 else []
    return [*tie, *(m.line for m in stands[:4])]


def _refutation(m: Match, failing: Sequence[Outcome], passing: Sequence[Outcome], settings: JudgeSettings) -> str:
    """What every failing vector equals and some passing ones do not."""
    against = refuting(passing, settings, m.value)
    special = " and ".join(_special(failing, against)) or "they have no flag or number in common that those have not"
    ours = f"the {len(failing)} failing vectors" if len(failing) > 1 else "the one failing vector"
    theirs = f"{len(against)} others" if len(against) > 1 else "one other"
    return (
        f"equals {m.what} in {ours}, but is right in {theirs}, where that is wrong: look at what is special in the failing: "
        f"{special}"
    )


def _special(failing: Sequence[Outcome], against: Sequence[Outcome]) -> list[str]:
    """The flags, and the whole numbers or bounds of numbers, that all failing vectors have and no other."""
    words, bounds = [f"the flag {flag!r}" for flag in _flags(failing, against)], []
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


def _numbers(o: Outcome) -> dict[str, Any]:
    """The inputs that are single numbers or none, and N."""
    numbers = {n: x for n, x in o.case.arguments().items() if x is None or isinstance(x, (int, float))}
    return {"the number of tasks": task_count(o.case), **numbers}


def _flags(failing: Sequence[Outcome], others: Sequence[Outcome]) -> list[str]:
    """The flags that every failing vector has and no other."""
    return sorted(set.intersection(*(set(o.case.flags) for o in failing)).difference(*(o.case.flags for o in others)))


def _flag_sentence(failing: Sequence[Outcome], passing: Sequence[Outcome]) -> str:
    """Where to look when nothing is known: the flags that tell the failing vectors from the passing ones."""
    if not (words := " and ".join(map(repr, _flags(failing, passing)))) or not passing:
        return ""
    others = f"the {len(passing)} others" if len(passing) > 1 else "the other one"
    return f"; it is wrong exactly where the flag is {words}, and right in {others}"


def _single_precision(failing: Sequence[Outcome], settings: JudgeSettings, passing: Sequence[Outcome]) -> list[str]:
    """Right to single precision where double was promised."""
    if settings.dtype != "float64" or not all(4.5 <= o.digits <= 10 for o in failing):
        return []
    every = pairs(failing, settings._replace(dtype="float32"))
    if any(gap(p.got, p.right, p.limit) > 1 for p in every):
        return []
    if all(np.array_equal(np.float32(p.got), p.got) for p in every):
        return [
            "right to single precision only: the result is in float32 (in JAX: jax_enable_x64 is off; in PyTorch: the "
            "default dtype); or check it with --dtype float32"
        ]
    return [
        "right to about single precision: float32 on the way, an ε or a damping of that size, a finite difference, or an "
        "iteration that stops early; or check it with --dtype float32"
    ]
