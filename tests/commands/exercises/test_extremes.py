"""Numbers at the ends of the computer's range: every exercise grades them, or says that it cannot, and nothing is raised or warned."""

import pytest

from refmeta.commands.exercises.grading import TOO_LARGE
from tests.commands.exercises import (
    test_lesson1,
    test_lesson2,
    test_lesson3,
    test_lesson4,
    test_lesson5,
    test_lesson6,
    test_lesson7,
    test_lesson8,
)
from tests.commands.exercises.filled import grade

LESSONS = (test_lesson1, test_lesson2, test_lesson3, test_lesson4, test_lesson5, test_lesson6, test_lesson7, test_lesson8)
SOLUTIONS = {name: pieces for lesson in LESSONS for name, pieces in lesson.SOLUTIONS.items()}


@pytest.mark.parametrize("name", sorted(SOLUTIONS.keys() - {"4c"}))
def test_extreme_numbers_get_a_sentence(name, tmp_path):
    for factor in ("1e308", "-1e160", "5e-324"):
        for changed in range(len(SOLUTIONS[name])):
            pieces = [f"{factor} * ({piece})" if i == changed else piece for i, piece in enumerate(SOLUTIONS[name])]
            right, sentence = grade(tmp_path, name, pieces)
            assert right == sentence.startswith("Right. ") and (not right or name == "8b") and sentence[-1] in ".?"


def test_a_meta_gradient_that_cannot_be_computed_with_is_told(tmp_path):
    assert grade(tmp_path, "4c", ["theta * 0 + 1e308", "theta"]) == (False, f"4c.py: {TOO_LARGE}")
