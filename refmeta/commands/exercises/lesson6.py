"""Lesson 6: training on a family of tasks.  Derivation: derivations/meta-training.md"""

from collections.abc import Iterator

import numpy as np

from refmeta.commands.exercises.answers import Answers
from refmeta.commands.exercises.grading import Exercise, compare, compare_function, equal

__all__ = ["EXERCISES"]

A, C, GRID = np.array([1.0, 3.0]), np.array([0.0, 4.0]), np.arange(61) / 100


def _clipping(answers: Answers) -> Iterator[str]:
    """6a: min(7, c)/3 − 2 min(2, c)/3 is positive exactly for c > 4."""
    yield from compare_function(
        answers, "mean_of_the_clipped", [[c] for c in (0.5, 1.0, 2.0, 3.0, 5.0, 6.0, 7.0, 20.0)],
        lambda c: min(7, c) / 3 - 2 * min(2, c) / 3,
        {"this clips the mean. Each gradient is clipped before the mean is taken.": lambda c: min(1, c),
         "this is the mean of the gradients without clipping.": lambda c: 1.0,
         "a clipped gradient keeps its sign: that of the second task is negative.": lambda c: min(7, c) / 3 + 2 * min(2, c) / 3,
         "this clips from above only: a gradient of −2 is too long, too, if c is smaller than 2.": lambda c: min(7, c) / 3 - 2 * 2 / 3,
         "the tasks come with the probabilities 1/3 and 2/3, not equally often.": lambda c: (min(7, c) - min(2, c)) / 2,
         "this is the sum, without the probabilities.": lambda c: min(7, c) - min(2, c),
         "the probabilities are exchanged.": lambda c: 2 * min(7, c) / 3 - min(2, c) / 3},
        hint="Clip 7 and −2 by hand for c = 1 and c = 3. Weight them by the probabilities.",
    )  # fmt: skip
    yield from compare(
        answers, "right_for_all_c_above", 4.0,
        {"from here on the second gradient is not clipped any more. Is the mean positive yet?": 2.0,
         "from here on nothing is clipped. The sign is right earlier.": 7.0, "for c = 1 and a little above it the mean is negative.": 1.0,
         "every c below 2 shortens both gradients to c. Then the more frequent task wins.": 0.0,
         "this is the chapter's example with its numbers; here the gradients and the probabilities are others.": 6.0},
        hint="Look at c between 2 and 7: there one of the gradients is clipped, and the mean is a line in c.",
    )  # fmt: skip


def _step_size(answers: Answers) -> Iterator[str]:
    """6b: before (1 − α/best)^2K."""
    cases = [(0.5, 1.0, 4.0, 1), (0.3, 0.25, 2.0, 1), (1.0, 0.4, 3.0, 2), (0.1, 0.2, 8.0, 3)]
    yield from compare_function(
        answers, "loss_after", cases, lambda a, b, L, K: L * (1 - a / b) ** (2 * K),
        {"the loss is not multiplied by the same factor as the distance to c.": lambda a, b, L, K: L * abs(1 - a / b) ** K,
         "the loss is not multiplied by the same factor as the distance to c: it is never negative.": lambda a, b, L, K: L * (1 - a / b) ** K,
         "this squares `before`, too. `before` is a loss already, not a distance.": lambda a, b, L, K: (L * (1 - a / b) ** K) ** 2,
         "`before` is the whole loss at the start: its factor 1/2 is in it.": lambda a, b, L, K: L / 2 * (1 - a / b) ** (2 * K),
         "the factor must have no unit: it depends on alpha/best, not on best − alpha.": lambda a, b, L, K: L * (b - a) ** (2 * K),
         "the factor is applied once in each step, so that its exponent grows with `steps`, not with its square.":
         lambda a, b, L, K: L * (1 - a / b) ** (2 * K**2),
         "this is the loss after one step, whatever `steps` is.": lambda a, b, L, K: L * (1 - a / b) ** 2,
         "this is what the steps take away from the loss. What they leave is asked for.": lambda a, b, L, K: L * (1 - (1 - a / b) ** (2 * K)),
         "the factor is 1 − a alpha with a = 1/best; this has alpha times best.": lambda a, b, L, K: L * (1 - a * b) ** (2 * K),
         "the ratio is turned: it must be zero at alpha = 0.": lambda a, b, L, K: L * (1 - b / a) ** (2 * K),
         "a step goes against the gradient: the factor has a minus.": lambda a, b, L, K: L * (1 + a / b) ** (2 * K),
         "the loss before adaptation is missing as a factor.": lambda a, b, L, K: (1 - a / b) ** (2 * K)},
        hint="A step multiplies theta − c by a factor that depends on alpha/best. The loss is a/2 times the square of theta − c.",
    )  # fmt: skip
    yield from compare(
        answers, "useless", 2.0,
        {"here one step reaches the minimum.": 1.0, "a ratio larger than 0 is asked for.": 0.0, "here the loss has grown.": 3.0,
         "here the loss is a quarter of what it was.": 1.5},
        hint="The square of the factor must be 1. One solution is alpha = 0; what is the other?",
    )  # fmt: skip
    yield from compare(
        answers, "window", 0.1,
        {"the factor is squared in the loss: this makes the loss one ten-thousandth.": 0.01,
         "this is the whole width. w is the distance from 1 to one end.": 0.2, "this is where two steps reach one hundredth.": 0.1**0.5,
         "at this end the loss is a quarter of what it was.": 0.5,
         "this is one end of the window; w is its distance from 1.": 0.9, "this is the other end of the window; w is its distance from 1.": 1.1},
        hint="By which factor must the distance shrink, so that the loss shrinks to one hundredth? That is the factor that a step has.",
    )  # fmt: skip


