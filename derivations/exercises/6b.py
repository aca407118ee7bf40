"""Exercise 6b: Why the cost after adaptation is a V in the step size.

How does the loss after adaptation depend on the step size alpha? If the loss is
quadratic and its curvature is one number, the loss after adaptation, drawn on a
logarithmic scale, is a V. It has its point at one step size, and rises steeply
on both sides.

Show it for one parameter. The loss of a task is L(theta) = a/2 (theta -
c)^2. The step size best = 1/a goes to the minimum c in one step. Let `before`
be the loss at the start. Write the loss after so many gradient steps with
another step size alpha as a function of alpha, best, before and steps. (It
depends on the start and on c through `before` alone.)

Then, for one step, fill in two numbers:
    useless   the ratio alpha/best, larger than 0, at which the loss after the
              step is the loss before it
    window    the number w with this property: the loss after the step is at
              most one hundredth of the loss before it exactly if alpha/best
              lies between 1 - w and 1 + w

Read: derivations/meta-training.md, the first sentence of the paragraph "The
edge of stability" (the rest of it is not needed).
To grade this file: python -m refmeta exercise 6b 6b.py
"""

import numpy as np


def loss_after(alpha, best, before, steps):
    """The loss after so many steps with the step size alpha, a number."""
    return ...


useless = ...
window = ...
