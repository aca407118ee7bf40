"""Several departures at once are found, in the order of their single effects."""


import pytest

from refmeta.oracle.clock import now
from refmeta.oracle.diagnosis.product import pair_matches, product_matches
from tests.oracle.diagnosis.planted import UNKNOWN, failures
from tests.oracle.diagnosis.test_choices import departing

PAIRS = [
    ("maml-regression", "", ("Hessian factors", "all but the first"), ("result", "the tasks in reverse")),
    ("maml-classification", "", ("Hessians taken at", "theta"), ("alpha in the factors", "alpha^2")),
    ("surrogates", "tmaml_hvp", ("sums", "mean of the logarithms up to the step"), ("over time", "mean over H, padding included")),
]


def soon(seconds=20):
    return now() + seconds


@pytest.mark.parametrize(("suite", "part", "one", "other"), PAIRS)
def test_two_departures_are_named(suite, part, one, other):
    failing, settings = failures(suite, departing(suite, one, other, part=part), part)
    found = pair_matches(failing, settings, soon())
    assert any(all(": ".join(each) in m.line for each in (one, other)) for m in found), [m.line for m in found]


def test_two_departures_and_a_factor_are_named():
    change = departing("maml-regression", ("Hessian factors", "the first only"), ("alpha in the factors", "alpha/K"))
    failing, settings = failures("maml-regression", lambda right, x: 0.37 * change(right, x))
    assert any("times 0.37" in m.line and "alpha/K" in m.line for m in pair_matches(failing, settings, soon(4)))


def test_three_departures_are_named():
    three = ("Hessian factors", "all but the first"), ("alpha", "alpha^2"), ("query's data", "y of the support")
    failing, settings = failures("maml-regression", departing("maml-regression", *three))
    found = product_matches(failing, settings, soon())
    assert any(all(": ".join(each) in m.line for each in three) for m in found), [m.line for m in found]


@pytest.mark.parametrize("change", UNKNOWN)
def test_other_numbers_are_no_point(change):
    failing, settings = failures("maml-quadratic", change)
    assert not pair_matches(failing, settings, soon(1)) and not product_matches(failing, settings, soon(0.5))


def test_few_numbers_are_no_evidence_for_several_departures():
    failing, settings = failures("reptile", lambda right, x: right + 1, vectors=1)
    assert sum(o.got["update"].size for o in failing) < 6
    assert not pair_matches(failing, settings, soon()) and not product_matches(failing, settings, soon(0.5))


def test_two_departures_are_not_named_by_five_numbers():
    """Three for each of them are wanted, also where the departures are there."""
    change = departing("maml-quadratic", ("Hessian factors", "all but the first"), ("alpha", "alpha^2"))
    failing, settings = failures("maml-quadratic", change)
    few = [o for o in failing if 1 < o.got["gradient"].size < 6][:1]
    assert few and pair_matches(failing, settings, soon()) and not pair_matches(few, settings, soon())
