"""Exercise 2c: A gradient that is zero where no advantage is.

In state 0 you may "cash" (action 0): you get 4, and the game is over. Or you
may "wait" (action 1): you get 1, and you stay in state 0. There are two steps,
t = 0 and t = 1, and no discount. The policy cashes with the same probability p
at both steps, because its logits do not depend on time.

The return is J(p) = 4p + (1 - p)(1 + V1). Here V1 is the value of the one step
that is left at t = 1; it depends on p, too. Find the p strictly between 0 and 1
at which the derivative of J is zero.

Then compute, at this p, the advantages A_t(a) = Q_t(a) - V_t in state 0 at both
steps, as (cash, wait). Q_t(a) is the expected sum of the rewards from step t on
if the action at t is a and the policy goes on after it. V_t = p Q_t(cash) + (1
- p) Q_t(wait).

None of the four advantages is zero. So a policy at which the gradient is zero
may still have an action at each step that is better than the mean: the best
policy, which waits and then cashes, needs to know the time.

Read: derivations/exact-policy-gradient.md, "By hand: cash or wait". There
cashing pays 2, here it pays 4.
To grade this file: python -m refmeta exercise 2c 2c.py
"""

p = ...
advantages_at_0 = [..., ...]
advantages_at_1 = [..., ...]
