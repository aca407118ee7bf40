"""Name the mistake: which known-wrong formula, pattern or factor a wrong result equals, on every failing vector.

Derivation: derivations/using-the-oracle.md
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.case import PARTS, Case
from refmeta.oracle.epsilons import effects, returned
from refmeta.oracle.expand import detached_steps, odd_terms
from refmeta.oracle.judge import Outcome, Settings, allowed, gap, transformed
from refmeta.oracle.match import matched, matches, pairs
from refmeta.oracle.rows import CATALOGUES, catalogue, departure_of, value_of
from refmeta.oracle.traces import Departure, traced
from refmeta.oracle.wrong.row import chapter_of

CONVENTIONS = {
    "mean-over-tasks",
    "sum-over-tasks",
    "loss-scale-half",
    "loss-scale-double",
    "natural-gradient-uncentred",
}
UNCERTAIN, FEWEST_DIGITS = ("", "single precision"), 2


class Explanation(NamedTuple):
    """What explains a wrong part: the name of the mechanism, "" if nothing does, and sentences."""

    part: str
    name: str
    lines: list[str]


def diagnose(outcomes: Sequence[Outcome], settings: Settings) -> list[str]:
    """Sentences, the best explanation first; nothing is explained that does not hold on every failing vector."""
    return first_of(explain(outcomes, settings))


def first_of(explanations: Sequence[Explanation]) -> list[str]:
    """What explains the first wrong part, in order of dependence, and the names of the others."""
    if not explanations:
        return []
    others = ", ".join(e.part for e in explanations[1:])
    return [*explanations[0].lines, *([f"also wrong, perhaps because of it: {others}"] if others else [])]


def explain(outcomes: Sequence[Outcome], settings: Settings) -> list[Explanation]:
    """What explains every wrong part, in order of dependence, up to the first that is explained by a mistake.

    Nothing is explained where a result is no array of its shape.
    """
    failing = [o for o in outcomes if o.verdict == "mismatch"]
    if not failing or any(o.got is None for o in failing):
        return []
    if failing[0].case.suite not in PARTS:
        return [_explained("", failing, settings, [o for o in outcomes if o.verdict == "pass"])]
    explanations: list[Explanation] = []
    for name in PARTS[failing[0].case.suite]:
        wrong, known = _only(failing, name, settings), any(e.name not in UNCERTAIN for e in explanations)
        if wrong and known:
            explanations.append(Explanation(name, "", []))
        elif wrong:
            explanations.append(_explained(name, wrong, settings, _right(outcomes, name, settings)))
    return explanations


def _only(failing: Sequence[Outcome], name: str, settings: Settings) -> list[Outcome]:
    """The outcomes whose result of this name is wrong, with nothing else in them."""
    alone = [o._replace(got={name: o.got[name]}) for o in failing if o.got and name in o.got]
    return [o for o in alone if not matched(o, name, settings)]


def _right(outcomes: Sequence[Outcome], name: str, settings: Settings) -> list[Outcome]:
    """The outcomes whose result of this name is right, with nothing else in them."""
    judged = [o for o in outcomes if o.verdict in ("pass", "mismatch") and name in (o.got or {})]
    return [o._replace(got={name: (o.got or {})[name]}) for o in judged if matched(o, name, settings)]


def _explained(
    part: str, failing: Sequence[Outcome], settings: Settings, passing: Sequence[Outcome] = ()
) -> Explanation:
    """The first mechanism that explains every failing vector."""
    explanations: dict[str, Callable[[], list[str]]] = {
        "row": lambda: _rows(failing, settings), "detached step": lambda: detached_steps(failing, settings, passing),
        "other quantity": lambda: _other_quantity(failing, settings), "factor": lambda: _factors(failing, settings),
        "row times": lambda: _rows_times(failing, settings), "odd terms": lambda: odd_terms(failing, settings),
        "order": lambda: _permuted(failing, settings), "trace": lambda: _traces(failing, settings, passing),
        "single precision": lambda: _single_precision(failing, settings),
    }  # fmt: skip
    before = f"{part}: " if part else ""
    for name, lines in explanations.items():
        if explained := lines():
            return Explanation(part, name, [before + line for line in explained])
    unknown = "no mistake that is known here explains every failing vector"
    return Explanation(part, "", [before + unknown + _flagged(failing, passing)])


def _traces(failing: Sequence[Outcome], settings: Settings, passing: Sequence[Outcome]) -> list[str]:
    """A small multiple of a known departure: of a known-wrong formula, or an ε in a denominator or a logarithm."""
    if any(o.digits < FEWEST_DIGITS for o in failing):
        return []
    suite = failing[0].case.suite
    rows: list[Departure] = [Departure(row.slug, departure_of(row, settings)) for row in catalogue(suite, settings)]
    names = dict.fromkeys(name for o in failing for part in o.got or {} for name in effects(o.case, part))
    return traced(failing, settings, passing, rows, [Departure(name, returned(name, settings)) for name in names])


def _flagged(failing: Sequence[Outcome], passing: Sequence[Outcome]) -> str:
    """The flags that every failing vector has and no passing one: where to look when nothing is known."""
    flags = set.intersection(*(set(o.case.flags) for o in failing)).difference(*(o.case.flags for o in passing))
    if not flags or not passing:
        return ""
    said = " and ".join(repr(flag) for flag in sorted(flags))
    return f"; it is wrong exactly where the flag is {said}, and right in the {len(passing)} others"


def _rows(failing: Sequence[Outcome], settings: Settings) -> list[str]:
    """The known-wrong formulas that every failing vector equals."""
    found = [
        row for row in catalogue(failing[0].case.suite, settings) if matches(failing, settings, value_of(row, settings))
    ]
    name, said = CATALOGUES.get(failing[0].case.suite, "maml"), []
    for row in found:
        kind = "a convention" if row.slug in CONVENTIONS else "known-wrong formula"
        said.append(
            f"EXACT match with {kind} {row.slug} ({row.formula}) in {len(failing)} of {len(failing)} failing vectors; "
            f"likely: {row.cause}; see derivations/{chapter_of(name, row)}.md and `python -m refmeta explain {row.slug}`"
        )
    if len(said) > 1:
        said.insert(0, f"a tie: {len(said)} formulas give the same numbers on these vectors")
    return said


def _rows_times(failing: Sequence[Outcome], settings: Settings) -> list[str]:
    """A known-wrong formula times one number."""
    for row in catalogue(failing[0].case.suite, settings):
        value = value_of(row, settings)
        every = [(got, value(o.case, name)) for o in failing for name, got in (o.got or {}).items()]
        both = [(got, v) for got, v in every if v is not None and v.shape == got.shape]
        if len(both) < len(every) or sum(got.size for got, _ in both) < 8:
            continue
        y, x = np.concatenate([np.ravel(got) for got, _ in both]), np.concatenate([np.ravel(v) for _, v in both])
        number = float(x @ y / (x @ x)) if np.any(x) else 0.0
        if number and matches(failing, settings, lambda c, n, v=value, k=number: k * v(c, n)):  # type: ignore[misc]
            return [f"known-wrong formula {row.slug} ({row.formula}), times {number:.6g}, {_in_all(failing)}"]
    return []


def _other_quantity(failing: Sequence[Outcome], settings: Settings) -> list[str]:
    """The right value of something else than was asked for."""
    if not failing[0].case.suite.startswith(("maml", "implicit")):
        return []
    for name in failing[0].case.expected:
        if matches(failing, settings, lambda c, _, q=name: transformed(c.expected[q].value, c, settings)):  # type: ignore[misc]
            hint = "drop --expect first-order" if settings.expect == "first-order" else f"say --quantity {name}"
            return [f"the right {name}, {_in_all(failing)}: {hint}, if that is what it is to compute"]
    return []


def _in_all(failing: Sequence[Outcome]) -> str:
    """In how many of the failing vectors an explanation holds."""
    return f"in {len(failing)} of {len(failing)} failing vectors"


def _factors(failing: Sequence[Outcome], settings: Settings) -> list[str]:
    """One factor between what was got and what is right: a number, or one that depends on the case."""
    ascent = any(_turned(o.case, name, settings) for o in failing for name in o.got or {})
    sign = "−1: the sign" + " (if it works with returns, say --ascent; if not, do not)" * ascent
    named: dict[str, Callable[[Any, Case], float]] = {
        sign: lambda p, c: -1.0,
        "N, the number of tasks": lambda p, c: float(_tasks(c)),
        "1/N, N the number of tasks": lambda p, c: 1.0 / _tasks(c),
        "1/d, d the number of parameters": lambda p, c: 1.0 / len(p.theta),
        "α": lambda p, c: float(p.alpha) if np.ndim(p.alpha) == 0 else np.nan,
        "1/α": lambda p, c: 1 / float(p.alpha) if np.ndim(p.alpha) == 0 else np.nan,
        "−α": lambda p, c: -float(p.alpha) if np.ndim(p.alpha) == 0 else np.nan,
        "1 − γ": lambda p, c: 1 - c.input["gamma"],
        "1/(1 − γ)": lambda p, c: 1 / (1 - c.input["gamma"]),
        "K, the number of steps": lambda p, c: float(p.steps),
    }
    for name, factor in named.items():
        if matches(failing, settings, lambda case, n, f=factor: _scaled(case, n, f, settings)):  # type: ignore[misc]
            return [f"the right result times {name}, in {len(failing)} of {len(failing)} failing vectors"]
    number = _common_factor(failing, settings) if sum(pair.got.size for pair in pairs(failing, settings)) >= 4 else 0.0
    if number and matches(failing, settings, lambda case, n: _scaled(case, n, lambda p, c: number, settings)):
        return [f"the right result times {number:.12g}, in {len(failing)} of {len(failing)} failing vectors"]
    return []


def _turned(case: Case, name: str, settings: Settings) -> bool:
    """Does --ascent do anything to a result?"""
    one, other = (
        transformed(case.expected[name].value, case, settings._replace(ascent=a), name) for a in (False, True)
    )
    return not np.array_equal(one, other)


def _tasks(case: Case) -> int:
    """N."""
    return len(case.input["adapted"]) if case.suite == "reptile" else len(next(iter(case.expected.values())).value)


def _scaled(case: Case, name: str, factor: Callable[[Any, Case], float], settings: Settings) -> Array | None:
    """The right result times a factor of its case; None where the factor is not defined."""
    try:
        number = factor(case.problem, case)
    except (KeyError, AttributeError, ZeroDivisionError):
        return None
    return number * transformed(case.expected[name].value, case, settings, name) if np.isfinite(number) else None


def _common_factor(failing: Sequence[Outcome], settings: Settings) -> float:
    """The one number that times the right results comes nearest to the others."""
    found = pairs(failing, settings)
    x = np.concatenate([np.ravel(pair.right) for pair in found])
    y = np.concatenate([np.ravel(pair.got) for pair in found])
    return float(x @ y / (x @ x)) if np.any(x) else 0.0


def _permuted(failing: Sequence[Outcome], settings: Settings) -> list[str]:
    """The rows of the tasks in another order."""
    for _, _, got, right, limit in pairs(failing, settings):
        if (
            np.ndim(limit) != 1
            or not 1 < len(limit) <= 6
            or len(got) != len(limit)
            or not any(gap(got, right[list(p)], limit[list(p)]) <= 1 for p in itertools.permutations(range(len(right))))
        ):
            return []
    return [f"the right rows in another order of the tasks, in {len(failing)} of {len(failing)} failing vectors"]


def _single_precision(failing: Sequence[Outcome], settings: Settings) -> list[str]:
    """Right to single precision where double was promised."""
    if settings.dtype != "float64" or not all(4.5 <= o.digits <= 10 for o in failing):
        return []
    single = settings._replace(dtype="float32")
    for o in failing:
        for name, got in (o.got or {}).items():
            expected = o.case.expected[name]
            if gap(got, transformed(expected.value, o.case, single, name), allowed(expected, o.case, single)) > 1:
                return []
    rounded = all(np.array_equal(np.float32(got), got) for o in failing for got in (o.got or {}).values())
    where = (
        "the result is in float32"
        if rounded
        else "float32 on the way, a finite difference, or an iteration that stops early"
    )
    return [
        f"right to single precision only: {where} (in JAX: jax_enable_x64 is off; in PyTorch: the default dtype); or check "
        "it with --dtype float32"
    ]
