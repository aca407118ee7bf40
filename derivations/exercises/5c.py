"""Exercise 5c: Implicit MAML against one gradient step.

Implicit MAML adapts to the exact minimum phi* of L(phi) + strength/2 (phi -
theta)^2: a large strength keeps phi* near the start theta. Its meta-gradient is
the query gradient at phi*, divided by 1 + L''/strength (in one dimension). One
gradient step with alpha = 1/strength stays near theta, too: phi = theta -
L'(theta)/strength, with the meta-gradient (1 - L''/strength) times the query
gradient at phi.

Let L(phi) = 1/2 (phi - 3)^2, the query loss phi^2, and theta = 0. Write both
meta-gradients as functions of strength. (The chapter has strength 2 only: there
phi* = 1, and implicit MAML has 4/3.) Then print their difference for strength =
2, 4, 8, ..., 1024. For a LARGE strength it is about a constant times
strength^(-n). For a small one it is not: from 2 to 4 it hardly falls. Fill in
the whole number n.

Read: derivations/implicit-and-zeroth-order.md, the section "By hand".
To grade this file: python -m refmeta exercise 5c 5c.py
"""

import numpy as np


def implicit(strength):
    """The meta-gradient of implicit MAML at theta = 0, a number."""
    return ...


def one_step(strength):
    """The meta-gradient of MAML with one step, alpha = 1/strength, at theta = 0, a number."""
    return ...


n = ...
