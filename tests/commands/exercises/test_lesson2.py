"""Lesson 2: the solutions are right, and wrong answers get their hints."""

import pytest

from tests.commands.exercises.filled import check_hint, check_right, hints, rights

V = "(pi * Q).sum(axis=1)"
RIGHT = f"d[:, None] * pi * (Q - {V}[:, None])"
SOLUTIONS = {
    "2a": ["3", "4/3", "2/3", "1/2", "-1/2", "1/6", "-1/6"],
    "2b": [RIGHT, "4", "2/3"],
    "2c": ["5/6", "-1/12", "5/12", "1/2", "-5/2"],
}
WRONG = {
    "2a": [
        ({0: "1"}, "the value of the other state"),
        ({0: "3/2"}, "start of the chapter"),
        ({0: "2"}, "mean of the two values"),
        ({0: "9/4"}, "first step alone"),
        ({0: "5"}, "solve the two equations"),
        ({1: "2/3", 2: "4/3"}, "visits of the chapter's start"),
        ({2: "1/3", 1: "2/3"}, "these are normalised"),
        ({1: "1/3"}, "the start itself is not counted"),
        ({2: "4/9"}, "transposed"),
        ({3: "1/4", 4: "-1/4", 5: "1/3", 6: "-1/3"}, "this has R − r_π instead of Q − V"),
        ({3: "3/2", 4: "5/2", 5: "1/2", 6: "1/6"}, "Q instead of the advantage"),
        ({3: "3/8", 4: "-3/8", 5: "1/4", 6: "-1/4"}, "visits d(s) are missing"),
        ({3: "2", 4: "-2/3", 5: "1/3", 6: "-1/3"}, "probabilities π(a|s) are missing"),
        ({3: "3/2", 4: "-1/2", 5: "1/2", 6: "-1/2"}, "advantages alone"),
        ({5: "0", 6: "0"}, "state 1 is visited, too"),
        ({3: "1/4", 4: "-1/4", 5: "1/12", 6: "-1/12"}, "these sum to 1"),
        ({3: "-1/2", 4: "1/2"}, "in the row of state 0 the two actions"),
        ({5: "-1/6", 6: "1/6"}, "in the row of state 1 the two actions"),
        ({3: "-1/2", 4: "1/2", 5: "-1/6", 6: "1/6"}, "the sign is turned"),
    ],
    "2b": [
        ({0: "d[:, None] * pi * Q"}, "sum your rows"),
        ({0: f"d[:, None] * (Q - {V}[:, None])"}, "π(a|s) is missing"),
        ({0: f"pi * (Q - {V}[:, None])"}, "d(s) is missing"),
        ({0: "d[:, None] * pi * (Q - Q.mean(axis=1)[:, None])"}, "plain mean"),
        ({0: RIGHT.replace("d[:, None]", "d[:, None] / d.sum()")}, "take d as it is"),
        ({0: f"-{RIGHT}"}, "the sign is turned"),
        ({0: f"d * pi * (Q - {V})"}, "ValueError"),
        ({0: V}, "`gradient(…)` must be an array of shape (2, 3), got shape (2,)"),
        ({1: "0", 2: "0"}, "the right formula has these row sums"),
        ({1: "3", 2: "1"}, "this is V(s)"),
        ({1: "4/3"}, "this is d(s)"),
        ({1: "2", 2: "4/3"}, "row sums for the chapter's start"),
        ({1: "28/3", 2: "4/3"}, "π is missing"),
        ({1: "2", 2: "8/3"}, "sums over the states"),
        ({1: "5", 2: "7"}, "What is left of Q?"),
    ],
    "2c": [
        ({0: "1/2"}, "chapter's game"),
        ({0: "1"}, "strictly between"),
        ({0: "0"}, "never to cash"),
        ({0: "1/6"}, "probability to wait"),
        ({0: "2/3"}, "this holds V1 fixed"),
        ({0: "7/8"}, "missing in V1"),
        ({0: "0.4"}, "derivative of this polynomial"),
        ({1: "1/2", 2: "-5/2"}, "these are the advantages at t = 1. At t = 0 waiting earns V1, too"),
        ({1: "-5/72", 2: "5/72"}, "The advantages alone are asked for"),
        ({2: "-37/12"}, "it is missing in Q_0(wait)"),
        ({1: "1/12", 2: "-5/12"}, "the sign is turned"),
        ({1: "4 - 47/12", 2: "7/2 - 47/12"}, "the sign is turned; or the 1"),
        ({1: "-1/6", 2: "5/6"}, "V1 is not the reward of cashing"),
        ({1: "4", 2: "9/2"}, "not Q_0 − V_0"),
        ({1: "-1/4", 2: "1/4"}, "V_0 weights the two actions"),
        ({1: "-5/12", 2: "1/12"}, "it weights Q_0(cash)"),
        ({1: "3", 2: "3"}, "if you cash, and if you wait"),
        ({3: "4", 4: "1"}, "not Q_1 − V_1"),
        ({3: "3/2", 4: "-3/2"}, "V_1 weights the two actions"),
        ({3: "5/2", 4: "-1/2"}, "it weights Q_1(cash)"),
        ({3: "-1/12", 4: "5/12"}, "these belong to t = 0"),
        ({3: "9", 4: "9"}, "one reward is left"),
    ],
}


@pytest.mark.parametrize(("name", "pieces"), rights(SOLUTIONS))
def test_the_solution_is_right(name, pieces, tmp_path, monkeypatch):
    check_right(tmp_path, name, pieces, monkeypatch)


@pytest.mark.parametrize(("name", "solution", "changes", "words"), hints(SOLUTIONS, WRONG))
def test_a_wrong_answer_gets_its_hint_and_not_the_solution(name, solution, changes, words, tmp_path):
    check_hint(tmp_path, name, solution, changes, words)
