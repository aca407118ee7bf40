"""Where a target is right and where it is wrong: in which cases, rows and entries.  Derivation: derivations/using-the-oracle.md"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from refmeta.oracle.asking import LOOSER, Ask, moved, varied
from refmeta.oracle.choices import Predicate
from refmeta.oracle.diagnosis.entries import in_entries, in_rows
from refmeta.oracle.diagnosis.predicates import predicates_of, thresholds
from refmeta.oracle.judge import JudgeSettings, Outcome
from refmeta.oracle.match import inputs_of, is_right, task_count
from refmeta.oracle.suite import EXTREME, Case

__all__ = ["Where", "first_wrong_part", "locate"]

ASKED, MOVED, ELSEWHERE, NEAREST, MANY = 10, 14, 40, 3, 3
TRIVIAL = ("nothing is adapted", "K = 0", "alpha = 0", "epsilon = 0")


class Where(NamedTuple):
    """Where a part is right: sentences; the claim "right exactly where" as a function of a case, if it is made and confirmed.

    `sufficient` are the predicates that were confirmed by asking: where one holds, the target is right.  `right_parts` are
    right in every case.
    """

    lines: tuple[str, ...] = ()
    exactly: Callable[[Case], bool] | None = None
    sufficient: tuple[Predicate, ...] = ()
    right_parts: tuple[str, ...] = ()


def first_wrong_part(outcomes: Sequence[Outcome], settings: JudgeSettings) -> str:
    """The first part, in order of dependence, that is wrong in a case; "" if none is."""
    for part in outcomes[0].case.about.parts if outcomes else ():
        if any(part in (o.got or {}) and not is_right(o, part, settings) for o in outcomes if o.verdict == "mismatch"):
            return part
    return ""


def locate(outcomes: Sequence[Outcome], settings: JudgeSettings, ask: Ask | None = None) -> Where:
    """Where the first wrong part is right, confirmed by asking; rows and entries if every case is wrong."""
    valid = [o for o in outcomes if o.case.result == "valid"]
    if not (part := first_wrong_part(valid, settings)):
        return _of_failures(valid)
    has = [o for o in valid if part in (o.got or {})]
    right = [o for o in has if is_right(o, part, settings)]
    wrong = [o for o in has if not is_right(o, part, settings)]
    if (only := _only_where(part, right, wrong, settings, ask)) is not None:
        line = f"wrong exactly where {only.name}: look at the branch that such cases take"
        cases = Where((line,), lambda case: not only.holds(case))
    else:
        found = _sufficient(part, right, wrong, settings, ask)
        if ask is not None and not found and ask(wrong[0].case).verdict == "skip":
            ask, found = None, _candidates(right, wrong)  # nothing is asked any more
        cases = _in_cases(found, right, wrong, asked=ask is not None)
    if cases.exactly is not None and ask is not None and not _is_wrong_elsewhere(part, wrong, cases.exactly, settings, ask):
        holds = _names_of(cases.sufficient, "right where") if cases.sufficient else cases.lines[0].split(":")[0].replace("exactly", "only")
        lines = (holds, "with other numbers than those of the vectors it is right in some more cases")
        cases = cases._replace(lines=lines, exactly=None)
    names, parts = _right_parts(valid, wrong, settings, ask)
    others = f"right in every case: {', '.join(parts)}" if parts else "no part is right in every case"
    first = [f"first in {part}; {others}"] if names > 1 else []
    if any(o.verdict == "mismatch" for o in right):  # other parts are wrong in cases where this one is right
        cases = cases._replace(lines=(*(f"{part}: {line}" for line in cases.lines), "where it is right, other parts are wrong"))
    more = (*in_rows(part, wrong, settings, ask), *in_entries(part, wrong, settings), *([] if cases.exactly else _in_size(part, right, wrong, settings, ask)))
    return cases._replace(lines=(*first, *cases.lines, *more, *_of_failures(valid).lines), right_parts=parts)


def _is_wrong_elsewhere(
    part: str, wrong: Sequence[Outcome], exactly: Callable[[Case], bool], settings: JudgeSettings, ask: Ask
) -> bool:
    """Is the target wrong as well in wrong cases with other numbers?

    A question without an answer says nothing, nor does an extreme case: a mistake may vanish where all but rounding does.
    """
    asked, told = lambda case: EXTREME not in case.flags and not exactly(case), False
    for o in _elsewhere(wrong, ask, (part,), asked):
        if part in (o.got or {}):
            told = True
            if is_right(o, part, settings, 1 / LOOSER):
                return False
    return told


def _elsewhere(
    outcomes: Sequence[Outcome], ask: Ask, parts: tuple[str, ...], chosen: Callable[[Case], bool] = lambda case: True
) -> Iterator[Outcome]:
    """The answers to cases with other numbers, asked one by one: of every kind, and of those with the smallest errors, in turn."""
    nearest = [o.case for o in sorted(outcomes, key=lambda o: o.error)[:NEAREST]]
    in_turn = (itertools.cycle(each) for each in (_of_every_kind([o.case for o in outcomes]), nearest))
    cases = itertools.islice(itertools.chain.from_iterable(zip(*in_turn, strict=True)), ELSEWHERE)
    others = (varied(case, seed, parts) for seed, case in enumerate(cases))
    return (ask(other) for other in others if other is not None and chosen(other))


def _right_parts(
    outcomes: Sequence[Outcome], wrong: Sequence[Outcome], settings: JudgeSettings, ask: Ask | None
) -> tuple[int, tuple[str, ...]]:
    """How many parts were judged, and those that are right in every case, and in wrong cases with other numbers."""
    names = [name for name in outcomes[0].case.about.parts if any(name in (o.got or {}) for o in outcomes)]
    right = tuple(name for name in names if all(is_right(o, name, settings) for o in outcomes if name in (o.got or {})))
    if ask is None or not right:
        return len(names), right
    for o in _elsewhere(wrong, ask, right):
        right = tuple(name for name in right if name not in (o.got or {}) or is_right(o, name, settings))
        if not right:
            break
    return len(names), right


def _of_failures(outcomes: Sequence[Outcome]) -> Where:
    """What tells the cases without a result from those with one."""
    right, failed = ([o for o in outcomes if (o.got is None) == none] for none in (False, True))
    if not right or not failed:
        return Where()
    cases = [o.case for o in (*right, *failed)]
    holds = [p for p in predicates_of(cases[0].about, cases) if all(p.holds(o.case) for o in failed)]
    names = [f"where {p.name}" for p in holds if not any(p.holds(o.case) for o in right)]
    flags = set.intersection(*(set(o.case.flags) for o in failed)) - {flag for o in right for flag in o.case.flags}
    where = [*names, *(f"in the cases with the flag {flag}" for flag in sorted(flags))][:1]
    option = f"; if yours is not made for such cases, --skip-flag {min(flags)} leaves them out" if flags else ""
    return Where(tuple(f"no result exactly {each}{option}" for each in where))


def _only_where(
    part: str, right: Sequence[Outcome], wrong: Sequence[Outcome], settings: JudgeSettings, ask: Ask | None
) -> Predicate | None:
    """The predicate that holds in every wrong case and in no right one, if right cases become wrong where it is made to hold."""
    if ask is None or not right:
        return None
    cases = [o.case for o in right]
    for p in _candidates(wrong, right):
        if _is_confirmed(p, part, cases, settings, ask, right=False) and _is_right_elsewhere(p, part, cases, settings, ask):
            return p
    return None


def _is_right_elsewhere(p: Predicate, part: str, cases: Sequence[Case], settings: JudgeSettings, ask: Ask) -> bool:
    """Is the target right as well in two right cases with other numbers, in which the predicate does not hold?"""
    every = (varied(case, i, (part,)) for i, case in enumerate(_of_every_kind(cases)[:MOVED]))
    others = itertools.islice((other for other in every if other is not None and not p.holds(other)), 2)
    answers = [ask(other) for other in others]
    return bool(answers) and all(part in (o.got or {}) and is_right(o, part, settings) for o in answers)


def _candidates(right: Sequence[Outcome], wrong: Sequence[Outcome]) -> list[Predicate]:
    """The predicates that hold in every right case and in no wrong one."""
    return [p for p in _possible(right, wrong) if right and all(p.holds(o.case) for o in right)]


def _possible(right: Sequence[Outcome], wrong: Sequence[Outcome]) -> list[Predicate]:
    """The predicates that hold in no wrong case."""
    r, w = ([o.case for o in outcomes] for outcomes in (right, wrong))
    return [p for p in predicates_of(w[0].about, [*r, *w]) if not any(p.holds(case) for case in w)]


def _sufficient(
    part: str, right: Sequence[Outcome], wrong: Sequence[Outcome], settings: JudgeSettings, ask: Ask | None
) -> list[Predicate]:
    """The predicates that are confirmed by asking, without those that another one contains; unasked, those that separate."""
    if ask is None:
        return _candidates(right, wrong)
    cases = _of_every_kind([o.case for o in wrong])
    others = [other for i, case in enumerate(cases[:2]) if (other := varied(case, i, (part,))) is not None]
    cases = [case for pair in itertools.zip_longest(cases[:MOVED], others) for case in pair if case is not None]
    confirmed = [p for p in _possible(right, wrong) if _is_confirmed(p, part, cases, settings, ask)]
    everywhere = [o.case for o in (*right, *wrong)]
    held = [{case.id for case in everywhere if p.holds(case)} for p in confirmed]
    contained = [any(a < b or a == b and a and j < i for j, b in enumerate(held)) for i, a in enumerate(held)]
    general_ones = [i for i in range(len(confirmed)) if not contained[i]]
    return [confirmed[i] for i in sorted(general_ones, key=lambda i: (_is_trivial(confirmed[i]), -len(held[i])))]


def _of_every_kind(cases: Sequence[Case]) -> list[Case]:
    """The cases, small ones first, one of each kind in turn.

    A kind is one, two or more tasks, which inputs are None, numbers or arrays, and whether it is extreme.
    """
    kinds: dict[tuple[object, ...], list[Case]] = {}
    for case in sorted(cases, key=lambda case: sum(np.size(x) for x in inputs_of(case).values())):
        kind = (EXTREME in case.flags, min(task_count(case), MANY), *(None if x is None else np.ndim(x) for x in inputs_of(case).values()))
        kinds.setdefault(kind, []).append(case)
    return [case for some in itertools.zip_longest(*kinds.values()) for case in some if case is not None]


def _is_trivial(p: Predicate) -> bool:
    """Does so much vanish where the predicate holds that it says little?"""
    return p.name in TRIVIAL or p.name.endswith("is 0 everywhere")


def _is_confirmed(
    p: Predicate, part: str, cases: Sequence[Case], settings: JudgeSettings, ask: Ask, *, right: bool = True
) -> bool:
    """Is the target right, or wrong, on ten of the cases, or on two if more cannot be, moved so that the predicate holds?

    Where the right answer is 0, none is asked.  A question that is not answered confirms nothing.
    """
    confirmed = 0
    for case in cases[:MOVED]:
        inputs = p.move(case.arguments())
        other = None if inputs is None else moved(case, inputs, (part,))
        if other is None or not p.holds(other) or not np.any(other.expected[part].value):
            continue
        o = ask(other)
        if part not in (o.got or {}) or is_right(o, part, settings) != right:
            return False
        confirmed += 1
        if confirmed == ASKED:
            break
    return confirmed >= max(1, min(2, len(cases)))


def _in_cases(found: Sequence[Predicate], right: Sequence[Outcome], wrong: Sequence[Outcome], *, asked: bool) -> Where:
    """The sentence on the predicates: exact if they hold together in every right case."""
    names = " or ".join(p.name for p in found[:3])
    reading = found[0].reading if found else ""
    if not found:
        return Where((_without(right, wrong, asked=asked),))
    if not asked:
        return Where((f"it may be right exactly where one of these holds (not asked): {names}",))
    rest = [o for o in right if not any(p.holds(o.case) for p in found[:3])]
    kept, exactly = tuple(found[:3]), lambda case: any(p.holds(case) for p in found[:3])
    if not rest:
        return Where((f"{_names_of(kept, 'right exactly where')}: {reading}",), exactly, kept)
    return Where((f"right where {names}: {reading}; {_rest(rest, wrong)}",), None, kept)


def _names_of(found: Sequence[Predicate], before: str) -> str:
    """Where the first three hold, without what would follow from it."""
    return f"{before} {' or '.join(p.name for p in found[:3])}"


def _rest(rest: Sequence[Outcome], wrong: Sequence[Outcome]) -> str:
    """What the right cases have in common which no confirmed predicate contains."""
    which = f"{len(rest)} other cases are right" if len(rest) > 1 else f"{rest[0].case.id} is right, too"
    common = [p.name for p in _candidates(rest, wrong)]
    return which + (f", where {' and '.join(common[:2])} (not asked)" if common else "")


def _without(right: Sequence[Outcome], wrong: Sequence[Outcome], *, asked: bool) -> str:
    """The sentence where no predicate is confirmed."""
    if not right:
        return f"wrong in {'all ' if len(wrong) > 1 else ''}{len(wrong)} cases" + "; no single input, when it is moved, makes it right" * asked
    return f"right in {len(right)} of {len(right) + len(wrong)} cases; no single input tells them apart"


def _in_size(
    part: str, right: Sequence[Outcome], wrong: Sequence[Outcome], settings: JudgeSettings, ask: Ask | None
) -> Iterator[str]:
    """An input that is small in every right case and large in every wrong one; wrong cases become right where it is small."""
    r, w = ([o.case for o in outcomes] for outcomes in (right, wrong))
    for p in thresholds(r, w):
        if ask is not None and _is_confirmed(p, part, w, settings, ask):
            yield f"every right case has {p.name}, and no wrong one: {p.reading}"
