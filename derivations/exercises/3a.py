"""Exercise 3a: The natural gradient of the chain.

The chain of exercise 2a: two states, action 0 stays, action 1 goes to the other
state; R(0, .) = (3, 2) and R(1, .) = (1, -1); gamma = 1/2; pi(. | 0) = (1/4,
3/4) and pi(. | 1) = (1/2, 1/2). Its action values are Q(0, .) = (9/2, 5/2) and
Q(1, .) = (3/2, 1/2), wherever it starts.

The natural gradient x solves F x = grad J, where F = sum_s d(s) sum_a pi(a|s)
score score^T is the Fisher matrix of the policy and score is the gradient of
log pi(a|s) in the logits. F is singular: adding one number to all logits of a
state changes no probability. So many x solve the equation. The natural gradient
is the one with the smallest norm (the sum of the squares of its entries).

Compute it by hand, one row for each state: (action 0, action 1).
You need neither F nor the visits d.

Read: derivations/policy-geometry.md, the section "The natural gradient".
To grade this file: python -m refmeta exercise 3a 3a.py
"""

natural_gradient = [
    [..., ...],
    [..., ...],
]
