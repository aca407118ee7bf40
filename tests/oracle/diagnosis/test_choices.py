"""One departure from what is right is named, alone and with a factor."""

import pytest

from refmeta.oracle.choices import singles
from refmeta.oracle.diagnosis.choices import factor_or_choice, single_factor_matches, single_matches
from refmeta.oracle.match import NEAR
from refmeta.oracle.suites import SUITES
from tests.oracle.diagnosis.planted import UNKNOWN, failures

FIRST = 3  # vectors
WITH_CHOICES = [name for name, suite in SUITES.items() if suite.choices and name != "maml-linear-features"]  # it has those of maml-tabular


def departing(suite, *departures, part=""):
    """A change for `failures`: the part with some departures; what is right where they do not apply."""
    about = SUITES[suite]
    point = {name: about.choices[name][each] for name, each in departures}

    def change(right, x):
        value = about.variant(part or about.array, about.problem(x), point)
        return right if value is None else value

    return change


@pytest.mark.parametrize("suite", WITH_CHOICES)
def test_a_departure_is_named(suite):
    """Some dozen of each suite, on its first vectors, where they are off by more than what counts as alike."""
    about = SUITES[suite]
    part = "" if about.array else list(about.parts)[-1]
    for each in singles(about.choices)[::38]:
        failing, settings = failures(suite, departing(suite, each, part=part), part, FIRST)
        if any(o.error > NEAR for o in failing) and all(o.got for o in failing) and sum(o.got[part or about.array].size for o in failing) > 4:
            said = [m.line for m in (*single_matches(failing, settings), *factor_or_choice(failing, settings))]
            assert any(f"{each[0]}: {each[1]}" in line for line in said), (each, said)


def test_a_departure_times_a_factor_is_named_with_it():
    each = ("Hessians taken at", "theta")
    change = departing("maml-tabular", each)
    failing, settings = failures("maml-tabular", lambda right, x: change(right, x) / len(x["P"]))
    assert not single_matches(failing, settings)
    assert any("Hessians taken at: theta" in m.line and "times 1/N" in m.line for m in single_factor_matches(failing, settings))


def test_a_factor_is_said_with_the_departure_that_gives_the_same():
    failing, settings = failures("maml-regression", lambda right, x: 2 * right)
    line = factor_or_choice(failing, settings)[0].line
    assert "times 2" in line and "the same as another formula (" in line


@pytest.mark.parametrize("change", UNKNOWN)
@pytest.mark.parametrize("suite", ["maml-regression", "implicit", "reptile"])
def test_other_numbers_are_no_departure(suite, change):
    failing, settings = failures(suite, change)
    assert not single_matches(failing, settings) and not single_factor_matches(failing, settings)
