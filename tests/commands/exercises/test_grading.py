"""A wrong value: the mistake's name, else what mistakes of any exercise do, else the hint."""

from pathlib import Path

import numpy as np
import pytest

from refmeta.commands.exercises.answers import Answers
from refmeta.commands.exercises.grading import compare, compare_function, equal


def told(value, right, mistakes=(), hint="the hint."):
    """The sentences about a value."""
    return list(compare(Answers(Path("mine.py"), "", {"x": value}), "x", right, dict(mistakes), hint=hint))


def test_a_right_value_gets_no_sentence():
    assert told([1, 2], [1.0, 2.0]) == [] and told([0, 0], [0.0, 0.0]) == [] and told(1 / 3, 0.3333334) == []


@pytest.mark.parametrize(
    ("value", "right", "sentence"),
    [
        ([3, 4], [1, 2], "`x`: the mistake."),
        ([-1, -2], [1, 2], "`x`: the sign is turned."),
        ([1.001, 2], [1, 2], "`x`: this is close, but not equal. Give a fraction, or at least seven digits."),
        ([[1, 3], [2, 4]], [[1, 2], [3, 4]], "`x`: rows and columns are exchanged."),
        ([2, 1], [1, 2], "`x`: the entries stand in the opposite order."),
        ([2, 4, 6], [1, 2, 3], "`x`: every entry is off by the same factor."),
        ([1, 7, 3], [1, 2, 3], "`x`: entry 1 is not right yet, counted from 0."),
        ([8, 7, 3], [1, 2, 3], "`x`: entries 0, 1 are not right yet, counted from 0."),
        ([8, 7, 9], [1, 2, 3], "`x`: the hint."),
        ([0, 0, 0], [1, 2, 3], "`x`: the hint."),
        (5, 7, "`x`: the hint."),
    ],
)
def test_a_wrong_value_is_told_by_the_most_special_sentence(value, right, sentence):
    assert told(value, right, {"the mistake.": [3, 4]}) == [sentence]


def test_a_function_is_compared_on_every_case():
    mine = Answers(Path("mine.py"), "", {"f": lambda x: x if x < 2 else 2 * x})
    for cases, sentences in (([[1.0]], []), ([[1.0], [2.0]], ["`f`: it doubles."])):
        mistakes = {"it doubles.": lambda x: x if x < 2 else 2 * x}
        assert list(compare_function(mine, "f", cases, lambda x: x, mistakes, hint="no.")) == sentences


def test_equal_is_relative_to_the_largest_entry_and_takes_no_other_shape():
    assert equal([1e-9, 1], [0, 1]) and not equal([1e-5, 1], [0, 1]) and not equal([1, 1], [[1, 1]])
    assert equal(np.zeros(2), np.zeros(2))
