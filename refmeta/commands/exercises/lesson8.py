"""Lesson 8: beliefs, learned models, learned rules.  Derivation: derivations/pearl.md"""

from collections.abc import Iterator

import numpy as np

from refmeta.commands.exercises.answers import Answers
from refmeta.commands.exercises.grading import Exercise, compare

__all__ = ["EXERCISES"]


def _belief(answers: Answers) -> Iterator[str]:
    """8a: precisions add, and the mean is weighted by them."""
    deviation = "the second number is the standard deviation; the variance is asked for."
    precision = "the second number is the precision; the variance is asked for."
    minus, product = "the mean of the second factor is −1; its minus is lost.", "the variances are multiplied. The precisions add."
    weights = "the weights of the mean are the precisions, not the variances."
    yield from compare(
        answers, "without_prior", [9 / 5, 1 / 5],
        {"this is the average of the means and of the variances: such a belief never narrows.": [5 / 2, 5 / 12],
         precision: [9 / 5, 5], weights: [16 / 5, 1 / 5], minus: [3, 1 / 5], product: [9 / 5, 1 / 6],
         "the mean is weighted by the precisions: a narrow factor counts more.": [5 / 2, 1 / 5],
         "this has the prior as a factor.": [3 / 2, 1 / 6], deviation: [9 / 5, 5**-0.5],
         "the variances are added. The precisions add.": [9 / 5, 5 / 6], "the sum of precision times mean is not yet the mean.": [9, 1 / 5],
         "the variance is twice what it must be: 1 over the sum of the precisions, not the number of factors over it.": [9 / 5, 2 / 5],
         "these are the sums of precision times mean and of the precisions. The mean and the variance are asked for.": [9, 5],
         "means and variances are added: this is the sum of two numbers, not the product of two densities.": [5, 5 / 6],
         "the second number of N(6, 1/2) is a variance; this takes it as a precision.": [16 / 5, 6 / 5],
         "the weights of the mean are the precisions, not the variances; and precisions add, not variances.": [16 / 5, 5 / 6],
         "the second number of N(6, 1/2) is a variance; this takes it as a standard deviation.": [15 / 13, 1 / 13],
         "means are averaged and variances added. The logarithms of the two densities add.": [5 / 2, 5 / 6],
         "this is the chapter's example. Here the factors are others.": [1, 1 / 3]},
        hint="The logarithm of a normal density is −(z − mean)² · precision / 2. Add two of these, and complete the square.",
    )  # fmt: skip
    yield from compare(
        answers, "with_prior", [3 / 2, 1 / 6],
        {"the prior is missing.": [9 / 5, 1 / 5], "the prior is N(0, 1): its precision counts in the mean, too, although its mean is zero.": [9 / 5, 1 / 6],
         "the prior is counted twice.": [9 / 7, 1 / 7], precision: [3 / 2, 6], deviation: [3 / 2, 6**-0.5], minus: [5 / 2, 1 / 6],
         weights: [16 / 11, 1 / 6], "this mean is halfway between the belief and the prior. The belief has the larger precision.": [9 / 10, 1 / 6],
         "this is the average of the three means and variances.": [5 / 3, 11 / 18], "the mean changed, and the variance did not.": [3 / 2, 1 / 5],
         "these are the sums of precision times mean and of the precisions. The mean and the variance are asked for.": [9, 6],
         "the variances are added. The precisions add.": [3 / 2, 11 / 6], "this is the chapter's example. Here the factors are others.": [3 / 4, 1 / 4]},
        hint="The prior is one factor more, with precision 1 and mean 0.",
    )  # fmt: skip


def _long_step(answers: Answers) -> Iterator[str]:
    """8b: a step of Meta-LSTM that forgets a large parameter."""
    theta, g, b_F, b_I = (answers.number(name) for name in ("theta", "g", "b_F", "b_I"))
    if g == 0:
        yield "`g`: the gradient must not be zero."
        return
    ratio = _step_over_gradient(theta, g, b_F, b_I)
    if ratio < 3 * (1 - 1e-12):
        yield f"The step is {ratio:.3g} times as long as the gradient. {_why_short(theta, g, b_F)}"


