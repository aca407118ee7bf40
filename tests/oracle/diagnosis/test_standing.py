"""A match stands if no passing vector refutes it; of several the simplest are given."""

from refmeta.oracle.diagnosis.mechanisms import Mechanism
from refmeta.oracle.diagnosis.standing import Evidence, first_standing, with_tie
from refmeta.oracle.diagnosis.witnesses import Witnesses
from refmeta.oracle.judge import JudgeSettings, judge, right_result
from refmeta.oracle.match import Match
from tests.oracle.targets import library, valid

SETTINGS = JudgeSettings()
TWICE = Match("twice", "twice", lambda case, name: 2 * right_result(case, name, SETTINGS))


def evidence(wrong):
    """A target that is twice the right result where `wrong` holds."""
    exact = library("maml-quadratic")
    outcomes = [judge(c, exact(**c.arguments()) * (1 + wrong(c)), SETTINGS) for c in valid("maml-quadratic")]
    failing = [o for o in outcomes if o.verdict == "mismatch"]
    return Evidence(failing, [o for o in outcomes if o.verdict == "pass"], SETTINGS, Witnesses(failing, None, ""))


def test_a_match_that_a_passing_vector_refutes_does_not_stand_and_is_kept_apart():
    find = Mechanism("twice", lambda failing, settings: [TWICE])
    assert first_standing([find], evidence(lambda case: True)).matches == [TWICE]
    refuted = first_standing([find], evidence(lambda case: len(case.input["A"]) > 1))
    assert (refuted.name, refuted.matches, refuted.refuted) == ("", [], [[TWICE]])
    assert first_standing([find._replace(refutable=False)], evidence(lambda case: len(case.input["A"]) > 1)).name == "twice"


def test_the_first_mechanism_and_its_simplest_match_are_given():
    dear = TWICE._replace(line="dear", cost=3.0)
    one, two = (Mechanism(name, lambda failing, settings: [dear, TWICE]) for name in "ab")
    found = first_standing([Mechanism("none", lambda failing, settings: []), one, two], evidence(lambda case: True))
    assert (found.name, found.matches) == ("a", [TWICE])


def test_a_tie_is_said():
    assert with_tie([TWICE]) == ["twice"]
    assert with_tie([TWICE, TWICE])[0] == "a tie: 2 formulas give the same numbers on these vectors"
