"""Exercise 4c: Write the MAML gradient, and break it.

The task is linear regression: loss(theta) = 1/(2n) sum_j (x_j . theta - y_j)^2.
Its gradient and its Hessian product are given below. The inner loop takes K
steps on the support data X, y; step k has the vector alphas[k] of step sizes,
one for each parameter (the product is entry by entry):

    theta_{k+1} = theta_k - alphas[k] * gradient(theta_k, X, y),

The meta-gradient is the gradient in theta_0 of the loss of theta_K on the query
data. It is computed backwards: start from the query gradient at theta_K, and
then, for the last step first, replace g by g - H (alphas[k] * g), where H is
the Hessian of the support loss.

1. Fill in `meta_gradient`, so that the oracle says that it is right. Several
   lines are needed.
2. Fill in `broken`: the mistake that the oracle calls `reversed-product`.
   `python -m refmeta explain reversed-product` says what it computes (the first
   of the two entries). It has one number alpha for all parameters. Here the
   vector alphas[k] stays where it is, to the right of the Hessian of step k.

A question for afterwards: the two functions differ, although the Hessian is the
same in every step. Why?

Read: derivations/maml.md, the section on the gradient, and what goes wrong in
practice.
To grade this file: python -m refmeta exercise 4c 4c.py
"""

import numpy as np


def gradient(theta, X, y):
    """The gradient of the loss; theta has shape (d,), X (n, d), y (n,)."""
    return X.T @ (X @ theta - y) / len(X)


def hessian_product(v, X):
    """The Hessian of the loss, times the vector v of shape (d,)."""
    return X.T @ (X @ v) / len(X)


def meta_gradient(theta, X, y, query_X, query_y, alphas):
    """The gradient of the query loss of theta_K in theta, shape (d,); alphas has the shape (K, d)."""
    return ...


def broken(theta, X, y, query_X, query_y, alphas):
    """The same with the mistake `reversed-product`."""
    return ...
