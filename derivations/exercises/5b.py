"""Exercise 5b: Three expanded meta-gradients, in the other order.

A task has two minibatches with the losses L_1 and L_2. Their gradients at the
start theta are g1 and g2, and their Hessians there are H1 and H2. The chapter
takes the minibatches in the order (1, 2): one step on L_1, and then L_2 is the
query or, for Reptile, the second step. With terms of order alpha^2 left out it
gets

    MAML              g2 - alpha H2 g1 - alpha H1 g2
    first-order MAML  g2 - alpha H2 g1
    Reptile           g1 + g2 - alpha H2 g1   (the gradients of both steps)

Derive the three for the order (2, 1): first a step on L_2, then L_1 is the
query or the second step. Write each as a function that returns an array. (The
mean over both orders is what the theorem of the chapter is about.)

Read: derivations/reptile.md, the section on the expansion.
To grade this file: python -m refmeta exercise 5b 5b.py
"""

import numpy as np


def maml(g1, g2, H1, H2, alpha):
    """MAML in the order (2, 1); g1, g2 have the shape (d,), H1, H2 the shape (d, d)."""
    return ...


def first_order_maml(g1, g2, H1, H2, alpha):
    """First-order MAML in the order (2, 1)."""
    return ...


def reptile(g1, g2, H1, H2, alpha):
    """Reptile in the order (2, 1): the sum of the gradients of both steps."""
    return ...
