"""Facts on the inputs of a case: each is true of them, and a fact and its opposite never hold together."""

import pytest

from refmeta.oracle.diagnosis.kinds import facts
from refmeta.oracle.suites import SUITES
from tests.oracle.targets import valid

OPPOSITES = (("is None", "is not None"), ("is a number", "is an array"), ("is 0", "is not 0"), ("is 1", "is not 1"), ("is at most 1", "is more than 1"))


@pytest.mark.parametrize("suite", ["maml-lq", "implicit", "pearl"])
def test_a_fact_and_its_opposite_never_hold_together(suite):
    holds = {fact.name: fact.holds for fact in facts(SUITES[suite])}
    pairs = [(f"{name} {one}", f"{name} {other}") for name in SUITES[suite].inputs for one, other in OPPOSITES]
    for case in valid(suite):
        assert not any(holds[one](case) and holds[other](case) for one, other in pairs)
        assert holds["N = 1"](case) != holds["N > 1"](case)


def test_facts_are_true_of_the_inputs():
    holds = {fact.name: fact.holds for fact in facts(SUITES["maml-lq"])}
    for case in valid("maml-lq"):
        x = case.arguments()
        assert holds["horizon is None"](case) == (x["horizon"] is None)
        assert holds["steps is more than 1"](case) == (x["steps"] > 1)


def test_words_that_the_cases_have_are_facts():
    """Seven optimisers are too many for one of them; two decays, with those that do not decay, are not."""
    every = valid("maml-optimisers")
    holds = {fact.name: fact.holds for fact in facts(SUITES["maml-optimisers"], every)}
    two = [case for case in every if case.arguments()["optimiser"] in ("adam", "rmsprop")]
    either = {fact.name: fact.holds for fact in facts(SUITES["maml-optimisers"], two)}["optimiser is adam or rmsprop"]
    for case in every:
        word = case.arguments()["optimiser"]
        assert holds["optimiser is adam"](case) == (word == "adam") != holds["optimiser is not adam"](case)
        assert either(case) == (word in ("adam", "rmsprop"))
    assert not any("adam or" in name for name in holds) and "decay is coupled or decoupled or decoupled_paper" in holds
