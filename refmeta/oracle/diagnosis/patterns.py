"""What every failing vector may equal: a known-wrong formula, a factor, another quantity, other rows, a rounded input.

Derivation: derivations/using-the-oracle.md
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.diagnosis.inputs import group_text, input_groups, rounded_result
from refmeta.oracle.diagnosis.rows import candidate_rows, value_of
from refmeta.oracle.judge import JudgeSettings, Outcome, gap, right_result
from refmeta.oracle.match import Candidate, Match, candidate_of, in_all, matches, pairs
from refmeta.oracle.suite import Case

__all__ = ["factor_matches", "order_matches", "quantity_matches", "rounding_matches", "row_matches", "scaled_row_matches", "task_count"]

CONVENTIONS = {
    "mean-over-tasks",
    "sum-over-tasks",
    "loss-scale-half",
    "loss-scale-double",
    "natural-gradient-uncentred",
}


def _matching(candidates: Iterable[Match], failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The candidates that every failing vector equals."""
    return [m for m in candidates if matches(failing, settings, m.value)]


def _match(what: str, value: Candidate, failing: Sequence[Outcome], more: str = "") -> Match:
    """A match whose sentence says in how many vectors it holds."""
    return Match(what, f"{what}, {in_all(failing)}{more}", value)


def row_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The known-wrong formulas that every failing vector equals."""
    candidates = []
    for row in candidate_rows(failing[0].case, settings):
        kind = "a convention" if row.slug in CONVENTIONS else "known-wrong formula"
        what, chapter = f"{row.slug} ({row.formula})", failing[0].case.about.chapter_of(row)
        line = (
            f"EXACT match with {kind} {what} {in_all(failing)}; likely: {row.cause}; see derivations/{chapter}.md and "
            f"`python -m refmeta explain {row.slug}`"
        )
        candidates.append(Match(what, line, value_of(row, settings)))
    return _matching(candidates, failing, settings)


def scaled_row_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """A known-wrong formula times one number."""
    candidates, every = [], pairs(failing, settings)
    for row in candidate_rows(failing[0].case, settings):
        value = value_of(row, settings)
        values = [v for p in every if (v := value(p.case, p.name)) is not None and v.shape == p.got.shape]
        if len(values) == len(every) and sum(v.size for v in values) >= 8 and (number := _factor(values, every)):
            what = f"known-wrong formula {row.slug} ({row.formula}), times {number:.6g}"
            candidates.append(_match(what, _multiple(value, number), failing))
    return _matching(candidates, failing, settings)


def _factor(values: Sequence[Array], every: Sequence[Any]) -> float:
    """The factor that brings the values nearest to the results; 0 if all values are 0."""
    x, y = (np.concatenate([np.ravel(each) for each in arrays]) for arrays in (values, [p.got for p in every]))
    return float(x @ y / (x @ x)) if np.any(x) else 0.0


def _multiple(value: Candidate, number: float) -> Candidate:
    """A value times a number; None where there is no value."""
    return lambda case, name: None if (one := value(case, name)) is None else number * one


def quantity_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The right value of another quantity than was asked for."""
    candidates = []
    for name in failing[0].case.about.quantities:
        value = candidate_of(lambda case, _, q=name: case.expected[q].value, settings)  # type: ignore[misc]
        hint = "drop --expect first-order" if settings.expect == "first-order" else f"say --quantity {name}"
        more = f": {hint}, if that is what it is to compute"
        candidates.append(_match(f"the right {name}", value, failing, more))
    return _matching(candidates, failing, settings)


def factor_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """One factor between what was got and what is right: a number, or one that depends on the case."""
    ascent = any(o.case.about.parts[name].turned for o in failing for name in o.got or {})
    sign = "−1: the sign" + " (if it works with returns, say --ascent; if not, do not)" * ascent
    alpha: Callable[[Any], float] = lambda p: float(p.alpha) if np.ndim(p.alpha) == 0 else np.nan
    factors: dict[str, Callable[[Any, Case], float]] = {
        sign: lambda p, c: -1.0,
        "N, the number of tasks": lambda p, c: float(task_count(c)),
        "1/N, N the number of tasks": lambda p, c: 1.0 / task_count(c),
        "1/d, d the number of parameters": lambda p, c: 1.0 / len(p.theta),
        "α": lambda p, c: alpha(p),
        "1/α": lambda p, c: 1 / alpha(p),
        "−α": lambda p, c: -alpha(p),
        "1 − γ": lambda p, c: 1 - c.input["gamma"],
        "1/(1 − γ)": lambda p, c: 1 / (1 - c.input["gamma"]),
        "K, the number of steps": lambda p, c: float(p.steps),
    }
    named = _matching((_times(name, f, failing, settings) for name, f in factors.items()), failing, settings)
    every = pairs(failing, settings)
    if named or sum(pair.got.size for pair in every) < 4 or not (number := _factor([p.right for p in every], every)):
        return named[:1]
    return _matching([_times(f"{number:.12g}", lambda p, c: number, failing, settings)], failing, settings)


def _times(name: str, factor: Callable[[Any, Case], float], failing: Sequence[Outcome], settings: JudgeSettings) -> Match:
    """The right result times a factor of its case; no value where the factor is not defined."""

    def value(case: Case, part: str) -> Array | None:
        number = factor(case.problem, case)
        return number * case.expected[part].value if np.isfinite(number) else None

    return _match(f"the right result times {name}", candidate_of(value, settings), failing)


def task_count(case: Case) -> int:
    """N, the length of the first input with an axis of tasks."""
    names = (name for name, entry in case.about.inputs.items() if entry.shape.startswith("(N"))
    return next(len(case.input[name]) for name in names if case.input[name] is not None)


def order_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The rows of the tasks in another order."""
    for _, _, got, right, limit in pairs(failing, settings):
        if (
            np.ndim(limit) != 1
            or not 1 < len(limit) <= 6
            or len(got) != len(limit)
            or not any(gap(got, right[list(p)], limit[list(p)]) <= 1 for p in itertools.permutations(range(len(right))))
        ):
            return []
    backwards: Candidate = lambda case, name: right_result(case, name, settings)[::-1]
    return [_match("the right rows in another order of the tasks", backwards, failing)]


def rounding_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The right result for inputs that were kept in single precision."""
    if settings.dtype != "float64":
        return []
    likely = "; likely: float32 where it is stored or read"
    candidates = [
        _match(f"the right result for {group_text(names)} in single precision", rounded_result(names, settings), failing, likely)
        for names in input_groups([o.case for o in failing])
    ]
    return _matching(candidates, failing, settings)
