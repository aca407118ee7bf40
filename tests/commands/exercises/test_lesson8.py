"""Lesson 8: the solutions are right, and wrong answers get their hints."""

import numpy as np
import pytest

from refmeta.commands.exercises import lesson8
from refmeta.meta import meta_lstm
from refmeta.tasks.quadratic import Quadratic
from tests.commands.exercises.filled import check_hint, check_right, grade, hints, rights

SOLUTIONS = {
    "8a": ["9/5", "1/5", "3/2", "1/6"],
    "8b": ["100", "1", "0", "0"],
    "8c": ["3/5", "1/10", "3/10", "1", "1/2"],
}
WRONG = {
    "8a": [
        ({0: "5/2", 1: "5/12"}, "such a belief never narrows"),
        ({1: "5"}, "the second number is the precision"),
        ({0: "16/5"}, "not the variances"),
        ({0: "3"}, "its minus is lost"),
        ({0: "5/2"}, "a narrow factor counts more"),
        ({0: "3/2", 1: "1/6"}, "this has the prior as a factor"),
        ({1: "5 ** -0.5"}, "standard deviation"),
        ({1: "5/6"}, "the variances are added"),
        ({1: "1/6"}, "the variances are multiplied"),
        ({1: "2/5"}, "twice what it must be"),
        ({0: "9"}, "not yet the mean"),
        ({0: "9", 1: "5"}, "the sums of precision times mean"),
        ({0: "5", 1: "5/6"}, "not the product of two densities"),
        ({0: "16/5", 1: "6/5"}, "this takes it as a precision"),
        ({0: "16/5", 1: "5/6"}, "precisions add, not variances"),
        ({0: "15/13", 1: "1/13"}, "this takes it as a standard deviation"),
        ({0: "5/2", 1: "5/6"}, "The logarithms of the two densities add"),
        ({0: "1", 1: "1/3"}, "the chapter's example"),
        ({0: "11", 1: "8"}, "complete the square"),
        ({2: "9/5", 3: "1/5"}, "the prior is missing"),
        ({2: "9/5"}, "its precision counts in the mean"),
        ({2: "9/7", 3: "1/7"}, "counted twice"),
        ({2: "5/2"}, "its minus is lost"),
        ({2: "16/11"}, "not the variances"),
        ({2: "9/10"}, "halfway between the belief and the prior"),
        ({3: "6"}, "the second number is the precision"),
        ({3: "6 ** -0.5"}, "standard deviation"),
        ({2: "5/3", 3: "11/18"}, "average of the three"),
        ({3: "1/5"}, "the variance did not"),
        ({2: "9", 3: "6"}, "the sums of precision times mean"),
        ({3: "11/6"}, "The precisions add"),
        ({2: "3/4", 3: "1/4"}, "the chapter's example"),
        ({2: "11", 3: "8"}, "one factor more"),
    ],
    "8b": [
        ({1: "0"}, "must not be zero"),
        ({0: "0"}, "The step is 0.5 times as long as the gradient. With theta = 0"),
        ({2: "10"}, "The forget gate is nearly 1"),
        ({0: "-1"}, "its two parts have opposite directions"),
        ({0: "1"}, "The step is 1 times as long as the gradient. The step is"),
        ({3: "float('inf')"}, "`b_I` is not finite"),
        ({0: "[7]"}, "`theta` must be one number"),
        ({0: "'10'"}, "write numbers without quotes"),
        ({1: "True"}, "`g` must be one number, got bool: True"),
    ],
    "8c": [
        ({0: "2/3", 1: "0", 2: "1/3"}, "without the prior"),
        ({0: "1/2", 1: "1/4", 2: "1/4"}, "mean of the prior"),
        ({0: "5/7", 1: "0", 2: "2/7"}, "maximum of the posterior density"),
        ({0: "5/10", 1: "0", 2: "2/10"}, "in the maximum of the density"),
        ({0: "6", 1: "1", 2: "3"}, "divide by their sum"),
        ({0: "1", 1: "1/6", 2: "1/2"}, "the prior counts in the sum, too"),
        ({0: "6/4", 1: "1/4", 2: "3/4"}, "the visits count, too"),
        ({0: "7/12", 1: "1/8", 2: "7/24"}, "halfway between"),
        ({0: "5/9", 1: "1/9", 2: "3/9"}, "this has the prior (1, 1, 1)"),
        ({0: "7", 1: "8", 2: "9"}, "a Dirichlet density again"),
        ({3: "1/2"}, "there is no chance in this error"),
        ({3: "2"}, "What is its share"),
        ({3: "0"}, "the prior is still in it"),
        ({3: "7"}, "see how this depends on n"),
        ({4: "1"}, "the order of the prior's part"),
        ({4: "2"}, "does not fall so fast"),
        ({4: "-1/2"}, "it is positive"),
        ({4: "0"}, "the error does fall"),
        ({4: "7"}, "The prior's part is smaller"),
    ],
}


@pytest.mark.parametrize(("name", "pieces"), rights(SOLUTIONS))
def test_the_solution_is_right(name, pieces, tmp_path, monkeypatch):
    check_right(tmp_path, name, pieces, monkeypatch)


@pytest.mark.parametrize("pieces", [["5", "1", "0", "0"], ["1e161", "1e160", "0", "0"], ["1e156", "1e155", "0", "0"], ["1e308", "5e-324", "800", "1e308"],
                                    ["1e308", "1e-300", "0", "-1e308"], ["-5", "0.1", "-40", "-40"], ["1e6", "-1", "2", "5"], ["7", "2", "-3", "30"]])
def test_a_long_step_has_many_right_answers(pieces, tmp_path, monkeypatch):
    check_right(tmp_path, "8b", pieces, monkeypatch)


@pytest.mark.parametrize(("name", "solution", "changes", "words"), hints(SOLUTIONS, WRONG))
def test_a_wrong_answer_gets_its_hint_and_not_the_solution(name, solution, changes, words, tmp_path):
    check_hint(tmp_path, name, solution, changes, words)


def test_the_step_is_that_of_the_library():
    """8b by Meta-LSTM itself, with gates that depend on nothing but their biases."""
    for theta, g, b_F, b_I in ((5.0, 1.0, 0.0, 0.0), (-3.0, 0.5, 1.0, -2.0), (2.0, -0.25, -1.5, 0.5), (0.0, 1.0, 0.0, 3.0)):
        weights = meta_lstm.Parameters(np.zeros((4, 5)), np.zeros(4), np.zeros(3), b_I, np.zeros(3), b_F, [theta])
        task = Quadratic(np.array([[[1.0]]]), np.array([[theta - g]]))
        step = float(meta_lstm.unroll(weights, task, steps=1).steps[0].theta.item()) - theta
        assert np.isclose(lesson8._step_over_gradient(theta, g, b_F, b_I), abs(step / g), rtol=1e-13)


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (["1e160", "1e160", "0", "0"], "The step is 1 times as long as the gradient. The step is"),
        (["1e308", "1e308", "-1e308", "0"], "The step is 1.5 times as long"),
        (["1e308", "-1e308", "-1e308", "0"], "opposite directions"),
        (["5e-324", "-1e308", "0", "1e308"], "opposite directions"),
        (["0", "1e308", "-1e308", "1e308"], "With theta = 0"),
        (["1e308", "1e308", "1e308", "1e308"], "The forget gate is nearly 1"),
    ],
)
def test_large_numbers_are_graded_as_others_are(pieces, words, tmp_path):
    right, sentence = grade(tmp_path, "8b", pieces)
    assert not right and words in sentence
