"""Every exercise has its file, its question and its grader, which says something about every number."""

import ast
import re
from configparser import ConfigParser

import pytest

from refmeta.commands.exercises.catalogue import LESSONS, NAMES, exercise, exercise_file, question, title
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
from tests.commands.exercises.filled import grade, holes

CHAPTERS = exercise_file("1a").parents[1]
TESTS = (test_lesson1, test_lesson2, test_lesson3, test_lesson4, test_lesson5, test_lesson6, test_lesson7, test_lesson8)
SOLUTIONS = {name: pieces for lesson in TESTS for name, pieces in lesson.SOLUTIONS.items()}


def test_the_files_are_installed_beside_the_chapters():
    config = ConfigParser()
    config.read(CHAPTERS.parent / "setup.cfg", encoding="utf-8")
    assert config["options.data_files"]["share/refmeta/derivations/exercises"].strip() == "derivations/exercises/*.py"


def test_a_lesson_has_three_exercises_and_there_is_no_other_file():
    assert len(NAMES) == 3 * len(LESSONS)
    assert sorted(path.stem for path in exercise_file("1a").parent.glob("*.py")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_says_what_to_do(name):
    text, words = exercise_file(name).read_text(encoding="utf-8"), " ".join(question(name).split())
    assert question(name).startswith(f"Exercise {name}: ") and title(name)[0].isupper() and len(title(name)) < 70
    assert f"To grade this file: python -m refmeta exercise {name} {name}.py" in words
    chapters = re.findall(r"derivations/([\w-]+\.md)", words)
    assert chapters and all((CHAPTERS / chapter).is_file() for chapter in chapters)
    assert holes(text) and max(map(len, question(name).splitlines())) <= 80 and max(map(len, text.splitlines())) <= 120
    assert all(ast.get_docstring(node) for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))
    assert exercise(name).shows.endswith(".")


@pytest.mark.parametrize("name", SOLUTIONS)
def test_extreme_numbers_get_a_sentence(name, tmp_path):
    for factor in ("1e308", "-1e160", "5e-324"):
        for changed in range(len(SOLUTIONS[name])):
            pieces = [f"{factor} * ({piece})" if i == changed else piece for i, piece in enumerate(SOLUTIONS[name])]
            right, sentence = grade(tmp_path, name, pieces)
            assert right == sentence.startswith("Right. ") and (not right or name == "8b") and sentence[-1] in ".?"


def test_a_meta_gradient_that_cannot_be_computed_with_is_told(tmp_path):
    assert grade(tmp_path, "4c", ["theta * 0 + 1e308", "theta"]) == (False, f"4c.py: {TOO_LARGE}")
