"""Does a gradient belong to a function?  A verdict with digits, the worst entry, and what to try.  Derivation: derivations/judges.md"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_real, index_text
from refmeta.numerics.departures import Comparison, departures
from refmeta.numerics.differences import EPS, SINGLE, Difference
from refmeta.numerics.losses import loss_along, loss_gradient, loss_scale
from refmeta.numerics.returned import in_single_precision, returned_array

__all__ = ["GradientVerdict", "WorstEntry", "check", "check_unchanged", "randomness", "verdict_of"]

ENTRIES, DIRECTIONS = 500, 8  # up to this size every entry is judged, above it as many random directions
SEED = 20210507
LEAST, KEPT = 1e-90, 0.02  # the least slope that a complex step sharpens; the part of a difference's error that stays
DROPPED = "Casting complex values to real discards the imaginary part"  # the warning of NumPy, and of PyTorch
MARGIN = 3.0  # errors by which it may be off
ROUGH, SINGLE_OFF, VAGUE, LONE = 1e-6, 1e-3, 1e-2, 1e-2  # relative: rounding; in float32; too vague to tell; errors of others


class WorstEntry(NamedTuple):
    """Where it is off the most: the index in theta, or the number of the direction; what is yours, numeric, its error."""

    at: tuple[int, ...]
    yours: float
    numeric: float
    error: float


class GradientVerdict(NamedTuple):
    """What `check` found; `str` of it is plain sentences.

    word : RIGHT, ROUNDING (right to fewer digits than can be shown), WRONG or CANNOT TELL.
    digits : to how many digits it is right, relative to the largest entry; where it is RIGHT, as many as can be shown.
    sentence : the verdict in words.
    worst : the worst entry.
    advice : what to try.
    """

    word: str
    digits: float
    sentence: str
    worst: WorstEntry | None
    advice: tuple[str, ...]

    def __str__(self) -> str:
        """The sentences, one a line."""
        lines = [f"{self.word}: {self.sentence}"]
        if self.worst is not None:
            at, yours, numeric, error = self.worst
            lines.append(f"worst at {index_text(at) or 'theta'}: yours {yours:.10g}, numeric {numeric:.10g} ± {error:.2g}")
        return "\n".join([*lines, *(f"try: {line}" for line in self.advice)])


def check(f: Callable[[Array], Any], gradient: Callable[[Array], Any] | ArrayLike, theta: ArrayLike) -> GradientVerdict:
    """Judge a gradient of a real function f against values of f alone.

    Eq: richardson-difference

    Up to 500 parameters every entry is judged, above that eight random directions.  Where no difference converges, as at
    a kink, an entry is not judged; a mistake in the others is WRONG all the same.  Where f accepts complex numbers a
    complex step sharpens the numeric derivative, if it agrees with the difference.

    Parameters
    ----------
    f : function of an array of the shape of theta that returns one number
        It may return a tensor.
    gradient : function like f that returns an array of the shape of theta, or such an array
    theta : array
        The point, real.

    Returns
    -------
    GradientVerdict

    Raises
    ------
    TypeError, ValueError
        If f or `gradient` returns no real numbers or a wrong shape, or changes theta in place.
    FloatingPointError
        If a result at theta is not finite.
    """
    if not callable(f):
        raise TypeError(f"f must be a function of an array, got {type(f).__name__}")
    x = as_real(theta, "theta")
    if x.size == 0:
        raise ValueError(f"theta has shape {x.shape}, expected at least one number")
    loss: Callable[[Array], float] = lambda flat: float(returned_array(f(flat.reshape(x.shape).copy()), "f(theta)", ()))
    check_unchanged(f, "f", theta=x)
    yours, single = _claimed(gradient, x)
    return randomness(loss, x.ravel()) or _judged(loss, f, yours.ravel(), x, single)


def randomness(loss: Callable[[Array], float], x: Array) -> GradientVerdict | None:
    """CANNOT TELL of a function that returns two numbers at one θ; else None."""
    first, second = loss(x), loss(x)
    if first == second:
        return None
    sentence = f"f is random: at the same theta it returned {first!r} and then {second!r}"
    return _cannot_tell(sentence, "draw the samples once, or fix the seed inside f")


def check_unchanged(function: Callable[..., Any], name: str, **arguments: Array) -> None:
    """ValueError if the function writes to one of its arguments."""
    copies = {each: array.copy() for each, array in arguments.items()}
    function(*copies.values())
    for each, array in arguments.items():
        if not np.array_equal(copies[each], array):
            raise ValueError(f"{name} changes {each} in place: copy it inside {name}, as with {each} = {each}.copy()")


def _claimed(gradient: Any, x: Array) -> tuple[Array, bool]:
    """The gradient that is judged, in the shape of theta, and: is it in single precision?"""
    if not callable(gradient):
        return returned_array(gradient, "gradient", x.shape, verb="has"), in_single_precision(gradient)
    check_unchanged(gradient, "gradient", theta=x)
    result = gradient(x.copy())
    return returned_array(result, "gradient(theta)", x.shape), in_single_precision(result)


def _cannot_tell(sentence: str, *advice: str) -> GradientVerdict:
    """Nothing can be said, and why."""
    return GradientVerdict("CANNOT TELL", float("nan"), sentence, None, advice)


def _judged(loss: Callable[[Array], float], f: Callable[[Array], Any], yours: Array, x: Array, single_yours: bool) -> GradientVerdict:
    """The verdict by entries or by directions."""
    flat = x.ravel()
    single = loss_scale(loss, flat).rounding.eps == SINGLE
    if x.size <= ENTRIES:
        numeric = _sharpened(f, x, loss_gradient(loss, flat))
        return verdict_of(Comparison(yours, *numeric, flat, x.shape, 1, single_yours), "gradient", "function", single=single)
    rows = np.random.default_rng(SEED).choice([-1.0, 1.0], size=(DIRECTIONS, x.size))
    numeric = _along_rows(loss, flat, rows)
    return verdict_of(Comparison(rows @ yours, *numeric, rows @ flat, None, x.size, single_yours), "gradient", "function", single=single)


def _along_rows(loss: Callable[[Array], float], x: Array, rows: Array) -> Difference:
    """The slopes of the loss along the rows, (k,)."""
    parts, scale = [], None
    for row in rows:
        part, step = loss_along(loss, x, row, scale or loss_scale(loss, x, row))
        parts.append(part)
    return Difference(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _sharpened(f: Callable[[Array], Any], x: Array, numeric: Difference) -> Difference:
    """The complex step where f takes complex numbers and agrees with the difference; else the difference.

    Below 1e-90 the step may underflow, or its truncation be all that it returns.  A slope may also be what is left of terms that
    cancel, as at a minimum; their rounding is in the error of the difference, of which a part is kept.
    """
    try:
        exact = _complex_steps(f, x)
    except Exception:
        return numeric
    size = float(np.max(np.abs(exact)))
    agrees = np.isfinite(numeric.error) & (np.abs(exact - numeric.derivative) <= numeric.error)
    if not (size >= LEAST and np.all(agrees)):
        return numeric
    return Difference(exact, np.minimum(numeric.error, 1e4 * EPS * size + KEPT * numeric.error))


def _complex_steps(f: Callable[[Array], Any], x: Array) -> Array:
    """Im f(x + ihe)/h of every axis e, (d,); NaN where f returns a real number.

    The one warning that is silenced says that f drops an imaginary part, which shows in the numbers.  Filters of warnings
    belong to the whole process: any other one would reach what runs in other threads.
    """
    parts = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.filterwarnings("ignore", message=DROPPED)
        for axis in np.eye(x.size).reshape(-1, *x.shape):
            value = np.asarray(f(x + 1e-100j * axis))
            parts.append(float(value.imag) * 1e100 if value.dtype.kind == "c" else np.nan)
    return np.array(parts)


def verdict_of(of: Comparison, what: str, of_what: str, *, single: bool = False) -> GradientVerdict:
    """The verdict on `what`, a claimed derivative of `of_what`."""
    rough, clear = ~np.isfinite(of.error), _clear(of)
    gap, error = np.abs(clear.yours - clear.numeric), clear.error
    at = int(np.argmax(gap / np.maximum(error, np.finfo(float).tiny)))
    index = (at,) if of.shape is None else tuple(int(i) for i in np.unravel_index(at, of.shape))
    worst = WorstEntry(index, float(of.yours[at]), float(of.numeric[at]), float(of.error[at]))
    off, shown = float(np.max(gap)) / clear.size, float(np.max(error)) / clear.size
    said = f"your {of_what} is in single precision: no more digits can be shown; compute it in float64"
    notes = [said] if single and of.shape is not None else []
    within = bool(np.all(gap <= MARGIN * error))
    if within and shown <= VAGUE and not np.any(rough):
        digits = _digits(max(off, shown))
        sentence = f"your {what} belongs to your {of_what}, to {digits:.1f} digits, as many as can be shown"
        return GradientVerdict("RIGHT", digits, sentence, worst, tuple(notes))
    near = bool(gap[at] <= SINGLE_OFF * max(abs(of.numeric[at]), SINGLE_OFF * clear.size)) and not _is_lone(gap, at, clear)
    rounded = (of.single and off <= SINGLE_OFF) or (near and off * of.entries**0.5 <= ROUGH)
    if within or (rounded and np.any(rough)):
        return _vague(of, of_what)
    digits, advice = _digits(off), (*departures(clear), *notes)
    if rounded:
        sentence = f"your {what} is right to {digits:.1f} digits, and {_digits(shown):.1f} can be shown"
        return GradientVerdict("ROUNDING", digits, sentence, worst, advice)
    sentence = f"your {what} is not that of your {of_what}: off by {off:.2g} times its largest entry"
    if shown >= 1:
        sentence = f"your {what} is not that of your {of_what}: off by {np.max(gap):.2g} where the slope is 0 within {np.max(error):.2g}"
    return GradientVerdict("WRONG", digits, sentence, worst, (*advice, *_rough_sentence(of, of_what)))


def _clear(of: Comparison) -> Comparison:
    """The comparison with 0 for every number whose error is unknown: it takes no part in the verdict on the others."""
    known: Callable[[Array], Array] = lambda numbers: np.where(np.isfinite(of.error), numbers, 0.0)
    return of._replace(yours=known(of.yours), numeric=known(of.numeric), error=known(of.error), theta=known(of.theta))


def _rough_sentence(of: Comparison, name: str) -> tuple[str, ...]:
    """In how many entries the function does not look smooth, if in any."""
    rough = int(np.sum(~np.isfinite(of.error)))
    numbers = "entries" if of.shape is not None else "directions"
    said = f"your {name} does not look smooth at theta in {rough} of {len(of.error)} {numbers}: no difference converges"
    return (said,) if rough else ()


def _is_lone(gap: Array, at: int, of: Comparison) -> bool:
    """Is the worst entry off by much of itself, and most others by far less?  Rounding would be as large in most."""
    return bool(np.mean(gap > LONE * gap[at]) <= 0.5 and gap[at] > SINGLE_OFF * abs(of.numeric[at]))


def _vague(of: Comparison, name: str) -> GradientVerdict:
    """The function is not smooth, or flat, or too noisy."""
    for sentence in _rough_sentence(of, name):
        return _cannot_tell(
            sentence,
            "move theta a little: a kink such as that of ReLU or abs may lie at it",
            f"is your {name} noisy, or does an iteration inside stop at a tolerance?",
        )
    error = float(np.max(of.error))
    if error >= of.size:
        return _cannot_tell(
            f"the slope of your {name} at theta is 0 within {error:.2g}: there are no digits to compare",
            "move theta to where there is a slope",
            f"if there should be one, your {name} is too noisy: compute it in float64; subtract large constants from it",
        )
    sentence = f"your {name} is too noisy: its slope is known to {100 * error / of.size:.2g} % only"
    return _cannot_tell(sentence, "compute it in float64; subtract large constants from it")


def _digits(relative: float) -> float:
    """−log₁₀ of a relative error, at most 16."""
    return float(-np.log10(np.clip(relative, 1e-16, 1.0)))
