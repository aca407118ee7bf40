"""Softmax over the last axis, and its products.  Derivation: derivations/softmax-policies.md

Everything is holomorphic in the logits.  The largest logit is subtracted from its row together with its imaginary part:
the largest term is then exactly 1, and derivatives keep their digits where the policy is nearly certain.
"""

import numpy as np

from refmeta.arrays import Array, dot

__all__ = ["centred", "centred_at", "likeliest", "log_softmax", "one_hot_minus", "softmax", "softmax_jvp", "sum_of_others"]


def _taken(x: Array, index: Array) -> Array:
    """x at one index of each row, (..., 1); a flat index is several times as fast as `take_along_axis`."""
    if x.shape[:-1] != index.shape:
        batch = np.broadcast_shapes(x.shape[:-1], index.shape)
        x, index = np.broadcast_to(x, (*batch, x.shape[-1])), np.broadcast_to(index, batch)
    rows = np.arange(0, x.size, x.shape[-1]).reshape(index.shape)
    return x.reshape(-1)[rows + index][..., None]


def _less_largest(x: Array) -> Array:
    """x minus the largest entry of its row, by the real part."""
    return x - _taken(x, x.real.argmax(-1))


def softmax(x: Array) -> Array:
    """π = exp(x) / Σ exp(x), for x (..., n).

    Eq: softmax
    """
    e = np.exp(_less_largest(x))
    return e / np.einsum("...a->...", e)[..., None]


def log_softmax(x: Array) -> Array:
    """log π = x − log Σ exp(x), for x (..., n); accurate relative to log π, also where π is close to 1.

    Eq: log-softmax
    """
    shifted, top = _less_largest(x), np.argmax(x.real, axis=-1)[..., None]
    terms = np.where(np.arange(x.shape[-1]) == top, 0, np.exp(shifted))
    return shifted - np.log1p(np.sum(terms, axis=-1, keepdims=True))


def one_hot_minus(pi: Array, e: Array) -> Array:
    """e − π for a one-hot e; 1 − π_a is computed as the sum of the other π, without cancellation; all (..., n)."""
    rest = pi * (1 - e)
    return e * np.einsum("...a->...", rest)[..., None] - rest


def centred(pi: Array, x: Array) -> Array:
    """x_a − ⟨π, x⟩, (..., n): D_a − ⟨π, D⟩ with D_a = x_a − x_c, c the likeliest action, keeps all digits."""
    D = x - _taken(x, pi.real.argmax(-1))
    return D - dot(pi, D)[..., None]


def likeliest(pi: Array) -> Array:
    """Where in `pi.ravel()` the likeliest action of each row is, (...)."""
    return pi.real.argmax(-1) + np.arange(0, pi.size, pi.shape[-1]).reshape(pi.shape[:-1])


def centred_at(place: Array, pi: Array, x: Array, less: Array | None = None) -> Array:
    """x_a − ⟨π, x⟩, or x_a − ⟨π, x⟩ − less with `less` (...), where `place`, that of `likeliest`, is known."""
    top = x.reshape(-1)[place][..., None] if x.shape == pi.shape else _taken(x, pi.real.argmax(-1))
    D = x - top
    mean = dot(pi, D)
    return D - (mean if less is None else mean + less)[..., None]


def sum_of_others(pi: Array, x: Array) -> Array:
    """Σ_{b≠a} x_b, (..., n): for the likeliest a a sum without x_a, for every other a Σ x − x_a (there π_a ≤ ½)."""
    likeliest = np.arange(pi.shape[-1]) == np.argmax(pi.real, axis=-1)[..., None]
    rest = np.sum(np.where(likeliest, 0, x), axis=-1, keepdims=True)
    return np.where(likeliest, rest, np.sum(x, axis=-1, keepdims=True) - x)


def softmax_jvp(pi: Array, u: Array) -> Array:
    """dπ = π ⊙ (u − ⟨π, u⟩) for a direction u (..., n) of the logits.

    Eq: softmax-jvp
    """
    return pi * centred(pi, u)
