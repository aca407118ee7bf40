"""One number inside: the right result for an input that is multiplied by a number or replaced by one.

The number is fitted on a few vectors, looked up among their numbers, and verified on all.
Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.clock import now
from refmeta.oracle.diagnosis.factors import scaled
from refmeta.oracle.diagnosis.inputs import answer_with, group_text, input_groups
from refmeta.oracle.diagnosis.numbers import LETTERS, Formula, constant, formulas, numbers_of
from refmeta.oracle.diagnosis.secant import Residual, root
from refmeta.oracle.judge import JudgeSettings, Outcome
from refmeta.oracle.match import (
    NEAR,
    Candidate,
    Match,
    Pair,
    alike,
    candidate_of,
    generic_first,
    inputs_of,
    match_of,
    matching,
    pairs,
)
from refmeta.oracle.suite import Case

__all__ = ["fitted_matches"]

Names = tuple[str, ...]
LIKELY = (0.5, 2.0, -1.0, 0.0, 0.25, 4.0, 1.5, 0.75, -0.5, 10.0, 0.1)
STARTS, VECTORS, FEWEST = 3, 4, 3
WEAKEST = 1e-5
HOW: dict[str, Callable[[Array, Array | float], Array]] = {
    "times": lambda x, c: x * c, "instead": lambda x, c: 0 * x + c, "plus": lambda x, c: x + c
}  # fmt: skip


class _Inner(NamedTuple):
    """The number that multiplies an input of a case, and its relative error."""

    case: Case
    number: float
    doubt: float


def fitted_matches(failing: Sequence[Outcome], settings: JudgeSettings, until: float = np.inf) -> list[Match]:
    """The simplest numbers inside that explain every failing vector; if none does, those that do but for a factor."""
    some = pairs(generic_first(failing)[:VECTORS], settings)
    for free in (False, True):
        found: list[Match] = []
        for names in input_groups([pair.case for pair in some]):
            if now() > until:
                return found
            found += _of_group(names, some, failing, settings, free)
        if found:
            return found
    return []


def _of_group(
    names: Names, some: Sequence[Pair], failing: Sequence[Outcome], settings: JudgeSettings, free: bool
) -> list[Match]:
    """What multiplies or replaces one group of inputs."""
    if any(x is None or not np.any(x) for pair in some for x in map(inputs_of(pair.case).get, names)):
        return []
    fits: list[_Inner] = []
    for pair in some:
        if (fit := _fit(pair, names, settings, free, [f.number for f in fits])) is None:
            return []
        fits.append(fit)
    if sum(pair.got.size - 1 - free for pair in some) < FEWEST or all(abs(f.number - 1) <= f.doubt for f in fits):
        return []
    for what, value, formula in _readings(names, fits):
        base = match_of(what + "," * free, candidate_of(value, settings), failing, cost=formula.cost)
        if found := (scaled(base, failing, settings) if free else matching([base], failing, settings)):
            return found
    return []


def _value(names: Names, change: Callable[[Case, Array], Array]) -> Candidate:
    """The library's answer where the inputs are changed."""
    return lambda case, part: answer_with(case, part, names, lambda x: change(case, x))


def _fit(pair: Pair, names: Names, settings: JudgeSettings, free: bool, known: Sequence[float]) -> _Inner | None:
    """The number by which the inputs are multiplied in one result; known ones are tried first."""

    def result(number: float) -> Array | None:
        return candidate_of(_value(names, lambda _, x: x * number), settings)(pair.case, pair.name)

    def residual(number: float) -> Array:
        value = result(number)
        if value is None or value.shape != pair.got.shape or not np.isfinite(value).all():
            return np.full(pair.got.size, np.inf)
        return np.ravel(pair.got - _multiple(pair.got, value, free) * value)

    for start in _starts(pair.case, residual, known):
        if (number := root(residual, start)) is not None:
            value = result(number)
            if value is not None and alike(pair, _multiple(pair.got, value, free) * value):
                return _Inner(pair.case, number, _doubt(residual, number, pair))
    return None


