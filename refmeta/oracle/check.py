"""Run a target on the vectors and judge what it returns.  Derivation: derivations/using-the-oracle.md"""

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.calls import CallError, as_array, result_of
from refmeta.oracle.case import PARTS, QUANTITIES, Case, Expected, of_returns
from refmeta.oracle.tolerance import RESIDUAL, per_task, tolerance

REDUCTIONS = ("none", "sum", "mean")
RIGHT = ("pass", "refused", "bounded")


class Settings(NamedTuple):
    """What the target computes, and in which precision; never a tolerance."""

    quantity: str = "gradient"
    reduce: str = "none"
    ascent: bool = False
    expect: str = "exact"
    dtype: str = "float64"
    skip_flags: tuple[str, ...] = ()


class Outcome(NamedTuple):
    """What became of one case.

    `verdict` is pass, refused (an invalid input, rightly) or bounded (an ill-conditioned one); mismatch, accepted (an
    invalid input, wrongly), error, crash or timeout; or skip.  `error` is in tolerances; `got` by name of the result.
    """

    case: Case
    verdict: str
    message: str = ""
    error: float = 0.0
    digits: float = np.inf
    got: dict[str, Array] | None = None
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


class Answer(NamedTuple):
    """A result of the target, with warnings about how it was computed."""

    value: Any
    warnings: tuple[str, ...] = ()


class Failed(Exception):
    """The target did not return: `verdict` is error, crash, timeout or skip; `refusal` if it said no by itself."""

    def __init__(self, verdict: str, message: str, *, refusal: bool = False) -> None:
        super().__init__(message)
        self.verdict, self.refusal = verdict, refusal


def plain(message: str, most: int = 500) -> str:
    """A message without control characters, and not too long."""
    said = "".join(c if c.isprintable() or c == " " else " " for c in message)
    return said if len(said) <= most else said[:most] + " …"


def validated(settings: Settings) -> Settings:
    """The settings, each with a value that exists."""
    allowed_values = {
        "quantity": QUANTITIES, "reduce": REDUCTIONS, "expect": ("exact", "first-order"), "dtype": ("float64", "float32")
    }  # fmt: skip
    for name, values in allowed_values.items():
        if getattr(settings, name) not in values:
            raise ValueError(f"{name} must be one of {', '.join(values)}, got {getattr(settings, name)!r}")
    if isinstance(settings.skip_flags, str):
        raise TypeError(f"skip_flags must be a tuple of flags, got the string {settings.skip_flags!r}")
    return settings


def names(case: Case, settings: Settings) -> tuple[str, ...]:
    """The expected quantities that a result may hold: one, or in a suite of parts any of them by name."""
    if case.suite in PARTS:
        return PARTS[case.suite]
    if case.suite == "reptile":
        return ("update",)
    first = settings.expect == "first-order" and settings.quantity == "gradient"
    return ("first_order" if first else settings.quantity,)


def transformed(value: Array, case: Case, settings: Settings, name: str = "") -> Array:
    """A result one row a task as the target is to return it: with its sign, and reduced over the tasks."""
    signed = case.suite != "reptile" and (case.suite not in PARTS or of_returns(case.suite, name))
    value = -value if settings.ascent and signed else value
    if settings.reduce == "none" or case.suite in ("reptile", *PARTS):
        return value
    return np.sum(value, axis=0) if settings.reduce == "sum" else np.mean(value, axis=0)


def allowed(expected: Expected, case: Case, settings: Settings) -> Array:
    """The tolerance of each row of the transformed value; one number where it has no rows of tasks."""
    each = tolerance(expected.kappa, expected.scale, settings.dtype, RESIDUAL.get(case.suite, 0.0))
    if case.suite in ("reptile", *PARTS) or settings.reduce == "none":
        return each
    return np.asarray(np.sum(each) if settings.reduce == "sum" else np.mean(each))


def gap(got: Array, wanted: Array, limit: Array) -> float:
    """The largest error in units of its tolerance."""
    with np.errstate(over="ignore"):
        difference = np.abs(got - wanted)
    return float(np.max(per_task(difference) / limit if np.ndim(limit) else difference / limit, initial=0.0))


