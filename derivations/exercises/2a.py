"""Exercise 2a: Return and policy gradient of a chain with two states.

A Markov decision process has two states, 0 and 1, and two actions. Action 0
stays in the state, action 1 goes to the other state. The rewards R(s, a) are
R(0, .) = (3, 2) and R(1, .) = (1, -1), and the discount is gamma = 1/2. The
policy is pi(. | 0) = (1/4, 3/4) and pi(. | 1) = (1/2, 1/2); it is a softmax of
one logit theta[s, a] for each state and action. The process starts in state 0.

Compute by hand:
    J         the expected return: the mean of the sum of gamma^t r_t over
              t = 0, 1, 2, ...
    visits    the discounted visits d(s) = sum_t gamma^t Pr(s_t = s), which are
              not normalised: (d(0), d(1))
    gradient  dJ/dtheta[s, a], one row for each state: (action 0, action 1)

You need the values V(s) first: two equations V = r_pi + gamma P_pi V. The
chapter has this chain with another start: V and Q do not depend on the start,
but J, the visits and the gradient do.

Read: derivations/exact-policy-gradient.md, the sections "Values", "Occupancy
and return" and "The gradient".
To grade this file: python -m refmeta exercise 2a 2a.py
"""

J = ...
visits = [..., ...]
gradient = [
    [..., ...],
    [..., ...],
]
