"""Softmax over the last axis, and its products.  Derivation: derivations/softmax-policies.md

Everything is holomorphic in the logits.  A row is shifted by its largest logit itself, imaginary part and all: the
largest term is then exactly 1, and no derivative cancels where the policy is nearly certain.
"""

import numpy as np

from refmeta.arrays import Array

__all__ = ["centred", "log_softmax", "one_hot_minus", "softmax", "softmax_jvp", "sum_of_others"]


def _less_largest(x: Array) -> Array:
    """x less its largest entry (by the real part), row by row."""
    if np.isrealobj(x):
        return x - np.max(x, axis=-1, keepdims=True)
    return x - np.take_along_axis(x, np.argmax(x.real, axis=-1)[..., None], axis=-1)


def softmax(x: Array) -> Array:
    """π = exp(x) / Σ exp(x), for x (..., n).

    Eq: softmax
    """
    e = np.exp(_less_largest(x))
    return e / np.sum(e, axis=-1, keepdims=True)


def log_softmax(x: Array) -> Array:
    """log π = x − log Σ exp(x), for x (..., n); relative accuracy where π is close to one, too.

    Eq: log-softmax
    """
    shifted, top = _less_largest(x), np.argmax(x.real, axis=-1)[..., None]
    others = np.where(np.arange(x.shape[-1]) == top, 0, np.exp(shifted))
    return shifted - np.log1p(np.sum(others, axis=-1, keepdims=True))


def one_hot_minus(pi: Array, e: Array) -> Array:
    """e − π for a one-hot e, its own entry 1 − π_a as the sum of the others: without cancellation; all (..., n)."""
    others = pi * (1 - e)
    return e * np.sum(others, axis=-1, keepdims=True) - others


def centred(pi: Array, x: Array) -> Array:
    """x_a − ⟨π, x⟩ as D_a − ⟨π, D⟩, D_a = x_a − x_c, c the likeliest: no digit cancels where π is nearly certain; (..., n)."""
    likeliest = np.arange(pi.shape[-1]) == np.argmax(pi.real, axis=-1)[..., None]
    D = x - np.einsum("...a,...a->...", likeliest, x)[..., None]
    return D - np.einsum("...a,...a->...", pi, D)[..., None]


def sum_of_others(pi: Array, x: Array) -> Array:
    """Σ_{b≠a} x_b, (..., n): for the likeliest a as a sum without it, for others as Σ x − x_a, where π_a ≤ ½."""
    likeliest = np.arange(pi.shape[-1]) == np.argmax(pi.real, axis=-1)[..., None]
    rest = np.sum(np.where(likeliest, 0, x), axis=-1, keepdims=True)
    return np.where(likeliest, rest, np.sum(x, axis=-1, keepdims=True) - x)


def softmax_jvp(pi: Array, u: Array) -> Array:
    """dπ = π ⊙ (u − ⟨π, u⟩) for the logits' direction u (..., n).

    Eq: softmax-jvp
    """
    return pi * centred(pi, u)
