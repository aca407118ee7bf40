"""What implementations of Meta-LSTM choose for the first layer and the gates, the right alternative first.  Derivation: derivations/meta-lstm.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.meta.lstm import sigmoid

Pair = tuple[Array, Array]

__all__ = ["CELLS", "FED_BACK", "GATES", "HIDDEN", "ORDERS", "UPDATES"]


def _cell(gate: Callable[..., Array] = sigmoid, inner: Callable[..., Array] = np.tanh, outer: Callable[..., Array] = np.tanh) -> Callable[..., Pair]:
    """The cell with other functions."""

    def value(i: Array, f: Array, o: Array, u: Array, c: Array) -> Pair:
        c = gate(f) * c + gate(i) * inner(u)
        return gate(o) * outer(c), c

    return value


def _coupled(i: Array, f: Array, o: Array, u: Array, c: Array) -> Pair:
    """The input gate is 1 less the forget gate."""
    c = sigmoid(f) * c + sigmoid(-f) * np.tanh(u)
    return sigmoid(o) * np.tanh(c), c


CELLS: dict[str, Callable[..., Pair] | None] = {
    "LSTM": None,
    "without tanh of the state": _cell(outer=lambda c: c),
    "without tanh of the candidate": _cell(inner=lambda u: u),
    "sigmoid of the candidate": _cell(inner=sigmoid),
    "relu for tanh": _cell(inner=lambda u: np.where(np.real(u) > 0, u, 0), outer=lambda c: np.where(np.real(c) > 0, c, 0)),
    "tanh for sigmoid": _cell(gate=np.tanh),
    "without the output gate": lambda i, f, o, u, c: (np.tanh(_cell()(i, f, o, u, c)[1]), _cell()(i, f, o, u, c)[1]),
    "without the input gate": lambda i, f, o, u, c: _cell()(i + 1e3, f, o, u, c),
    "without the forget gate": lambda i, f, o, u, c: _cell()(i, f + 1e3, o, u, c),
    "the input gate 1 - the forget gate": _coupled,
    "forget bias + 1": lambda i, f, o, u, c: _cell()(i, f + 1, o, u, c),
    "forget bias + 2": lambda i, f, o, u, c: _cell()(i, f + 2, o, u, c),
    "its state handed on as its output": lambda i, f, o, u, c: (_cell()(i, f, o, u, c)[1],) * 2,
    "a plain tanh layer of the candidate": lambda i, f, o, u, c: (np.tanh(u), c),
    "state before for the state after": lambda i, f, o, u, c: (sigmoid(o) * np.tanh(c + 0 * u), _cell()(i, f, o, u, c)[1]),
}
HIDDEN: dict[str, Callable[[Array, Array], Pair] | None] = {
    "kept": None,
    "h and c 0 in every step": lambda h, c: (0 * h, 0 * c),
    "h 0 in every step": lambda h, c: (0 * h, c),
    "c 0 in every step": lambda h, c: (h, 0 * c),
    "their mean over the parameters": lambda h, c: (0 * h + np.mean(h, axis=2, keepdims=True), 0 * c + np.mean(c, axis=2, keepdims=True)),
    "those of the first parameter": lambda h, c: (0 * h + h[:, :, :1], 0 * c + c[:, :, :1]),
    "those of the last parameter": lambda h, c: (0 * h + h[:, :, -1:], 0 * c + c[:, :, -1:]),
    "exchanged": lambda h, c: (c, h),
    "c for h": lambda h, c: (c, c),
}
GATES: dict[str, Callable[[Array, Array], Pair] | None] = {
    "sigmoid": None,
    "i = 1 - f": lambda i, f: (sigmoid(-f), sigmoid(f)),
    "f = 1 - i": lambda i, f: (sigmoid(i), sigmoid(-i)),
    "f = 1": lambda i, f: (sigmoid(i), sigmoid(f) * 0 + 1),
    "i = 1": lambda i, f: (sigmoid(i) * 0 + 1, sigmoid(f)),
    "i = f": lambda i, f: (sigmoid(f), sigmoid(f)),
    "tanh": lambda i, f: (np.tanh(i), np.tanh(f)),
    "tanh of i": lambda i, f: (np.tanh(i), sigmoid(f)),
    "exp of i": lambda i, f: (np.exp(i), sigmoid(f)),
    "softplus of i": lambda i, f: (np.log1p(np.exp(i)), sigmoid(f)),
    "without sigmoid": lambda i, f: (i, f),
    "sigmoid twice": lambda i, f: (sigmoid(sigmoid(i)), sigmoid(sigmoid(f))),
    "the same for all parameters": lambda i, f: (0 * i + np.mean(sigmoid(i), -1, keepdims=True), 0 * f + np.mean(sigmoid(f), -1, keepdims=True)),
}
FED_BACK: dict[str, Callable[..., Pair] | None] = {
    "gates after the sigmoid": None,
    "gates before the sigmoid": lambda i, f, z_i, z_f: (z_i, z_f),
    "none": lambda i, f, z_i, z_f: (0 * i, 0 * f),
    "each other's": lambda i, f, z_i, z_f: (f, i),
    "the input gate to both": lambda i, f, z_i, z_f: (i, i),
    "the forget gate to both": lambda i, f, z_i, z_f: (f, f),
    "their change not followed": lambda i, f, z_i, z_f: (np.real(i), np.real(f)),
    "the input gate before, the forget gate after": lambda i, f, z_i, z_f: (z_i, f),
    "the forget gate before, the input gate after": lambda i, f, z_i, z_f: (i, z_f),
}
UPDATES: dict[str, Callable[..., Array] | None] = {
    "f theta - i g": None,
    "i theta - f g": lambda theta, i, f, g: i * theta - f * g,
    "theta - i g": lambda theta, i, f, g: theta - i * g,
    "f theta + i g": lambda theta, i, f, g: f * theta + i * g,
    "theta + i g": lambda theta, i, f, g: theta + i * g,
    "(1 - i) theta - i g": lambda theta, i, f, g: (1 - i) * theta - i * g,
    "f theta - (1 - f) g": lambda theta, i, f, g: f * theta - (1 - f) * g,
    "(1 - f) theta - i g": lambda theta, i, f, g: (1 - f) * theta - i * g,
    "f (theta - i g)": lambda theta, i, f, g: f * (theta - i * g),
    "f theta - g": lambda theta, i, f, g: f * theta - g,
    "f theta": lambda theta, i, f, g: f * theta + 0 * i,
    "f theta - i tanh g": lambda theta, i, f, g: f * theta - i * np.tanh(g),
    "tanh of f theta - i g": lambda theta, i, f, g: np.tanh(f * theta - i * g),
}
ORDERS = {
    "i f o g": None, "i f g o (PyTorch, Keras)": (0, 1, 3, 2), "i g f o (TensorFlow's i j f o)": (0, 2, 3, 1), "f i o g": (1, 0, 2, 3),
    "f i g o": (1, 0, 3, 2), "o f i g": (2, 1, 0, 3), "g i f o": (1, 2, 3, 0), "i o f g": (0, 2, 1, 3), "f o i g": (2, 0, 1, 3), "g f o i": (3, 1, 2, 0),
}  # fmt: skip
