"""Every exercise has its file, its question and its grader, and the file holds nothing of the answer."""

import ast
import re
from configparser import ConfigParser

import pytest

from refmeta.commands.exercises.catalogue import LESSONS, NAMES, exercise, exercise_file, question, title
from tests.commands.exercises.filled import holes

CHAPTERS = exercise_file("1a").parents[1]


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
