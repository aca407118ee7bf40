"""A trace of a mistake: the right answer plus a small multiple of a known departure.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.case import Case
from refmeta.oracle.judge import Outcome, Settings, gap, in_limits
from refmeta.oracle.match import NEAR, pairs

SMALL, FINER, FEWEST = 1e-2, 1e-2, 4
LEAST, MOST = 0.9e-16, 1.1e-4


class Departure(NamedTuple):
    """What is added to the right result of a case, times one small number: a known-wrong formula, or an ε's slope."""

    name: str
    value: Callable[[Case, str], Array | None]


class Fit(NamedTuple):
    """The multiple that explains a result best, the error that it leaves, and the entries that bear it out."""

    number: float
    left: float
    entries: int


def traced(
    failing: Sequence[Outcome],
    settings: Settings,
    passing: Sequence[Outcome],
    rows: Sequence[Departure],
    epsilons: Sequence[Departure],
) -> list[str]:
    """The row, or else the ε, of which one multiple explains every vector; the best where there are several."""
    worst = max(gap(got, right, limit) for _, _, got, right, limit in pairs(failing, settings))
    for departures, row in ((rows, True), (epsilons, False)):
        fits = [(d, fit) for d in departures if (fit := fitted(d, failing, passing, settings))]
        if told := [(d, fit) for d, fit in fits if _explains(fit, worst, row)]:
            return _sentences(sorted(told, key=lambda each: each[1].left), row, len(failing))
    return []


def _sentences(told: Sequence[tuple[Departure, Fit]], row: bool, failing: int) -> list[str]:
    """The best fit, and those that are as good to the tolerance."""
    alike = [(d, fit) for d, fit in told if fit.left <= max(1.0, 2 * told[0][1].left)]
    said = [_as_row(d, fit) if row else _as_epsilon(d, fit) for d, fit in alike]
    vectors = f"in {failing} of {failing} failing vectors"
    tie = [f"a tie: {len(said)} explanations are alike on these vectors"] if len(said) > 1 else []
    return [*tie, *(f"{line}, {vectors}" for line in said[:4])]


def _as_row(departure: Departure, fit: Fit) -> str:
    """A small part of a known-wrong formula."""
    return f"the right result + {fit.number:.3g} · ({departure.name} − the right result)"


def _as_epsilon(departure: Departure, fit: Fit) -> str:
    """An ε, a power of ten as one where it is one to two digits."""
    exponent = int(np.round(np.log10(fit.number)))
    number = f"1e{exponent}" if abs(fit.number / 10.0**exponent - 1) < 0.02 else f"{fit.number:.3g}"
    return f"the right result but for an ε that should not be there: {departure.name.replace('ε', number)}"


def fitted(
    departure: Departure, failing: Sequence[Outcome], passing: Sequence[Outcome], settings: Settings
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


def _explains(fit: Fit, worst: float, row: bool) -> bool:
    """Is nearly all of the error gone, by enough entries, and is the number one that such a mistake has?"""
    if fit.left > max(1.0, FINER * worst):
        return False
    if row:
        return abs(fit.number) <= SMALL and fit.entries >= FEWEST
    power = abs(fit.number / 10.0 ** np.round(np.log10(abs(fit.number))) - 1) < 0.02 if fit.number > 0 else False
    return bool(LEAST <= fit.number <= MOST) and bool(power or fit.entries >= FEWEST)
