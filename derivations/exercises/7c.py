"""Exercise 7c: Shift the rewards, and a wrong second derivative shows.

Two arms pay r0 and r1. Arm 0 has the probability p = 1/(1 + exp(-z)) with one
logit z, and arm 1 has 1 - p. The expected reward is J(z) = p r0 + (1 - p) r1.
If both rewards grow by the same c, J grows by c, and no derivative of J
changes.

A common implementation of MAML differentiates the sampled loss r(a) log pi(a)
twice. The mean of the first derivative is J'(z): right. The mean of the second
derivative, the "naive curvature", is E[r(a) (log pi(a))''], and is not J''(z).

Write three functions:
    naive_curvature    E[r(a) (log pi(a))''], the mean over both arms, as a
                       function of p, r0, r1
    true_curvature     J''(z), as a function of p, r0, r1
    change             by how much naive_curvature grows if c is added to both
                       rewards, as a function of p and c

The derivative of p in z is p (1 - p).

Read: derivations/sampled-meta-gradients.md, the section "The theorem behind
'MAML-RL works as well first-order'", and there the test with shifted rewards.
To grade this file: python -m refmeta exercise 7c 7c.py
"""

import numpy as np


def naive_curvature(p, r0, r1):
    """The mean of the second derivative of r(a) log pi(a), a number."""
    return ...


def true_curvature(p, r0, r1):
    """The second derivative of J in z, a number."""
    return ...


def change(p, c):
    """What naive_curvature gains if both rewards grow by c, a number."""
    return ...
