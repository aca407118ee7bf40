"""A trace of a mistake: the right answer plus a small multiple of a known departure.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.diagnosis.inputs import group_text, input_groups, slope_in
from refmeta.oracle.diagnosis.rows import candidate_rows, departure_of
from refmeta.oracle.judge import JudgeSettings, Outcome, gap, in_limits, right_result
from refmeta.oracle.match import NEAR, Candidate, Match, candidate_of, match_of, pairs
from refmeta.oracle.suite import Case

__all__ = ["Departure", "Fit", "Kind", "effect_of", "least_squares", "offset", "traces"]

SMALL, FINER, FEWEST, FEWEST_DIGITS = 1e-2, 1e-2, 4, 2
LEAST, MOST = 0.9e-16, 1.1e-4


class Departure(NamedTuple):
    """What is added to the right result of a case, times one small number: a known-wrong formula, or a slope in an ε."""

    name: str
    value: Candidate


class Fit(NamedTuple):
    """The multiple that explains a result best, the error that remains, and how many entries support it."""

    number: float
    left: float
    entries: int


class Kind(NamedTuple):
    """Departures of one kind, computed on demand, the sentence for one, and whether a multiple is likely."""

    departures: Iterable[Departure]
    sentence: Callable[[Departure, Fit], str]
    likely: Callable[[Fit], bool]


@lru_cache(maxsize=1024)
def _effect(case: Case, part: str, name: str) -> Array:
    """∂(part)/∂ε at ε = 0, one row per task, kept while a diagnosis compares."""
    return np.asarray(case.about.effects(case, part)[name]())


def effect_of(name: str, settings: JudgeSettings) -> Candidate:
    """The first-order effect of an ε at a named place, as the target would return it."""
    return candidate_of(lambda case, part: _effect(case, part, name), settings)


def traces(failing: Sequence[Outcome], settings: JudgeSettings, passing: Sequence[Outcome]) -> list[Match]:
    """The first kind of departure of which one multiple explains every vector; the best where there are several.

    A departure that does not explain the worst vector is not computed on the others.
    """
    if any(o.digits < FEWEST_DIGITS for o in failing):
        return []
    by_error = [(max(gap(p.got, p.right, p.limit) for p in pairs([o], settings)), i) for i, o in enumerate(failing)]
    worst, first = max(by_error)
    for kind in (_of_rows(failing, settings), _of_epsilons(failing, settings), _of_inputs(failing, settings)):
        fits = []
        for d in kind.departures:
            one = least_squares(d, [failing[first]], (), settings)
            if one and one.left <= NEAR * max(1.0, FINER * worst) and (every := least_squares(d, failing, passing, settings)):
                fits.append((d, every))
        if likely := [(d, f) for d, f in fits if f.left <= max(1.0, FINER * worst) and kind.likely(f)]:
            return _best(sorted(likely, key=lambda pair: pair[1].left), kind, failing, settings)
    return []


def _best(fits: Sequence[tuple[Departure, Fit]], kind: Kind, failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The best fit, and those that are as good to the tolerance."""
    near = [(d, f) for d, f in fits if f.left <= max(1.0, 2 * fits[0][1].left)]
    return [match_of(kind.sentence(d, f), _multiple(d, f.number, settings), failing) for d, f in near]


def _multiple(departure: Departure, number: float, settings: JudgeSettings) -> Candidate:
    """The right result plus a multiple of the departure."""

    def value(case: Case, name: str) -> Array | None:
        slope = departure.value(case, name)
        return None if slope is None else right_result(case, name, settings) + number * slope

    return value


def _of_rows(failing: Sequence[Outcome], settings: JudgeSettings) -> Kind:
    """A small part of a known-wrong formula."""
    departures = (Departure(r.slug, departure_of(r, settings)) for r in candidate_rows(failing[0].case, settings))
    sentence = lambda d, f: f"the right result + {f.number:.3g} · ({d.name} − the right result)"
    return Kind(departures, sentence, lambda f: abs(f.number) <= SMALL and f.entries >= FEWEST)


