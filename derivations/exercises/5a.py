"""Exercise 5a: Where Reptile comes to rest.

The two tasks of exercise 4a: L_i(theta) = a_i/2 (theta - c_i)^2 with a = (2, 3)
and c = (0, 10), and gradient steps with the step size alpha = 1/4. Reptile
adapts theta to each task by K steps, to phi_i, and then moves theta a little
towards the mean of the phi_i. It comes to rest where sum_i (theta - phi_i) = 0.

Compute by hand this theta for K = 1, K = 2 and K = 3, and its limit for K ->
infinity.

Compare afterwards with exercise 4a (K = 2): MAML, first-order MAML, joint
training.

Read: derivations/reptile.md, the fixed point on quadratics.
To grade this file: python -m refmeta exercise 5a 5a.py
"""

fixed_points = [..., ..., ...]
limit = ...
