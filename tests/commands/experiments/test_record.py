"""Phrases of numbers: what is compared is what is printed."""

import pytest

from refmeta.commands.experiments.record import difference_text, named_numbers


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
