"""A trace of a mistake: the right answer plus a small multiple of a known departure.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.judge import JudgeSettings, Outcome, gap, in_limits
from refmeta.oracle.match import NEAR, in_all, pairs
from refmeta.oracle.suite import Case

__all__ = ["Departure", "Fit", "Kind", "fitted", "of_epsilons", "of_inputs", "of_rows", "offset", "traced"]

SMALL, FINER, FEWEST = 1e-2, 1e-2, 4
LEAST, MOST = 0.9e-16, 1.1e-4


class Departure(NamedTuple):
    """What is added to the right result of a case, times one small number: a known-wrong formula, or a slope in an ε."""

    name: str
    value: Callable[[Case, str], Array | None]


class Fit(NamedTuple):
    """The multiple that explains a result best, the error that it leaves, and the entries that bear it out."""

    number: float
    left: float
    entries: int


class Kind(NamedTuple):
    """Departures of one kind, computed when they are asked for, how one is said, and whether a multiple is likely."""

    departures: Iterable[Departure]
    sentence: Callable[[Departure, Fit], str]
    likely: Callable[[Fit], bool]


def traced(
    failing: Sequence[Outcome], settings: JudgeSettings, passing: Sequence[Outcome], kinds: Sequence[Kind]
) -> list[str]:
    """The first kind of departure of which one multiple explains every vector; the best where there are several.

    A departure that does not explain the worst vector by itself is not computed on the others.
    """
    by_error = [(max(gap(p.got, p.right, p.limit) for p in pairs([o], settings)), i) for i, o in enumerate(failing)]
    worst, first = max(by_error)
    for kind in kinds:
        fits = []
        for d in kind.departures:
            one = fitted(d, [failing[first]], (), settings)
            if one and one.left <= NEAR * max(1.0, FINER * worst) and (fit := fitted(d, failing, passing, settings)):
                fits.append((d, fit))
        if told := [(d, fit) for d, fit in fits if fit.left <= max(1.0, FINER * worst) and kind.likely(fit)]:
            return _sentences(sorted(told, key=lambda each: each[1].left), kind, in_all(failing))
    return []


def _sentences(told: Sequence[tuple[Departure, Fit]], kind: Kind, vectors: str) -> list[str]:
    """The best fit, and those that are as good to the tolerance."""
    alike = [(d, fit) for d, fit in told if fit.left <= max(1.0, 2 * told[0][1].left)]
    tie = [f"a tie: {len(alike)} explanations are alike on these vectors"] if len(alike) > 1 else []
    return [*tie, *(f"{kind.sentence(d, fit)}, {vectors}" for d, fit in alike[:4])]


def of_rows(departures: Iterable[Departure]) -> Kind:
    """A small part of a known-wrong formula."""
    sentence = lambda d, fit: f"the right result + {fit.number:.3g} · ({d.name} − the right result)"
    return Kind(departures, sentence, lambda fit: abs(fit.number) <= SMALL and fit.entries >= FEWEST)


def of_epsilons(departures: Iterable[Departure]) -> Kind:
    """An ε that stands where none should."""
    sentence = lambda d, fit: (
        f"the right result but for an ε that should not be there: {d.name.replace('ε', _number(fit.number))}"
    )
    return Kind(departures, sentence, lambda fit: fit.number > 0 and _is_epsilon(fit))


def of_inputs(departures: Iterable[Departure]) -> Kind:
    """An input that is a little larger or smaller; the name holds "+ ε"."""
    sentence = lambda d, fit: (
        "the right result for " + d.name.replace("+ ε", f"{'+' if fit.number > 0 else '−'} {_number(abs(fit.number))}")
    )
    return Kind(departures, sentence, _is_epsilon)


def offset(failing: Sequence[Outcome], settings: JudgeSettings, passing: Sequence[Outcome]) -> list[str]:
    """One number that is added to every entry of every result."""
    worst = max(gap(p.got, p.right, p.limit) for p in pairs(failing, settings))
    ones = Departure("1", lambda case, name: np.ones_like(shapes[case.id, name]))
    shapes = {(p.case.id, p.name): p.right for p in pairs([*failing, *passing], settings)}
    fit = fitted(ones, failing, passing, settings)
    if fit is None or fit.entries < FEWEST or fit.left > max(1.0, min(NEAR, FINER * worst)):
        return []
    sign = "+" if fit.number > 0 else "−"
    return [f"the right result {sign} {_number(abs(fit.number))}, one number for every entry, {in_all(failing)}"]


def _number(number: float) -> str:
    """A power of ten as one where it is one to two digits."""
    exponent = int(np.round(np.log10(number)))
    return f"1e{exponent}" if _is_power(number) else f"{number:.3g}"


def _is_power(number: float) -> bool:
    """Is a positive number a power of ten, to two digits?"""
    return bool(abs(number / 10.0 ** np.round(np.log10(number)) - 1) < 0.02)


def fitted(
    departure: Departure, failing: Sequence[Outcome], passing: Sequence[Outcome], settings: JudgeSettings
) -> Fit | None:
    """Weighted least squares for one number on every result, in units of its tolerance.

    A departure has a value on every failing case, or it explains nothing; on a passing one it may not apply.
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


def _is_epsilon(fit: Fit) -> bool:
    """Is the number of the size that an ε has, and a power of ten or borne out by enough entries?"""
    size = abs(fit.number)
    return LEAST <= size <= MOST and (_is_power(size) or fit.entries >= FEWEST)
