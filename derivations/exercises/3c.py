"""Exercise 3c: When does the order of the two policies in the KL matter?

A policy chooses between two actions with one logit z: pi(0) = 1/(1 + exp(-z)).
Let old be the policy at z and new the policy at z + h. The forward KL is KL(old
|| new), the reverse KL is KL(new || old). Both are about h^2/2 times the Fisher
information pi(0) pi(1), so the second derivatives cannot tell them apart.

Let pi(0) = 1/5 at z. Write the two as

    forward = h^2/2 pi(0) pi(1) + forward_third h^3 + terms of higher order,
    reverse = h^2/2 pi(0) pi(1) + reverse_third h^3 + terms of higher order.

Fill in the two numbers forward_third and reverse_third. Fill in also the order
n of the difference, which is a constant times h^n plus terms of higher order:
at pi(0) = 1/5 (`order`) and at pi(0) = 1/2 (`order_at_one_half`).

One way: KL(old || new) = psi(z + h) - psi(z) - h psi'(z) with psi(z) = log(1 +
exp(z)), and the reverse KL is h psi'(z + h) - psi(z + h) + psi(z). Write
Taylor's formula at z. The derivatives of psi are, with p = pi(0): psi'' = p(1 -
p), psi''' = p(1 - p)(1 - 2p), psi'''' = p(1 - p)(1 - 6p(1 - p)). This gives the
numbers as fractions; decimals need seven digits. NumPy is a good check, but
gives only the first digits: compute both KL for h = 0.1, 0.05, 0.025, take off
the term in h^2, and divide by h^3.

Read: derivations/policy-geometry.md, the row `kl-swapped` of what goes wrong.
To grade this file: python -m refmeta exercise 3c 3c.py
"""

forward_third = ...
reverse_third = ...
order = ...
order_at_one_half = ...
