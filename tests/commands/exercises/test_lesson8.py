"""Lesson 8: the solutions are right, and wrong answers get their hints."""

import pytest

from tests.commands.exercises.filled import check_hint, check_right, hints, rights

SOLUTIONS = {
    "8a": ["1", "1/3", "3/4", "1/4"],
    "8b": ["100", "1", "0", "0"],
    "8c": ["5/8", "1/8", "2/8", "1", "1/2"],
}
WRONG = {
    "8a": [
        ({0: "3/2", 1: "3/4"}, "such a belief never narrows"),
        ({1: "3"}, "the second number is the precision"),
        ({0: "2"}, "not the variances"),
        ({0: "3/2"}, "a narrow factor counts more"),
        ({0: "3/4", 1: "1/4"}, "this has the prior as a factor"),
        ({1: "3 ** -0.5"}, "standard deviation"),
        ({1: "3/2"}, "The precisions add"),
        ({0: "3"}, "not yet the mean"),
        ({0: "2", 1: "2/3"}, "the precision of N(0, 1/2)"),
        ({0: "7", 1: "8"}, "complete the square"),
        ({2: "1", 3: "1/3"}, "the prior is missing"),
        ({2: "1"}, "its precision counts"),
        ({2: "3/5", 3: "1/5"}, "counted twice"),
        ({3: "4"}, "the second number is the precision"),
        ({2: "1", 3: "5/6"}, "average of the three"),
        ({3: "1/3"}, "the variance did not"),
        ({2: "7", 3: "8"}, "one factor more"),
    ],
    "8b": [
        ({1: "0"}, "must not be zero"),
        ({0: "0"}, "The step is 0.5 times as long as the gradient. With theta = 0"),
        ({2: "10"}, "The forget gate is nearly 1"),
        ({0: "-1"}, "its two parts have opposite directions"),
        ({0: "1"}, "The step is 1 times as long as the gradient. The step is"),
        ({3: "float('inf')"}, "`b_I` is not finite"),
        ({0: "[7]"}, "`theta` must be one number"),
    ],
    "8c": [
        ({0: "3/4", 1: "0", 2: "1/4"}, "without the prior"),
        ({0: "1/2", 1: "1/4", 2: "1/4"}, "mean of the prior"),
        ({0: "4/5", 1: "0", 2: "1/5"}, "maximum of the posterior density"),
        ({0: "5", 1: "1", 2: "2"}, "divide by their sum"),
        ({0: "4/7", 1: "1/7", 2: "2/7"}, "this has the prior (1, 1, 1)"),
        ({0: "7", 1: "8", 2: "9"}, "a Dirichlet density again"),
        ({3: "1/2"}, "Here there is no chance"),
        ({3: "2"}, "falls more slowly"),
        ({3: "0"}, "the prior is still in it"),
        ({3: "7"}, "see how this depends on n"),
        ({4: "1"}, "the order without chance"),
        ({4: "2"}, "does not fall so fast"),
        ({4: "-1/2"}, "it is positive"),
        ({4: "0"}, "the error does fall"),
        ({4: "7"}, "The prior's part is smaller"),
    ],
}


@pytest.mark.parametrize(("name", "pieces"), rights(SOLUTIONS))
def test_the_solution_is_right(name, pieces, tmp_path, monkeypatch):
    check_right(tmp_path, name, pieces, monkeypatch)


@pytest.mark.parametrize("pieces", [["-5", "0.1", "-40", "-40"], ["1e6", "-1", "2", "5"], ["7", "2", "-3", "30"]])
def test_a_long_step_has_many_right_answers(pieces, tmp_path, monkeypatch):
    check_right(tmp_path, "8b", pieces, monkeypatch)


@pytest.mark.parametrize(("name", "solution", "changes", "words"), hints(SOLUTIONS, WRONG))
def test_a_wrong_answer_gets_its_hint_and_not_the_solution(name, solution, changes, words, tmp_path):
    check_hint(tmp_path, name, solution, changes, words)
