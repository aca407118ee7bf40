"""Name the mistake: which known-wrong formula, pattern or factor a wrong result equals, on every failing vector.

What a passing vector refutes is not named as the mistake.  Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from refmeta.oracle.diagnose.epsilons import effect_of
from refmeta.oracle.diagnose.moved import groups, said, slope_in
from refmeta.oracle.diagnose.named import factors, other_quantities, permuted, rounded_inputs, rows, rows_times, tasks
from refmeta.oracle.diagnose.rows import departure_of, rows_of
from refmeta.oracle.diagnose.traces import Departure, of_epsilons, of_inputs, of_rows, offset, traced
from refmeta.oracle.judge import JudgeSettings, Outcome, allowed, gap, transformed
from refmeta.oracle.match import Match, agrees, matched, refuting

__all__ = ["UNCERTAIN", "UNKNOWN", "Explanation", "diagnose", "explain", "first_of"]

UNCERTAIN, FEWEST_DIGITS = ("", "single precision", "asked twice"), 2
UNKNOWN = "no mistake that is known here explains every failing vector"
ORDER = ("row", "detached step", "other quantity", "factor", "row times", "odd terms", "order", "rounded input")
GENERIC: dict[str, Callable[[Sequence[Outcome], JudgeSettings], list[Match]]] = {
    "row": rows, "other quantity": other_quantities, "factor": factors, "row times": rows_times, "order": permuted,
    "rounded input": rounded_inputs,
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


def diagnose(outcomes: Sequence[Outcome], settings: JudgeSettings) -> list[str]:
    """Sentences, the best explanation first; nothing is explained that does not hold on every failing vector."""
    return first_of(explain(outcomes, settings))


def first_of(explanations: Sequence[Explanation]) -> list[str]:
    """What explains the first wrong part, in order of dependence, and the names of the others."""
    if not explanations:
        return []
    others = ", ".join(e.part for e in explanations[1:])
    return [*explanations[0].lines, *([f"also wrong, perhaps because of it: {others}"] if others else [])]


def explain(outcomes: Sequence[Outcome], settings: JudgeSettings) -> list[Explanation]:
    """What explains every wrong part, in order of dependence, up to the first that is explained by a mistake.

    Nothing is explained where a result is no array of its shape.
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
        return [_explained("", failing, settings, [o for o in outcomes if o.verdict == "pass"])]
    explanations: list[Explanation] = []
    for name in failing[0].case.about.parts:
        wrong, known = _only(failing, name, settings), any(e.name not in UNCERTAIN for e in explanations)
        if wrong and known:
            explanations.append(Explanation(name, "", []))
        elif wrong:
            explanations.append(_explained(name, wrong, settings, _right(outcomes, name, settings)))
    return explanations


def _only(failing: Sequence[Outcome], name: str, settings: JudgeSettings) -> list[Outcome]:
    """The outcomes whose result of this name is wrong, with nothing else in them."""
    alone = [o._replace(got={name: o.got[name]}) for o in failing if o.got and name in o.got]
    return [o for o in alone if not matched(o, name, settings)]


def _right(outcomes: Sequence[Outcome], name: str, settings: JudgeSettings) -> list[Outcome]:
    """The outcomes whose result of this name is right, with nothing else in them."""
    judged = [o for o in outcomes if o.verdict in ("pass", "mismatch") and name in (o.got or {})]
    return [o._replace(got={name: (o.got or {})[name]}) for o in judged if matched(o, name, settings)]


def _explained(part: str, failing: Sequence[Outcome], settings: JudgeSettings, passing: Sequence[Outcome]) -> Explanation:
    """The first mechanism that explains every failing vector and that no passing one refutes."""
    before, refuted = f"{part}: " if part else "", list[Match]()
    mechanisms = GENERIC | dict(failing[0].case.about.patterns)
    for name in filter(mechanisms.__contains__, ORDER):
        found = mechanisms[name](failing, settings)
        if stands := [m for m in found if agrees(passing, settings, m.value)]:
            return Explanation(part, name, [before + line for line in _with_tie(stands)])
        refuted += found
    small: dict[str, Callable[..., list[str]]] = {
        "offset": offset, "trace": _traces, "single precision": _single_precision
    }  # fmt: skip
    for name, fit in small.items():
        if lines := fit(failing, settings, passing):
            return Explanation(part, name, [before + line for line in lines])
    if refuted:
        return Explanation(part, "refuted", [before + _refuted(refuted[0], failing, passing, settings)])
    return Explanation(part, "", [before + UNKNOWN + _flagged(failing, passing)])


