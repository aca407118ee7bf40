"""Phrases of numbers: what is compared is what is printed."""

import numpy as np
import pytest

from refmeta.commands.experiments.record import (
    chosen_text,
    difference_text,
    is_end,
    named_choices,
    named_numbers,
    paired_text,
)


@pytest.mark.parametrize(
    ("value", "other", "text"),
    [
        (0.7304, 0.5841, "0.146 higher"),
        (0.5841, 0.7304, "0.146 lower"),
        (0.85049, 0.8496, "equal"),
        (0.8506, 0.8504, "0.001 higher"),
    ],
)
def test_a_difference_is_that_of_the_numbers_as_they_are_printed(value, other, text):
    assert difference_text(value, other) == text


def test_numbers_with_their_names_are_one_phrase():
    assert named_numbers({"MAML": 0.73, "zeros": 0.5841}) == "MAML 0.730, zeros 0.584"
    assert named_numbers({"k = 0": -8.9e-16}, ".4f") == "k = 0 0.0000"


def test_a_best_value_at_an_end_of_its_grid_is_said_to_be_there():
    assert [is_end(x, (4.0, 1.0, 2.0)) for x in (4.0, 2.0, 1.0)] == [True, False, True]
    assert chosen_text(1280.0, [20.0, 40.0, 1280.0]) == "1280 (end of the grid)" and chosen_text(40.0, [20.0, 40.0, 1280.0]) == "40"
    assert named_choices({"zeros": 4.0, "MAML": 2.0}, [1.0, 2.0, 4.0]) == "zeros 4 (end of the grid), MAML 2"
    assert named_choices({"zeros": 4.0, "MAML": 4.0}, [1.0, 2.0, 4.0]) == "4 (end of the grid) for all"


def test_a_paired_difference_has_the_error_of_the_differences():
    """Differences 1, 1, 4, whose mean is 2 and whose variance is 3: the standard error is 1."""
    others = np.array([10.0, 0.0, -30.0])
    assert paired_text(others + [1.0, 1.0, 4.0], others) == "2.000 higher (standard error 1.000)"
    assert paired_text(others - [0.0, 0.0, 3.0], others) == "1.000 lower (standard error 1.000, within chance)"