def _of_epsilons(failing: Sequence[Outcome], settings: JudgeSettings) -> Kind:
    """An ε that stands where none should."""
    names = dict.fromkeys(name for o in failing for part in o.got or {} for name in o.case.about.effects(o.case, part))
    sentence = lambda d, f: (
        f"the right result but for an ε that should not be there: {d.name.replace('ε', _number(f.number))}"
    )
    departures = (Departure(name, effect_of(name, settings)) for name in names)
    return Kind(departures, sentence, lambda f: f.number > 0 and _is_epsilon(f))


def _of_inputs(failing: Sequence[Outcome], settings: JudgeSettings) -> Kind:
    """An input that is a little larger or smaller; the name holds "+ ε"."""
    sentence = lambda d, f: (
        "the right result for " + d.name.replace("+ ε", f"{'+' if f.number > 0 else '−'} {_number(abs(f.number))}")
    )
    return Kind(_shifted_inputs(failing, settings), sentence, _is_epsilon)


def _shifted_inputs(failing: Sequence[Outcome], settings: JudgeSettings) -> Iterator[Departure]:
    """Every float input times 1 + ε, or plus ε, everywhere or where it is not 0."""
    for names in input_groups([o.case for o in failing]):
        times = f"{names[0]}·(1 + ε)" if len(names) == 1 else f"{group_text(names)} times (1 + ε)"
        yield Departure(times, slope_in(names, "times", settings))
        yield Departure(f"{group_text(names)} + ε", slope_in(names, "plus", settings))
        yield Departure(f"{group_text(names)} + ε where it is not 0", slope_in(names, "plus, but for 0", settings))


def offset(failing: Sequence[Outcome], settings: JudgeSettings, passing: Sequence[Outcome]) -> list[Match]:
    """One number that is added to every entry of every result."""
    worst = max(gap(p.got, p.right, p.limit) for p in pairs(failing, settings))
    ones = Departure("1", lambda case, name: np.ones_like(right_result(case, name, settings)))
    best = least_squares(ones, failing, passing, settings)
    if best is None or best.entries < FEWEST or best.left > max(1.0, min(NEAR, FINER * worst)):
        return []
    sign = "+" if best.number > 0 else "−"
    what = f"the right result {sign} {_number(abs(best.number))}, one number for every entry"
    return [match_of(what, _multiple(ones, best.number, settings), failing)]


def _number(number: float) -> str:
    """A number, written as a power of ten if it is one to two digits."""
    exponent = int(np.round(np.log10(number)))
    return f"1e{exponent}" if _is_power(number) else f"{number:.3g}"


def _is_power(number: float) -> bool:
    """Is a positive number a power of ten, to two digits?"""
    return bool(abs(number / 10.0 ** np.round(np.log10(number)) - 1) < 0.02)


def least_squares(
    departure: Departure, failing: Sequence[Outcome], passing: Sequence[Outcome], settings: JudgeSettings
) -> Fit | None:
    """Weighted least squares for one number on every result, in units of its tolerance.

    A departure without a value on a failing case explains nothing; on a passing case it need not have one.
    """
    errors, slopes = [np.zeros(0)], [np.zeros(0)]
    for case, name, got, right, limit in pairs([*failing, *passing], settings):
        slope = departure.value(case, name)
        if slope is None or slope.shape != got.shape or not np.isfinite(slope).all():
            if any(o.case is case for o in failing):
                return None
            continue
        errors.append(np.ravel(in_limits(got, right, limit) * np.sign(got - right)))
        slopes.append(np.ravel(in_limits(slope, 0 * slope, limit) * np.sign(slope)))
    y, x = np.concatenate(errors), np.concatenate(slopes)
    if not np.any(x):
        return None
    number = float(x @ y / (x @ x))
    return Fit(number, float(np.max(np.abs(y - number * x))), int(np.sum(np.abs(number * x) > NEAR)))


def _is_epsilon(f: Fit) -> bool:
    """Is the number as small as an ε, and a power of ten or supported by enough entries?"""
    size = abs(f.number)
    return LEAST <= size <= MOST and (_is_power(size) or f.entries >= FEWEST)
