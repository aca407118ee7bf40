"""Terms that are added to the right result."""

import numpy as np
import pytest

from refmeta.oracle.diagnosis.additions import addition_matches, mixture_matches
from refmeta.oracle.suites import SUITES
from tests.oracle.diagnosis.planted import UNKNOWN, failures

SQUARE = SUITES["policy-gradient"]


@pytest.mark.parametrize(
    ("suite", "part", "term", "words"),
    [
        ("maml-regression", "", lambda x: 0.01 * x["theta"], "+ 0.01·theta"),
        ("maml-tabular", "", lambda x: -x["theta"] / len(x["P"]), "− (1/N)·theta"),
        ("maml-regression", "objective", lambda x: 0.5 * x["theta"] @ x["theta"], "+ ½·|theta|²"),
        ("reptile", "", lambda x: x["epsilon"] * x["theta"], "+ ε·theta"),
        ("policy-gradient", "hvp", lambda x: 0.1 * x["v"], "+ 0.1·v"),
    ],
)
def test_a_multiple_of_an_input_is_named(suite, part, term, words):
    failing, settings = failures(suite, lambda right, x: right + term(x), part, **({"quantity": part} if part == "objective" else {}))
    assert f"the right result {words}" in [m.what for m in addition_matches(failing, settings)]


def test_another_part_that_is_added_is_named():
    """Natural gradients plus plain ones, in the proportion of a number."""
    failing, settings = failures("policy-gradient", lambda right, x: right + 2 * SQUARE.answer("grad", SQUARE.problem(x)), "fisher")
    assert "the right result + 2·grad" in [m.what for m in addition_matches(failing, settings)]


def test_a_mixture_of_the_right_result_and_a_known_wrong_formula_is_named():
    first = lambda x: SUITES["implicit"].answer("first_order", SUITES["implicit"].problem(x))
    failing, settings = failures("implicit", lambda right, x: 0.7 * right + 0.3 * first(x))
    assert any(m.what.startswith("0.7 · the right result + 0.3·") for m in mixture_matches(failing, settings))


@pytest.mark.parametrize("change", UNKNOWN)
@pytest.mark.parametrize("suite", ["maml-regression", "maml-quadratic", "reptile", "implicit"])
def test_other_numbers_are_no_sum(suite, change):
    failing, settings = failures(suite, change)
    assert not addition_matches(failing, settings) and not mixture_matches(failing, settings)


def test_few_entries_are_no_evidence():
    """One entry per vector is the sum of anything."""
    failing, settings = failures("maml-quadratic", lambda right, x: right + np.pi, "objective", 2, quantity="objective")
    assert sum(o.got["objective"].size for o in failing) < 6 and not mixture_matches(failing, settings)
