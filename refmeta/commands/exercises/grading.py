"""Grade an answer: it is right, it is a known mistake, or there is a hint.  No sentence holds the solution."""

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy import linalg
from numpy.typing import ArrayLike

from refmeta.arrays import Array
from refmeta.commands.exercises.answers import Answers, Unanswered, as_answers

__all__ = ["Exercise", "Grade", "check_whole", "compare", "compare_function", "equal", "graded"]

RTOL, NEAR, ROUNDED = 1e-6, 1e-2, 5e-2
CLOSE = (
    "this is within one per cent, but not equal. If your derivation is complete, digits are missing: give a fraction, or at least "
    "seven digits."
)


TOO_LARGE = (
    "nothing in your file failed, but its numbers cannot be graded: a computation with them leaves the range of the computer's numbers. "
    "Is one of them very large or very small?"
)
CHANGED = "the file changes NumPy: `{}` is not what it was. The grader computes with it, too. Store your own value under another name."


class Exercise(NamedTuple):
    """An exercise.

    `shows` is what a right answer shows, in one sentence; `faults` gives a sentence for each fault of the answers.
    """

    shows: str
    faults: Callable[[Answers], Iterator[str]]


class Grade(NamedTuple):
    """Is the answer right, and a sentence for the student."""

    right: bool
    sentence: str


def graded(exercise: Exercise, path: Path) -> Grade:
    """The grade of a student's file; only the first fault is told.  No grade is given with a NumPy that the file has changed."""
    before = _names_of_numpy()
    try:
        grade = _grade(exercise, path)
    except Exception:
        if not _changed(before):
            raise
    changed = _changed(before)
    return Grade(False, f"{path.name}: {CHANGED.format(changed[0])}") if changed else grade


def _names_of_numpy() -> dict[str, Any]:
    """What each name of NumPy stands for."""
    return {**{f"np.{name}": value for name, value in vars(np).items()}, **{f"np.linalg.{name}": value for name, value in vars(linalg).items()}}


def _changed(before: Mapping[str, Any]) -> list[str]:
    """The names of NumPy that stand for something else than before; a new name is none of them."""
    after = _names_of_numpy()
    return sorted(name for name, value in before.items() if after.get(name) is not value)


