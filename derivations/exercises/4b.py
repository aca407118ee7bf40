"""Exercise 4b: The meta-gradient of a bandit with two arms.

One state, two arms, softmax logits theta = (0, log 2), so that pi = (1/3, 2/3).
The task pays r = (5, -1): the expected reward is J = 1 at theta, and its
gradient is (4/3)(1, -1). The loss is L = -J. Take one gradient step on the loss
with the step size alpha = 3/2 log 2 (the natural logarithm), phi = theta -
alpha grad L(theta), and let F(theta) = L(phi).

Compute by hand the two entries of grad F(theta). You may use np.log(2) in your
answer. You need the adapted policy, the gradient of L there, and the Hessian of
L at theta, which is a number times s s^T with s = (1, -1).

Read: derivations/maml.md, "Two arms, one step": there alpha is a quarter of
this.
To grade this file: python -m refmeta exercise 4b 4b.py
"""

import numpy as np

log2 = np.log(2)

meta_gradient = [..., ...]
