"""Exercise 8c: A learned model, and how fast it becomes right.

In a state there is one action and there are three possible next states. Their
probabilities are not known. The prior is the Dirichlet distribution with the
concentration (2, 1, 1): its density is proportional to P_0^(2-1) P_1^(1-1)
P_2^(1-1). After six visits the counts of the next states are (4, 0, 2).
Compute the mean of the posterior distribution.

Then let there be n visits, and let the true probabilities be P. The error of
the posterior mean falls like n^(-order):
    order_if_exact     the order if the counts are exactly n P, without chance
    order_if_random    the order of the typical error if the next states are
                       drawn at random from P

Read: derivations/model-based.md, the model, and the order of its error.
To grade this file: python -m refmeta exercise 8c 8c.py
"""

posterior_mean = [..., ..., ...]
order_if_exact = ...
order_if_random = ...
