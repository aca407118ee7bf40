"""Lesson 1: the solutions are right, and wrong answers get their hints."""

import pytest

from tests.commands.exercises.filled import check_hint, check_right, hints, rights

QUOTIENT = "(f(x + h) - f(x - h)) / (2 * h)"
NEARLY = "np.array([np.exp(x[0]) * np.sin(x[1]) + 2 * x[0] * x[1], np.exp(x[0]) * np.cos(x[1]) + x[0] ** 2])"
SOLUTIONS = {
    "1a": ["2", "-1/3", "-5/3"],
    "1b": [QUOTIENT, "-1", "2", "6e-6"],
    "1c": [f"{NEARLY} * (1 + 1e-6)"],
}
WRONG = {
    "1a": [
        (["4", "1", "-1"], "The mean reward is missing"),
        (["4", "-1", "-10"], "How often is action a chosen?"),
        (["8", "3", "-6"], "Continue with the chain rule"),
        (["2", "2/3", "-5/6"], "by its own theta_a alone"),
        (["19/6", "4/9", "-23/18"], "must be weighted by π"),
        (["1/2", "-1/12", "-5/12"], "the derivative of log J"),
        (["1/4", "-3/2", "5/4"], "chapter's example"),
        (["-2", "1/3", "5/3"], "the sign is turned"),
        (["2", "-1/3", "7/4"], "entry 2 is not right yet"),
        (["2.003", "-1/3", "-5/3"], "within one per cent"),
        (["2", "-0.33", "-1.67"], "this is rounded"),
        (["4", "-2/3", "-10/3"], "off by the same factor"),
        (["7", "8", "9"], "The three entries sum to 0"),
    ],
    "1b": [
        ({0: "(f(x + h) - f(x)) / h"}, "one-sided difference (f(x + h)"),
        ({0: "(f(x) - f(x - h)) / h"}, "one-sided difference (f(x) −"),
        ({0: "(f(x + h) - f(x - h)) / h"}, "distance of the two points"),
        ({0: "(f(x + h) - f(x - h)) / 2 * h"}, "brackets are missing"),
        ({0: "(f(x - h) - f(x + h)) / (2 * h)"}, "the sign is turned"),
        ({1: "1"}, "GROWS"),
        ({1: "2"}, "at the other end"),
        ({1: "0"}, "By what is it divided?"),
        ({1: "-1.02"}, "a whole number is asked for"),
        ({2: "1.98"}, "a whole number is asked for"),
        ({1: "-2"}, "By what does the central difference divide it?"),
        ({2: "1"}, "for one-sided differences"),
        ({2: "3"}, "divided by h afterwards"),
        ({2: "4"}, "Taylor's formula"),
        ({3: "1.5e-8"}, "best step of one-sided differences"),
        ({3: "1e-16"}, "nearly all digits"),
        ({3: "1e-6"}, "by luck"),
        ({3: "0.01"}, "For which h are the two parts equal?"),
        ({3: "-1e-5"}, "a step is positive"),
        ({3: "-5"}, "If this is its exponent"),
    ],
    "1c": [
        ([NEARLY], "4) this is right. Its error is to be"),
        ([f"{NEARLY} * (1 + 1e-12)"], "its error is 1e-12 times the length of the gradient. Its error is to be 1e-08 times"),
        ([f"{NEARLY} * (1 + 1e-6 * (x[0] - 0.3))"], "at x = (0.3, -0.8) this is right"),
        ([f"{NEARLY} * [1 + 3e-8, 1]"], "at x = (-0.5, 0.4) its error is 6e-09 times"),
        ([f"-{NEARLY}"], "the sign is turned"),
        ([f"{NEARLY} * 1.1"], "its error is 0.1 times the length of the gradient: this is not a little"),
        ([f"{NEARLY} + [0, 0.01]"], "First write the right gradient"),
        ([NEARLY.replace("np.cos", "-np.cos")], "First write the right gradient"),
        ([NEARLY.replace(" + 2 * x[0] * x[1]", "")], "First write the right gradient"),
        (["np.zeros(2)"], "its error is 1 times the length"),
        ([f"{NEARLY} * (1 + 1e-5)"], "along v = (1, 1) R2 has the order"),
        ([f"{NEARLY} * (1 + 3e-6)"], "make the error smaller"),
    ],
}


@pytest.mark.parametrize(("name", "pieces"), rights(SOLUTIONS))
def test_the_solution_is_right(name, pieces, tmp_path, monkeypatch):
    check_right(tmp_path, name, pieces, monkeypatch)


@pytest.mark.parametrize(("name", "solution", "changes", "words"), hints(SOLUTIONS, WRONG))
def test_a_wrong_answer_gets_its_hint_and_not_the_solution(name, solution, changes, words, tmp_path):
    check_hint(tmp_path, name, solution, changes, words)


@pytest.mark.parametrize("factor", ["(1 + 1e-8)", "(1 - 1e-8)", "(1 + 1.5e-8)", "[1 + 3e-7, 1]", "(1 - 1e-6)", "(1 + 1e-7 * (2 + np.cos(9 * x[0])))"])
def test_a_slightly_wrong_gradient_is_what_is_asked_for(factor, tmp_path, monkeypatch):
    check_right(tmp_path, "1c", [f"{NEARLY} * {factor}"], monkeypatch)
