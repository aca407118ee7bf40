"""A wrong value: the mistake's name, else what mistakes of any exercise do, else the hint."""

from pathlib import Path
from pkgutil import resolve_name as attribute

import numpy as np
import pytest

from refmeta.commands.exercises import grading
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
        ([1.001, 2], [1, 2], f"`x`: {grading.CLOSE}"),
        ([[1, 3], [2, 4]], [[1, 2], [3, 4]], "`x`: rows and columns are exchanged."),
        ([2, 1], [1, 2], "`x`: the entries stand in the opposite order."),
        ([2, 4, 6], [1, 2, 3], "`x`: every entry is off by the same factor."),
        (0.33, 1 / 3, "`x`: this is rounded. Give a fraction, or at least seven digits."),
        (0.0, 1 / 3, "`x`: the hint."),
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


@pytest.mark.parametrize(
    ("mine", "sentence"),
    [
        (lambda x, v: 2 * x, "`f`: this is right for x = 1, v = [1, 0.5], and wrong for x = 3, v = an array of shape (4,). the hint."),
        (lambda x, v: -x - x**2, "`f`: the sign is turned."),
        (lambda x, v: 2 * (x + x**2), "`f`: what it returns is off by the same factor for all arguments."),
        (lambda x, v: 1.001 * (x + x**2), f"`f`: {grading.CLOSE}"),
        (lambda x, v: 7.0, "`f`: the hint."),
        (lambda x, v: 0.0, "`f`: the hint."),
    ],
)
def test_a_wrong_function_is_told_by_its_arguments(mine, sentence):
    answers, cases = Answers(Path("mine.py"), "", {"f": mine}), [[1.0, np.array([1, 0.5])], [3.0, np.ones(4)]]
    assert list(compare_function(answers, "f", cases, lambda x, v: x + x**2, {}, hint="the hint.")) == [sentence]


def test_a_function_that_does_not_tell_its_arguments_gets_the_hint():
    answers = Answers(Path("mine.py"), "", {"f": max})
    assert list(compare_function(answers, "f", [[1.0, 0.0], [1.0, 2.0]], lambda x, y: x, {}, hint="the hint.")) == ["`f`: the hint."]


def test_numbers_that_cannot_be_computed_with_are_told(tmp_path):
    def faults(answers):
        with np.errstate(over="raise"):
            yield str(np.float64(1e300) * answers.number("x"))

    path = tmp_path / "mine.py"
    path.write_text("x = 1e300\n", encoding="utf-8")
    assert grading.graded(grading.Exercise("", faults), path) == (False, f"mine.py: {grading.TOO_LARGE}")


@pytest.mark.parametrize(("module", "name"), [("", "max"), ("", "asarray"), ("", "linalg"), (".linalg", "norm")])
@pytest.mark.parametrize("faults", ["answers.number('x')", "np.max(1)", "np.linalg.norm([1])", "''"])
def test_no_grade_is_given_with_a_changed_numpy(module, name, faults, tmp_path, monkeypatch):
    """Whether the grader then fails, the answer then cannot be read, or nothing is seen of it."""
    monkeypatch.setattr(f"numpy{module}.{name}", attribute(f"numpy{module}.{name}"))  # and put back after the test
    path = tmp_path / "mine.py"
    path.write_text(f"import numpy as np\nx = 1\nnp{module}.{name} = None\n", encoding="utf-8")
    grade = grading.graded(grading.Exercise("", lambda answers: iter([eval(faults)])), path)
    assert grade == (False, f"mine.py: {grading.CHANGED.format(f'np{module}.{name}')}")


def test_a_failure_of_the_grader_is_passed_on(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text("import numpy as np\nx = np.new = 1\n", encoding="utf-8")
    monkeypatch.setattr(np, "new", 0, raising=False)
    monkeypatch.delattr(np, "new")
    with pytest.raises(KeyError, match="gone"):
        grading.graded(grading.Exercise("", lambda answers: iter([{}["gone"]])), path)


def test_a_number_that_must_be_whole_is_checked():
    for value, count in ((2, 0), (2.0, 0), (-1, 0), (0, 0), (1.98, 1), (0.5, 1)):
        sentences = list(grading.check_whole(Answers(Path("mine.py"), "", {"x": value}), "x"))
        assert len(sentences) == count and all("a whole number" in sentence for sentence in sentences)


def test_equal_is_relative_to_the_largest_entry_and_takes_no_other_shape():
    assert equal([1e-9, 1], [0, 1]) and not equal([1e-5, 1], [0, 1]) and not equal([1, 1], [[1, 1]])
    assert equal(np.zeros(2), np.zeros(2))
