"""Compare what a target returned with the certified values.  Derivation: derivations/using-the-oracle.md"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.known import EVERY
from refmeta.oracle.results import as_array
from refmeta.oracle.suite import Case, Expected, Suite
from refmeta.tables import unknown_name
from refmeta.tolerance import tolerance

__all__ = [
    "NEAR", "REDUCTIONS", "RIGHT", "WRONG", "Entry", "JudgeSettings", "Outcome", "as_returned", "check_settings", "gap", "growth", "in_limits",
    "is_bad", "judge", "limit_of", "names", "right_result", "size_of", "worst_entry",
]  # fmt: skip

REDUCTIONS = ("none", "sum", "mean")
RIGHT = ("pass", "refused", "bounded")
NEAR = 10.0
WRONG = ("mismatch", "accepted", "error", "crash", "timeout")


class JudgeSettings(NamedTuple):
    """What the target computes, in which precision, and whether it must refuse bad input.  Nobody sets a tolerance.

    `convention` is the slug of a formula that the target computes on purpose instead of the right one.
    """

    quantity: str = "gradient"
    reduce: str = "none"
    ascent: bool = False
    expect: str = "exact"
    dtype: str = "float64"
    skip_flags: tuple[str, ...] = ()
    validation: bool = False
    convention: str = ""


class Entry(NamedTuple):
    """One entry of a result beside the certified one, and their distance in tolerances."""

    part: str
    at: tuple[int, ...]
    yours: float
    certified: float
    tolerances: float


class Outcome(NamedTuple):
    """What became of one case.

    `verdict` is pass, refused (an invalid or ill-conditioned input) or bounded (an ill-conditioned one); mismatch,
    accepted (an invalid input), error, crash or timeout; or skip, unasked (an invalid input, without `validation`) or
    unanswered (a time-out on an ill-conditioned input).  A failure that a
    file of expected failures lists is `expected`.  `error` is in tolerances; `got` by name of the result; `worst`
    the entry with the largest error; `differs` by how many tolerances two answers to the case differ.
    """

    case: Case
    verdict: str
    message: str = ""
    error: float = 0.0
    digits: float = np.inf
    got: dict[str, Array] | None = None
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    worst: Entry | None = None
    differs: float = 0.0


def is_bad(o: Outcome) -> bool:
    """Is the outcome neither right nor left out?"""
    return o.verdict in WRONG


def check_settings(settings: JudgeSettings, suite: Suite) -> JudgeSettings:
    """Check that the suite has every setting."""
    first_order = ("first-order",) if "first_order" in suite.parts else ()
    values = {
        "quantity": suite.quantities or ("gradient",), "reduce": REDUCTIONS if suite.quantities else REDUCTIONS[:1],
        "expect": ("exact", *first_order), "dtype": ("float64", "float32"),
    }  # fmt: skip
    for name, allowed_values in values.items():
        if getattr(settings, name) not in allowed_values:
            wanted = f"{name} must be one of {', '.join(allowed_values)}, got {getattr(settings, name)!r}"
            raise ValueError(f"{wanted} (suite {suite.name})")
    if isinstance(settings.skip_flags, str):
        raise TypeError(f"skip_flags must be a tuple of flags, got the string {settings.skip_flags!r}")
    slugs = [row.slug for row in suite.rows if row.quantity in (*suite.parts, EVERY)]
    if settings.convention not in ("", *slugs):
        listing = f"`python -m refmeta list` lists the formulas; those of {suite.name} are {', '.join(slugs)}"
        raise ValueError(unknown_name("convention", settings.convention, slugs, listing))
    return settings


@lru_cache(maxsize=256)
def _by_convention(slug: str, case: Case) -> dict[str, Array]:
    """What a formula gives instead of the parts that it concerns; nothing where it does not apply."""
    row = next(row for row in case.about.rows if row.slug == slug)
    result = row.result(case.problem)
    parts = result if row.quantity == EVERY else {row.quantity: result}
    return {} if result is None else {part: np.asarray(value, float) for part, value in parts.items()}


def _right_value(case: Case, name: str, settings: JudgeSettings) -> Array:
    """The certified value of a part, or what the convention gives instead; one row per task."""
    certified = case.expected[name].value
    return _by_convention(settings.convention, case).get(name, certified) if settings.convention else certified


def names(case: Case, settings: JudgeSettings) -> tuple[str, ...]:
    """The parts that a result may hold: one, or any of them where the answer is a dict."""
    suite = case.about
    if not suite.array:
        return tuple(suite.parts)
    if settings.expect == "first-order" and settings.quantity == "gradient" and "first_order" in suite.parts:
        return ("first_order",)
    if suite.quantities and settings.quantity not in suite.parts:
        raise ValueError(f"the suite {suite.name} has no quantity {settings.quantity!r}")
    return (settings.quantity if suite.quantities else suite.array,)


def _is_reduced(case: Case, settings: JudgeSettings, name: str) -> bool:
    """Is a result reduced over the tasks?"""
    return settings.reduce != "none" and bool(case.about.array) and case.about.parts[name].by_task


def as_returned(value: Array, case: Case, settings: JudgeSettings, name: str) -> Array:
    """A result with one row per task, as the target is to return it: with its sign, and reduced over the tasks."""
    value = -value if settings.ascent and case.about.parts[name].turned else value
    if not _is_reduced(case, settings, name):
        return value
    return np.sum(value, axis=0) if settings.reduce == "sum" else np.mean(value, axis=0)


def right_result(case: Case, name: str, settings: JudgeSettings) -> Array:
    """The certified value of a part, as the target is to return it."""
    return as_returned(_right_value(case, name, settings), case, settings, name)


def limit_of(case: Case, name: str, settings: JudgeSettings) -> Array:
    """The tolerance of each row of a right result; one number where the result is reduced.

    That of a convention's result, whose condition is not known, is ten times as wide, and grows with it.
    """
    expected = case.expected[name]
    each = tolerance(expected.kappa, expected.scale, settings.dtype, case.about.residual)
    if settings.convention:
        each = each * NEAR * growth(_right_value(case, name, settings), expected)
    if not _is_reduced(case, settings, name):
        return each
    return np.asarray(np.sum(each) if settings.reduce == "sum" else np.mean(each))


def growth(value: Array, expected: Expected) -> float:
    """How many times larger a value is than the right one and the terms that it is made of, at least 1."""
    size = np.maximum(np.max(np.abs(expected.value), initial=0.0), np.max(expected.scale, initial=1e-300))
    return float(np.maximum(1.0, np.max(np.abs(value), initial=0.0) / size))


def gap(got: Array, wanted: Array, limit: Array) -> float:
    """The largest error in units of its tolerance."""
    return float(np.max(in_limits(got, wanted, limit), initial=0.0))


def in_limits(got: Array, wanted: Array, limit: Array) -> Array:
    """Every entry's error in units of its tolerance."""
    with np.errstate(over="ignore"):
        difference = np.abs(got - wanted)
        return difference / np.reshape(limit, np.shape(limit) + (1,) * (np.ndim(difference) - np.ndim(limit)))