def _loss_after(theta: float, alpha: float) -> float:
    """The loss of both tasks after two steps."""
    return float(np.sum(A * ((1 - alpha * A) ** 2 * (theta - C)) ** 2) / 2)


def _tuned(theta: float) -> float:
    """The loss at the best step size of the grid."""
    return min(_loss_after(theta, alpha) for alpha in GRID)


def _gain(answers: Answers) -> Iterator[str]:
    """6c: the gain with a tuned step size each, over the gain at 1/4."""
    yield from compare_function(
        answers, "loss_after", [(3.0, 0.25), (1 / 7, 0.25), (1.0, 0.5), (-2.0, 0.1)], _loss_after,
        {"this is after one step; there are two.": lambda t, x: np.sum(A * (1 - x * A) ** 2 * (t - C) ** 2) / 2,
         "the factor 1/2 of the loss is missing.": lambda t, x: 2 * _loss_after(t, x),
         "the curvature a_i of the loss is missing.": lambda t, x: np.sum((1 - x * A) ** 4 * (t - C) ** 2) / 2,
         "this is the mean over the tasks; the sum is asked for.": lambda t, x: _loss_after(t, x) / 2,
         "the factor must be 1 − alpha a_i; this has 1 − alpha.": lambda t, x: np.sum(A * (1 - x) ** 4 * (t - C) ** 2) / 2,
         "this is the loss before adaptation.": lambda t, x: np.sum(A * (t - C) ** 2) / 2},
        hint="Each step multiplies theta − c_i by a factor. Insert theta after two steps into the loss, and sum over the tasks.",
    )  # fmt: skip
    joint, maml, untuned = _tuned(3.0), _tuned(1 / 7), _loss_after(3.0, 0.25) - _loss_after(1 / 7, 0.25)
    yield from _below(answers, "joint_tuned", joint)
    yield from compare(
        answers, "joint_tuned", joint,
        {"this is at alpha = 1/4, which was tuned for MAML.": _loss_after(3.0, 0.25), "this is for MAML's start.": maml,
         "this is the best alpha. Its loss is asked for.": 0.5, "this is before adaptation.": _loss_after(3.0, 0.0)},
        hint="Compute loss_after for the start 3 and every alpha, and take the smallest value.",
    )  # fmt: skip
    yield from _below(answers, "maml_tuned", maml)
    yield from compare(
        answers, "maml_tuned", maml,
        {"this is at alpha = 1/4.": _loss_after(1 / 7, 0.25), "this is for the start of joint training.": joint,
         "this is at the alpha that is best for joint training. Each start chooses its own.": _loss_after(1 / 7, 0.5),
         "this is the best alpha. Its loss is asked for.": 0.34, "this is before adaptation.": _loss_after(1 / 7, 0.0)},
        hint="Compute loss_after for the start 1/7 and every alpha, and take the smallest value.",
    )  # fmt: skip
    yield from compare(
        answers, "share", (joint - maml) / untuned,
        {"this is the share that is lost; what is left is asked for.": 1 - (joint - maml) / untuned,
         "this is in per cent; a share is between 0 and 1.": 100 * (joint - maml) / untuned,
         "here only joint training was tuned; MAML may tune its alpha, too.": (joint - _loss_after(1 / 7, 0.25)) / untuned,
         "here only MAML was tuned; joint training may tune its alpha, too.": (_loss_after(3.0, 0.25) - maml) / untuned,
         "the fraction is turned.": untuned / (joint - maml), "this is the tuned gain itself; divide it by the gain at 1/4.": joint - maml,
         "this is the gain at 1/4 itself.": untuned, "a share of 1 would say that tuning changed nothing.": 1.0},
        hint="Above the line stands the gain with a tuned alpha for each start, below it the gain at 1/4. A gain is the loss from joint "
        "training's start minus the loss from MAML's.",
    )  # fmt: skip


def _below(answers: Answers, name: str, least: float) -> Iterator[str]:
    """A sentence if a loss is a little smaller than the smallest over the 61 step sizes."""
    if 0.95 * least < answers.number(name) < least * (1 - 1e-6) and not equal(answers.number(name), np.round(least, 4)):
        yield f"`{name}`: this is below the smallest value over the 61 step sizes. Take alpha from their list, not from a finer one."


EXERCISES = {
    "6a": Exercise("With a small c only the sign of each gradient counts: the frequent task wins, and training walks away from the minimum.", _clipping),
    "6b": Exercise("On a logarithmic scale the loss has a point at one step size, and both sides are steep: a start fits its own step size.", _step_size),
    "6c": Exercise("Most of the gain at alpha = 1/4 came from the step size, not from the start; some gain is left. Tune alpha before you compare starts.", _gain),
}
