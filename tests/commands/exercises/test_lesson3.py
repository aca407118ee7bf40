"""Lesson 3: the solutions are right, and wrong answers get their hints."""

import pytest

from tests.commands.exercises.filled import check_hint, check_right, hints, rights

TRAJECTORY = "np.sum(p_old * np.log(p_old / p_new))"
POLICY = "visits(P, rho, old, horizon) @ np.sum(old * np.log(old / new), axis=1)"
SOLUTIONS = {
    "3a": ["1", "-1", "1/2", "-1/2"],
    "3b": [TRAJECTORY, POLICY],
    "3c": ["3", "1/64", "4"],
}
WRONG = {
    "3a": [
        (["3/2", "-1/2", "1/2", "-1/2"], "not the shortest solution: a constant"),
        (["9/2", "5/2", "3/2", "1/2"], "this is Q"),
        (["1/4", "-1/4", "1/3", "-1/3"], "plain gradient"),
        (["3/8", "-3/8", "1/4", "-1/4"], "π is left over"),
        (["2/3", "-2/3", "2/3", "-2/3"], "the visits cancel"),
        (["-1", "1", "-1/2", "1/2"], "the sign is turned"),
        (["7", "1", "5", "2"], "makes the sum of squares least"),
    ],
    "3b": [
        ({0: "np.sum(p_new * np.log(p_new / p_old))"}, "this is KL(new || old)"),
        ({0: TRAJECTORY.replace("log", "log2")}, "base 2"),
        ({0: "np.sum(np.log(p_old / p_new))"}, "has no weights"),
        ({0: "np.mean(np.log(p_old / p_new))"}, "plain mean"),
        ({0: "-" + TRAJECTORY}, "the sign is turned"),
        ({1: POLICY.replace("rho, old", "rho, new")}, "visits of the new policy. Over whose"),
        ({1: "visits(P, rho, new, horizon) @ np.sum(new * np.log(new / old), axis=1)"}, "the other direction"),
        ({1: "visits(P, rho, old, horizon) @ np.sum(new * np.log(new / old), axis=1)"}, "the old policy stands first"),
        ({1: POLICY + " / horizon"}, "here they sum to 1"),
        ({1: "np.sum(old * np.log(old / new))"}, "the visits are missing"),
        ({1: "rho @ np.sum(old * np.log(old / new), axis=1)"}, "first step alone"),
        ({1: "np.sum(old * np.log(old / new), axis=1)"}, "must be one number, got shape (2,)"),
        ({1: "0.5"}, "Sum over the states"),
    ],
    "3c": [
        ({0: "2"}, "the order of each KL"),
        ({0: "1"}, "first derivatives of both are zero"),
        ({0: "4"}, "order at another p"),
        ({0: "7"}, "Halve h"),
        ({1: "3/32"}, "this is ψ'''"),
        ({1: "1/32"}, "reverse KL alone"),
        ({1: "3/64"}, "forward KL plus that of the reverse"),
        ({1: "-1/64"}, "the sign is turned"),
        ({1: "5"}, "and subtract"),
        ({2: "3"}, "the third derivative of ψ is zero"),
        ({2: "2"}, "the difference has not"),
        ({2: "5"}, "ψ'''' is not zero"),
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
