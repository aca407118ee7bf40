"""Lesson 7: samples.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Iterator

import numpy as np

from refmeta.arrays import Array
from refmeta.commands.exercises.answers import Answers
from refmeta.commands.exercises.grading import Exercise, compare, compare_function

__all__ = ["EXERCISES"]


def _score_term(answers: Answers) -> Iterator[str]:
    """7a: J_I = 2/3, J_II = 13/20, and its derivative with the score term."""
    yield from compare(
        answers, "exact_objective", 2 / 3,
        {"this is for one sample instead of the exact gradient.": 13 / 20, "this is J before adaptation.": 1 / 2,
         "the exact gradient is (1/4, −1/4); this has (1/2, −1/2), the estimate of arm 0.": 4 / 5,
         "the gradient is (1/4, −1/4): both logits move, and their gap counts.": 1 / (1 + 2**-0.5),
         "this has descent; J is a reward, and its gradient is climbed.": 1 / 3,
         "this is the chapter's example. Here alpha is another.": 3 / 4},
        hint="The gradient of J has the entries π(a)(r(a) − J). Add alpha times it to theta, and look at the gap of the two logits.",
    )  # fmt: skip
    yield from compare(
        answers, "sampled_objective", 13 / 20,
        {"this is for the exact gradient.": 2 / 3, "this is J after arm 0 alone. Arm 1 is drawn as often.": 4 / 5,
         "arm 1 pays nothing, and so its g is zero: theta stays, and J is not zero.": 2 / 5,
         "this is J at theta itself. It is J after arm 1, whose g is zero; but arm 0 is drawn as often, and is not undone by arm 1.": 1 / 2,
         "arm 0 gives g = (1/2, −1/2): both logits move, and their gap grows by alpha.": (2 / 3 + 1 / 2) / 2,
         "this is the chapter's example. Here alpha is another.": 7 / 10},
        hint="Compute J of the adapted policy after arm 0 and after arm 1, and take the mean.",
    )  # fmt: skip
    path, score, alpha = 0.5 * 0.16 * (1 - np.log(2)) + 1 / 8, (0.8 - 0.5) / 4, 2 * np.log(2)
    yield from compare(
        answers, "derivative", path + score,
        {"the score term is missing: theta changes how often each arm is drawn.": path,
         "this is first-order MAML: the derivative of g and the score term are missing.": 0.5 * 0.16 + 1 / 8,
         "this is the score term alone.": score, "the derivative of g is missing: π in g depends on theta.": 0.5 * 0.16 + 1 / 8 + score,
         "the score term has the wrong sign: more theta_0, more often arm 0.": path - score,
         "the score term has no alpha: it comes from the probabilities of the arms, not from the step.": path + alpha * score,
         "this is the derivative of exact_objective. With a sample there is a score term, too.": 2 / 9,
         "the score of arm 0 in theta_0 is 1 − π(0), and of arm 1 −π(0). Each is weighted by its probability.": path + 2 * score,
         "the adapted policy after arm 1 has a derivative, too: theta stays, and J depends on it.": path - 1 / 8 + score,
         "arm 1 has a score term, too: if theta_0 grows, arm 1 is drawn less often.": path + 0.2,
         "the derivative of g has the wrong sign: if theta_0 grows, π(0) grows, and 1 − π(0) falls.": 0.08 * (1 + np.log(2)) + 1 / 8 + score,
         "the derivative of g is half of what it must be: both entries of g depend on π, and the gap is their difference.":
         0.08 * (1 - np.log(2) / 2) + 1 / 8 + score,
         "the derivative of g is twice what it must be: π(0) has the slope π(0) π(1) in theta_0.": 0.08 * (1 - 2 * np.log(2)) + 1 / 8 + score,
         "the derivative of J after each arm is weighted by the probability of the arm.": 2 * path + score,
         "this is the chapter's example. Here alpha is another.": 0.5 * 0.09 * (1 - np.log(3)) + 1 / 8 + 0.1},
        hint="Sum over the arms: π(a) times the derivative of J after arm a, plus the derivative of π(a) times J after arm a.",
    )  # fmt: skip


def _others(G: Array) -> Array:
    """The mean of the other returns."""
    return (np.sum(G) - G) / (len(G) - 1)


def _baselines(answers: Answers) -> Iterator[str]:
    """7b: a mean in which the own return counts twice shrinks the gradient by (M − 1)/(M + 1)."""
    batches = [[np.array([1.0, 3.0])], [np.array([2.0, -1.0, 5.0])], [np.array([0.5, 4.0, 1.0, 7.0, -2.0])], [np.array([1.0, 1.0, 3.0])]]
    yield from compare_function(
        answers, "own_twice", batches, lambda G: (G.sum() + G) / (len(G) + 1),
        {"this is the mean of the OTHER returns.": _others, "this is the sum; divide it by the number of its terms.": lambda G: G.sum() + G,
         "this is the plain mean. Here G_i counts twice.": lambda G: np.full(len(G), G.mean()),
         "this is the return itself.": lambda G: G, "there are M + 1 numbers; this divides by M.": lambda G: (G.sum() + G) / len(G),
         "G_i counts twice in the sum, too.": lambda G: np.full(len(G), G.sum() / (len(G) + 1))},
        hint="By hand, for G = (1, 3) and the first trajectory: the mean of 1, 3 and 1 is 5/3.",
    )  # fmt: skip
    yield from compare_function(
        answers, "leave_one_out", batches, _others,
        {"this leaves out every return with the value of G_i. Two trajectories may have the same return: leave out trajectory i alone.":
         lambda G: np.array([np.mean(G[g != G]) for g in G]), "G_i itself is still in the mean.": lambda G: np.full(len(G), G.mean()),
         "there are M − 1 other trajectories; this divides by M.": lambda G: (G.sum() - G) / len(G),
         "this is the sum of the others; divide by their number.": lambda G: G.sum() - G,
         "this is G_i minus the baseline. The baseline alone is asked for.": lambda G: G - _others(G)},
        hint="Try it by hand: for G = (1, 3) the means of the others are (3, 1).",
    )  # fmt: skip
    yield from compare_function(
        answers, "factor", [[2], [3], [5], [20]], lambda M: (M - 1) / (M + 1),
        {"this is the part that is lost.": lambda M: 2 / (M + 1), "this is the inverse: by this factor one would have to multiply to mend it.":
         lambda M: (M + 1) / (M - 1), "this is the chapter's factor, for the plain mean. Here G_i counts twice.": lambda M: 1 - 1 / M,
         "the sum is divided by the number of its terms, which is not M.": lambda M: 1 - 2 / M,
         "G_i stands twice among the numbers whose mean is taken.": lambda M: 1 - 1 / (M + 1),
         "a baseline that contains G_i does change the mean of the estimate.": lambda M: 1.0,
         "the baseline is subtracted: it does not add to the gradient.": lambda M: 1 + 2 / (M + 1)},
        hint="Write b_i as a number times G_i, plus something that does not depend on trajectory i. What does each part do to the mean?",
    )  # fmt: skip


def _curvatures(answers: Answers) -> Iterator[str]:
    """7c: −p(1 − p)J, p(1 − p)(1 − 2p)(r0 − r1), and −p(1 − p)c."""
    cases = [(0.25, 1.0, 0.0), (0.6, 2.0, -1.0), (0.9, 0.5, 3.0)]
    yield from compare_function(
        answers, "naive_curvature", cases, lambda p, r, s: -p * (1 - p) * (p * r + (1 - p) * s),
        {"arm 1 is missing: it pays r1 with the probability 1 − p, and log(1 − p) has a second derivative, too.": lambda p, r, s: -p * (1 - p) * p * r,
         "this is J''.": lambda p, r, s: p * (1 - p) * (1 - 2 * p) * (r - s), "the arms have the probabilities p and 1 − p; this has 1/2 for each.":
         lambda p, r, s: -p * (1 - p) * (r + s) / 2, "this has the second derivative of π(a). That of log π(a) is asked for.":
         lambda p, r, s: p * (1 - p) * (1 - 2 * p) * (p * r - (1 - p) * s), "this is the sum over the arms without their probabilities.":
         lambda p, r, s: -p * (1 - p) * (r + s), "this is J', the mean of r(a) times the FIRST derivative of log π(a). Differentiate once more.":
         lambda p, r, s: p * (1 - p) * (r - s),
         "the second derivatives of log p and of log(1 − p) are equal, and both negative.": lambda p, r, s: -p * (1 - p) * (p * r - (1 - p) * s),
         "this is the mean of r(a) times the SQUARE of (log π(a))'.": lambda p, r, s: p * (1 - p) ** 2 * r + (1 - p) * p**2 * s},
        hint="(log p)' = 1 − p and (log(1 − p))' = −p. Differentiate once more, multiply by r(a), and take the mean over the arms.",
    )  # fmt: skip
    yield from compare_function(
        answers, "true_curvature", cases, lambda p, r, s: p * (1 - p) * (1 - 2 * p) * (r - s),
        {"this is J'.": lambda p, r, s: p * (1 - p) * (r - s), "this is the naive curvature.": lambda p, r, s: -p * (1 - p) * (p * r + (1 - p) * s),
         "this is the derivative of p(1 − p) by p; p depends on z, too.": lambda p, r, s: (1 - 2 * p) * (r - s),
         "both rewards belong into J: p r0 + (1 − p) r1.": lambda p, r, s: p * (1 - p) * (1 - 2 * p) * r,
         "the derivatives of p and of 1 − p have opposite signs.": lambda p, r, s: p * (1 - p) * (1 - 2 * p) * (r + s)},
        hint="J' = p(1 − p)(r0 − r1). Differentiate once more with the chain rule.",
    )  # fmt: skip
    yield from compare_function(
        answers, "change", [(0.25, 1.0), (0.6, 2.0), (0.9, -3.0)], lambda p, c: -p * (1 - p) * c,
        {"the true curvature does not change; the naive one does.": lambda p, c: 0.0, "this is the change of J.": lambda p, c: c,
         "c is missing: twice the shift changes the naive curvature twice as much.": lambda p, c: -p * (1 - p),
         "the mean is taken once: the probabilities of the arms sum to 1.": lambda p, c: -2 * p * (1 - p) * c},
        hint="Put r0 + c and r1 + c into naive_curvature, and subtract.",
    )  # fmt: skip


EXERCISES = {
    "7a": Exercise("Without the score term the gradient is 33 % too small, worse than first-order MAML with 9 %.", _score_term),
    "7b": Exercise("With a batch of two a third of the gradient is left; the mean of the others is as simple and changes nothing.", _baselines),
    "7c": Exercise("Add a constant to all rewards: what moves is not a derivative of the return. The test needs no right answer.", _curvatures),
}
