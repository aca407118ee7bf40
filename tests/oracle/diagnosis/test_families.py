"""A choice with a number in it is named with its number, and nothing else is."""


import numpy as np
import pytest

from refmeta.oracle.clock import now
from refmeta.oracle.diagnosis.choices import factor_or_choice, single_matches
from refmeta.oracle.diagnosis.families import family_matches
from refmeta.oracle.suites import SUITES
from tests.oracle.diagnosis.planted import UNKNOWN, failures

FAMILIES = [
    ("maml-quadratic", "", "momentum {}", 0.37),
    ("maml-quadratic", "", "weight decay {}", 0.043),
    ("reptile", "", "weights {}^i, sum", 0.6),
    ("implicit", "", "{} added to lambda", 0.21),
    ("policy-gradient", "hvp", "{} v more", 0.083),
    ("soft-return", "grad", "{} for tau", 0.137),
    ("episodic-return", "grad", "gamma is {}", 0.83),
    ("episodic-return", "value", "an end is worth {}", -1.7),
    ("soft-return", "grad", "the slope of later states times {}", 0.73),
]


def at(suite, part, words, number):
    """A change for `failures`: the part where a family has this number."""
    about = SUITES[suite]
    choice, make, *_ = about.families[words]
    return lambda right, x: about.variant(part or about.array, about.problem(x), {choice: make(number)})


@pytest.mark.parametrize(("suite", "part", "words", "number"), FAMILIES)
def test_a_number_inside_a_choice_is_named_with_it(suite, part, words, number):
    """No choice without a number, and no factor, explains it."""
    failing, settings = failures(suite, at(suite, part, words, number), part)
    assert not single_matches(failing, settings) and not factor_or_choice(failing, settings)
    (match,) = family_matches(failing, settings)
    assert match.what == f"computes another formula, {SUITES[suite].families[words][0]}: {words.format(number)}"
    for o in failing:
        for name, got in o.got.items():
            np.testing.assert_allclose(match.value(o.case, name), got, rtol=1e-8, atol=1e-9)


def test_a_number_that_differs_by_case_is_in_no_family():
    """Every vector has a momentum of its own."""
    failing, settings = failures("maml-quadratic", lambda right, x: at("maml-quadratic", "", "momentum {}", abs(np.sin(x["theta"][0])))(right, x))
    assert not family_matches(failing, settings, now() + 1)


@pytest.mark.parametrize("change", UNKNOWN)
@pytest.mark.parametrize("suite", ["maml-quadratic", "reptile", "implicit"])
def test_other_numbers_are_in_no_family(suite, change):
    failing, settings = failures(suite, change)
    assert not family_matches(failing, settings, now() + 1)


def test_three_wrong_entries_are_no_evidence():
    """Too many families give three numbers."""
    failing, settings = failures("reptile", at("reptile", "", "weights {}^i, sum", 0.6))
    short = [o for o in failing if o.got["update"].size < 4][:1]
    assert short and family_matches(failing, settings) and not family_matches(short, settings)


def test_after_its_time_nothing_is_tried():
    failing, settings = failures("reptile", at("reptile", "", "weights {}^i, sum", 0.6))
    assert not family_matches(failing, settings, until=now() - 1)
