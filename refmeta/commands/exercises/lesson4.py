"""Lesson 4: MAML.  Derivation: derivations/maml.md"""

from collections.abc import Iterator

import numpy as np

from refmeta.arrays import Array
from refmeta.commands.exercises.answers import Answers
from refmeta.commands.exercises.grading import Exercise, compare
from refmeta.commands.exercises.lesson4c import written_and_broken

__all__ = ["EXERCISES"]

A, C, ALPHA = np.array([2.0, 3.0]), np.array([0.0, 10.0]), 0.25


def _rest(power: float, alpha: float = ALPHA) -> float:
    """The mean of the centres with the weights a(1 − αa)^power."""
    return _mean(A * (1 - alpha * A) ** power)


def _mean(weights: Array) -> float:
    """The weighted mean of the centres."""
    return float(weights @ C / weights.sum())


def _starts(answers: Answers) -> Iterator[str]:
    """4a: weights a(1 − αa)^2K, a(1 − αa)^K and a."""
    other, chapter = "this is where {} comes to rest.", "this is the chapter's answer. Here a and c are others."
    maml, first_order, joint = _rest(4), _rest(2), _rest(0)
    plain = {"the curvatures a_i belong into the weights: the gradient of L_i is a_i(θ − c_i).": C.mean()}
    turned, whole = "the factor must be 1 − αa_i; this has 1 + αa_i.", "α is missing in the factor 1 − αa_i of a step."
    travelled, squared = "the factor of a step is 1 − αa_i; this has αa_i.", "there is a factor a_i too many: the gradient of L_i has one."
    yield from compare(
        answers, "joint", joint, {**plain, chapter: 3.0, other.format("MAML"): maml, other.format("first-order MAML"): first_order,
        "the two weights are exchanged: the steeper task pulls more.": float(A[::-1] @ C / A.sum())},
        hint="Set sum_i a_i(θ − c_i) to zero.",
    )  # fmt: skip
    yield from compare(
        answers, "first_order", first_order,
        {other.format("joint training"): joint, other.format("MAML, through both steps,"): maml, **plain, chapter: 1.0,
         turned: _rest(2, -ALPHA), whole: _rest(2, 1.0), travelled: _mean(A**3), squared: _mean(A**2 * (1 - ALPHA * A) ** 2),
         "this is for one inner step; there are K = 2 steps.": _rest(1), "the weights need a factor a_i besides the factors of the K steps.":
         float((1 - ALPHA * A) ** 2 @ C / np.sum((1 - ALPHA * A) ** 2))},
        hint="Every step of task i multiplies θ − c_i by the factor 1 − αa_i of this task, so φ_i − c_i is known. Set sum_i a_i(φ_i − c_i) to zero.",
    )  # fmt: skip
    yield from compare(
        answers, "maml", maml,
        {**plain, other.format("joint training"): joint,
         "this is where first-order MAML comes to rest after two steps, and MAML after one. Either the derivative of φ_i in θ is missing, "
         "or a step.": first_order,
         "this has one factor 1 − αa_i for the two Hessians. There is one for each step.": _rest(3),
         "the curvatures a_i belong into the weights, too: the gradient of L_i has one.": float((1 - ALPHA * A) ** 4 @ C / np.sum((1 - ALPHA * A) ** 4)),
         turned: _rest(4, -ALPHA), whole: _rest(4, 1.0), travelled: _mean(A**5), squared: _mean(A**2 * (1 - ALPHA * A) ** 4), chapter: 1 / 7},
        hint="The derivative of L_i(φ_i) in θ is a_i(φ_i − c_i) times the derivative of φ_i, one factor for each step.",
    )  # fmt: skip


def _arms(answers: Answers) -> Iterator[str]:
    """4b: −16/27 (1 + 8/9 α) s with α = 3/2 log 2: φ = (2 log 2, −log 2), and the first arm has the probability 8/9."""
    alpha, first = 1.5 * np.log(2), -6 * 8 / 81
    factor, at_phi = 1 + 8 / 9 * alpha, 1 + 2 * alpha * 6 * (8 / 81) * (1 - 16 / 9)
    yield from compare(
        answers, "meta_gradient", _along_s(first * factor),
        {"this is first-order MAML: the Hessian is missing.": _along_s(first),
         "this is the gradient of L at θ: neither the step nor the Hessian is in it.": _along_s(-4 / 3),
         "the gradient of the query must be taken at φ. This has the one at θ.": _along_s(-4 / 3 * factor),
         "the Hessian belongs to the step, which starts at θ. This takes it at φ.": _along_s(first * at_phi),
         "the sign of the Hessian term is turned. The loss is −J, so its Hessian at θ is minus that of J, and I − αH is larger than I.":
         _along_s(first * (1 - 8 / 9 * alpha)), "the Hessian term is half of what it must be: s s^T times s is 2s.": _along_s(first * (1 + 4 / 9 * alpha)),
         "the step size is missing before the Hessian.": _along_s(first * (1 + 8 / 9)),
         "this takes log 2 with the base 10; it must be the natural logarithm.": _along_s(first * (1 + 4 / 3 * np.log10(2))),
         "the factor log 2 of alpha is missing in the Hessian term, or it was taken with the base 2.": _along_s(first * (1 + 4 / 3)),
         "the step size in the Hessian term is the chapter's. Here it is another.": _along_s(first * (1 + np.log(2) / 3)), "this is the chapter's answer. Here the step size is another.":
         _along_s(-3 / 2 * (1 + np.log(2) / 3)), "the gradient of the query must be taken at φ. This is the chapter's φ.": _along_s(-3 / 2 * factor),
         "the step went the wrong way: descent on L = −J makes the better arm more likely.": _along_s(-6 * 32 / 33**2 * factor),
         "this is the gradient of J; F is a loss.": _along_s(-first * factor)},
        hint="Compute the policy at φ first; it has simple fractions. Then grad F = (I − αH) grad L(φ), with H the Hessian of L = −J at θ.",
    )  # fmt: skip


def _along_s(factor: float) -> Array:
    """A multiple of s = (1, −1)."""
    return factor * np.array([1.0, -1.0])


EXERCISES = {
    "4a": Exercise("MAML cares most for the task that two steps improve least; joint training does not know that there are steps.", _starts),
    "4b": Exercise("Nearly half of the gradient is the Hessian term; first-order MAML leaves it out.", _arms),
    "4c": Exercise(
        "The oracle tells both apart. With one step size for all parameters they would agree, because the Hessian is constant.",
        written_and_broken,
    ),
}
