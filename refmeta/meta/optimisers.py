"""Optimiser steps as pure functions of their state.  Derivation: derivations/reptile.md"""

from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array

__all__ = ["Moments", "adam", "adam_epsilon_hat", "clipped", "moments", "unit_rows", "zero_moments"]


class Moments(NamedTuple):
    """The state of Adam: running means of gradients and of their squares, and the number of steps."""

    first: Array
    second: Array
    steps: int


def zero_moments(theta: Array) -> Moments:
    """The state before the first step: zeros."""
    return Moments(np.zeros_like(theta), np.zeros_like(theta), 0)


def adam(
    theta: Array, gradient: Array, state: Moments, *, alpha: Any, beta1: float, beta2: float, epsilon: float
) -> tuple[Array, Moments]:
    """θ − α m̂ / (√v̂ + ε), with m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ): Kingma & Ba's algorithm 1.

    Eq: adam
    """
    beta1, beta2 = _double(beta1), _double(beta2)
    m, v, t = state = moments(gradient, state, beta1, beta2)
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return theta - alpha * m_hat / (np.sqrt(v_hat) + epsilon), state


def adam_epsilon_hat(
    theta: Array, gradient: Array, state: Moments, *, alpha: Any, beta1: float, beta2: float, epsilon: float
) -> tuple[Array, Moments]:
    """θ − α_t m / (√v + ε), with α_t = α √(1 − β₂ᵗ)/(1 − β₁ᵗ): here ε is added to the uncorrected √v.

    Eq: adam-epsilon-hat
    """
    beta1, beta2 = _double(beta1), _double(beta2)
    m, v, t = state = moments(gradient, state, beta1, beta2)
    alpha_t = alpha * np.sqrt(1 - beta2**t) / (1 - beta1**t)
    return theta - alpha_t * m / (np.sqrt(v) + epsilon), state


def moments(gradient: Array, state: Moments, beta1: float, beta2: float) -> Moments:
    """m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², t ← t + 1."""
    m = beta1 * state.first + (1 - beta1) * gradient
    v = beta2 * state.second + (1 - beta2) * gradient**2
    return Moments(m, v, state.steps + 1)


def _double(beta: Any) -> Any:
    """β in double precision: in single precision 1 − βᵗ has seven digits."""
    return beta if isinstance(beta, float) else np.asarray(beta, dtype=np.result_type(beta, np.float64))[()]


def clipped(gradient: Array, max_norm: float) -> Array:
    """g · min(1, c/‖g‖) for every row of (..., d), with c = `max_norm`; a row whose norm overflows keeps its direction, too."""
    unit, norm = unit_rows(gradient)
    return np.where(norm.real > max_norm, max_norm * unit, gradient)


@np.errstate(over="ignore")
def unit_rows(g: Array) -> tuple[Array, Array]:
    """g/‖g‖, 0 where g is, and ‖g‖ = √(Σg²), (..., 1), which alone may overflow; complex numbers are not conjugated."""
    scale = np.max(np.abs(g), axis=-1, keepdims=True, initial=0.0)
    scale = np.where(scale == 0, 1.0, scale)
    norm = np.sqrt(np.sum((g / scale) ** 2, axis=-1, keepdims=True))
    return g / scale / np.where(norm == 0, 1.0, norm), scale * norm
