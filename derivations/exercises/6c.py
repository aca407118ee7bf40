"""Exercise 6c: What is left of MAML's gain if both starts tune the step size?

The two tasks of the chapter on MAML: L_i(theta) = a_i/2 (theta - c_i)^2 with a
= (1, 3) and c = (0, 4), and K = 2 steps. MAML was trained for alpha = 1/4, and
has the start 1/7. Joint training, which does not adapt, has the start 3.

A comparison at alpha = 1/4 is not fair: MAML's start was made for this step
size, and the other start was not. So let each start choose its own best alpha
among 0, 0.01, 0.02, ..., 0.60.

    1. Write the sum of both losses after the two steps, as a function of the
       start and of alpha.
    2. joint_tuned, maml_tuned: the smallest value of this function over these
       alphas, for the start 3 and for the start 1/7.
    3. share: the gain joint_tuned - maml_tuned, divided by the gain of MAML's
       start over the other if both use alpha = 1/4.

You may compute the three numbers in this file with NumPy, instead of typing
them.

Read: derivations/meta-training.md, the section "Tune every start before a
comparison".
To grade this file: python -m refmeta exercise 6c 6c.py
"""

import numpy as np

a = np.array([1.0, 3.0])
c = np.array([0.0, 4.0])
alphas = np.arange(61) / 100


def loss_after(theta, alpha):
    """The sum over the tasks of the loss after two steps from theta with the step size alpha, a number."""
    return ...


joint_tuned = ...
maml_tuned = ...
share = ...
