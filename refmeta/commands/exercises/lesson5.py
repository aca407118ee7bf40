"""Lesson 5: Reptile and implicit MAML.  Derivation: derivations/reptile.md"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.commands.exercises.answers import Answers
from refmeta.commands.exercises.grading import Exercise, check_whole, compare, compare_function

__all__ = ["EXERCISES"]

A, C, ALPHA = np.array([2.0, 3.0]), np.array([0.0, 10.0]), 0.25
Weights = Callable[[Array, int], Array]


def _rests(weights: Weights, *steps: int) -> list[float]:
    """The weighted mean of the centres for each number of steps; the weights depend on 1 − αa and K."""
    each = [weights(1 - ALPHA * A, K) for K in steps]
    return [float(w @ C / w.sum()) for w in each]


def _fixed_points(answers: Answers) -> Iterator[str]:
    """5a: the weights 1 − (1 − αa)^K."""
    yield from compare(
        answers, "fixed_points", _rests(lambda s, K: 1 - s**K, 1, 2, 3),
        {"these are the points of first-order MAML.": _rests(lambda s, K: A * s**K, 1, 2, 3),
         "these are the points of MAML.": _rests(lambda s, K: A * s ** (2 * K), 1, 2, 3),
         "this is the point of joint training for every K.": [6.0, 6.0, 6.0],
         "these are the points for one step more each.": _rests(lambda s, K: 1 - s**K, 2, 3, 4),
         "there is a factor a_i too many: Reptile takes differences θ − φ_i, not gradients.": _rests(lambda s, K: A * (1 - s**K), 1, 2, 3),
         "the two weights are exchanged: the task that moves farther pulls more.": _rests(lambda s, K: (1 - s**K)[::-1], 1, 2, 3),
         "this has 2K factors 1 − αa_i. Reptile makes K steps, and differentiates none of them.": _rests(lambda s, K: 1 - s ** (2 * K), 1, 2, 3),
         "these points set sum_i (φ_i − c_i) to zero. Reptile has θ − φ_i.":
         _rests(lambda s, K: s**K, 1, 2, 3), "this is the mean of the centres for every K.": [5.0, 5.0, 5.0]},
        hint="Write θ − φ_i as a factor times θ − c_i. The factor depends on α, a_i and K.",
    )  # fmt: skip
    yield from compare(
        answers, "limit", 5.0,
        {"with many steps φ_i is c_i. Is it the second task alone that pulls θ?": 10.0, "this is the limit of MAML's points.": 0.0,
         "this is the point for one step.": 6.0},
        hint="For K → ∞ every φ_i is the minimum c_i of its task.",
    )  # fmt: skip


def _batches() -> list[tuple[Any, ...]]:
    """Gradients, symmetric Hessians, and step sizes."""
    rng, cases = np.random.default_rng(5), []
    for d, alpha in ((2, 0.25), (3, 0.0625)):
        H = rng.normal(size=(2, d, d))
        cases.append((*rng.normal(size=(2, d)), *(H + np.swapaxes(H, 1, 2)), alpha))
    return cases


def _expansions(answers: Answers) -> Iterator[str]:
    """5b: the three expansions with 1 and 2 exchanged."""
    chapter = "this is the order (1, 2) of the chapter."
    yield from compare_function(
        answers, "maml", _batches(), lambda g, h, G, H, a: g - a * G @ h - a * H @ g,
        {chapter: lambda g, h, G, H, a: h - a * H @ g - a * G @ h, "this is first-order MAML: the Hessian of the step is missing.":
         lambda g, h, G, H, a: g - a * G @ h, "the query gradient must be taken after the step. This has its value at the start.":
         lambda g, h, G, H, a: g - a * H @ g, "the Hessian of the inner step is that of the minibatch on which the step is made.":
         lambda g, h, G, H, a: g - a * G @ h - a * G @ g, "alpha is missing.": lambda g, h, G, H, a: g - G @ h - H @ g,
         "a step goes against the gradient, so the terms with alpha have a minus.": lambda g, h, G, H, a: g + a * G @ h + a * H @ g,
         "one of the two terms with alpha has the wrong sign: both come from a step against the gradient.": lambda g, h, G, H, a: g + a * G @ h - a * H @ g,
         "one of the two terms with alpha has the wrong sign; both come from a step against the gradient.": lambda g, h, G, H, a: g - a * G @ h + a * H @ g,
         "a term of order alpha² is still in it; leave it out.": lambda g, h, G, H, a: (g - a * G @ h) - a * H @ (g - a * G @ h),
         "this is the mean over both orders. Here the order (2, 1) alone is asked for.": lambda g, h, G, H, a: (g + h) / 2 - a * (G @ h + H @ g),
         "the gradients are exchanged, but the Hessians are not all: each Hessian is multiplied by the gradient of the OTHER minibatch.":
         lambda g, h, G, H, a: g - a * H @ h - a * G @ g},
        hint="The query gradient is taken after a step on L_2; write Taylor's formula for it. Then the chain rule multiplies it by the derivative of the step.",
    )  # fmt: skip
    yield from compare_function(
        answers, "first_order_maml", _batches(), lambda g, h, G, H, a: g - a * G @ h,
        {chapter: lambda g, h, G, H, a: h - a * H @ g, "this is MAML: the Hessian of the step does not occur.":
         lambda g, h, G, H, a: g - a * G @ h - a * H @ g, "the query gradient must be taken after the step. This has its value at the start.":
         lambda g, h, G, H, a: g, "the gradient of the query changes by its own Hessian.": lambda g, h, G, H, a: g - a * H @ h,
         "the step goes along the gradient of the other minibatch.": lambda g, h, G, H, a: g - a * G @ g,
         "a step goes against the gradient: minus alpha.": lambda g, h, G, H, a: g + a * G @ h},
        hint="Which loss is the query, and where is its gradient taken? Write Taylor's formula at theta.",
    )  # fmt: skip
    yield from compare_function(
        answers, "reptile", _batches(), lambda g, h, G, H, a: g + h - a * G @ h,
        {"this is alpha times the sum of the gradients; the sum alone is asked for.": lambda g, h, G, H, a: a * (g + h - a * G @ h),
         chapter: lambda g, h, G, H, a: g + h - a * H @ g, "this is the second gradient alone; Reptile adds up both steps.":
         lambda g, h, G, H, a: g - a * G @ h, "the second gradient is taken after the first step, not at theta.": lambda g, h, G, H, a: g + h,
         "the first step starts at theta: only the second gradient has a term with alpha.": lambda g, h, G, H, a: g + h - a * G @ h - a * H @ g,
         "this is the mean of both gradients, Reptile is their sum.": lambda g, h, G, H, a: (g + h - a * G @ h) / 2,
         "a step goes against the gradient: minus alpha.": lambda g, h, G, H, a: g + h + a * G @ h},
        hint="Reptile is the gradient met at the first step plus the gradient met at the second.",
    )  # fmt: skip


def _implicit(answers: Answers) -> Iterator[str]:
    """5c: 6λ/(1 + λ)² and 6(λ − 1)/λ², apart by order λ⁻²."""
    strengths = [[x] for x in (2.0, 4.0, 8.0, 64.0)]
    exact: Callable[[float], float] = lambda x: 6 * x / (1 + x) ** 2
    step: Callable[[float], float] = lambda x: 6 * (x - 1) / x**2
    yield from compare_function(
        answers, "implicit", strengths, exact,
        {"this is one gradient step.": step, "either the division by 1 + L''/strength is missing, or φ* is the point after one gradient step.":
         lambda x: 6 / (1 + x), "this divides by 1 + strength. L''/strength is 1/strength.": lambda x: 6 / (1 + x) ** 2,
         "this is the query gradient at φ* times 1 + 1/strength; it must be divided by it.": lambda x: 6 / x,
         "the query loss is φ², with the derivative 2φ.": lambda x: 3 * x / (1 + x) ** 2,
         "strength stands before (φ − θ)², not before L.": lambda x: 6 * x / (1 + x) ** 2 * x,
         "this has φ* = 1 for every strength, which holds at strength 2 alone. φ* depends on strength.": lambda x: 2 / (1 + 1 / x),
         "this is the chapter's number, for strength 2. Both φ* and the factor depend on strength.": lambda x: 4 / 3,
         "this multiplies by 1 − 1/strength: this is the factor of one step.": lambda x: 6 / (1 + x) * (1 - 1 / x)},
        hint="φ* is the φ at which the derivative (φ − 3) + strength φ is zero. Then use the formula in the first paragraph.",
    )  # fmt: skip
    yield from compare_function(
        answers, "one_step", strengths, step,
        {"this is implicit MAML.": exact, "this is first-order MAML: the factor 1 − L''/strength is missing.": lambda x: 6 / x,
         "this takes φ* of implicit MAML.": lambda x: 6 / (1 + x) * (1 - 1 / x), "the query loss is φ², with the derivative 2φ.":
         lambda x: 3 * (x - 1) / x**2, "the step size is 1/strength, not strength.": lambda x: 6 * x * (1 - x),
         "the factor is 1 − L''/strength; this has a plus.": lambda x: 6 * (x + 1) / x**2},
        hint="At theta = 0 the gradient of L is −3, so that φ = 3/strength.",
    )  # fmt: skip
    yield from check_whole(answers, "n")
    yield from compare(
        answers, "n", 2.0,
        {"each of the two falls like this. Does their difference become half as large when a large strength is doubled?": 1.0,
         "does the difference become one eighth when a large strength is doubled?": 3.0, "write n for strength^(−n): n is positive.": -2.0},
        hint="Double a large strength, as 512 and 1024: by which factor does the difference fall?",
    )  # fmt: skip


EXERCISES = {
    "5a": Exercise("One step of Reptile is joint training; with many steps it forgets the curvatures, and goes to the mean of the minima.", _fixed_points),
    "5b": Exercise("The order of the minibatches decides which gradient is bent; only the mean over the orders is symmetric.", _expansions),
    "5c": Exercise("For a large strength implicit MAML is MAML with one small step; what is left is of second order in 1/strength.", _implicit),
}
