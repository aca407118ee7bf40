"""The reward −τ log π(a|s), whose mean over the actions is τ times the entropy.  Derivation: derivations/exact-policy-gradient.md"""

import numpy as np

from refmeta.arrays import Array, as_read_only
from refmeta.softmax import centred, log_softmax

__all__ = ["entropy_reward", "entropy_reward_jvp", "plus"]

NOTHING = as_read_only(np.full((1, 1), -0.0))  # x + (−0) is x, bit for bit


def entropy_reward(logits: Array, temperature: float, terminal: Array) -> Array:
    """b = −τ log π(a|s) for logits (..., S, A), and 0 in an end; for τ = 0 one zero that broadcasts.

    It is finite where π is 0 in double precision, so that π b is 0 there.
    """
    if temperature == 0:
        return NOTHING
    return np.where(terminal[..., None], 0, -temperature * log_softmax(logits))


def entropy_reward_jvp(pi: Array, u: Array, temperature: float, terminal: Array) -> Array:
    """db = −τ(u − ⟨π, u⟩) for a direction u (..., S, A) of the logits, and 0 in an end."""
    if temperature == 0:
        return NOTHING
    return np.where(terminal[..., None], 0, -temperature * centred(pi, u))


def plus(x: Array, b: Array) -> Array:
    """x + b for such a reward b: x itself at temperature 0, without an addition."""
    return x if b is NOTHING else x + b
