"""Exercise 7b: A baseline from the batch itself.

The policy gradient from M trajectories is the mean of (G_i - b_i) score_i,
where G_i is the return of trajectory i, score_i the gradient of its
log-probability, and b_i a baseline. The trajectories are independent, and the
mean of a score is 0. If b_i does not depend on trajectory i, the baseline
changes nothing in the mean of the estimate.

Write two baselines as functions of the array G of all M returns. Each returns
the array of the b_i, shape (M,):
    own_mean        the mean of all returns, for every i
    leave_one_out   for each i the mean of the returns of the OTHER trajectories

The own mean contains G_i itself. So the mean of the estimate is not the
gradient, but a factor times the gradient. Write this factor as a function of M.

Read: derivations/sampled-policy-gradients.md, the section "Baselines from the
batch itself".
To grade this file: python -m refmeta exercise 7b 7b.py
"""

import numpy as np


def own_mean(G):
    """The mean of all returns, as the baseline of every trajectory: shape (M,)."""
    return np.full(len(G), ...)


def leave_one_out(G):
    """The mean of the other returns, for each trajectory: shape (M,)."""
    return ...


def factor(M):
    """The mean of the estimate with the own mean, divided by the gradient."""
    return ...
