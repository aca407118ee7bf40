"""A factor is looked up among the numbers of each case."""

import numpy as np
import pytest

from refmeta.oracle.diagnosis.factors import factor_matches, fitted_factors, row_factor_matches
from tests.oracle.diagnosis.planted import UNKNOWN, failures
from tests.oracle.targets import library


def first_order(x):
    return library("maml-regression", "first_order")(**x)


@pytest.mark.parametrize(
    ("suite", "part", "factor", "words"),
    [
        ("maml-regression", "", lambda x: 1 / x["theta"].size, "times 1/d, d the number of parameters"),
        ("maml-regression", "", lambda x: x["theta"].size ** -0.5, "times 1/√d, d the number of parameters"),
        ("maml-regression", "", lambda x: 1 / (len(x["X"]) * x["theta"].size), "times 1/(N·d)"),
        ("maml-tabular", "", lambda x: 0.5 / (1 - x["gamma"]) if x["gamma"] < 1 else 1.0, "times ½/(1 − γ)"),
        ("reptile", "", lambda x: 0.37, "times 0.37"),
        ("implicit", "", lambda x: -x["strength"], "times −strength"),
        ("pearl", "kl", lambda x: 1 / x["noise"].shape[1], "times 1/Z"),
        ("pearl", "actor_loss", lambda x: 1 / np.log(2), "times 1.44269504089"),
        ("surrogates", "dice_grad", lambda x: x["rewards"].shape[2] / len(x["rewards"]), "times H/N"),
    ],
)
def test_a_factor_that_differs_by_case_is_named(suite, part, factor, words):
    failing, settings = failures(suite, lambda right, x: factor(x) * right, part)
    found = factor_matches(failing, settings)
    simplest = [m.what for m in found if m.cost == min(each.cost for each in found)]
    assert f"the right result {words}" in simplest, [m.line for m in found]


@pytest.mark.parametrize(("most", "named"), [(None, {"1/n"}), (17, {"1/n", "1/q"})])
def test_equal_numbers_are_a_tie(most, named):
    """Support and query have as many points in the first vectors, in all of them not."""
    failing, settings = failures("maml-regression", lambda right, x: right / x["X"].shape[1], vectors=most)
    assert {m.what.split("times ")[1] for m in factor_matches(failing, settings)[:2]} == named


def test_a_known_wrong_formula_times_a_factor_of_the_case_is_named():
    failing, settings = failures("maml-regression", lambda right, x: first_order(x) / len(x["X"]))
    assert "first-order (g_q), times 1/N" in row_factor_matches(failing, settings)[0].what


def test_what_no_formula_gives_is_said_to_be_a_fit():
    failing, settings = failures("maml-regression", lambda right, x: right * np.cos(7 * right[0, 0]))
    assert not factor_matches(failing, settings)
    (match,) = fitted_factors(failing, settings)
    assert "by a fit" in match.line and "no formula here gives" in match.line


@pytest.mark.parametrize("change", UNKNOWN)
@pytest.mark.parametrize("suite", ["maml-regression", "maml-tabular", "reptile", "implicit"])
def test_other_numbers_have_no_factor(suite, change):
    failing, settings = failures(suite, change)
    assert not factor_matches(failing, settings) and not row_factor_matches(failing, settings)
    assert not fitted_factors(failing, settings)
