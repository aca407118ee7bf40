"""Exercise 1a: The gradient of an expected reward.

You have three actions. A policy with the parameters (logits) theta chooses
action a with the probability

    pi(a) = exp(theta_a) / (exp(theta_0) + exp(theta_1) + exp(theta_2)),

which is called the softmax of theta. Action a pays r(a). The expected reward is
J = sum_a pi(a) r(a).

Let pi = (1/2, 1/3, 1/6) and r = (8, 3, -6). Compute by hand, without a program,
the gradient of J: the three derivatives dJ/dtheta_0, dJ/dtheta_1, dJ/dtheta_2.
Every theta_b changes every pi(a), since the probabilities sum to 1.

Read: derivations/softmax-policies.md, the section on the derivative of softmax.
It has this example with other numbers.
Numbers may be fractions such as 3/8, or decimals with at least seven digits.
To grade this file: python -m refmeta exercise 1a 1a.py
"""

gradient = [..., ..., ...]
