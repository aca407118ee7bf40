"""Lesson 7: the solutions are right, and wrong answers get their hints."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.commands.exercises.catalogue import exercise
from tests.commands.exercises.filled import check_hint, check_right, hints, rights

PATH, SCORE = "1/2 * 16/100 * (1 - log2) + 1/8", "1/4 * (4/5 - 1/2)"
NAIVE, TRUE = "-p * (1 - p) * (p * r0 + (1 - p) * r1)", "p * (1 - p) * (1 - 2 * p) * (r0 - r1)"
SOLUTIONS = {
    "7a": ["2/3", "13/20", f"{PATH} + {SCORE}"],
    "7b": ["(np.sum(G) + G) / (len(G) + 1)", "(np.sum(G) - G) / (len(G) - 1)", "(M - 1) / (M + 1)"],
    "7c": [NAIVE, TRUE, "-p * (1 - p) * c"],
}
WRONG = {
    "7a": [
        ({0: "13/20"}, "one sample instead of"),
        ({0: "1/2"}, "before adaptation"),
        ({0: "4/5"}, "the estimate of arm 0"),
        ({0: "1/3"}, "J is a reward"),
        ({0: "3/4"}, "the chapter's example"),
        ({0: "1 / (1 + 2 ** -0.5)"}, "their gap counts"),
        ({0: "0.3"}, "the gap of the two logits"),
        ({0: "'0.6666667'"}, "write numbers without quotes"),
        ({1: "2/3"}, "for the exact gradient"),
        ({1: "4/5"}, "Arm 1 is drawn as often"),
        ({1: "2/5"}, "J is not zero"),
        ({1: "1/2"}, "is not undone by arm 1"),
        ({1: "1/2*4/5 + 1/2*1/5"}, "is not undone by arm 1"),
        ({1: "7/12"}, "their gap grows by alpha"),
        ({1: "7/10"}, "the chapter's example"),
        ({1: "0.3"}, "take the mean"),
        ({2: PATH}, "the score term is missing"),
        ({2: "8/100 + 1/8"}, "this is first-order MAML"),
        ({2: SCORE}, "the score term alone"),
        ({2: f"8/100 + 1/8 + {SCORE}"}, "π in g depends on theta"),
        ({2: f"{PATH} - {SCORE}"}, "has the wrong sign"),
        ({2: f"{PATH} + 2 * log2 * {SCORE}"}, "the score term has no alpha"),
        ({2: "2/9"}, "the derivative of exact_objective"),
        ({2: f"{PATH} + 2 * {SCORE}"}, "the score of arm 0"),
        ({2: f"{PATH} - 1/8 + {SCORE}"}, "after arm 1 has a derivative, too"),
        ({2: "0.045 * (1 - np.log(3)) + 0.225"}, "the chapter's example"),
        ({2: f"{PATH} + 1/4 * 4/5"}, "arm 1 has a score term, too"),
        ({2: f"{PATH} + {SCORE}".replace("1 - log2", "1 + log2")}, "the derivative of g has the wrong sign"),
        ({2: f"{PATH} + {SCORE}".replace("1 - log2", "1 - log2 / 2")}, "half of what it must be"),
        ({2: f"{PATH} + {SCORE}".replace("1 - log2", "1 - 2 * log2")}, "twice what it must be"),
        ({2: f"16/100 * (1 - log2) + 1/4 + {SCORE}"}, "weighted by the probability of the arm"),
        ({2: "0.7"}, "Sum over the arms"),
    ],
    "7b": [
        ({0: "np.sum(G) + G"}, "this is the sum"),
        ({0: "(np.sum(G) + G) / len(G)"}, "this divides by M"),
        ({0: "np.full(len(G), np.mean(G))"}, "this is the plain mean"),
        ({0: "np.full(len(G), np.sum(G) / (len(G) + 1))"}, "counts twice in the sum, too"),
        ({0: "G"}, "the return itself"),
        ({0: "(np.sum(G) - G) / (len(G) - 1)"}, "the OTHER returns"),
        ({0: "0 * G"}, "the mean of 1, 3 and 1"),
        ({1: "np.array([np.mean(G[G != g]) for g in G])"}, "leave out trajectory i alone"),
        ({1: "np.array([np.mean(list(set(G) - {g})) for g in G])"}, "leave out trajectory i alone"),
        ({1: "np.full(len(G), np.mean(G))"}, "still in the mean"),
        ({1: "(np.sum(G) - G) / len(G)"}, "this divides by M"),
        ({1: "np.sum(G) - G"}, "sum of the others"),
        ({1: "G - (np.sum(G) - G) / (len(G) - 1)"}, "The baseline alone"),
        ({1: "np.mean(G)"}, "must be an array of shape (2,), got shape ()"),
        ({1: "0 * G"}, "Try it by hand"),
        ({2: "2 / (M + 1)"}, "the part that is lost"),
        ({2: "(M + 1) / (M - 1)"}, "this is the inverse"),
        ({2: "1 - 1 / M"}, "the chapter's factor"),
        ({2: "1 - 2 / M"}, "which is not M"),
        ({2: "1 - 1 / (M + 1)"}, "G_i stands twice"),
        ({2: "1"}, "does change the mean"),
        ({2: "1 + 2 / (M + 1)"}, "does not add"),
        ({2: "0.3"}, "Write b_i as"),
        ({2: "1 / 3"}, "this is right for M = 2, and wrong for M = 3. Write b_i as"),
    ],
    "7c": [
        ({0: TRUE}, "this is J''"),
        ({0: "-p * (1 - p) * (r0 + r1)"}, "without their probabilities"),
        ({0: "-p * (1 - p) * (p * r0 - (1 - p) * r1)"}, "are equal, and both negative"),
        ({0: "p * (1 - p) ** 2 * r0 + (1 - p) * p ** 2 * r1"}, "SQUARE"),
        ({0: "p * (1 - p) * (r0 - r1)"}, "FIRST derivative"),
        ({0: f"-({NAIVE})"}, "the sign is turned"),
        ({0: "-p * (1 - p) * p * r0"}, "arm 1 is missing"),
        ({0: "-p * (1 - p) * (r0 + r1) / 2"}, "this has 1/2 for each"),
        ({0: "p * (1 - p) * (1 - 2 * p) * (p * r0 - (1 - p) * r1)"}, "the second derivative of π(a)."),
        ({0: "p"}, "take the mean over the arms"),
        ({1: "p * (1 - p) * (r0 - r1)"}, "this is J'"),
        ({1: NAIVE}, "this is the naive curvature"),
        ({1: "(1 - 2 * p) * (r0 - r1)"}, "p depends on z, too"),
        ({1: "p * (1 - p) * (1 - 2 * p) * r0"}, "both rewards belong into J"),
        ({1: TRUE.replace("r0 - r1", "r0 + r1")}, "opposite signs"),
        ({1: "p * (1 - p) * (r0 - r1) / 2"}, "this is right for p = 0.25, r0 = 1, r1 = 0, and wrong for p = 0.6, r0 = 2, r1 = -1. J' ="),
        ({1: "p"}, "with the chain rule"),
        ({2: "0"}, "the naive one does"),
        ({2: "c"}, "the change of J"),
        ({2: "-2 * p * (1 - p) * c"}, "the mean is taken once"),
        ({2: "p * (1 - p) * c"}, "the sign is turned"),
        ({2: "-p * (1 - p)"}, "c is missing"),
        ({2: "-p * (1 - p) * c * c"}, "this is right for p = 0.25, c = 1, and wrong for p = 0.6, c = 2."),
        ({2: "-p * (1 - p) * c / 2"}, "off by the same factor for all arguments"),
        ({2: "7"}, "and subtract"),
    ],
}


def test_the_numbers_that_the_sentence_states():
    """33 % too small without the score term, 9 % in first-order MAML."""
    whole, without, first_order = (eval(text, {"log2": np.log(2)}) for text in (f"{PATH} + {SCORE}", PATH, "8/100 + 1/8"))
    assert round(100 * (1 - without / whole)) == 33 and round(100 * (1 - first_order / whole)) == 9
    assert "33 %" in exercise("7a").shows and " 9 %" in exercise("7a").shows


@pytest.mark.parametrize(("name", "pieces"), rights(SOLUTIONS))
def test_the_solution_is_right(name, pieces, tmp_path, monkeypatch):
    check_right(tmp_path, name, pieces, monkeypatch)


@pytest.mark.parametrize(("name", "solution", "changes", "words"), hints(SOLUTIONS, WRONG))
def test_a_wrong_answer_gets_its_hint_and_not_the_solution(name, solution, changes, words, tmp_path):
    check_hint(tmp_path, name, solution, changes, words)


def test_the_numbers_of_the_two_arms_are_those_of_the_library():
    """7a by the two objectives and their gradients."""
    arms = rm.PolicyReturn(rm.FiniteMDP([[[1.0], [1.0]]], [[1.0, 0.0]], [1.0], 0.5, horizon=1), rm.TabularSoftmax(1, 2))
    exact = rm.sampled.formulation_exact(np.zeros(2), arms, alpha=2 * np.log(2))
    drawn = rm.sampled.formulation_sampled(np.zeros(2), arms, alpha=2 * np.log(2), episodes=1)
    mine = eval(f"{PATH} + {SCORE}", {"log2": np.log(2)})
    assert np.allclose([-exact.objective, -exact.gradient[0], -drawn.objective, -drawn.gradient[0]], [2 / 3, 2 / 9, 13 / 20, mine], rtol=1e-13)


def test_the_factor_is_that_of_the_mean_over_every_batch():
    """7b for two and three trajectories on two arms, all of them enumerated."""
    arms, theta, policy = rm.FiniteMDP([[[1.0], [1.0]]], [[1.0, 3.0]], [1.0], 0.5, horizon=1), np.log([1.0, 3.0]), rm.TabularSoftmax(1, 2)
    gradient = -rm.PolicyReturn(arms, policy).at(theta).grad
    pi, rewards, scores = np.array([0.25, 0.75]), np.array([1.0, 3.0]), np.eye(2) - [0.25, 0.75]
    for M in (2, 3):
        mean = np.zeros(2)
        for drawn in np.ndindex((2,) * M):
            G = rewards[list(drawn)]
            mean += np.prod(pi[list(drawn)]) * np.mean((G - (G.sum() + G) / (M + 1))[:, None] * scores[list(drawn)], axis=0)
        assert np.allclose(mean, (M - 1) / (M + 1) * gradient, rtol=1e-13)
