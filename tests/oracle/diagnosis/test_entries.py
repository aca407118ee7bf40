"""Rows and entries that are right by their place are said; those that are right by their numbers are not."""

import numpy as np
import pytest

from tests.oracle.diagnosis.test_where import found
from tests.oracle.targets import library


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (lambda n: np.r_[1.0, np.full(n - 1, 2.0)], "only the first task's row is right: something is not reset between tasks"),
        (lambda n: np.r_[np.full(n - 1, 2.0), 1.0], "only the last task's row is right"),
        (lambda n: np.r_[2.0, np.ones(n - 1)], "all rows but the first task's are right"),
    ],
)
def test_rows_by_their_place_are_said_and_rows_by_their_numbers_are_not(rows, line):
    suite = "maml-regression"
    where, _ = found(lambda **x: rows(len(x["X"]))[:, None] * library(suite)(**x), suite)
    assert any(each.startswith(line) for each in where.lines)
    largest = lambda x: np.where(x["y"][:, 0] == np.max(x["y"][:, 0]), 1.0, 2.0)
    where, _ = found(lambda **x: largest(x)[:, None] * library(suite)(**x), suite)
    assert not any("row" in each for each in where.lines)


def test_entries_at_one_end_of_an_axis_are_said():
    where, _ = found(lambda **x: library("maml-regression")(**x) * np.r_[1.0, np.full(len(x["theta"]) - 1, 2.0)], "maml-regression")
    assert "right only at the first index of the axis d of gradient" in where.lines
