"""Lesson 8: beliefs, learned models, learned rules.  Derivation: derivations/pearl.md"""

from collections.abc import Iterator

import numpy as np

from refmeta.commands.exercises.answers import Answers
from refmeta.commands.exercises.grading import Exercise, compare
from refmeta.meta import meta_lstm
from refmeta.tasks.quadratic import Quadratic

__all__ = ["EXERCISES"]


def _belief(answers: Answers) -> Iterator[str]:
    """8a: precisions add, and the mean is weighted by them."""
    yield from compare(
        answers, "without_prior", [1.0, 1 / 3],
        {"this is the average of the means and of the variances: such a belief never narrows.": [3 / 2, 3 / 4],
         "the second number is the precision; the variance is asked for.": [1, 3], "the weights of the mean are the precisions, not the variances.":
         [2, 1 / 3], "the mean is weighted by the precisions: a narrow factor counts more.": [3 / 2, 1 / 3],
         "this has the prior as a factor.": [3 / 4, 1 / 4], "the second number is the standard deviation; the variance is asked for.":
         [1, 3**-0.5], "the variances are added. The precisions add.": [1, 3 / 2], "the sum of precision times mean is not yet the mean.": [3, 1 / 3],
         "the precision of N(0, 1/2) is 2.": [2, 2 / 3]},
        hint="The logarithm of a normal density is −(z − mean)² · precision / 2. Add two of these, and complete the square.",
    )  # fmt: skip
    yield from compare(
        answers, "with_prior", [3 / 4, 1 / 4],
        {"the prior is missing.": [1, 1 / 3], "the prior is N(0, 1): its precision counts, although its mean is zero.": [1, 1 / 4],
         "the prior is counted twice.": [3 / 5, 1 / 5], "the second number is the precision; the variance is asked for.": [3 / 4, 4],
         "this is the average of the three means and variances.": [1, 5 / 6], "the mean changed, and the variance did not.": [3 / 4, 1 / 3]},
        hint="The prior is one factor more, with precision 1 and mean 0.",
    )  # fmt: skip


def _long_step(answers: Answers) -> Iterator[str]:
    """8b: a step of Meta-LSTM that forgets a large parameter."""
    theta, g, b_F, b_I = (answers.number(name) for name in ("theta", "g", "b_F", "b_I"))
    if g == 0:
        yield "`g`: the gradient must not be zero."
        return
    weights = meta_lstm.Parameters(np.zeros((4, 5)), np.zeros(4), np.zeros(3), b_I, np.zeros(3), b_F, [theta])
    task = Quadratic(np.array([[[1.0]]]), np.array([[theta - g]]))
    new = float(meta_lstm.unroll(weights, task, steps=1).steps[0].theta.item())
    ratio = abs(new - theta) / abs(g)
    if ratio < 3:
        yield f"The step is {ratio:.3g} times as long as the gradient. {_why_short(theta, g, b_F)}"


def _why_short(theta: float, g: float, b_F: float) -> str:
    """Why a step is short: it has nothing to forget, forgets nothing, or two parts of it cancel."""
    if theta == 0:
        return "With theta = 0 it is i g, and i is smaller than 1. What else does the rule do to theta?"
    if b_F > 4:
        return "The forget gate is nearly 1: the rule keeps nearly all of theta."
    if theta * g < 0:
        return "The step is −(1 − f) theta − i g. With these signs its two parts have opposite directions."
    return "The step is −(1 − f) theta − i g. The gradient bounds the second part only."


def _dirichlet(answers: Answers) -> Iterator[str]:
    """8c: (c + n)/Σ(c + n), and the orders 1 and 1/2."""
    prior, counts = np.array([2.0, 1.0, 1.0]), np.array([3.0, 0.0, 1.0])
    mode = prior + counts - 1
    yield from compare(
        answers, "posterior_mean", (prior + counts) / np.sum(prior + counts),
        {"these are the frequencies, without the prior.": counts / counts.sum(), "this is the mean of the prior.": prior / prior.sum(),
         "this is the maximum of the posterior density; its mean is asked for.": mode / mode.sum(),
         "these are the parameters of the posterior; divide by their sum.": prior + counts,
         "this has the prior (1, 1, 1).": (1 + counts) / np.sum(1 + counts)},
        hint="Multiply the prior density by the likelihood P_0³ P_2. It is a Dirichlet density again. Its mean is its parameters over their sum.",
    )  # fmt: skip
    chance = "{} The standard deviation of a frequency is about the square root of P(1 − P)/n."
    yield from compare(
        answers, "order_if_exact", 1.0,
        {"this is the order if the counts are random. Here there is no chance.": 0.5, "the prior counts as four visits more, always. "
         "Its share of the posterior mean falls more slowly.": 2.0, "the posterior mean is not exact for any n: the prior is still in it.": 0.0},
        hint="Insert the counts nP into (c + nP)/(sum of c + n), subtract P, and see how this depends on n.",
    )  # fmt: skip
    yield from compare(
        answers, "order_if_random", 0.5,
        {chance.format("this is the order without chance."): 1.0, chance.format("chance does not fall so fast."): 2.0,
         "write order for n^(−order): it is positive.": -0.5, chance.format("with more visits the error does fall."): 0.0},
        hint=chance.format("The prior's part is smaller than the part of chance."),
    )  # fmt: skip


EXERCISES = {
    "8a": Exercise("Precisions add: a belief narrows with every transition, and the prior counts like one transition more.", _belief),
    "8b": Exercise("The input gate bounds what a step adds, and nothing bounds what it forgets.", _long_step),
    "8c": Exercise("The prior's error falls like 1/n, and that of chance only like 1/√n: in the end chance is what is left.", _dirichlet),
}
