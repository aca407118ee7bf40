"""A mistake that one branch of a target makes is named with the fact that tells the branches apart; chance is not taken for one."""

import numpy as np
import pytest

from refmeta.oracle.asking import Ask
from refmeta.oracle.check import as_target, questions, run
from refmeta.oracle.diagnosis.explain import explain
from refmeta.oracle.judge import JudgeSettings
from refmeta.oracle.suites.policy_gradient import SUITE
from refmeta.oracle.vectors import cases

SECONDS = 3.0  # enough to come to the choice, which is then refuted
CASES = [case for case in cases("policy-gradient") if case.result == "valid" and "extreme" not in case.flags]


def explained(target):
    """The first explanation of a target of policy gradients, which may be asked more."""
    settings, called = JudgeSettings(), as_target(target)
    ask: Ask = questions(called, settings)
    found = explain(run(called, CASES, settings, repeat=None), settings, ask, seconds=SECONDS)
    return next((e for e in found if e.value is not None), found[0])


def answer(where, words):
    """The library's Hessian product, with what it holds where a fact on the inputs holds."""

    def target(**x):
        problem = SUITE.problem(x)
        point = {"Hessian": SUITE.choices["Hessian"][words]} if where(x) else {}
        return {"hvp": SUITE.variant("hvp", problem, point)}

    return target


@pytest.mark.parametrize(("where", "words"), [(lambda x: x["horizon"] is None, "horizon is None"), (lambda x: x["horizon"] is not None, "horizon is not None")])
def test_what_is_wrong_in_one_branch_is_named_with_the_branch(where, words):
    found = explained(answer(where, "visits and Q held"))
    assert found.name == "in one branch" and words in found.lines[-1] and "visits and Q held" in found.lines[-1]
    for case in CASES:
        expected = answer(where, "visits and Q held")(**case.arguments())["hvp"]
        np.testing.assert_allclose(found.value(case, "hvp"), expected, rtol=1e-7, atol=1e-9)


def test_what_depends_on_the_numbers_is_no_branch():
    assert explained(answer(lambda x: x["theta"][0] > 0, "visits and Q held")).name != "in one branch"


def test_no_branch_is_named_in_which_another_vector_is_right_and_nothing_is_said_of_it():
    """Twice the right gradient where K = 2 alone: a fit to the orders up to two says nothing of K = 3, where the target is right."""
    regression = [case for case in cases("maml-regression") if case.result == "valid" and "extreme" not in case.flags]
    assert {case.input["steps"] for case in regression} > {2, 3}

    def target(**x):
        p = regression[0].about.problem(x)
        return regression[0].about.answer("gradient", p) * (2 if p.steps == 2 else 1)

    outcomes = run(as_target(target), regression, JudgeSettings())
    (found,) = explain(outcomes, JudgeSettings(), questions(as_target(target), JudgeSettings()), seconds=1.0)
    assert found.name == "refuted" and "only where" not in found.lines[0] and found.lines[0].endswith("steps is 2")


def test_a_word_of_the_input_may_be_the_branch():
    """Coupled decay where `decoupled` is asked for; where `decoupled_paper` is, the target is right, and the formula is not."""
    every = [case for case in cases("maml-optimisers") if case.result == "valid"]

    def target(**x):
        return every[0].about.answer("gradient", every[0].about.problem(x | {"decay": "coupled"} if x["decay"] == "decoupled" else x))

    settings, called = JudgeSettings(), as_target(target)
    found = explain(run(called, every, settings, repeat=None), settings, questions(called, settings), seconds=SECONDS)[0]
    assert found.name == "in one branch" and "decay-coupled" in found.lines[0] and found.lines[0].endswith("only where decay is decoupled")
