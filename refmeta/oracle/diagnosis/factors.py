"""A factor between a result and a formula, looked up among the numbers of each case: 1/N, α, 1 − γ, or one constant.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.diagnosis.numbers import CONSTANTS, Formula, constant, formulas
from refmeta.oracle.diagnosis.rows import candidate_rows, value_of
from refmeta.oracle.judge import JudgeSettings, Outcome, right_result
from refmeta.oracle.match import (
    NEAR,
    Candidate,
    Match,
    Pair,
    alike,
    each_pair,
    generic_first,
    is_like_right,
    match_of,
    matching,
    right_of,
)
from refmeta.oracle.suite import Case

__all__ = ["Multiple", "factor_matches", "fits_of", "fitted_factors", "looked_up", "row_factor_matches", "scaled", "times", "wrong_pairs"]

WEAKEST, DIGITS, FEWEST, FEWEST_OF_ROW = 1e-5, 8.0, 4, 8


class Multiple(NamedTuple):
    """The factor of a pair, one number or one per row, and its relative error."""

    pair: Pair
    number: Array | float
    doubt: float


def factor_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The right result times a factor: one number, a formula of the numbers of the case, or of those of a task."""
    right = right_of(settings)
    return scaled(Match("the right result", "", right), failing, settings, FEWEST)


def row_factor_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """A known-wrong formula times a factor; results that are all zero are no multiples, and no formula is computed for them."""
    found: list[Match] = []
    if not any(np.any(pair.got) for pair in wrong_pairs(failing, settings)):
        return found
    for row in candidate_rows(failing[0].case, settings):
        base = Match(f"known-wrong formula {row.slug} ({row.formula}),", "", value_of(row, settings))
        found += [m._replace(slug=row.slug) for m in scaled(base, failing, settings, FEWEST_OF_ROW)]
    return found


def scaled(base: Match, failing: Sequence[Outcome], settings: JudgeSettings, fewest: int = FEWEST_OF_ROW) -> list[Match]:
    """The base times each of the simplest factors that every failing vector has.

    From fewer than a few entries the simplest factors of the right result are read, and no bare number.
    """
    if (fits := fits_of(base.value, _wrong_in_turn(failing, settings))) is None:
        return []
    entries = sum(fit.pair.got.size for fit in fits)
    enough, most = entries >= fewest, 1.0 if fewest == FEWEST else 0.0
    found = [f for f in looked_up(fits, enough) if f.text != "1" and (enough or f.cost <= most)]
    return matching((_times(base, f, failing) for f in found), failing, settings)


def wrong_pairs(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Pair]:
    """The wrong results, generic ones first."""
    return list(_wrong_in_turn(failing, settings))


def _wrong_in_turn(failing: Sequence[Outcome], settings: JudgeSettings) -> Iterator[Pair]:
    """The same, computed one by one: most bases fail on the first."""
    return (pair for pair in each_pair(generic_first(failing), settings) if not is_like_right(pair))


def fits_of(value: Candidate, wrong: Iterable[Pair]) -> list[Multiple] | None:
    """The factor of every wrong result; None as soon as one is not a multiple of the value, row by row."""
    fits = []
    for pair in wrong:
        one = value(pair.case, pair.name)
        if one is None or one.shape != pair.got.shape or not np.isfinite(one).all() or (fit := _fit(pair, one)) is None:
            return None
        fits.append(fit)
    return fits or None


def _fit(pair: Pair, value: Array) -> Multiple | None:
    """One number, or one for each row; None if neither gives the result."""
    for number in _numbers(pair, value):
        if alike(pair, _apply(number, value)):
            size = np.max(np.abs(_apply(number, value)))
            return Multiple(pair, number, NEAR * float(np.max(pair.limit)) / size if size > 0 else np.inf)
    return None


def _numbers(pair: Pair, value: Array) -> Iterator[Array | float]:
    """The factor of all entries and the factors of the rows, by least squares."""
    yield _ratio(np.ravel(pair.got), np.ravel(value))
    if value.ndim > 1 and np.ndim(pair.limit) == 1 and len(value) == len(pair.limit) > 1:
        yield np.array([_ratio(np.ravel(g), np.ravel(v)) for g, v in zip(pair.got, value, strict=True)])


def _ratio(got: Array, value: Array) -> float:
    """The factor that brings the value nearest to what was got; 0 where the value is 0."""
    size = np.max(np.abs(value), initial=0.0)
    return float((got / size) @ (value / size) / ((value / size) @ (value / size))) if size > 0 else 0.0


def _apply(number: Array | float, value: Array) -> Array:
    """The value times a number, or its rows times one each."""
    return np.reshape(number, np.shape(number) + (1,) * (value.ndim - np.ndim(number))) * value


def looked_up(fits: Sequence[Multiple], bare: bool) -> list[Formula]:
    """The formulas that give the factors; any constant if `bare`, else those that have a reason."""
    sure = [fit for fit in fits if fit.doubt <= WEAKEST]
    if not sure or sum(-np.log10(max(fit.doubt, 1e-16)) for fit in sure) < DIGITS:
        return []
    found = formulas([f.pair.case for f in sure], [f.number for f in sure], [f.doubt + 1e-13 for f in sure])
    numbers = np.concatenate([np.ravel(fit.number) for fit in sure])
    one, spread = float(np.median(numbers)), float(np.max(np.abs(numbers - np.median(numbers))))
    if bare and spread <= max(fit.doubt + 1e-13 for fit in sure) * abs(one) and all(f.cost > 0 for f in found):
        found += [] if any(f.text in CONSTANTS for f in found) else [constant(_best(sure))]
    return sorted(found, key=lambda f: f.cost)


def _best(fits: Sequence[Multiple]) -> float:
    """The number that is known best."""
    return float(np.ravel(min(fits, key=lambda fit: fit.doubt).number)[0])


def times(value: Candidate, formula: Formula) -> Candidate:
    """A value times a formula of its case; None where either is not defined."""

    def product(case: Case, name: str) -> Array | None:
        one, number = value(case, name), formula.value(case)
        if one is None or not np.isfinite(number).all() or np.ndim(number) and np.shape(number) != one.shape[:1]:
            return None
        return _apply(number, one)

    return product


def _times(base: Match, formula: Formula, failing: Sequence[Outcome]) -> Match:
    """The base times a formula, in words; what to say of a sign."""
    parts = {(o.case.about, name) for o in failing for name in o.got or {}}
    ascent = base.what == "the right result" and any(about.parts[name].turned for about, name in parts)
    sign = ": the sign" + " (if it works with returns, say --ascent; if not, do not)" * ascent
    text = formula.text + sign * (formula.text == "−1" and base.what == "the right result")
    return match_of(f"{base.what} times {text}", times(base.value, formula), failing, cost=base.cost + formula.cost)


def fitted_factors(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The right result times a number of each case that is no formula of its numbers: a fit, which is said to be one."""
    fits = fits_of(right_of(settings), wrong_pairs(failing, settings))
    if fits is None or len(fits) < 2 or sum(fit.pair.got.size - np.size(fit.number) for fit in fits) < FEWEST:
        return []
    number = {fit.pair.case: fit.number for fit in fits}
    some = "; ".join(f"{np.array2string(np.asarray(f.number), precision=6)} in {f.pair.case.id}" for f in fits[:3])
    value: Candidate = lambda case, name: _apply(number[case], right_result(case, name, settings)) if case in number else None
    what = "the right result times a number of each vector" if not np.ndim(fits[0].number) else "the right rows, each times a number"
    return [match_of(what, value, failing, f", by a fit ({some}), which no formula here gives")]
