"""What is named must hold on other cases, too: the target is asked."""

import numpy as np

from refmeta.oracle.check import as_target, questions, run
from refmeta.oracle.diagnosis.explain import explain
from refmeta.oracle.diagnosis.witnesses import QUESTIONS, Witnesses, holds
from refmeta.oracle.judge import JudgeSettings, right_result
from tests.oracle.targets import library, valid

SETTINGS = JudgeSettings()


def asked(function, suite="maml-quadratic", vectors=None):
    """The outcomes of a target on the vectors, and its answers to more questions, with their number."""
    count, target = [], as_target(function)
    ask = questions(target, SETTINGS)
    return run(target, valid(suite, vectors), SETTINGS), lambda case: count.append(case) or ask(case), count


def test_a_cause_holds_where_the_target_computes_it_and_nowhere_else():
    exact = library("maml-quadratic")
    outcomes, ask, count = asked(lambda **x: 2 * exact(**x))
    failing = [o for o in outcomes if o.verdict == "mismatch"]
    times = lambda c: lambda case, name: c * right_result(case, name, SETTINGS)
    witnesses = Witnesses(failing, ask, "")
    assert holds(times(2), witnesses, SETTINGS) and not holds(times(3), witnesses, SETTINGS)
    assert 2 <= len(count) <= QUESTIONS


def test_a_target_that_knows_the_vectors_is_not_believed():
    """It returns a known-wrong formula on the vectors, and something else everywhere else."""
    exact, first = library("maml-quadratic"), library("maml-quadratic", "first_order")
    known = [case.arguments()["theta"] for case in valid("maml-quadratic")]
    listed = lambda theta: any(np.array_equal(theta, each) for each in known)
    target = lambda **x: first(**x) if listed(x["theta"]) else exact(**x) + np.cos(exact(**x))
    outcomes, ask, _ = asked(target)
    assert explain(outcomes, SETTINGS)[0].name == "row"
    assert explain(outcomes, SETTINGS, ask, seconds=3.0)[0].name == ""


def test_of_a_tie_only_what_holds_elsewhere_stays():
    """K = 1: the first step and the last are one; the vector has N = K, other numbers do not change that."""
    exact = library("maml-quadratic")
    case = next(c for c in valid("maml-quadratic") if len(c.input["A"]) == 2 and c.input["theta"][0])
    number = abs(case.input["theta"][0])
    outcomes, ask, _ = asked(lambda **x: abs(x["theta"][0]) * exact(**x))
    (one,) = [o for o in outcomes if o.case is case]
    assert number in (0.5, 2.0) or "times" in explain([one], SETTINGS)[0].lines[0]
    assert all("the right result times" not in line for line in explain([one], SETTINGS, ask, seconds=2.0)[0].lines)


def test_a_right_target_is_not_asked():
    outcomes, ask, count = asked(library("maml-quadratic"))
    assert explain(outcomes, SETTINGS, ask) == [] and not count
