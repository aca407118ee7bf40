"""Grade an answer: it is right, it is a known mistake, or there is a hint.  No sentence holds the solution."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array
from refmeta.commands.exercises.answers import Answers, Unanswered, as_answers

__all__ = ["Exercise", "Grade", "compare", "compare_function", "equal", "graded"]

RTOL, NEAR = 1e-6, 1e-2


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
    """The grade of a student's file; only the first fault is told."""
    try:
        fault = next(iter(exercise.faults(as_answers(path))), None)
    except Unanswered as error:
        return Grade(False, f"{error}.")
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
    yield from _faults(f"`{name}`", answers.array(name, wanted.shape), wanted, mistakes, hint)


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
    wrong = {sentence: _joined([mistake(*case) for case in cases]) for sentence, mistake in mistakes.items()}
    yield from _faults(f"`{name}`", _joined(got), _joined(wanted), wrong, hint)


def _joined(arrays: Sequence[ArrayLike]) -> Array:
    """The entries of all arrays in one row."""
    return np.concatenate([np.ravel(np.asarray(array, float)) for array in arrays])


def _faults(what: str, got: Array, right: Array, mistakes: Mapping[str, ArrayLike], hint: str) -> Iterator[str]:
    """The known mistake, else what mistakes of any exercise do, else the hint."""
    if equal(got, right):
        return
    named = next((sentence for sentence, value in mistakes.items() if equal(got, value)), "")
    yield f"{what}: {named or _general(got, right) or hint}"


def _general(got: Array, right: Array) -> str:
    """A mistake that can be made in any exercise."""
    if equal(got, -right):
        return "the sign is turned."
    if equal(got, right, NEAR):
        return "this is close, but not equal. Give a fraction, or at least seven digits."
    if right.ndim == 2 and right.shape[0] == right.shape[1] and equal(got, right.T):
        return "rows and columns are exchanged."
    if right.size > 1 and equal(got, right[..., ::-1]):
        return "the entries stand in the opposite order."
    if right.size > 2 and np.any(got) and equal(got * (right.ravel() @ right.ravel()), right * (got.ravel() @ right.ravel())):
        return "every entry is off by the same factor."
    wrong = ~np.isclose(got, right, rtol=RTOL, atol=RTOL * np.max(np.abs(right)))
    return "" if np.all(wrong) or right.ndim != 1 or right.size > 6 else _entries(wrong)


def _entries(wrong: Array) -> str:
    """Which entries are wrong, where others are right."""
    places = [str(i) for i in np.flatnonzero(wrong)]
    return f"entry {places[0]} is not right yet, counted from 0." if len(places) == 1 else f"entries {', '.join(places)} are not right yet, counted from 0."
