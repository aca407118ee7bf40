"""The right result passed through a function."""

import numpy as np
import pytest

from refmeta.oracle.diagnosis.transforms import transform_matches
from tests.oracle.diagnosis.planted import UNKNOWN, failures


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: g / np.linalg.norm(g), "divided by its norm"),
        (lambda g: 0.1 * g / np.linalg.norm(g, axis=1, keepdims=True), "each row divided by its norm, times 0.1"),
        (lambda g: np.clip(g, -0.25, 0.25), "every entry clipped to ±0.25"),
        (lambda g: g * min(1, 2 / np.linalg.norm(g)), "clipped to the norm 2"),
        (np.tanh, "tanh of it"),
    ],
)
def test_a_function_of_the_right_result_is_named(change, words):
    failing, settings = failures("maml-regression", lambda right, x: change(right))
    assert f"the right result, {words}" in [m.what for m in transform_matches(failing, settings)]


@pytest.mark.parametrize("change", UNKNOWN)
@pytest.mark.parametrize("suite", ["maml-regression", "maml-tabular", "reptile"])
def test_other_numbers_are_no_function(suite, change):
    failing, settings = failures(suite, change)
    assert not transform_matches(failing, settings)
