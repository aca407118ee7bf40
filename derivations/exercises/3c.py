"""Exercise 3c: When does the order of the two policies in the KL matter?

A policy chooses between two actions with one logit z: pi(0) = 1/(1 + exp(-z)).
Let old be the policy at z and new the policy at z + h. The forward KL is KL(old
|| new), the reverse KL is KL(new || old). Both are about h^2/2 times the Fisher
information pi(0) pi(1), so the second derivatives cannot tell them apart.

At pi(0) = 1/4 the difference, reverse minus forward, is C h^n plus terms of
higher order. Fill in the order n and the number C. At pi(0) = 1/2 the
difference has another order; fill it in, too.

One way: KL(old || new) = psi(z + h) - psi(z) - h psi'(z) with psi(z) = log(1 +
exp(z)), and the reverse KL is h psi'(z + h) - psi(z + h) + psi(z). Write
Taylor's formula at z. The derivatives of psi are, with p = pi(0): psi'' = p(1 -
p), psi''' = p(1 - p)(1 - 2p), psi'''' = p(1 - p)(1 - 6p(1 - p)). Another way:
compute both with NumPy for h = 0.1, 0.05, 0.025, and see what the difference is
divided by.

Read: derivations/policy-geometry.md, the row `kl-swapped` of what goes wrong.
To grade this file: python -m refmeta exercise 3c 3c.py
"""

order = ...
C = ...
order_at_one_half = ...
