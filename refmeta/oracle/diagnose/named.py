"""What every failing vector may equal: a known-wrong formula, a factor, another quantity, other rows, a rounded input.

Derivation: derivations/using-the-oracle.md
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.diagnose.moved import groups, in_single_precision, said
from refmeta.oracle.diagnose.rows import rows_of, value_of
from refmeta.oracle.judge import JudgeSettings, Outcome, gap, transformed
from refmeta.oracle.known import Wrong
from refmeta.oracle.match import Match, in_all, matches, pairs
from refmeta.oracle.suite import Case

__all__ = ["factors", "other_quantities", "permuted", "rounded_inputs", "rows", "rows_times", "tasks"]

CONVENTIONS = {
    "mean-over-tasks",
    "sum-over-tasks",
    "loss-scale-half",
    "loss-scale-double",
    "natural-gradient-uncentred",
}


def rows(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The known-wrong formulas that every failing vector equals."""
    every = rows_of(failing[0].case, settings)
    return [_as_row(row, failing, settings) for row in every if matches(failing, settings, value_of(row, settings))]


def _as_row(row: Wrong, failing: Sequence[Outcome], settings: JudgeSettings) -> Match:
    """What is said of a known-wrong formula."""
    kind = "a convention" if row.slug in CONVENTIONS else "known-wrong formula"
    chapter = failing[0].case.about.chapter_of(row)
    line = (
        f"EXACT match with {kind} {row.slug} ({row.formula}) {in_all(failing)}; likely: {row.cause}; see "
        f"derivations/{chapter}.md and `python -m refmeta explain {row.slug}`"
    )
    return Match(f"{row.slug} ({row.formula})", line, value_of(row, settings))


def rows_times(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """A known-wrong formula times one number."""
    found = []
    for row in rows_of(failing[0].case, settings):
        value = value_of(row, settings)
        every = [(got, value(o.case, name)) for o in failing for name, got in (o.got or {}).items()]
        both = [(got, v) for got, v in every if v is not None and v.shape == got.shape]
        if len(both) < len(every) or sum(got.size for got, _ in both) < 8:
            continue
        y, x = np.concatenate([np.ravel(got) for got, _ in both]), np.concatenate([np.ravel(v) for _, v in both])
        number = float(x @ y / (x @ x)) if np.any(x) else 0.0
        times = _multiple(value, number)
        if number and matches(failing, settings, times):
            what = f"known-wrong formula {row.slug} ({row.formula}), times {number:.6g}"
            found.append(Match(what, f"{what}, {in_all(failing)}", times))
    return found


def _multiple(value: Callable[[Case, str], Array | None], number: float) -> Callable[[Case, str], Array | None]:
    """A value times a number, where there is one."""

    def times(case: Case, name: str) -> Array | None:
        return None if (one := value(case, name)) is None else number * one

    return times


def other_quantities(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The right value of something else than was asked for."""
    found = []
    for name in failing[0].case.about.quantities:
        value: Callable[..., Array] = lambda c, _, q=name: transformed(c.expected[q].value, c, settings)
        if matches(failing, settings, value):
            hint = "drop --expect first-order" if settings.expect == "first-order" else f"say --quantity {name}"
            line = f"the right {name}, {in_all(failing)}: {hint}, if that is what it is to compute"
            found.append(Match(f"the right {name}", line, value))
    return found


def factors(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """One factor between what was got and what is right: a number, or one that depends on the case."""
    ascent = any(_turned(o.case, name, settings) for o in failing for name in o.got or {})
    sign = "−1: the sign" + " (if it works with returns, say --ascent; if not, do not)" * ascent
    named: dict[str, Callable[[Any, Case], float]] = {
        sign: lambda p, c: -1.0,
        "N, the number of tasks": lambda p, c: float(tasks(c)),
        "1/N, N the number of tasks": lambda p, c: 1.0 / tasks(c),
        "1/d, d the number of parameters": lambda p, c: 1.0 / len(p.theta),
        "α": lambda p, c: float(p.alpha) if np.ndim(p.alpha) == 0 else np.nan,
        "1/α": lambda p, c: 1 / float(p.alpha) if np.ndim(p.alpha) == 0 else np.nan,
        "−α": lambda p, c: -float(p.alpha) if np.ndim(p.alpha) == 0 else np.nan,
        "1 − γ": lambda p, c: 1 - c.input["gamma"],
        "1/(1 − γ)": lambda p, c: 1 / (1 - c.input["gamma"]),
        "K, the number of steps": lambda p, c: float(p.steps),
    }
    found = [m for name, f in named.items() if matches(failing, settings, (m := _times(name, f, failing, settings)).value)]
    number = _common_factor(failing, settings) if sum(pair.got.size for pair in pairs(failing, settings)) >= 4 else 0.0
    common = _times(f"{number:.12g}", lambda p, c: number, failing, settings)
    return [*found[:1], *([common] if number and not found and matches(failing, settings, common.value) else [])]


def _times(name: str, factor: Callable[[Any, Case], float], failing: Sequence[Outcome], settings: JudgeSettings) -> Match:
    """The right result times a factor of its case; no value where the factor is not defined."""

    def value(case: Case, part: str) -> Array | None:
        try:
            number = factor(case.problem, case)
        except (KeyError, AttributeError, ZeroDivisionError):
            return None
        return number * transformed(case.expected[part].value, case, settings, part) if np.isfinite(number) else None

    what = f"the right result times {name}"
    return Match(what, f"{what}, {in_all(failing)}", value)


def _turned(case: Case, name: str, settings: JudgeSettings) -> bool:
    """Does --ascent do anything to a result?"""
    one, other = (
        transformed(case.expected[name].value, case, settings._replace(ascent=a), name) for a in (False, True)
    )
    return not np.array_equal(one, other)


def tasks(case: Case) -> int:
    """N, the length of the first input with an axis of tasks."""
    names = (name for name, entry in case.about.inputs.items() if entry.shape.startswith("(N"))
    return next(len(case.input[name]) for name in names if case.input[name] is not None)


def _common_factor(failing: Sequence[Outcome], settings: JudgeSettings) -> float:
    """The one number that times the right results comes nearest to the others."""
    found = pairs(failing, settings)
    x = np.concatenate([np.ravel(pair.right) for pair in found])
    y = np.concatenate([np.ravel(pair.got) for pair in found])
    return float(x @ y / (x @ x)) if np.any(x) else 0.0


def permuted(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The rows of the tasks in another order."""
    for _, _, got, right, limit in pairs(failing, settings):
        if (
            np.ndim(limit) != 1
            or not 1 < len(limit) <= 6
            or len(got) != len(limit)
            or not any(gap(got, right[list(p)], limit[list(p)]) <= 1 for p in itertools.permutations(range(len(right))))
        ):
            return []
    backwards: Callable[..., Array] = lambda case, name: transformed(case.expected[name].value, case, settings, name)[::-1]
    what = "the right rows in another order of the tasks"
    return [Match(what, f"{what}, {in_all(failing)}", backwards)]


def rounded_inputs(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The right result for inputs that were kept in single precision."""
    if settings.dtype != "float64":
        return []
    found = []
    for names in groups([o.case for o in failing]):
        value = in_single_precision(names, settings)
        if matches(failing, settings, value):
            what = f"the right result for {said(names)} in single precision"
            found.append(Match(what, f"{what}, {in_all(failing)}; likely: float32 where it is stored or read", value))
    return found
