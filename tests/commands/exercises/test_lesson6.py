"""Lesson 6: the solutions are right, and wrong answers get their hints."""

import pytest

from tests.commands.exercises.filled import check_hint, check_right, hints, rights

CLIPPED, AFTER = "min(7, c) / 3 - 2 * min(2, c) / 3", "before * (1 - alpha / best) ** (2 * steps)"
LOSS = "np.sum(a / 2 * (1 - alpha * a) ** 4 * (theta - c) ** 2)"
TUNED = "min(loss_after({}, alpha) for alpha in alphas)"
SHARE = "(joint_tuned - maml_tuned) / (loss_after(3, 1 / 4) - loss_after(1 / 7, 1 / 4))"
SOLUTIONS = {
    "6a": [CLIPPED, "4"],
    "6b": [AFTER, "2", "0.1"],
    "6c": [LOSS, TUNED.format("3"), TUNED.format("1 / 7"), SHARE],
}
WRONG = {
    "6a": [
        ({0: "min(1, c)"}, "this clips the mean"),
        ({0: "1"}, "without clipping"),
        ({0: CLIPPED.replace("-", "+")}, "keeps its sign"),
        ({0: "min(7, c) / 3 - 4 / 3"}, "clips from above only"),
        ({0: "(min(7, c) - min(2, c)) / 2"}, "not equally often"),
        ({0: "min(7, c) - min(2, c)"}, "without the probabilities"),
        ({0: "2 * min(7, c) / 3 - min(2, c) / 3"}, "exchanged"),
        ({0: f"-({CLIPPED})"}, "the sign is turned"),
        ({0: "-c / 3"}, "this is right for c = 0.5, and wrong for c = 3. Clip 7 and −2 by hand"),
        ({0: "c"}, "Weight them"),
        ({1: "2"}, "Is the mean positive yet?"),
        ({1: "7"}, "nothing is clipped"),
        ({1: "1"}, "the mean is negative"),
        ({1: "0"}, "the more frequent task wins"),
        ({1: "6"}, "the chapter's example"),
        ({1: "5"}, "a line in c"),
    ],
    "6b": [
        ({0: "before * abs(1 - alpha / best) ** steps"}, "the same factor as the distance to c."),
        ({0: "before * (1 - alpha / best) ** steps"}, "it is never negative"),
        ({0: "before * (1 - alpha / best) ** 2"}, "whatever `steps` is"),
        ({0: AFTER.replace("/", "*")}, "alpha times best"),
        ({0: "before * (1 - best / alpha) ** (2 * steps)"}, "the ratio is turned"),
        ({0: AFTER.replace("-", "+")}, "the factor has a minus"),
        ({0: "(1 - alpha / best) ** (2 * steps)"}, "as a factor"),
        ({0: "(before * (1 - alpha / best) ** steps) ** 2"}, "`before` is a loss already"),
        ({0: "before / 2 * (1 - alpha / best) ** (2 * steps)"}, "its factor 1/2 is in it"),
        ({0: "before * (best - alpha) ** (2 * steps)"}, "not on best − alpha"),
        ({0: "before * (1 - steps * alpha / best) ** 2"}, "this is right for alpha = 0.5, best = 1, before = 4, steps = 1, and wrong for"),
        ({0: "before * (1 - alpha / best) ** (steps ** 2)"}, "steps = 2, and wrong for alpha = 0.5, best = 1, before = 4, steps = 1."),
        ({0: "before * (1 - alpha / best) ** (2 * steps ** 2)"}, "not with its square"),
        ({0: "3 * before * (1 - alpha / best) ** (2 * steps)"}, "off by the same factor for all arguments"),
        ({0: "before * (1 - (1 - alpha / best) ** (2 * steps))"}, "what the steps take away"),
        ({0: "before"}, "multiplies theta − c"),
        ({1: "1"}, "reaches the minimum"),
        ({1: "0"}, "a ratio larger than 0"),
        ({1: "3"}, "the loss has grown"),
        ({1: "3/2"}, "a quarter"),
        ({1: "5"}, "what is the other?"),
        ({2: "0.01"}, "ten-thousandth"),
        ({2: "0.2"}, "whole width"),
        ({2: "0.1 ** 0.5"}, "two steps"),
        ({2: "0.9"}, "one end"),
        ({2: "1.1"}, "the other end"),
        ({2: "0.5"}, "a quarter"),
        ({2: "3"}, "By which factor must the distance shrink"),
    ],
    "6c": [
        ({0: LOSS.replace("4", "2")}, "after one step"),
        ({0: f"2 * {LOSS}"}, "factor 1/2"),
        ({0: LOSS.replace("a / 2", "1 / 2")}, "curvature a_i"),
        ({0: f"{LOSS} / 2"}, "the mean over the tasks"),
        ({0: LOSS.replace("alpha * a", "alpha")}, "this has 1 − alpha"),
        ({0: "np.sum(a / 2 * (theta - c) ** 2)"}, "loss before adaptation"),
        ({0: "a / 2 * (1 - alpha * a) ** 4 * (theta - c) ** 2", 1: "1", 2: "1", 3: "1"}, "must be one number, got shape (2,)"),
        ({0: "alpha", 1: "1", 2: "1", 3: "1"}, "sum over the tasks"),
        ({1: "loss_after(3, 1 / 4)"}, "tuned for MAML"),
        ({1: TUNED.format("1 / 7")}, "for MAML's start"),
        ({1: "min(alphas, key=lambda alpha: loss_after(3, alpha))"}, "Its loss is asked for"),
        ({1: "loss_after(3, 0)"}, "before adaptation"),
        ({1: "0.1"}, "smallest value"),
        ({2: "loss_after(1 / 7, 1 / 4)"}, "this is at alpha = 1/4"),
        ({2: TUNED.format("3")}, "joint training"),
        ({2: "0.34"}, "Its loss is asked for"),
        ({2: "0.1"}, "for the start 1/7 and every alpha"),
        ({2: "min(loss_after(1 / 7, alpha) for alpha in np.linspace(0, 0.6, 60001))"}, "not from a finer one"),
        ({2: "0.002"}, "this is rounded"),
        ({2: "0.0019"}, "this is rounded"),
        ({2: "loss_after(1 / 7, 1 / 2)"}, "Each start chooses its own"),
        ({3: f"1 - {SHARE}"}, "the share that is lost"),
        ({3: SHARE.replace("maml_tuned", "loss_after(1 / 7, 1 / 4)")}, "only joint training was tuned"),
        ({3: f"1 / ({SHARE})"}, "the fraction is turned"),
        ({3: "joint_tuned - maml_tuned"}, "the tuned gain itself"),
        ({3: "loss_after(3, 1 / 4) - loss_after(1 / 7, 1 / 4)"}, "the gain at 1/4 itself"),
        ({3: "1"}, "tuning changed nothing"),
        ({3: f"100 * {SHARE}"}, "this is in per cent"),
        ({3: SHARE.replace("(joint_tuned", "(loss_after(3, 1 / 4)")}, "here only MAML was tuned"),
        ({3: "0.5"}, "Above the line stands the gain"),
    ],
}


@pytest.mark.parametrize(("name", "pieces"), rights(SOLUTIONS))
def test_the_solution_is_right(name, pieces, tmp_path, monkeypatch):
    check_right(tmp_path, name, pieces, monkeypatch)


@pytest.mark.parametrize(("name", "solution", "changes", "words"), hints(SOLUTIONS, WRONG))
def test_a_wrong_answer_gets_its_hint_and_not_the_solution(name, solution, changes, words, tmp_path):
    check_hint(tmp_path, name, solution, changes, words)
