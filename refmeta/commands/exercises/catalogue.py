"""The eight lessons and their exercises; the question of each stands in its file in `derivations/exercises/`."""

import ast
from importlib import import_module
from pathlib import Path

from refmeta.commands.exercises.grading import Exercise
from refmeta.commands.explain import derivation

__all__ = ["LESSONS", "NAMES", "exercise", "exercise_file", "question", "title"]

LESSONS = (
    "Unknown tasks, and how to trust a derivative",
    "The exact policy gradient",
    "Geometry",
    "MAML",
    "Reptile and implicit MAML",
    "Training",
    "Samples",
    "Beliefs, models, learned rules",
)
NAMES = tuple(f"{lesson}{letter}" for lesson in range(1, len(LESSONS) + 1) for letter in "abc")


def exercise(name: str) -> Exercise:
    """The exercise of this name, from the file of its lesson."""
    return import_module(f"refmeta.commands.exercises.lesson{name[0]}").EXERCISES[name]


def exercise_file(name: str) -> Path:
    """The file of an exercise, with its holes."""
    return Path(derivation(f"exercises/{name}.py"))


def question(name: str) -> str:
    """The text at the head of the file of an exercise."""
    return ast.get_docstring(ast.parse(exercise_file(name).read_text(encoding="utf-8"))) or ""


def title(name: str) -> str:
    """The first line of the question, without the name of the exercise."""
    return question(name).splitlines()[0].removeprefix(f"Exercise {name}: ").rstrip(".")
