"""Parameters in another layout, entries and rows in another order."""

import numpy as np
import pytest

from refmeta.oracle.diagnosis.permutations import layout_matches, order_matches, permutation_matches
from tests.oracle.diagnosis.planted import UNKNOWN, failures, with_inputs


def test_a_result_backwards_and_parameters_read_backwards_are_told_apart():
    failing, settings = failures("maml-regression", lambda right, x: right[:, ::-1])
    assert "its entries in another layout: the last entry first" in layout_matches(failing, settings)[0].what
    failing, settings = failures("maml-regression", with_inputs("maml-regression", theta=lambda x: x["theta"][::-1]))
    assert "theta read in another layout: the last entry first" in layout_matches(failing, settings)[0].what


def test_an_order_without_a_name_is_printed():
    failing, settings = failures("maml-tabular", lambda right, x: np.roll(right, 1, axis=1))
    (match,) = permutation_matches(failing, settings)
    assert "(entry" in match.line and not layout_matches(failing, settings)


@pytest.mark.parametrize("change", [*UNKNOWN, lambda right, x: np.sort(right, axis=1)])
def test_other_numbers_are_no_permutation(change):
    """Sorted entries are a permutation of their own in every row."""
    for suite in ("maml-regression", "maml-tabular"):
        failing, settings = failures(suite, change)
        for find in (layout_matches, order_matches, permutation_matches):
            assert not find(failing, settings), find
