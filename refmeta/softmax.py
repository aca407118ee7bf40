"""Softmax over the last axis, and its products.  Derivation: derivations/softmax-policies.md

Everything is holomorphic in the logits: the shift is taken from the real part, and nothing is conjugated.
"""

import numpy as np

from refmeta.arrays import Array


def _shifted(x: Array) -> Array:
    """x less its largest real part, row by row: a softmax does not see it, and no exponential overflows."""
    return x - np.max(x.real, axis=-1, keepdims=True)


def softmax(x: Array) -> Array:
    """π = exp(x) / Σ exp(x), for x (..., n).

    Eq: softmax
    """
    e = np.exp(_shifted(x))
    return e / np.sum(e, axis=-1, keepdims=True)


def log_softmax(x: Array) -> Array:
    """log π = x − log Σ exp(x), for x (..., n).

    Eq: log-softmax
    """
    x = _shifted(x)
    return x - np.log(np.sum(np.exp(x), axis=-1, keepdims=True))


def centred(pi: Array, x: Array) -> Array:
    """x_a − ⟨π, x⟩, as Σ_b π_b (x_a − x_b): the same number without its cancellation; all (..., n)."""
    return np.einsum("...b,...ab->...a", pi, x[..., :, None] - x[..., None, :])


def softmax_jvp(pi: Array, u: Array) -> Array:
    """dπ = π ⊙ (u − ⟨π, u⟩) for the logits' direction u (..., n).

    Eq: softmax-jvp
    """
    return pi * centred(pi, u)
