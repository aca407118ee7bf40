"""Lesson 5: the solutions are right, and wrong answers get their hints."""

import pytest

from tests.commands.exercises.filled import check_hint, check_right, hints, rights

MAML, FIRST, REPTILE = "g1 - alpha * H1 @ g2 - alpha * H2 @ g1", "g1 - alpha * H1 @ g2", "g1 + g2 - alpha * H1 @ g2"
IMPLICIT, STEP = "6 * strength / (1 + strength) ** 2", "6 * (strength - 1) / strength ** 2"
SOLUTIONS = {
    "5a": ["6", "50/9", "90/17", "5"],
    "5b": [MAML, FIRST, REPTILE],
    "5c": [IMPLICIT, STEP, "2"],
}
WRONG = {
    "5a": [
        ({0: "30/7", 1: "30/11", 2: "30/19"}, "points of first-order MAML"),
        ({0: "30/11", 1: "6/7", 2: "30/131"}, "points of MAML"),
        ({1: "6", 2: "6"}, "joint training for every K"),
        ({0: "50/9", 1: "90/17", 2: "850/165"}, "one step more each"),
        ({0: "10/3", 1: "2", 2: "10/9"}, "Reptile has θ − φ_i"),
        ({0: "90/13", 1: "150/23", 2: "270/43"}, "a factor a_i too many"),
        ({0: "4", 1: "40/9", 2: "80/17"}, "the two weights are exchanged"),
        ({0: "50/9", 1: "170/33", 2: "650/129"}, "this has 2K factors"),
        ({0: "5", 1: "5", 2: "5"}, "mean of the centres"),
        ({2: "5.6"}, "entry 2 is not right"),
        ({0: "7", 1: "8", 2: "9"}, "Write θ − φ_i as a factor"),
        ({3: "10"}, "the second task alone"),
        ({3: "0"}, "limit of MAML's points"),
        ({3: "6"}, "the point for one step"),
        ({3: "7"}, "the minimum c_i of its task"),
    ],
    "5b": [
        ({0: "g2 - alpha * H2 @ g1 - alpha * H1 @ g2"}, "order (1, 2) of the chapter"),
        ({0: FIRST}, "the Hessian of the step is missing"),
        ({0: "g1 - alpha * H2 @ g1"}, "its value at the start"),
        ({0: "g1 - alpha * H1 @ g2 - alpha * H1 @ g1"}, "on which the step is made"),
        ({0: "g1 - H1 @ g2 - H2 @ g1"}, "alpha is missing"),
        ({0: MAML.replace("-", "+")}, "a step goes against the gradient"),
        ({0: "g1"}, "the chain rule multiplies"),
        ({0: "(np.eye(len(g1)) - alpha * H2) @ (g1 - alpha * H1 @ g2)"}, "a term of order alpha²"),
        ({0: "g1 + alpha * H1 @ g2 - alpha * H2 @ g1"}, "has the wrong sign: both"),
        ({0: "g1 - alpha * H1 @ g2 + alpha * H2 @ g1"}, "has the wrong sign; both"),
        ({0: "(g1 + g2) / 2 - alpha * (H1 @ g2 + H2 @ g1)"}, "the mean over both orders"),
        ({0: "g1 - alpha * H2 @ g2 - alpha * H1 @ g1"}, "the gradient of the OTHER minibatch"),
        ({0: "g1 - alpha * H1 * g2 - alpha * H2 * g1"}, "is there a * where @ is meant?"),
        ({1: "g2 - alpha * H2 @ g1"}, "order (1, 2) of the chapter"),
        ({1: MAML}, "the Hessian of the step does not occur"),
        ({1: "g1"}, "its value at the start"),
        ({1: "g1 - alpha * H2 @ g2"}, "changes by its own Hessian"),
        ({1: "g1 - alpha * H1 @ g1"}, "of the other minibatch"),
        ({1: FIRST.replace("-", "+")}, "minus alpha"),
        ({1: "g2"}, "where is its gradient taken?"),
        ({2: "g1 + g2 - alpha * H2 @ g1"}, "order (1, 2) of the chapter"),
        ({2: FIRST}, "adds up both steps"),
        ({2: "g1 + g2"}, "not at theta"),
        ({2: REPTILE + " - alpha * H2 @ g1"}, "the first step starts at theta"),
        ({2: f"({REPTILE}) / 2"}, "Reptile is their sum"),
        ({2: "g1 + g2 + alpha * H1 @ g2"}, "minus alpha"),
        ({2: f"alpha * ({REPTILE})"}, "the sum alone is asked for"),
        ({2: "H1 @ g2"}, "gradient met at the first step"),
    ],
    "5c": [
        ({0: STEP}, "this is one gradient step"),
        ({0: "6 / (1 + strength)"}, "either the division by"),
        ({0: "6 / strength / (1 + 1 / strength)"}, "or φ* is the point after one gradient step"),
        ({0: "6 / (1 + strength) / (1 + strength)"}, "this divides by 1 + strength"),
        ({0: "6 / strength"}, "it must be divided by it"),
        ({0: "3 * strength / (1 + strength) ** 2"}, "derivative 2φ"),
        ({0: "6 / (1 + strength) * (1 - 1 / strength)"}, "the factor of one step"),
        ({0: "6 * strength ** 2 / (1 + strength) ** 2"}, "not before L"),
        ({0: f"-{IMPLICIT}"}, "the sign is turned"),
        ({0: "strength"}, "φ* is the φ at which"),
        ({0: "2 / (1 + 1 / strength)"}, "which holds at strength 2 alone"),
        ({0: "4 / 3"}, "the chapter's number, for strength 2"),
        ({0: "8 / 3 / strength"}, "this is right for strength = 2, and wrong for strength = 4. φ* is the φ"),
        ({1: IMPLICIT}, "this is implicit MAML"),
        ({1: "6 / strength"}, "first-order MAML"),
        ({1: "6 / (1 + strength) * (1 - 1 / strength)"}, "φ* of implicit MAML"),
        ({1: "3 * (strength - 1) / strength ** 2"}, "derivative 2φ"),
        ({1: "6 * strength * (1 - strength)"}, "not strength"),
        ({1: "6 * (strength + 1) / strength ** 2"}, "this has a plus"),
        ({1: "1.0"}, "the gradient of L is −3"),
        ({2: "1"}, "half as large"),
        ({2: "3"}, "one eighth"),
        ({2: "-2"}, "n is positive"),
        ({2: "5"}, "Double a large strength"),
        ({2: "1.46"}, "a whole number"),
    ],
}


@pytest.mark.parametrize(("name", "pieces"), rights(SOLUTIONS))
def test_the_solution_is_right(name, pieces, tmp_path, monkeypatch):
    check_right(tmp_path, name, pieces, monkeypatch)


@pytest.mark.parametrize(("name", "solution", "changes", "words"), hints(SOLUTIONS, WRONG))
def test_a_wrong_answer_gets_its_hint_and_not_the_solution(name, solution, changes, words, tmp_path):
    check_hint(tmp_path, name, solution, changes, words)
