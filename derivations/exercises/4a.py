"""Exercise 4a: Three starts for two quadratic tasks.

Task i has the loss L_i(theta) = a_i/2 (theta - c_i)^2 of one number theta.
There are two tasks: a = (2, 3) and c = (0, 10). Each task is adapted to by K =
2 gradient steps with the step size alpha = 1/4, which start from theta:

    theta <- theta - alpha L_i'(theta),   twice; the result is phi_i.

Compute by hand the start theta at which each of three methods comes to rest:
    maml         the gradient of sum_i L_i(phi_i) in theta is zero; it goes
                 through both steps
    first_order  sum_i L_i'(phi_i) is zero: first-order MAML uses the gradient
                 at phi_i as if phi_i were theta
    joint        the gradient of sum_i L_i(theta) is zero: joint training does
                 not adapt

Each step of task i multiplies theta - c_i by 1 - alpha a_i. Every answer is a
weighted mean of c_1 and c_2.

Read: derivations/maml.md, "Two tasks with one parameter" and the closed form on
quadratics. The chapter has this example with other numbers.
To grade this file: python -m refmeta exercise 4a 4a.py
"""

maml = ...
first_order = ...
joint = ...
