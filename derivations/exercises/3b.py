"""Exercise 3b: The distance of two policies is that of their trajectories.

The Kullback-Leibler divergence (KL) of a distribution q from a distribution p
is KL(p || q) = sum_x p(x) log(p(x)/q(x)), with the natural logarithm. It is not
symmetric.

Two policies, old and new, act in the same process for a fixed number of steps,
without a discount. Each of them gives every trajectory s_0, a_0, s_1, a_1, ...
a probability. The KL of the trajectories, KL(old || new), can be written as a
sum over the states: of the visits to a state, times the KL of the two policies
in this state. In the ratio of the two probabilities the start and the
transitions cancel.

Two functions are given: the probability of every trajectory, and the visits.
Write the two forms of the KL. They must agree. The question is: which policy's
visits?

Read: derivations/policy-geometry.md, the paragraph "It is the divergence of
trajectories".
To grade this file: python -m refmeta exercise 3b 3b.py
"""

import numpy as np


def trajectory_probabilities(P, rho, pi, horizon):
    """The probability of every sequence of states and actions, as one array, for every policy in the same order.

    P has the shape (S, A, S), rho (S,), pi (S, A); horizon is the number of steps.
    """
    states, actions = pi.shape
    paths = [(rho[s] * pi[s, a], s, a) for s in range(states) for a in range(actions)]
    for _ in range(horizon - 1):
        paths = [
            (p * P[s, a, t] * pi[t, b], t, b) for p, s, a in paths for t in range(states) for b in range(actions)
        ]
    return np.array([p for p, _, _ in paths])


def visits(P, rho, pi, horizon):
    """How often each state is expected to be visited in so many steps, shape (S,)."""
    now, total = rho, rho
    for _ in range(horizon - 1):
        now = np.einsum("s,sa,sat->t", now, pi, P)
        total = total + now
    return total


def trajectory_kl(p_old, p_new):
    """KL(old || new) of two arrays of probabilities, all positive."""
    return ...


def policy_kl(P, rho, old, new, horizon):
    """The same number, from the visits and the two policies old and new, of shape (S, A)."""
    return ...
