"""Rows that are mixed, and tasks that weigh more or less."""

import numpy as np
import pytest

from refmeta.oracle.diagnosis.weights import fitted_weights, weight_matches
from tests.oracle.diagnosis.planted import UNKNOWN, failures


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: np.cumsum(g, axis=0), "each is the sum of the rows up to its own"),
        (lambda g: np.roll(g, -1, axis=0), "each is the row of the next task"),
        (lambda g: 0 * g + g.mean(0), "each is the sum of all rows times 1/N"),
        (lambda g: 0.7 * g + 0.3 * g.mean(0), "the right result − 0.3·(the right rows mixed: each is its own row minus the mean of all)"),
    ],
)
def test_mixed_rows_are_named(change, words):
    failing, settings = failures("maml-quadratic", lambda right, x: change(right))
    assert any(words in m.what for m in weight_matches(failing, settings)), [m.what for m in weight_matches(failing, settings)]


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (lambda n: np.arange(1, n + 1), "weights 1, 2, … N"),
        (lambda n: 0.5 ** np.arange(n)[::-1], "halve from the last task back"),
        (lambda n: (1 - np.eye(n)[-1]) / n, "all tasks but the last times 1/N"),
    ],
)
def test_weights_of_a_sum_over_tasks_are_named(weights, words):
    failing, settings = failures("maml-tabular", lambda right, x: np.tensordot(weights(len(right)), right, axes=1), reduce="sum")
    assert any(words in m.what for m in weight_matches(failing, settings))


def test_weights_of_an_input_are_named():
    """Reptile with the k-th task weighted by 1/k."""
    weighted = lambda x: np.tensordot(1 / np.arange(1.0, len(x["adapted"]) + 1), x["adapted"] - x["theta"], axes=1)
    failing, settings = failures("reptile", lambda right, x: x["theta"] + x["epsilon"] * weighted(x))
    assert "theta + ε·(weights 1, ½, … 1/N) of adapted − theta" in [m.what for m in weight_matches(failing, settings)]


def test_weights_without_a_name_are_printed_beside_the_right_ones():
    odd = lambda right, x: np.tensordot(1 / np.arange(1.0, len(right) + 1) ** 2, right, axes=1)
    failing, settings = failures("maml-tabular", odd, reduce="sum")
    assert not weight_matches(failing, settings)
    (match,) = fitted_weights(failing, settings)
    assert "by a fit ([1.  , 0.25" in match.line and "right: 1)" in match.line


@pytest.mark.parametrize("change", UNKNOWN)
@pytest.mark.parametrize("suite", ["maml-tabular", "reptile", "implicit"])
def test_other_numbers_are_no_mix(suite, change):
    failing, settings = failures(suite, change)
    assert not weight_matches(failing, settings) and not fitted_weights(failing, settings)
