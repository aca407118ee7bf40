"""The right result plus a multiple of an input, of another part, or of a term that the suite names.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.clock import now
from refmeta.oracle.diagnosis.factors import Multiple, fits_of, looked_up, times, wrong_pairs
from refmeta.oracle.diagnosis.numbers import Formula
from refmeta.oracle.diagnosis.rows import candidate_rows, value_of
from refmeta.oracle.judge import JudgeSettings, Outcome
from refmeta.oracle.match import (
    NEAR,
    Candidate,
    Match,
    Pair,
    alike,
    candidate_of,
    inputs_of,
    match_of,
    matching,
    right_of,
)
from refmeta.oracle.suite import Case

__all__ = ["addition_matches", "added", "mixed", "mixture_matches", "plus"]

FEWEST, BARE = 3, 8


def addition_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The right result plus a multiple of one term."""
    right = Match("the right result", "", right_of(settings))
    return [m for term in _terms(failing, settings) for m in added(right, term, failing, settings)]


def mixture_matches(failing: Sequence[Outcome], settings: JudgeSettings, until: float = np.inf) -> list[Match]:
    """A multiple of the right result plus a multiple of a term or of a known-wrong formula."""
    rows = [Match(row.slug, "", value_of(row, settings)) for row in candidate_rows(failing[0].case, settings)]
    for term in [*_terms(failing, settings), *rows]:
        if now() > until:
            break
        if found := mixed(term, failing, settings):
            return found
    return []