def judge(case: Case, returned: Any, settings: Settings) -> Outcome:
    """Compare what the target returned with the certified value."""
    if case.result == "invalid":
        return Outcome(case, "accepted", "it returned a result for an input that must be refused")
    try:
        results = _by_name(case, returned, settings)
    except (TypeError, ValueError) as error:
        return Outcome(case, "mismatch", str(error))
    worst, digits = 0.0, np.inf
    for name, got in results.items():
        expected = case.expected[name]
        wanted = transformed(expected.value, case, settings, name)
        limit = allowed(expected, case, settings)
        if case.result == "ill_conditioned":
            limit = limit + 2 * np.max(np.abs(wanted), initial=0.0)
        worst = max(worst, gap(got, wanted, limit))
        digits = min(digits, _digits(got, wanted, float(np.max(expected.scale))))
    verdict = "pass" if worst <= 1 else "mismatch"
    if case.result == "ill_conditioned" and verdict == "pass":
        verdict = "bounded"
    message = "" if verdict != "mismatch" else f"off by {worst:.3g} tolerances ({digits:.1f} digits agree)"
    return Outcome(case, verdict, message, worst, digits, results)


def _digits(got: Array, wanted: Array, scale: float) -> float:
    """The number of digits, relative to the largest entry and term, to which two arrays agree."""
    with np.errstate(over="ignore"):
        off, size = np.max(np.abs(got - wanted), initial=0.0), np.max(np.abs(wanted), initial=scale)
    return float(np.inf if off == 0 else max(0.0, -np.log10(off / size)) if size > 0 else 0.0)


def _by_name(case: Case, returned: Any, settings: Settings) -> dict[str, Array]:
    """The result as real arrays of the expected shapes; a sentence for anything else."""
    wanted = names(case, settings)
    if case.suite in PARTS:
        if not isinstance(returned, dict) or not returned or not set(returned) <= set(wanted):
            got = sorted(returned) if isinstance(returned, dict) else type(returned).__name__
            raise TypeError(f"returned {got}, expected a dict with some of {', '.join(wanted)}")
        return {name: _array(value, case, name, settings) for name, value in returned.items()}
    return {wanted[0]: _array(returned, case, wanted[0], settings)}


def _array(value: Any, case: Case, name: str, settings: Settings) -> Array:
    array = as_array(value, name)
    shape = transformed(case.expected[name].value, case, settings, name).shape
    if array.shape != shape:
        raise ValueError(
            f"returned shape {array.shape} for {name}, expected {shape}{_hint(array, case, name, settings)}"
        )
    if not np.isfinite(array).all():
        index = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
        raise ValueError(f"returned {array[tuple(index)]} for {name} at index {index}")
    return array


def _hint(array: Array, case: Case, name: str, settings: Settings) -> str:
    """What another shape may mean."""
    wanted = transformed(case.expected[name].value, case, settings, name)
    for reduce in REDUCTIONS[1:]:
        reduced = transformed(case.expected[name].value, case, settings._replace(reduce=reduce))
        if settings.reduce == "none" and array.shape == reduced.shape and np.allclose(array, reduced, rtol=1e-5):
            return f"; it is the {reduce} over the tasks: say so with --reduce {reduce}"
    if case.suite in PARTS and array.shape == wanted.shape[1:]:
        return "; the axis of the tasks is missing: results are one row a task, never reduced"
    if array.T.shape == wanted.shape:
        return "; it is the transposed shape"
    return "; its entries are as many: a matter of shape only" if array.size == wanted.size else ""


def run(target: Callable[..., Any], chosen: Iterable[Case], settings: Settings) -> list[Outcome]:
    """Ask the target every case; whatever it does, the rest still runs.

    A refusal counts only beside a result: a target that never returns one has refused nothing.
    """
    outcomes = [_one(target, case, settings) for case in chosen]
    answered = {o.case.suite for o in outcomes if o.got is not None}
    return [
        o._replace(verdict="error") if o.verdict == "refused" and o.case.suite not in answered else o for o in outcomes
    ]


def _one(target: Callable[..., Any], case: Case, settings: Settings) -> Outcome:
    flags = sorted(set(case.flags) & set(settings.skip_flags))
    if flags:
        return Outcome(case, "skip", f"skipped by --skip-flag {flags[0]}")
    start = time.perf_counter()
    try:
        returned = target(case, settings)
        answer = returned if isinstance(returned, Answer) else Answer(returned)
        outcome = judge(case, answer.value, settings)._replace(warnings=answer.warnings)
    except Failed as failure:
        refused = failure.refusal and case.result == "invalid"
        outcome = Outcome(case, "refused" if refused else failure.verdict, plain(str(failure)))
    return outcome._replace(seconds=time.perf_counter() - start)


def calling(function: Callable[..., Any]) -> Callable[[Case, Settings], Any]:
    """A Python function as a target: fresh arguments of the chosen dtype, exceptions told."""

    def target(case: Case, settings: Settings) -> Any:
        try:
            return Answer(*result_of(function, case.arguments(settings.dtype)))
        except CallError as error:
            raise Failed("error", str(error), refusal=error.refusal) from error

    return target
