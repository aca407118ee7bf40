"""Fill in the file of an exercise, grade it, and hold the sentence against what it must say and must not say."""

import re
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from refmeta.commands.exercises import grading
from refmeta.commands.exercises.answers import holes
from refmeta.commands.exercises.catalogue import exercise, exercise_file
from refmeta.commands.exercises.grading import graded


def filled(name, pieces):
    """The file of an exercise with these expressions instead of its holes, in order."""
    lines = exercise_file(name).read_text(encoding="utf-8").splitlines()
    places = holes("\n".join(lines))
    assert len(places) == len(pieces), f"{name} has {len(places)} holes, got {len(pieces)} pieces"
    for hole, piece in list(zip(places, pieces, strict=True))[::-1]:
        line, start = lines[hole.lineno - 1], hole.col_offset
        assert line[start : start + 3] == "..."
        lines[hole.lineno - 1] = line[:start] + piece + line[start + 3 :]
    return "\n".join(lines) + "\n"


def grade(folder, name, pieces):
    """The grade of the file so filled in."""
    path = folder / f"{name}.py"
    path.write_text(filled(name, pieces), encoding="utf-8")
    return graded(exercise(name), path)


def check_right(folder, name, pieces, monkeypatch):
    """The solution is right, the sentence says so, and its known mistakes give other values than it and than each other."""
    named, checked = grading._named, []

    def distinct(got, right, mistakes):
        values = {"right": right, **mistakes}
        same = [pair for pair in combinations(values, 2) if all(grading.equal(*row, 1e-4) for row in zip(*map(values.get, pair), strict=True))]
        assert not same, f"{same} give one value"
        turned = [key for key, value in mistakes.items() if all(grading.equal(v, -r, 1e-4) for v, r in zip(value, right, strict=True))]
        assert all(re.search(r"sign|positive|is a loss|GROWS", key) for key in turned), f"{turned}: the right value with its sign turned"
        checked.append(mistakes)
        return named(got, right, mistakes)

    monkeypatch.setattr(grading, "_named", distinct)
    right, sentence = grade(folder, name, pieces)
    assert right, sentence
    assert sentence.startswith("Right. ") and sentence.endswith(".")
    assert all(checked) and (checked or name in ("1c", "4c", "8b"))


def check_hint(folder, name, solution, changes, words):
    """A wrong answer is wrong, gets the sentence with these words, and is not told the solution.

    changes : the pieces that differ from the solution, by their number; or all pieces.
    """
    pieces = list(changes) if not isinstance(changes, dict) else [changes.get(i, piece) for i, piece in enumerate(solution)]
    right, sentence = grade(folder, name, pieces)
    assert not right and words in sentence, sentence
    for piece, wanted in zip(pieces, solution, strict=True):
        if piece != wanted:
            assert [form for form in forms(wanted) if re.search(rf"(?<![\w./^-]){re.escape(form)}(?![\w/]|\.\d)", sentence)] == [], sentence


def forms(piece):
    """How a piece of the solution could be written in a sentence."""
    try:
        value = float(eval(piece, {"np": np, "Fraction": Fraction}))
    except (NameError, TypeError, SyntaxError):
        return {piece}
    fraction = Fraction(value).limit_denominator(1000)
    return {piece, str(fraction), f"{value:.3f}", f"{value:.4g}", f"{value:.6g}"}


def rights(solutions):
    """The parameters of a test of every solution."""
    return [pytest.param(name, pieces, id=name) for name, pieces in solutions.items()]


def hints(solutions, wrong):
    """The parameters of a test of every wrong answer."""
    return [
        pytest.param(name, solutions[name], changes, words, id=f"{name}: {words}")
        for name, rows in wrong.items()
        for changes, words in rows
    ]
