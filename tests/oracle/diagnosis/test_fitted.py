"""One number inside: fitted, looked up, verified."""

import pytest

from refmeta.oracle.diagnosis.fitted import fitted_matches
from tests.oracle.diagnosis.planted import UNKNOWN, failures, with_inputs


@pytest.mark.parametrize(
    ("suite", "changes", "words"),
    [
        ("maml-regression", {"alpha": lambda x: 0.9 * x["alpha"]}, "for alpha times 0.9"),
        ("maml-regression", {"alpha": lambda x: x["alpha"] / len(x["X"])}, "for alpha times 1/N, N the number of tasks"),
        ("maml-quadratic", {"query_c": lambda x: -x["query_c"]}, "for query_c times −1"),
        ("implicit", {"strength": lambda x: 1 / x["strength"]}, "for 1/strength instead of strength"),
        ("implicit", {"strength": lambda x: x["strength"] + 1}, "for strength + 1"),
        ("reptile", {"theta": lambda x: 0.5 * x["theta"]}, "for theta times ½"),
    ],
)
def test_an_input_that_is_multiplied_or_replaced_is_named(suite, changes, words):
    failing, settings = failures(suite, with_inputs(suite, **changes))
    assert any(m.what.endswith(words) for m in fitted_matches(failing, settings)), [m.what for m in fitted_matches(failing, settings)]


def test_a_number_inside_and_a_factor_outside_are_named_together():
    inside = with_inputs("maml-quadratic", alpha=lambda x: 0.9 * x["alpha"])
    failing, settings = failures("maml-quadratic", lambda right, x: inside(right, x) / len(x["A"]))
    assert any("for alpha times 0.9, times 1/N, N the number of tasks" in m.what for m in fitted_matches(failing, settings))


@pytest.mark.parametrize("change", UNKNOWN)
@pytest.mark.parametrize("suite", ["maml-quadratic", "reptile"])
def test_other_numbers_have_no_number_inside(suite, change):
    failing, settings = failures(suite, change)
    assert not fitted_matches(failing, settings)


def test_a_number_that_no_vector_shares_is_not_named():
    """Every vector has a factor of its own, which is no formula of its numbers."""
    own = with_inputs("maml-quadratic", alpha=lambda x: x["alpha"] * (1 + abs(x["theta"][0])))
    failing, settings = failures("maml-quadratic", own)
    assert not fitted_matches(failing, settings)