def _multiple(got: Array, value: Array, free: bool) -> float:
    """The factor outside: 1, or that of least squares."""
    x = np.ravel(value)
    size = np.max(np.abs(x), initial=0.0)
    return 1.0 if not free else float(np.ravel(got) @ (x / size) / (x @ (x / size))) if size > 0 else 0.0


def _starts(case: Case, residual: Residual, known: Sequence[float]) -> list[float]:
    """Numbers near which a root may lie: the known ones, and the likely ones with the smallest residuals."""
    likely = [*LIKELY, *(float(y) for x in numbers_of(case).values() if x.ndim == 0 for y in (x, 1 / x) if abs(y) < 100)]
    size = {number: float(np.max(np.abs(residual(number)))) for number in dict.fromkeys(likely)}
    return [*dict.fromkeys(known), *sorted(size, key=lambda n: size[n])[:STARTS]]


def _doubt(residual: Residual, number: float, pair: Pair) -> float:
    """The relative error that the tolerance leaves to a number."""
    step = 1e-4 * max(abs(number), 1e-3)
    slope = float(np.max(np.abs(residual(number + step) - residual(number)))) / step
    error = NEAR * float(np.max(pair.limit)) / slope if slope > 0 else np.inf
    return error / abs(number) if abs(number) > error else np.inf if number else 0.0


def _readings(names: Names, fits: Sequence[_Inner]) -> Iterator[tuple[str, Candidate, Formula]]:
    """What the numbers may be: a formula times the input, one instead of it, one added to it; then bare numbers."""
    group, numbers = group_text(names), [fit.number for fit in fits]
    scalars = [inputs_of(fit.case)[names[0]] for fit in fits]
    readings = [("times", f"{group} times {{}}", numbers)]
    if len(names) == 1 and all(isinstance(x, float) for x in scalars):
        inside = [n * x for n, x in zip(numbers, scalars, strict=True)]
        more = [y - x for y, x in zip(inside, scalars, strict=True)]
        readings += [("instead", f"{{}} instead of {group}", inside), ("plus", f"{group} + {{}}", more)]
    for find in (_formulas, _bare):
        every = [(_cost(f, names, how), how, text, f) for how, text, values in readings for f in find(fits, values)]
        for _, how, text, f in sorted(every, key=lambda each: each[0]):
            yield f"the right result for {text.format(f.text)}", _changed(names, f, HOW[how]), f


def _cost(f: Formula, names: Names, how: str) -> float:
    """How complicated a reading is; an input times a formula of itself is better said as another number."""
    return f.cost + 2 * (how != "instead" and any(LETTERS.get(n, n) in f.text for n in names)) + 0.5 * (how == "plus")


def _bare(fits: Sequence[_Inner], numbers: Sequence[float]) -> list[Formula]:
    """One number for all, of nine digits at most, if there are several vectors that tell."""
    middle, doubt = float(np.median(numbers)), max(fit.doubt for fit in fits) + 1e-11
    if len(fits) < 2 or max(abs(n - middle) for n in numbers) > 3 * doubt * abs(middle):
        return []
    return [constant(float(f"{middle:.9g}"))]


def _changed(names: Names, f: Formula, how: Callable[[Array, Array | float], Array]) -> Candidate:
    """The library's answer where a formula changes the inputs."""
    return _value(names, lambda case, x: how(x, f.value(case)))


def _formulas(fits: Sequence[_Inner], numbers: Sequence[float]) -> list[Formula]:
    """The formulas that give the numbers; 0 is one."""
    if all(abs(n) <= 1e-9 for n in numbers):
        return [constant(0.0)]
    if any(fit.doubt > WEAKEST or n == 0 for fit, n in zip(fits, numbers, strict=True)):
        return []
    return [f for f in formulas([fit.case for fit in fits], numbers, [fit.doubt + 1e-11 for fit in fits]) if f.text != "1"]
