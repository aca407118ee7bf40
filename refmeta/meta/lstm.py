"""The parts of Meta-LSTM: the sigmoid, the preprocessing of its inputs, and an ordinary LSTM cell.

Derivation: derivations/meta-lstm.md
"""

from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array

__all__ = ["Cell", "CellAdjoint", "P", "backward", "forward", "preprocessing", "preprocessing_slope", "sigmoid"]

P = 10.0


def sigmoid(z: Array) -> Array:
    """σ(z) = 1/(1 + e^−z), holomorphic, and accurate for z of both signs: NumPy's minimum is by the real part."""
    return np.exp(np.minimum(z, 0)) / (1 + np.exp(np.minimum(z, -z)))


def preprocessing(x: Array) -> Array:
    """(log|x|/p, sgn x) where |x| ≥ e^−p, else (−1, e^p x), p = 10; (..., 2).

    Eq: gradient-preprocessing
    """
    sign = np.where(np.real(x) < 0, -1.0, 1.0)
    large = np.real(x) * sign >= np.exp(-P)
    magnitude = np.where(large, x * sign, 1)
    return np.stack([np.where(large, np.log(magnitude) / P, -1), np.where(large, sign, np.exp(P) * x)], axis=-1)


def preprocessing_slope(x: Array) -> Array:
    """(1/(px), 0) where |x| ≥ e^−p, else (0, e^p); (..., 2).

    Eq: gradient-preprocessing
    """
    large = np.real(x) * np.where(np.real(x) < 0, -1.0, 1.0) >= np.exp(-P)
    slopes = np.where(large, 1 / (P * np.where(large, x, 1)), 0), np.where(large, 0, np.exp(P))
    return np.stack(np.broadcast_arrays(*slopes), axis=-1)


class Cell(NamedTuple):
    """One step of an LSTM: inputs [x, h] (..., n + H); gates, candidate, the two states, output, (..., H) each."""

    inputs: Array
    input_gate: Array
    forget_gate: Array
    output_gate: Array
    candidate: Array
    before: Array
    state: Array
    output: Array


def forward(W: Array, b: Array, x: Array, h: Array, c: Array) -> Cell:
    """c' = σ(u₂) ⊙ c + σ(u₁) ⊙ tanh(u₄), h' = σ(u₃) ⊙ tanh(c'), with [u₁, u₂, u₃, u₄] = W[x, h] + b, W (4H, n + H).

    Eq: lstm-cell
    """
    inputs = np.concatenate([x, h], axis=-1)
    gates = np.split(inputs @ W.T + b, 4, axis=-1)
    i, f, o = (sigmoid(gate) for gate in gates[:3])
    g = np.tanh(gates[3])
    state = f * c + i * g
    return Cell(inputs, i, f, o, g, c, state, o * np.tanh(state))


class CellAdjoint(NamedTuple):
    """The adjoints of the pre-activations (..., 4H), of [x, h] and of the state before."""

    gates: Array
    inputs: Array
    state: Array


def backward(W: Array, cell: Cell, output: Array, state: Array) -> CellAdjoint:
    """The transposed derivative of `forward`, applied to the adjoints of h' and c'.

    Eq: lstm-cell
    """
    i, f, o, g, squashed = cell.input_gate, cell.forget_gate, cell.output_gate, cell.candidate, np.tanh(cell.state)
    state = state + output * o * (1 - squashed**2)
    gates = np.concatenate(
        [
            state * g * i * (1 - i),
            state * cell.before * f * (1 - f),
            output * squashed * o * (1 - o),
            state * i * (1 - g**2),
        ],
        axis=-1,
    )
    return CellAdjoint(gates, gates @ W, state * f)
