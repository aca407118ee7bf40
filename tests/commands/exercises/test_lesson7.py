"""Lesson 7: the solutions are right, and wrong answers get their hints."""

import numpy as np
import pytest

from refmeta.commands.exercises.catalogue import exercise
from tests.commands.exercises.filled import check_hint, check_right, hints, rights

PATH, SCORE = "1/2 * 9/100 * (1 - log3) + 1/8", "1/4 * (9/10 - 1/2)"
NAIVE, TRUE = "-p * (1 - p) * (p * r0 + (1 - p) * r1)", "p * (1 - p) * (1 - 2 * p) * (r0 - r1)"
SOLUTIONS = {
    "7a": ["3/4", "7/10", f"{PATH} + {SCORE}"],
    "7b": ["np.mean(G)", "(np.sum(G) - G) / (len(G) - 1)", "1 - 1 / M"],
    "7c": [NAIVE, TRUE, "-p * (1 - p) * c"],
}
WRONG = {
    "7a": [
        ({0: "7/10"}, "one sample instead of"),
        ({0: "1/2"}, "before adaptation"),
        ({0: "9/10"}, "the estimate of arm 0"),
        ({0: "1/4"}, "J is a reward"),
        ({0: "1 / (1 + 3 ** -0.5)"}, "their gap counts"),
        ({0: "0.3"}, "the gap of the two logits"),
        ({1: "3/4"}, "for the exact gradient"),
        ({1: "9/10"}, "Arm 1 is drawn as often"),
        ({1: "9/20"}, "J is not zero"),
        ({1: "1/2"}, "before adaptation"),
        ({1: "5/8"}, "their gap grows by alpha"),
        ({1: "0.3"}, "take the mean"),
        ({2: PATH}, "the score term is missing"),
        ({2: "9/200 + 1/8"}, "this is first-order MAML"),
        ({2: SCORE}, "the score term alone"),
        ({2: f"9/200 + 1/8 + {SCORE}"}, "π in g depends on theta"),
        ({2: f"{PATH} - {SCORE}"}, "has the wrong sign"),
        ({2: f"{PATH} + 2 * {SCORE}"}, "the score of arm 0"),
        ({2: f"{PATH} - 1/8 + {SCORE}"}, "after arm 1 has a derivative, too"),
        ({2: "0.7"}, "Sum over the arms"),
    ],
    "7b": [
        ({0: "np.sum(G)"}, "this is the sum"),
        ({0: "np.sum(G) / (len(G) - 1)"}, "divides by M − 1"),
        ({0: "G"}, "the return itself"),
        ({0: "(np.sum(G) - G) / (len(G) - 1)"}, "the OTHER returns"),
        ({0: "0.0"}, "the same for every trajectory"),
        ({1: "np.full(len(G), np.mean(G))"}, "still in the mean"),
        ({1: "(np.sum(G) - G) / len(G)"}, "this divides by M"),
        ({1: "np.sum(G) - G"}, "sum of the others"),
        ({1: "G - (np.sum(G) - G) / (len(G) - 1)"}, "The baseline alone"),
        ({1: "np.mean(G)"}, "must be an array of shape (2,), got shape ()"),
        ({1: "0 * G"}, "Try it by hand"),
        ({2: "1 / M"}, "the part that is lost"),
        ({2: "M / (M - 1)"}, "this is the inverse"),
        ({2: "1 - 1 / (M - 1)"}, "It is a part of M, not of M − 1"),
        ({2: "1"}, "does change the mean"),
        ({2: "1 + 1 / M"}, "does not add"),
        ({2: "0.3"}, "Write b_i as"),
    ],
    "7c": [
        ({0: TRUE}, "this is J''"),
        ({0: "-p * (1 - p) * (r0 + r1)"}, "without their probabilities"),
        ({0: "-p * (1 - p) * (p * r0 - (1 - p) * r1)"}, "are equal, and both negative"),
        ({0: "p * (1 - p) ** 2 * r0 + (1 - p) * p ** 2 * r1"}, "SQUARE"),
        ({0: "p * (1 - p) * (r0 - r1)"}, "FIRST derivative"),
        ({0: f"-({NAIVE})"}, "the sign is turned"),
        ({0: "p"}, "take the mean over the arms"),
        ({1: "p * (1 - p) * (r0 - r1)"}, "this is J'"),
        ({1: NAIVE}, "this is the naive curvature"),
        ({1: "(1 - 2 * p) * (r0 - r1)"}, "p depends on z, too"),
        ({1: "p * (1 - p) * (1 - 2 * p) * r0"}, "both rewards belong into J"),
        ({1: TRUE.replace("r0 - r1", "r0 + r1")}, "opposite signs"),
        ({1: "p"}, "with the chain rule"),
        ({2: "0"}, "the naive one does"),
        ({2: "c"}, "the change of J"),
        ({2: "-2 * p * (1 - p) * c"}, "the mean is taken once"),
        ({2: "p * (1 - p) * c"}, "the sign is turned"),
        ({2: "7"}, "and subtract"),
    ],
}


def test_the_numbers_that_the_sentence_states():
    """45 % too small without the score term, 23 % in first-order MAML."""
    whole, without, first_order = (eval(text, {"log3": np.log(3)}) for text in (f"{PATH} + {SCORE}", PATH, "9/200 + 1/8"))
    assert round(100 * (1 - without / whole)) == 45 and round(100 * (1 - first_order / whole)) == 23
    assert "45 %" in exercise("7a").shows and "23 %" in exercise("7a").shows


@pytest.mark.parametrize(("name", "pieces"), rights(SOLUTIONS))
def test_the_solution_is_right(name, pieces, tmp_path, monkeypatch):
    check_right(tmp_path, name, pieces, monkeypatch)


@pytest.mark.parametrize(("name", "solution", "changes", "words"), hints(SOLUTIONS, WRONG))
def test_a_wrong_answer_gets_its_hint_and_not_the_solution(name, solution, changes, words, tmp_path):
    check_hint(tmp_path, name, solution, changes, words)
