"""Lesson 3: the solutions are right, and wrong answers get their hints."""

import numpy as np
import pytest

from tests.commands.exercises.filled import check_hint, check_right, hints, rights

TRAJECTORY = "np.sum(p_old * np.log(p_old / p_new))"
POLICY = "visits(P, rho, old, horizon) @ np.sum(old * np.log(old / new), axis=1)"
SOLUTIONS = {
    "3a": ["1", "-1", "1/2", "-1/2"],
    "3b": [TRAJECTORY, POLICY],
    "3c": ["2/125", "4/125", "3", "4"],
}
WRONG = {
    "3a": [
        (["3/2", "-1/2", "1/2", "-1/2"], "not the shortest solution: a number"),
        (["9/2", "5/2", "3/2", "1/2"], "this is Q"),
        (["2", "0", "1", "0"], "not the shortest solution: a number"),
        (["1/4", "-1/4", "1/3", "-1/3"], "plain gradient for the start of the chapter"),
        (["1/2", "-1/2", "1/6", "-1/6"], "this is the plain gradient, before"),
        (["2", "-2/3", "1/3", "-1/3"], "And the rows must sum to 0"),
        (["1/2", "-1/2", "1", "-1"], "rewards R minus their mean"),
        (["4/3", "-4/3", "1/3", "-1/3"], "Here they are left over"),
        (["3/8", "-3/8", "1/4", "-1/4"], "π is left over"),
        (["2/3", "-2/3", "2/3", "-2/3"], "those of the chapter's start"),
        (["-1", "1", "-1/2", "1/2"], "the sign is turned"),
        (["7", "1", "5", "2"], "see what cancels"),
    ],
    "3b": [
        ({0: "np.sum(p_new * np.log(p_new / p_old))"}, "this is KL(new || old)"),
        ({0: TRAJECTORY.replace("log", "log2")}, "base 2"),
        ({0: "np.sum(np.log(p_old / p_new))"}, "has no weights"),
        ({0: "np.mean(np.log(p_old / p_new))"}, "plain mean"),
        ({0: TRAJECTORY.replace("np.sum", "np.mean")}, "divides by their number"),
        ({0: "np.sum(p_new * np.log(p_old / p_new))"}, "weights are those of the new one"),
        ({0: "-" + TRAJECTORY}, "the sign is turned"),
        ({1: POLICY.replace("rho, old", "rho, new")}, "visits of the new policy. Over whose"),
        ({1: "visits(P, rho, new, horizon) @ np.sum(new * np.log(new / old), axis=1)"}, "the other direction"),
        ({1: "visits(P, rho, old, horizon) @ np.sum(new * np.log(new / old), axis=1)"}, "the old policy stands first"),
        ({1: POLICY + " / horizon"}, "here they sum to 1"),
        ({1: "np.sum(old * np.log(old / new))"}, "the visits are missing"),
        ({1: "rho @ np.sum(old * np.log(old / new), axis=1)"}, "first step alone"),
        ({1: "np.sum(old * np.log(old / new), axis=1)"}, "must be one number, got shape (2,)"),
        ({1: POLICY.replace("horizon)", "horizon - 1)")}, "one step is missing"),
        ({1: POLICY.replace("horizon)", "max(horizon - 1, 1))")}, "one step is missing"),
        ({1: "horizon * rho @ np.sum(old * np.log(old / new), axis=1)"}, "times the number of steps"),
        ({1: POLICY.replace("old * np.log", "new * np.log")}, "Who acts in the trajectories?"),
        ({1: "trajectory_kl(*(trajectory_probabilities(P, rho, pi, horizon) for pi in (old, new)))"}, "goes through all trajectories again"),
        ({1: "0.5"}, "Which policy's visits, and which policy's actions"),
    ],
    "3c": [
        ({0: "12/125"}, "this is ψ'''. Which factor"),
        ({0: "6/125"}, "The only term with h³ comes from ψ(z + h)"),
        ({0: "6/125", 1: "6/125"}, "which factor has it in Taylor's formula"),
        ({0: "4/125"}, "belongs to the reverse KL"),
        ({0: "2/75"}, "1 − 2p of ψ''' is missing"),
        ({0: "16/750"}, "not 1 − p"),
        ({0: "2/25"}, "the coefficient of h²"),
        ({0: "4/25"}, "the Fisher information"),
        ({0: "-2/125"}, "the sign is turned"),
        ({0: "0.0157"}, "Expand ψ(z + h) to the order"),
        ({0: "0"}, "Expand ψ(z + h) to the order"),
        ({0: "0.01601"}, "within one per cent"),
        ({1: "12/125"}, "this is ψ'''. Which factor"),
        ({1: "6/125"}, "There is another term with h³"),
        ({1: "2/125"}, "belongs to the forward KL"),
        ({1: "4/75"}, "1 − 2p of ψ''' is missing"),
        ({1: "8/125"}, "the signs of the two terms"),
        ({1: "5"}, "collect the terms with h³"),
        ({2: "2"}, "the order of each KL"),
        ({2: "1"}, "first derivatives of both are zero"),
        ({2: "4"}, "order at another p"),
        ({2: "7"}, "Halve h"),
        ({2: "2.97"}, "a whole number"),
        ({3: "3"}, "the third derivative of ψ is zero"),
        ({3: "2"}, "the difference has not"),
        ({3: "5"}, "ψ'''' is not zero"),
    ],
}


@pytest.mark.parametrize(("name", "pieces"), rights(SOLUTIONS))
def test_the_solution_is_right(name, pieces, tmp_path, monkeypatch):
    check_right(tmp_path, name, pieces, monkeypatch)


@pytest.mark.parametrize(("name", "solution", "changes", "words"), hints(SOLUTIONS, WRONG))
def test_a_wrong_answer_gets_its_hint_and_not_the_solution(name, solution, changes, words, tmp_path):
    check_hint(tmp_path, name, solution, changes, words)


def test_the_two_forms_of_the_divergence_agree(tmp_path):
    """The functions that the file gives are right: with them both solutions are one number."""
    from refmeta.commands.exercises.answers import as_answers
    from refmeta.commands.exercises.lesson3 import _cases
    from tests.commands.exercises.filled import filled

    path = tmp_path / "3b.py"
    path.write_text(filled("3b", SOLUTIONS["3b"]), encoding="utf-8")
    names = as_answers(path).names
    for P, rho, old, new, horizon in _cases():
        p, q = (names["trajectory_probabilities"](P, rho, pi, horizon) for pi in (old, new))
        assert abs(p.sum() - 1) < 1e-12
        assert abs(names["trajectory_kl"](p, q) - names["policy_kl"](P, rho, old, new, horizon)) < 1e-12


@pytest.mark.parametrize("h", [1e-2, -1e-2])
def test_the_two_thirds_are_those_of_the_divergences(h):
    """1/5 against its shift by h: what is left after h²/2 is the solution of 3c times h³, up to h⁴."""
    z = np.log(1 / 4)
    p, q = (np.array([1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x))]) for x in (z, z + h))
    for a, b, wanted in ((p, q, 2 / 125), (q, p, 4 / 125)):
        assert abs((np.sum(a * np.log(a / b)) - h**2 / 2 * 4 / 25) / h**3 - wanted) < abs(h)