def judge(case: Case, returned: Any, settings: JudgeSettings) -> Outcome:
    """Compare what the target returned with the certified value."""
    if case.result == "invalid":
        return Outcome(case, "accepted", "it returned a result for an input that must be refused")
    try:
        results = _results(case, returned, settings)
    except (TypeError, ValueError) as error:
        return Outcome(case, "mismatch", str(error))
    if not results:
        return Outcome(case, "skip", "nothing was returned of what is asked")
    worst = max((worst_entry(case, name, got, settings) for name, got in results.items()), key=lambda e: e.tolerances)
    digits = min(_digits(case, name, got, settings) for name, got in results.items())
    right = "bounded" if case.result == "ill_conditioned" else "pass"
    verdict = right if worst.tolerances <= 1 else "mismatch"
    message = "" if verdict == right else f"off by {worst.tolerances:.3g} tolerances ({digits:.1f} digits agree)"
    return Outcome(case, verdict, message, worst.tolerances, digits, results, worst=worst)


def worst_entry(case: Case, name: str, got: Array, settings: JudgeSettings) -> Entry:
    """The entry of a result with the largest error; an ill-conditioned one may be off by twice the result's size."""
    wanted, limit = right_result(case, name, settings), limit_of(case, name, settings)
    if case.result == "ill_conditioned":
        limit = limit + 2 * np.max(np.abs(wanted), initial=0.0)
    errors = in_limits(got, wanted, limit)
    if not errors.size:
        return Entry(name, (), 0.0, 0.0, 0.0)
    at = np.unravel_index(np.argmax(errors), errors.shape)
    return Entry(name, tuple(map(int, at)), float(got[at]), float(wanted[at]), float(errors[at]))


