"""Exercise 6a: When clipping turns the direction of training.

To clip a gradient g at c means: g stays if |g| <= c, else it is shortened to
the length c. Clipping keeps the direction of one gradient, but not the
direction of the mean of several.

There are one parameter theta and two tasks (theta - c_i)^2 / 2. The first, c_1
= -7, comes with the probability 1/3, and the second, c_2 = 2, with the
probability 2/3. At theta = 0 their gradients are 7 and -2. The mean gradient,
1/3 * 7 - 2/3 * 2 = 1, is positive: theta must become smaller. Each batch holds
one task, and its gradient is clipped at c.

Write the mean of the clipped gradient as a function of c. Then find the number
such that this mean has the right sign exactly for all c above it.

Read: derivations/meta-training.md, the section on clipping. It has this example
with other numbers, at c = 1 alone.
To grade this file: python -m refmeta exercise 6a 6a.py
"""

import numpy as np


def mean_of_the_clipped(c):
    """The mean of the clipped gradient at theta = 0, a number."""
    return ...


right_for_all_c_above = ...