def _grade(exercise: Exercise, path: Path) -> Grade:
    """The grade of a file that leaves NumPy as it is; where the grader cannot compute with its numbers, this is told."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            fault = next(iter(exercise.faults(as_answers(path))), None)
    except Unanswered as error:
        return Grade(False, f"{error}".rstrip(".") + "." * (not f"{error}".endswith("?")))
    except (ArithmeticError, ValueError, linalg.LinAlgError):
        return Grade(False, f"{path.name}: {TOO_LARGE}")
    return Grade(True, f"Right. {exercise.shows}") if fault is None else Grade(False, f"Not yet. {fault}")


def equal(a: ArrayLike, b: ArrayLike, rtol: float = RTOL) -> bool:
    """Do two arrays agree, relative to the largest entry of the second?"""
    a, b = np.asarray(a, float), np.asarray(b, float)
    return a.shape == b.shape and bool(np.max(np.abs(a - b), initial=0.0) <= rtol * np.max(np.abs(b), initial=1e-12))


def compare(answers: Answers, name: str, right: ArrayLike, mistakes: Mapping[str, ArrayLike], *, hint: str) -> Iterator[str]:
    """A sentence if the value of a name is wrong: that of the mistake that gives this value, or the hint.

    mistakes : what each mistake gives, by the sentence that names it.
    """
    wanted = np.asarray(right, float)
    got = answers.array(name, wanted.shape)
    named = _named([got], [wanted], {sentence: [np.asarray(value, float)] for sentence, value in mistakes.items()})
    if not equal(got, wanted):
        yield f"`{name}`: {named or _general(got, wanted) or hint}"


def check_whole(answers: Answers, name: str) -> Iterator[str]:
    """A sentence if a number that must be whole is not."""
    number = answers.number(name)
    if abs(number - np.round(number)) > RTOL * abs(number):
        yield f"`{name}`: a whole number is asked for. If you read it off a picture or a table, round it."


def compare_function(
    answers: Answers,
    name: str,
    cases: Sequence[Sequence[Any]],
    right: Callable[..., ArrayLike],
    mistakes: Mapping[str, Callable[..., ArrayLike]],
    *,
    hint: str,
) -> Iterator[str]:
    """The same for a function of the file, on several cases.

    right, mistakes : functions of the same arguments.
    """
    wanted = [np.asarray(right(*case), float) for case in cases]
    got = [answers.call(name, case, value.shape) for case, value in zip(cases, wanted, strict=True)]
    named = _named(got, wanted, {sentence: [np.asarray(mistake(*case), float) for case in cases] for sentence, mistake in mistakes.items()})
    good = list(map(equal, got, wanted))
    if not all(good):
        partly = _partly(answers.value(name), cases, good)
        yield f"`{name}`: {named or _of_a_function(_joined(got), _joined(wanted)) or ' '.join(filter(None, [partly, hint]))}"


def _named(got: Sequence[Array], right: Sequence[Array], mistakes: Mapping[str, Sequence[Array]]) -> str:
    """The sentence of the mistake that gives what was got, or nothing; each mistake differs from what is right, and from the others."""
    return next((sentence for sentence, values in mistakes.items() if all(map(equal, got, values))), "")


def _joined(arrays: Sequence[Array]) -> Array:
    """The entries of all arrays in one row."""
    return np.concatenate([np.ravel(array) for array in arrays])


def _of_a_function(got: Array, right: Array) -> str:
    """A mistake that any function can have, from its values on all cases."""
    if equal(got, -right):
        return "the sign is turned."
    if equal(got, right, NEAR):
        return CLOSE
    return "what it returns is off by the same factor for all arguments." if _proportional(got, right) else ""


def _partly(function: Callable[..., Any], cases: Sequence[Sequence[Any]], good: Sequence[bool]) -> str:
    """For which arguments a function is right and for which it is wrong, if it is right for some."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # a function of another language does not tell its arguments
        names = []
    if not any(good) or not names:
        return ""
    one, other = (_arguments(names, next(case for case, g in zip(cases, good, strict=True) if g is wanted)) for wanted in (True, False))
    return f"this is right for {one}, and wrong for {other}."


def _arguments(names: Sequence[str], case: Sequence[Any]) -> str:
    """The arguments of a call in words."""
    return ", ".join(f"{name} = {_argument(value)}" for name, value in zip(names, case, strict=False))


def _argument(value: Any) -> str:
    """A number, a short list, a function's name, or a shape."""
    if callable(value):
        return str(getattr(value, "__name__", "a function"))
    array = np.asarray(value)
    if array.ndim == 1 and array.size <= 3 or array.ndim == 0:
        return f"[{', '.join(f'{x:.3g}' for x in array)}]" if array.ndim else f"{value:.3g}"
    return f"an array of shape {array.shape}"


def _general(got: Array, right: Array) -> str:
    """A mistake that can be made in any exercise."""
    if equal(got, -right):
        return "the sign is turned."
    if equal(got, right, ROUNDED) and any(equal(got, np.round(right, digits)) for digits in range(1, 7)):
        return "this is rounded. Give a fraction, or at least seven digits."
    if equal(got, right, NEAR):
        return CLOSE
    if right.ndim == 2 and right.shape[0] == right.shape[1] and equal(got, right.T):
        return "rows and columns are exchanged."
    if right.size > 1 and equal(got, right[..., ::-1]):
        return "the entries stand in the opposite order."
    if right.size > 2 and _proportional(got, right):
        return "every entry is off by the same factor."
    wrong = ~np.isclose(got, right, rtol=RTOL, atol=RTOL * np.max(np.abs(right)))
    return "" if np.all(wrong) or right.ndim != 1 or right.size > 6 else _entries(wrong)


def _proportional(got: Array, right: Array) -> bool:
    """Is one a multiple of the other, and not zero?"""
    got = np.ravel(got) / max(np.max(np.abs(got)), 1e-300)
    return bool(np.any(got)) and equal(got * np.vdot(right, right), np.ravel(right) * np.vdot(right, got))


def _entries(wrong: Array) -> str:
    """Which entries of an array are wrong, where others are right."""
    places = [str(i) for i in np.flatnonzero(wrong)]
    return f"entry {places[0]} is not right yet, counted from 0." if len(places) == 1 else f"entries {', '.join(places)} are not right yet, counted from 0."