def _with_tie(stands: Sequence[Match]) -> list[str]:
    """The sentences of what stands, at most four, under one that says how many there are."""
    tie = [f"a tie: {len(stands)} formulas give the same numbers on these vectors"] if len(stands) > 1 else []
    return [*tie, *(m.line for m in stands[:4])]


def _refuted(m: Match, failing: Sequence[Outcome], passing: Sequence[Outcome], settings: JudgeSettings) -> str:
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
    flags = set.intersection(*(set(o.case.flags) for o in failing)).difference(*(o.case.flags for o in against))
    words, bounds = [f"the flag {flag!r}" for flag in sorted(flags)], []
    for name in _numbers(failing[0]):
        ours, theirs = ({_numbers(o).get(name, np.nan) for o in some} for some in (failing, against))
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
    given = {n: x for n, x in o.case.arguments().items() if x is None or isinstance(x, (int, float))}
    return {"the number of tasks": tasks(o.case), **given}


def _traces(failing: Sequence[Outcome], settings: JudgeSettings, passing: Sequence[Outcome]) -> list[str]:
    """A small multiple of a known departure: a known-wrong formula, an ε where none should stand, another input."""
    if any(o.digits < FEWEST_DIGITS for o in failing):
        return []
    formulas = (Departure(r.slug, departure_of(r, settings)) for r in rows_of(failing[0].case, settings))
    names = dict.fromkeys(name for o in failing for part in o.got or {} for name in o.case.about.effects(o.case, part))
    epsilons = (Departure(name, effect_of(name, settings)) for name in names)
    kinds = of_rows(formulas), of_epsilons(epsilons), of_inputs(_inputs(failing, settings))
    return traced(failing, settings, passing, kinds)


def _inputs(failing: Sequence[Outcome], settings: JudgeSettings) -> Iterator[Departure]:
    """Every float input times 1 + ε, or plus ε, everywhere or where it is not 0."""
    for names in groups([o.case for o in failing]):
        times = f"{names[0]}·(1 + ε)" if len(names) == 1 else f"{said(names)} times (1 + ε)"
        yield Departure(times, slope_in(names, "times", settings))
        yield Departure(f"{said(names)} + ε", slope_in(names, "plus", settings))
        yield Departure(f"{said(names)} + ε where it is not 0", slope_in(names, "plus, but for 0", settings))


def _flagged(failing: Sequence[Outcome], passing: Sequence[Outcome]) -> str:
    """The flags that every failing vector has and no passing one: where to look when nothing is known."""
    flags = set.intersection(*(set(o.case.flags) for o in failing)).difference(*(o.case.flags for o in passing))
    if not flags or not passing:
        return ""
    words = " and ".join(repr(flag) for flag in sorted(flags))
    others = f"the {len(passing)} others" if len(passing) > 1 else "the other one"
    return f"; it is wrong exactly where the flag is {words}, and right in {others}"


def _single_precision(failing: Sequence[Outcome], settings: JudgeSettings, passing: Sequence[Outcome]) -> list[str]:
    """Right to single precision where double was promised."""
    if settings.dtype != "float64" or not all(4.5 <= o.digits <= 10 for o in failing):
        return []
    single = settings._replace(dtype="float32")
    for o in failing:
        for name, got in (o.got or {}).items():
            expected = o.case.expected[name]
            if gap(got, transformed(expected.value, o.case, single, name), allowed(expected, o.case, single)) > 1:
                return []
    if all(np.array_equal(np.float32(got), got) for o in failing for got in (o.got or {}).values()):
        return [
            "right to single precision only: the result is in float32 (in JAX: jax_enable_x64 is off; in PyTorch: the "
            "default dtype); or check it with --dtype float32"
        ]
    return [
        "right to about single precision: float32 on the way, an ε or a damping of that size, a finite difference, or an "
        "iteration that stops early; or check it with --dtype float32"
    ]