def size_of(case: Case, name: str, settings: JudgeSettings) -> float:
    """The largest magnitude of a right result's entries and terms, to which digits are relative."""
    wanted = np.abs(right_result(case, name, settings))
    return float(np.max(wanted, initial=np.max(case.expected[name].scale)))


def _digits(case: Case, name: str, got: Array, settings: JudgeSettings) -> float:
    """The number of digits, relative to the largest entry and term, to which a result agrees."""
    size = size_of(case, name, settings)
    with np.errstate(over="ignore"):
        off = np.max(np.abs(got - right_result(case, name, settings)), initial=0.0)
        return float(np.inf if off == 0 else max(0.0, -np.log10(off / size)) if size > 0 else 0.0)


def _results(case: Case, returned: Any, settings: JudgeSettings) -> dict[str, Array]:
    """The result as real arrays of the expected shapes, by name; an error says what else was returned."""
    wanted = names(case, settings)
    if not case.about.array:
        if not isinstance(returned, dict) or not returned or not set(returned) <= set(wanted):
            got = sorted(returned) if isinstance(returned, dict) else type(returned).__name__
            raise TypeError(f"returned {got}, expected a dict with some of {', '.join(wanted)}{_record_hint(returned, wanted)}")
        asked = {name: value for name, value in returned.items() if name in case.expected}
        return {name: _array(value, case, name, settings) for name, value in asked.items()}
    return {wanted[0]: _array(returned, case, wanted[0], settings)}


def _record_hint(returned: Any, wanted: tuple[str, ...]) -> str:
    """What an array alone lacks where a dict of parts is asked for."""
    if isinstance(returned, (dict, str)) or returned is None:
        return ""
    return f"; an array alone does not say which of them it is: return it by name, as {{{wanted[0]!r}: array}}"


def _array(value: Any, case: Case, name: str, settings: JudgeSettings) -> Array:
    """One result as a real array of the expected shape; an error says what else was returned."""
    array = as_array(value, name)
    shape = right_result(case, name, settings).shape
    if array.shape != shape:
        raise ValueError(
            f"returned shape {array.shape} for {name}, expected {shape}{_hint(array, case, name, settings)}"
        )
    if not np.isfinite(array).all():
        index = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
        raise ValueError(f"returned {array[tuple(index)]} for {name} at index {index}")
    return array


def _hint(array: Array, case: Case, name: str, settings: JudgeSettings) -> str:
    """What another shape may mean."""
    wanted = right_result(case, name, settings)
    if array.shape == wanted.shape[1:] and wanted.shape[0] == 1:
        return "; the axis of the tasks is gone: results have one row per task, also for one task"
    if array.shape == (1, *wanted.shape):
        return "; it is a batch of one: return its entry [0]"
    for reduce in REDUCTIONS[1:] if case.about.array else ():
        reduced = right_result(case, name, settings._replace(reduce=reduce))
        alike = array.shape in (reduced.shape, (1, *reduced.shape))
        if settings.reduce == "none" and alike and np.allclose(array, reduced, rtol=1e-5):
            return f"; it is the {reduce} over the tasks: say so with --reduce {reduce}"
    if not case.about.array and array.shape == wanted.shape[1:]:
        return "; the axis of the tasks is missing: results have one row per task, never reduced"
    if array.T.shape == wanted.shape:
        return "; it is the transposed shape"
    return "; its entries are as many: a matter of shape only" if array.size == wanted.size else ""
