"""Exercise 1c: A wrong gradient that a Taylor test accepts.

A popular check of a gradient g of f is the Taylor test. For a direction v it
computes the remainders

    R1(h) = |f(x + h v) - f(x)|,   R2(h) = |f(x + h v) - f(x) - h <g, v>|

for steps h = 2^-8, 2^-9, ..., 2^-12, and demands that R1 falls like h (order 1)
and R2 like h^2 (order 2), both orders within 0.1. The complex step computes the
derivative of f along v as the imaginary part of f(x + i h v), divided by h,
with h = 1e-200. No difference is taken, so it is right to nearly all digits.

Write a gradient of the function f below that is wrong, but only a little:

    1. At x = (0.3, -0.8) and at x = (-0.5, 0.4), the length of its error is at
       least 1e-8 times the length of the right gradient.
    2. At both points the Taylor test accepts it along these five directions v:
       (1, 0), (0, 1), (1, 1), (1, -0.7), (-0.4, 0.9).

The complex step will reject it. (So a wrong gradient may pass this test. With
the Hessian the Taylor test is sharper.) Begin with the right gradient. How
small the error must be depends on the second derivative along v; try it. Only
`gradient` is graded: f must stay as it is.

Read: derivations/judges.md, the sections on Taylor rates and on the complex
step.
To grade this file: python -m refmeta exercise 1c 1c.py
"""

import numpy as np


def f(x):
    """A function of two numbers; x is an array of shape (2,)."""
    return np.exp(x[0]) * np.sin(x[1]) + x[0] ** 2 * x[1]


def gradient(x):
    """An array of shape (2,): slightly wrong, and accepted by the Taylor test."""
    return ...
