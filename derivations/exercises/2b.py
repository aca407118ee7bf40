"""Exercise 2b: A wrong policy gradient that a sum finds.

With one logit for each state and action the gradient of the expected return is
d(s) pi(a|s) A(s, a). Here d(s) are the discounted visits, A(s, a) = Q(s, a) -
V(s) is the advantage, and V(s) = sum_a pi(a|s) Q(s, a). A common mistake is to
write Q instead of A.

Adding one number to all logits of a state does not change the policy. So in
each state the derivatives sum to 0 over the actions. This is the row-sum test.
It needs no other program.

Write the right gradient as a function of d (shape (S,)), pi and Q (shape (S,
A)). Then say what the row sums of the wrong formula d(s) pi(a|s) Q(s, a) are,
on the chain of exercise 2a: started in state 0 it has d = (4/3, 2/3), pi =
((1/4, 3/4), (1/2, 1/2)) and Q = ((9/2, 5/2), (3/2, 1/2)).

Read: derivations/exact-policy-gradient.md, the section "The gradient", and what
goes wrong in practice.
To grade this file: python -m refmeta exercise 2b 2b.py
"""

import numpy as np


def gradient(d, pi, Q):
    """The policy gradient, shape (S, A), for NumPy arrays d of shape (S,), pi and Q of shape (S, A)."""
    return ...


row_sums_of_the_wrong_formula = [..., ...]
