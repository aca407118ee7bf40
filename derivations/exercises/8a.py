"""Exercise 8a: A belief about the task from two transitions.

PEARL describes the task by a hidden number z. From each transition it makes a
Gaussian factor, a normal density as a function of z. Its belief about z is the
product of the factors, scaled so that it is a density again: a Gaussian, too.
N(mean, variance) is the normal distribution; 1/variance is called its
precision.

The first transition gives the factor N(6, 1/2), the second the factor N(-1,
1/3).
Compute the mean and the variance of the belief in two versions:
    without_prior    the product of the two factors
    with_prior       the product of the two factors and of the prior N(0, 1)

Read: derivations/pearl.md, the section on the belief. It has this example with
other numbers.
To grade this file: python -m refmeta exercise 8a 8a.py
"""

# each as [mean, variance]
without_prior = [..., ...]
with_prior = [..., ...]
