"""Lesson 4: the solutions are right, and wrong answers get their hints; 4c has a file of its own."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.commands.exercises.catalogue import exercise
from tests.commands.exercises.filled import check_hint, check_right, hints, rights

SOLUTIONS = {
    "4a": ["6/7", "30/11", "6"],
    "4b": ["-(16/27)*(1 + 4/3*log2)", "(16/27)*(1 + 4/3*log2)"],
}
WRONG = {
    "4a": [
        (["1/7", "1", "3"], "`joint`: this is the chapter's answer"),
        ({2: "3"}, "the chapter's answer"),
        ({2: "5"}, "the curvatures a_i belong into the weights"),
        ({2: "30/11"}, "where first-order MAML comes to rest"),
        ({2: "4"}, "the two weights are exchanged"),
        ({2: "7"}, "Set sum_i a_i(θ − c_i) to zero"),
        ({1: "6"}, "where joint training comes to rest"),
        ({1: "6/7"}, "where MAML, through both steps, comes to rest"),
        ({1: "30/7"}, "this is for one inner step"),
        ({1: "5"}, "the curvatures a_i belong into the weights"),
        ({1: "2"}, "need a factor a_i"),
        ({1: "1"}, "the chapter's answer"),
        ({1: "490/73"}, "this has 1 + αa_i"),
        ({1: "60/7"}, "α is missing in the factor"),
        ({1: "54/7"}, "this has αa_i"),
        ({1: "18/5"}, "a factor a_i too many"),
        ({1: "3.53"}, "the factor 1 − αa_i of this task"),
        ({0: "30/11"}, "Either the derivative of φ_i in θ is missing, or a step"),
        ({0: "30/19"}, "There is one for each step"),
        ({0: "10/17"}, "L_i has one"),
        ({0: "6"}, "where joint training comes to rest"),
        ({0: "1/7"}, "the chapter's answer"),
        ({0: "48/5"}, "α is missing in the factor"),
        ({0: "486/55"}, "this has αa_i"),
        ({0: "90/73"}, "a factor a_i too many"),
        ({0: "3.53"}, "one factor for each step"),
        ({0: "0.8571"}, "this is rounded"),
    ],
    "4b": [
        (["-16/27", "16/27"], "the Hessian is missing"),
        (["-4/3", "4/3"], "neither the step nor the Hessian"),
        (["-4/3*(1 + 4/3*log2)", "4/3*(1 + 4/3*log2)"], "This has the one at θ"),
        (["-16/27*(1 - 112/81*log2)", "16/27*(1 - 112/81*log2)"], "This takes it at φ"),
        (["-16/27*(1 - 4/3*log2)", "16/27*(1 - 4/3*log2)"], "the sign of the Hessian term"),
        (["-16/27*(1 + 2/3*log2)", "16/27*(1 + 2/3*log2)"], "s s^T times s is 2s"),
        (["-16/27*17/9", "16/27*17/9"], "step size is missing"),
        (["-16/27*(1 + 4/3*np.log10(2))", "16/27*(1 + 4/3*np.log10(2))"], "base 10"),
        (["-16/27*7/3", "16/27*7/3"], "factor log 2 of alpha is missing in the Hessian term"),
        (["-16/27*(1 + 1/3*log2)", "16/27*(1 + 1/3*log2)"], "the step size in the Hessian term is the chapter's"),
        (["-3/2*(1 + 4/3*log2)", "3/2*(1 + 4/3*log2)"], "the chapter's φ"),
        (["-3/2*(1 + 1/3*log2)", "3/2*(1 + 1/3*log2)"], "the chapter's answer"),
        (["-64/363*(1 + 4/3*log2)", "64/363*(1 + 4/3*log2)"], "the step went the wrong way"),
        (["16/27*(1 + 4/3*log2)", "-16/27*(1 + 4/3*log2)"], "F is a loss"),
        (["-1.135", "1.135"], "If your derivation is complete, digits are missing"),
        (["-2", "2"], "grad F = (I − αH) grad L(φ)"),
    ],
}


@pytest.mark.parametrize(("name", "pieces"), rights(SOLUTIONS))
def test_the_solution_is_right(name, pieces, tmp_path, monkeypatch):
    check_right(tmp_path, name, pieces, monkeypatch)


@pytest.mark.parametrize(("name", "solution", "changes", "words"), hints(SOLUTIONS, WRONG))
def test_a_wrong_answer_gets_its_hint_and_not_the_solution(name, solution, changes, words, tmp_path):
    check_hint(tmp_path, name, solution, changes, words)


def test_the_numbers_of_the_two_arms_are_those_of_the_library():
    """4b by `maml.gradient` on the bandit itself."""
    bandit = rm.PolicyReturn(rm.FiniteMDP([[[1.0], [1.0]]], [[5.0, -1.0]], [1.0], 0.5, horizon=1), rm.TabularSoftmax(1, 2))
    got = rm.maml.gradient(np.log([1.0, 2.0]), bandit, alpha=1.5 * np.log(2))
    assert np.allclose(got, 16 / 27 * (1 + 4 / 3 * np.log(2)) * np.array([-1, 1]), rtol=1e-13)
    share = 4 / 3 * np.log(2) / (1 + 4 / 3 * np.log(2))
    assert 0.45 < share < 0.5 and "Nearly half" in exercise("4b").shows


def test_the_numbers_of_the_two_quadratics_are_those_of_the_library():
    """4a by the meta-gradients, which are zero there."""
    pair = rm.Quadratic(A=[[[2.0]], [[3.0]]], c=[[0.0], [10.0]])
    for gradient, steps, rest in ((rm.maml.gradient, 2, 6 / 7), (rm.maml.first_order_gradient, 2, 30 / 11), (rm.maml.gradient, 0, 6.0)):
        assert abs(np.sum(gradient([rest], pair, alpha=0.25, steps=steps))) < 1e-14