def _terms(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The terms that have the shape of the part, each with its name; of equal ones the first."""
    wrong, found, values = wrong_pairs(failing, settings), list[Match](), list[tuple[Array, Candidate]]()
    names: dict[str, None] = {}
    for o in failing:
        for part in o.got or {}:
            names |= dict.fromkeys(_all_terms(o.case, part))
    for name in names:
        value = candidate_of(lambda case, part, n=name: _all_terms(case, part)[n](), settings)  # type: ignore[misc]
        one = value(wrong[0].case, wrong[0].name)
        if one is None or not any(_are_same(one, other) and _are_same_on(value, f, wrong) for other, f in values):
            found.append(Match(name, "", value))
            values += [] if one is None else [(one, value)]
    return found


def _are_same(one: Array | None, other: Array | None) -> bool:
    """Are two values of a term the same, to nine digits, or to 1e-8 where they are smaller than 10?"""
    if one is None or other is None or one.shape != other.shape:
        return False
    with np.errstate(invalid="ignore"):
        return bool(np.all((one == other) | (np.abs(one - other) <= 1e-8 + 1e-9 * np.abs(other))))


def _are_same_on(one: Candidate, other: Candidate, wrong: Sequence[Pair]) -> bool:
    """Are two terms the same on every wrong result?"""
    return all(_are_same(one(p.case, p.name), other(p.case, p.name)) for p in wrong)


@lru_cache(maxsize=256)
def _all_terms(case: Case, part: str) -> dict[str, Any]:
    """One; the inputs of the part's shape, of all tasks or of one; other parts; what the suite names.  All on demand."""
    shape = case.expected[part].value.shape
    inside = shape[1:] if case.about.parts[part].by_task else shape
    x = {n: np.asarray(value) for n, value in inputs_of(case).items() if value is not None}
    inputs = {n: value for n, value in x.items() if value.dtype.kind == "f" and value.shape in (shape, inside) and value.ndim}
    squares = {f"|{n}|²": np.asarray(value @ value) for n, value in x.items() if value.ndim == 1 and value.dtype.kind == "f" and not inside}
    others = {q: e.value for q, e in case.expected.items() if q != part and e.value.shape == shape}
    arrays = {"1": np.ones(())} | inputs | squares | others
    known = {n: (lambda value=value: np.broadcast_to(value, shape)) for n, value in arrays.items()}
    return known | {n: _once(term, shape) for n, term in case.about.additions(part, case.problem).items()}


def _once(term: Any, shape: tuple[int, ...]) -> Any:
    """A term that is computed when it is first wanted."""
    return lru_cache(maxsize=1)(lambda: np.broadcast_to(term(), shape))


def added(base: Match, term: Match, failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The base plus each of the simplest multiples of a term that every failing vector has."""
    differences = []
    for pair in wrong_pairs(failing, settings):
        if (one := base.value(pair.case, pair.name)) is None or one.shape != pair.got.shape:
            return []
        differences.append(pair._replace(got=pair.got - one))
    if (fits := fits_of(term.value, differences)) is None:
        return []
    entries = sum(fit.pair.got.size for fit in fits)
    if entries - len(fits) < FEWEST:
        return []
    found = (_sum(base, term, formula, failing) for formula in looked_up(fits, entries >= BARE))
    return matching(found, failing, settings)


def _sum(base: Match, term: Match, formula: Formula, failing: Sequence[Outcome]) -> Match:
    """The base plus a formula times a term, in words."""
    return match_of(f"{base.what} {_signed(formula.text, term.what)}", plus(base.value, times(term.value, formula)), failing, cost=formula.cost)


def _signed(number: str, term: str) -> str:
    """+ 2·theta, − theta, + ½·λ·theta."""
    sign, size = ("−", number[1:]) if number.startswith("−") else ("+", number)
    size = size.split(",")[0]
    return f"{sign} {size}" if term == "1" else f"{sign} {term}" if size == "1" else f"{sign} {f'({size})' if '/' in size else size}·{term}"


def plus(one: Candidate, other: Candidate) -> Candidate:
    """The sum of two values; None where one of them is."""

    def value(case: Case, name: str) -> Array | None:
        a, b = one(case, name), other(case, name)
        return None if a is None or b is None or a.shape != b.shape else a + b

    return value


def mixed(term: Match, failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """A multiple of the right result plus a multiple of a term, both of which have a formula."""
    firsts, seconds = [], []
    for pair in wrong_pairs(failing, settings):
        if (both := _two(pair, term.value(pair.case, pair.name))) is None:
            return []
        firsts.append(both[0])
        seconds.append(both[1])
    if not firsts or sum(fit.pair.got.size - 2 for fit in firsts) < FEWEST:
        return []
    bare, right = sum(fit.pair.got.size for fit in firsts) >= BARE, right_of(settings)
    candidates = [
        match_of(f"{_front(a)}the right result {_signed(c.text, term.what)}", plus(times(right, a), times(term.value, c)), failing, cost=a.cost + c.cost)
        for a in looked_up(firsts, bare)
        for c in looked_up(seconds, bare)
    ]
    return matching(candidates, failing, settings)


def _front(formula: Formula) -> str:
    """A factor in front of what it multiplies."""
    return "" if formula.text == "1" else f"{formula.text.split(',')[0]} · "


def _two(pair: Pair, term: Array | None) -> tuple[Multiple, Multiple] | None:
    """The multiples of the right result and of a term that give a result, by least squares; None if none do."""
    if term is None or term.shape != pair.got.shape or not np.isfinite(term).all() or not np.any(term):
        return None
    sizes = np.array([np.max(np.abs(x)) for x in (pair.right, term)])
    if not np.all(sizes > 0):
        return None
    X = np.stack([np.ravel(pair.right) / sizes[0], np.ravel(term) / sizes[1]], axis=-1)
    numbers = np.linalg.lstsq(X, np.ravel(pair.got), rcond=None)[0]
    if np.linalg.cond(X) > 1e4 or not alike(pair, (X @ numbers).reshape(pair.got.shape)):
        return None
    error = NEAR * float(np.max(pair.limit)) * np.linalg.norm(np.linalg.pinv(X), ord=2)
    a, c = (Multiple(pair, float(n / s), float(error / max(abs(n), 1e-300))) for n, s in zip(numbers, sizes, strict=True))
    return a, c
