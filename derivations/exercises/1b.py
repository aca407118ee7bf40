"""Exercise 1b: The error of a difference quotient against its step.

The central difference estimates a derivative by (f(x + h) - f(x - h)) / (2h).
Its error has two parts. The truncation error comes from Taylor's formula, and
grows with h. The rounding error comes from the last digit of the computer's
numbers, which have a relative rounding unit of 2.2e-16; it grows when h becomes
smaller.

Write the central difference. Then draw, or print, the error against h from
1e-14 to 1e-1, both on a logarithmic scale, for example for f = exp at x = 1.
You see two straight lines. Fill in the slope of the line at small h and the
slope of the line at large h, both rounded to whole numbers. Fill in also the
step at which the two lines cross if f and its derivatives are of size 1. There
the error is least; a single error may be smaller elsewhere, by luck, because
rounding errors look random. One digit is enough, and a factor of 3 is allowed.

Read: derivations/judges.md, the section on central differences.
To grade this file: python -m refmeta exercise 1b 1b.py
"""

import numpy as np


def central_difference(f, x, h):
    """The central difference of f at the number x with the step h."""
    return ...


slope_at_small_h = ...
slope_at_large_h = ...
best_h = ...
