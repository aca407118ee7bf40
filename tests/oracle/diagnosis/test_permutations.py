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


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda right, x: right[::-1], "the last one first"),
        (lambda right, x: np.roll(right, -1, axis=0), "each that of the next"),
        (lambda right, x: np.roll(right, 1, axis=0), "each that of the one before"),
        (lambda right, x: right[[1, 0, *range(2, len(right))]] if len(right) > 1 else right, "those of task 2, 1, 3, 4"),
    ],
)
def test_rows_in_another_order_are_said_as_they_are(change, words):
    """What is claimed is the order itself, on other cases, too."""
    failing, settings = failures("maml-regression", change)
    (match,) = order_matches(failing, settings)
    assert match.what == f"the right rows, the tasks in another order: {words}"
    assert all(np.allclose(match.value(o.case, "gradient"), o.got["gradient"], rtol=1e-8) for o in failing)


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