def _step_over_gradient(theta: float, g: float, b_F: float, b_I: float) -> float:
    """|(1 − f) θ/g + i|, by logarithms, since θ/g may leave the numbers of the computer though the answer is right."""
    forgotten = 0.0
    if theta != 0:
        logarithm = np.log(abs(theta)) - np.log(abs(g)) - np.logaddexp(0, b_F)
        forgotten = np.sign(theta) * np.sign(g) * np.exp(logarithm)
    return float(abs(forgotten + np.exp(-np.logaddexp(0, -b_I))))


def _why_short(theta: float, g: float, b_F: float) -> str:
    """Why a step is short: it has nothing to forget, forgets nothing, or two parts of it cancel."""
    if theta == 0:
        return "With theta = 0 it is i g, and i is smaller than 1. What else does the rule do to theta?"
    if b_F > 4:
        return "The forget gate is nearly 1: the rule keeps nearly all of theta."
    if np.sign(theta) * np.sign(g) < 0:
        return "The step is −(1 − f) theta − i g. With these signs its two parts have opposite directions."
    return "The step is −(1 − f) theta − i g. The gradient bounds the second part only."


def _dirichlet(answers: Answers) -> Iterator[str]:
    """8c: (c + n)/Σ(c + n), and the orders 1 and 1/2."""
    prior, counts = np.array([2.0, 1.0, 1.0]), np.array([4.0, 0.0, 2.0])
    mode = prior + counts - 1
    yield from compare(
        answers, "posterior_mean", (prior + counts) / np.sum(prior + counts),
        {"these are the frequencies, without the prior.": counts / counts.sum(), "this is the mean of the prior.": prior / prior.sum(),
         "this is the maximum of the posterior density; its mean is asked for.": mode / mode.sum(),
         "1 is taken off each parameter in the maximum of the density, not in its mean.": mode / np.sum(prior + counts),
         "these are the parameters of the posterior; divide by their sum.": prior + counts,
         "this divides by the number of visits alone; the prior counts in the sum, too.": (prior + counts) / counts.sum(),
         "this divides by the sum of the prior alone; the visits count, too.": (prior + counts) / prior.sum(),
         "this is halfway between the prior's mean and the frequencies. The prior weighs as much as four visits, and there are six.":
         (prior / prior.sum() + counts / counts.sum()) / 2,
         "this has the prior (1, 1, 1).": (1 + counts) / np.sum(1 + counts)},
        hint="Multiply the prior density by the likelihood P_0⁴ P_2². It is a Dirichlet density again. Its mean is its parameters over their sum.",
    )  # fmt: skip
    chance = "{} How large is the standard deviation of a frequency in n draws, and how does it depend on n?"
    yield from compare(
        answers, "order_if_exact", 1.0,
        {"the counts are exact here: there is no chance in this error.": 0.5,
         "the prior counts as four visits more, always. What is its share in the posterior mean after n visits?": 2.0, "the posterior mean is not exact for any n: the prior is still in it.": 0.0},
        hint="Insert the counts nP into (c + nP)/(sum of c + n), subtract P, and see how this depends on n.",
    )  # fmt: skip
    yield from compare(
        answers, "order_if_random", 0.5,
        {chance.format("this is the order of the prior's part; the part of chance is larger."): 1.0, chance.format("chance does not fall so fast."): 2.0,
         "write order for n^(−order): it is positive.": -0.5, chance.format("with more visits the error does fall."): 0.0},
        hint=chance.format("The prior's part is smaller than the part of chance."),
    )  # fmt: skip


EXERCISES = {
    "8a": Exercise("Precisions add: a belief narrows with every transition, and the prior counts like one transition more.", _belief),
    "8b": Exercise("The input gate bounds what a step adds, and nothing bounds what it forgets.", _long_step),
    "8c": Exercise("The prior's error falls like 1/n, and that of chance only like 1/√n: in the end chance is what is left.", _dirichlet),
}
