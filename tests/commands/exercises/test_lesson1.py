"""Lesson 1: the solutions are right, and wrong answers get their hints."""

import pytest

from tests.commands.exercises.filled import check_hint, check_right, hints, rights

QUOTIENT = "(f(x + h) - f(x - h)) / (2 * h)"
NEARLY = "np.array([np.exp(x[0]) * np.sin(x[1]) + 2 * x[0] * x[1], np.exp(x[0]) * np.cos(x[1]) + x[0] ** 2])"
SOLUTIONS = {
    "1a": ["1/4", "-3/2", "5/4"],
    "1b": [QUOTIENT, "-1", "2", "6e-6"],
    "1c": [f"{NEARLY} * (1 + 1e-6)"],
}
WRONG = {
    "1a": [
        (["1", "0", "2"], "The mean reward is missing"),
        (["1", "-3", "5"], "How often is action a chosen?"),
        (["4", "0", "8"], "Continue with the chain rule"),
        (["3/4", "0", "3/2"], "by its own theta_a alone"),
        (["0", "-2", "1"], "must be weighted by π"),
        (["1/12", "-1/2", "5/12"], "the derivative of log J"),
        (["-1/4", "3/2", "-5/4"], "the sign is turned"),
        (["1/4", "-3/2", "7/4"], "entry 2 is not right yet"),
        (["0.25", "-1.5", "1.251"], "close, but not equal"),
        (["1/2", "-3", "5/2"], "off by the same factor"),
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
        ({2: "1"}, "for one-sided differences"),
        ({2: "3"}, "divided by h afterwards"),
        ({2: "4"}, "Taylor's formula"),
        ({3: "1.5e-8"}, "best step of one-sided differences"),
        ({3: "1e-16"}, "nearly all digits"),
        ({3: "1e-6"}, "by luck"),
        ({3: "0.01"}, "For which h are the two parts equal?"),
        ({3: "-1e-5"}, "For which h are the two parts equal?"),
    ],
    "1c": [
        ([NEARLY], "this is right, or wrong by less"),
        ([f"{NEARLY} * (1 + 1e-12)"], "this is right, or wrong by less"),
        ([f"-{NEARLY}"], "the sign is turned"),
        ([f"{NEARLY} * 1.1"], "in one direction R2 has the order 1.0"),
        ([f"{NEARLY} + [0, 0.01]"], "make the error smaller"),
        (["np.zeros(2)"], "make the error smaller"),
    ],
}


@pytest.mark.parametrize(("name", "pieces"), rights(SOLUTIONS))
def test_the_solution_is_right(name, pieces, tmp_path, monkeypatch):
    check_right(tmp_path, name, pieces, monkeypatch)


@pytest.mark.parametrize(("name", "solution", "changes", "words"), hints(SOLUTIONS, WRONG))
def test_a_wrong_answer_gets_its_hint_and_not_the_solution(name, solution, changes, words, tmp_path):
    check_hint(tmp_path, name, solution, changes, words)
