"""Lesson 1: unknown tasks, and how to trust a derivative.  Derivation: derivations/judges.md"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from refmeta import judges
from refmeta.arrays import Array
from refmeta.commands.exercises.answers import Answers
from refmeta.commands.exercises.grading import Exercise, check_whole, compare, compare_function

__all__ = ["EXERCISES"]

POINTS, LEAST = (np.array([0.3, -0.8]), np.array([-0.5, 0.4])), 1e-8
DIRECTIONS = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -0.7], [-0.4, 0.9]])


def _expected_reward(answers: Answers) -> Iterator[str]:
    """1a: π(r − ⟨π, r⟩)."""
    pi, r = np.array([1 / 2, 1 / 3, 1 / 6]), np.array([8.0, 3.0, -6.0])
    mistakes = {
        "this is π(a) r(a). The mean reward is missing: if theta_a grows, the other probabilities fall.": pi * r,
        "this is r(a) minus the mean reward. How often is action a chosen?": r - pi @ r,
        "this is r(a), the derivative of J by π(a). Continue with the chain rule from π to theta.": r,
        "this is π(a)(1 − π(a)) r(a): the derivative of each π(a) by its own theta_a alone. "
        "theta_a changes the other probabilities, too.": pi * (1 - pi) * r,
        "the mean reward must be weighted by π; this takes the three rewards as equally likely.": pi * (r - r.mean()),
        "this is the derivative of log J. The derivative of J is asked for.": pi * (r - pi @ r) / (pi @ r),
        "this is the gradient of the chapter's example. Here π and r are others.": [1 / 4, -3 / 2, 5 / 4],
    }
    hint = "Write J as a quotient of two sums of exp(theta_b), and differentiate by one theta_a. The three entries sum to 0."
    yield from compare(answers, "gradient", pi * (r - pi @ r), mistakes, hint=hint)


def _step_sizes(answers: Answers) -> Iterator[str]:
    """1b: the quotient, the orders −1 and 2, and the step at which they balance."""
    cases = [(np.exp, 1.0, 0.5), (np.sin, 0.3, 0.25), (np.square, -2.0, 0.125), (np.tanh, 0.7, 1.0)]
    yield from compare_function(
        answers, "central_difference", cases, lambda f, x, h: (f(x + h) - f(x - h)) / (2 * h), _wrong_quotients(),
        hint="Take f at x + h and at x − h, and divide by the distance of these two points.",
    )  # fmt: skip
    yield from check_whole(answers, "slope_at_small_h")
    yield from check_whole(answers, "slope_at_large_h")
    one_sided = {"this is the slope for one-sided differences (f(x + h) − f(x)) / h.": 1.0}
    yield from compare(
        answers, "slope_at_small_h", -1.0,
        {"this is the slope at the other end.": 2.0, "the error GROWS when h becomes smaller.": 1.0,
         "rounding of f is about the same for every h. By what is it divided?": 0.0},
        hint="The rounding error of f is about the same for every h. By what does the central difference divide it?",
    )  # fmt: skip
    yield from compare(
        answers, "slope_at_large_h", 2.0,
        {"this is the slope at the other end.": -1.0, "the terms in h² of f(x + h) and f(x − h) cancel. "
         "But f is divided by h afterwards.": 3.0, **one_sided},
        hint="Write Taylor's formula for f(x + h) and f(x − h) up to h³, and divide by 2h.",
    )  # fmt: skip
    yield from _best_step(answers.number("best_h"))


def _wrong_quotients() -> dict[str, Callable[..., Any]]:
    """The difference quotients that students write."""
    return {
        "this is the one-sided difference (f(x + h) − f(x)) / h.": lambda f, x, h: (f(x + h) - f(x)) / h,
        "this is the one-sided difference (f(x) − f(x − h)) / h.": lambda f, x, h: (f(x) - f(x - h)) / h,
        "divide by the distance of the two points; this divides by half of it.": lambda f, x, h: (f(x + h) - f(x - h)) / h,
        "this multiplies by h / 2 instead of dividing by 2h: brackets are missing around 2 * h.": lambda f, x, h: (
            (f(x + h) - f(x - h)) / 2 * h
        ),
    }


def _best_step(h: float) -> Iterator[str]:
    """The step at which h² and eps / h are equal, within a factor of three."""
    eps = float(np.finfo(float).eps)
    best, one_sided = eps ** (1 / 3), eps**0.5
    if not best / 3 <= h <= best * 3:
        if h <= 0:
            yield "`best_h`: a step is positive. If this is its exponent, write the step itself."
        elif one_sided / 5 <= h <= one_sided * 5:
            yield "`best_h`: this is the best step of one-sided differences, the square root of the rounding unit."
        elif one_sided * 5 < h < best:
            yield "`best_h`: at this step a single error may be small by luck. Where do the two straight lines cross?"
        elif 0 < h <= 1e-12:
            yield "`best_h`: at so small a step nearly all digits of f(x + h) − f(x − h) are lost. Print the error for this h."
        else:
            yield "`best_h`: the total error is about h² + eps / h, with eps the rounding unit. For which h are the two parts equal?"


def _f(x: Array) -> Any:
    """The function of 1c."""
    return np.exp(x[0]) * np.sin(x[1]) + x[0] ** 2 * x[1]


def _accepted_and_wrong(answers: Answers) -> Iterator[str]:
    """1c: the Taylor test accepts it along the five directions at both points, and the complex step rejects it."""
    claims = [answers.call("gradient", [x], (2,)) for x in POINTS]
    rights = [judges.complex_step(_f, x) for x in POINTS]
    errors = [float(np.linalg.norm(g - right) / np.linalg.norm(right)) for g, right in zip(claims, rights, strict=True)]
    signs = [float(np.linalg.norm(g + right) / np.linalg.norm(right)) for g, right in zip(claims, rights, strict=True)]
    least, most = np.argmin(errors), np.argmax(errors)
    if errors[least] < 0.999 * LEAST:
        error = f"its error is {errors[least]:.2g} times the length of the gradient" if errors[least] > 1e-13 else "this is right"
        yield f"`gradient`: at x = {_point(least)} {error}. Its error is to be {LEAST:g} times the length of the right gradient or more, at both points."
    elif min(signs) < 1e-3:
        yield "`gradient`: the sign is turned, and the Taylor test sees it: R2 falls like h only."
    elif errors[most] > 1e-3:
        yield (
            f"`gradient`: at x = {_point(most)} its error is {errors[most]:.2g} times the length of the gradient: this is not a little. "
            "First write the right gradient, term by term. Then make it slightly wrong."
        )
    else:
        yield from _rejected(claims)


def _point(number: Any) -> str:
    """A point as the student writes it."""
    return f"({POINTS[number][0]:g}, {POINTS[number][1]:g})"


def _rejected(claims: Sequence[Array]) -> Iterator[str]:
    """The direction along which the Taylor test rejects a claimed gradient most clearly."""
    orders = [(judges.taylor_rates(_f, x, v, g).orders[1], x, v) for x, g in zip(POINTS, claims, strict=True) for v in DIRECTIONS]
    order, x, v = max(orders, key=lambda row: abs(row[0] - 2))
    if not abs(order - 2) <= 0.1:
        yield (
            f"`gradient`: the Taylor test rejects it: at x = ({x[0]:g}, {x[1]:g}) along v = ({v[0]:g}, {v[1]:g}) R2 has the order {order:.2f}. "
            "The error e of the gradient adds h<e, v> to R2, and h² must stay larger: make the error smaller."
        )


EXERCISES = {
    "1a": Exercise("The gradient is π times the advantage: an action is pushed up if it pays more than the mean.", _expected_reward),
    "1b": Exercise("No step gives all digits: a central difference has at best two thirds of them, and the complex step has all.", _step_sizes),
    "1c": Exercise(
        "The Taylor test accepts your gradient, and the complex step rejects it: a test has a smallest error that it can see.",
        _accepted_and_wrong,
    ),
}
