"""Exercise 7a: Two arms, one sample: the score term of MAML.

Two arms pay r = (1, 0). The policy is softmax of theta = (0, 0), so that both
arms have the probability 1/2. Let alpha = 2 log 2. You adapt with one step of
gradient ASCENT on the expected reward J, and then J of the adapted policy
counts.

With the exact gradient of J the adapted policy has some J: `exact_objective`.
But in practice the gradient is estimated from a sample. Draw one action a; the
estimate (REINFORCE) is g = r(a) (e_a - pi), where e_a is the unit vector of a.
So with probability 1/2 you adapt with the g of arm 0, and with probability 1/2
with the g of arm 1. The mean of J of the adapted policy is `sampled_objective`.

`derivative` is the derivative of sampled_objective in theta_0 at this theta. It
has two parts: the adapted policy changes with theta (through theta itself, and
through pi in g); and the PROBABILITY of each arm changes with theta. The second
part is the score term.

You may use np.log(2). Give decimals with at least seven digits, or expressions.

Read: derivations/sampled-meta-gradients.md, "By hand: two arms". It has this
example with another alpha.
To grade this file: python -m refmeta exercise 7a 7a.py
"""

import numpy as np

log2 = np.log(2)

exact_objective = ...
sampled_objective = ...
derivative = ...
