"""Exercise 7b: A baseline from the batch itself.

The policy gradient from M trajectories is the mean of (G_i - b_i) score_i,
where G_i is the return of trajectory i, score_i the gradient of its
log-probability, and b_i a baseline. The trajectories are independent, and the
mean of a score is 0. If b_i does not depend on trajectory i, the baseline
changes nothing in the mean of the estimate.

The chapter takes the mean of all returns, which contains G_i itself once. Here
the batch is a list to which G_i was appended once more by mistake, so that G_i
counts twice.

Write two baselines as functions of the array G of all M returns. Each returns
the array of the b_i, shape (M,):
    own_twice       for each i the mean of the M + 1 numbers G_1, ..., G_M, G_i
    leave_one_out   for each i the mean of the returns of the OTHER trajectories

With own_twice the mean of the estimate is not the gradient, but a factor times
the gradient. Write this factor as a function of M.

Read: derivations/sampled-policy-gradients.md, the section "Baselines from the
batch itself".
To grade this file: python -m refmeta exercise 7b 7b.py
"""

import numpy as np


def own_twice(G):
    """The mean of all returns, in which the own return counts twice, for each trajectory: shape (M,)."""
    return ...


def leave_one_out(G):
    """The mean of the other returns, for each trajectory: shape (M,)."""
    return ...


def factor(M):
    """The mean of the estimate with the baseline own_twice, divided by the gradient: a number."""
    return ...
