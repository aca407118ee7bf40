"""What implementations of Meta-LSTM choose for the first layer and the gates, the right alternative first.  Derivation: derivations/meta-lstm.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta.lstm import sigmoid

Pair = tuple[Array, Array]
__all__ = ["CELLS", "FAMILIES_OF_CELLS", "HIDDEN", "ORDERS", "clip", "within"]


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


def within(x: Array) -> Array:
    """Not below 0, not above 1."""
    return np.where(np.real(x) < 0, 0, np.where(np.real(x) > 1, 1, x))


def clip(x: Array, most: float = 1.0) -> Array:
    """Not larger in size."""
    return np.where(np.abs(np.real(x)) > most, most * np.sign(np.real(x)), x)


def _exponential(i: Array, f: Array, o: Array, u: Array, c: Array) -> Pair:
    """e^i for σ(i)."""
    c = sigmoid(f) * c + np.exp(i) * np.tanh(u)
    return sigmoid(o) * np.tanh(c), c


def _layer_norm(x: Array) -> Array:
    """Mean 0 and deviation 1 over the hidden units."""
    off = x - np.mean(x, axis=-1, keepdims=True)
    return off / np.sqrt(np.mean(off**2, axis=-1, keepdims=True) + 1e-5)


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
    "tanh of the output gate too": lambda i, f, o, u, c: (np.tanh(o) * np.tanh(_cell()(i, f, o, u, c)[1]), _cell()(i, f, o, u, c)[1]),
    "hard sigmoid, (x + 3)/6": _cell(gate=lambda x: within(x / 6 + 0.5)),
    "hard sigmoid, x/5 + 1/2": _cell(gate=lambda x: within(x / 5 + 0.5)),
    "sigmoid of -x": _cell(gate=lambda x: sigmoid(-x)),
    "sigmoid for the outer tanh": _cell(outer=sigmoid),
    "softplus of the candidate": _cell(inner=lambda u: np.log1p(np.exp(u))),
    "relu of the candidate": _cell(inner=lambda u: np.where(np.real(u) > 0, u, 0)),
    "the forget gate 1 - the input gate": lambda i, f, o, u, c: _cell()(i, -i, o, u, c),
    "the input gate times state and candidate": lambda i, f, o, u, c: _cell()(i, i, o, u, c),
    "exp of the input gate": lambda i, f, o, u, c: _exponential(i, f, o, u, c),
    "a GRU's: (1 - i) u + i h": lambda i, f, o, u, c: (sigmoid(i) * c + sigmoid(-i) * np.tanh(u),) * 2,
    "state not kept, i u": lambda i, f, o, u, c: _cell()(i, f, o, u, 0 * c),
    "state within -1 and 1": lambda i, f, o, u, c: (sigmoid(o) * np.tanh(clip(_cell()(i, f, o, u, c)[1])), clip(_cell()(i, f, o, u, c)[1])),
    "normalised over the hidden units": lambda i, f, o, u, c: _cell()(*(_layer_norm(x) for x in (i, f, o, u)), c),
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
    "their mean over the tasks": lambda h, c: (0 * h + np.mean(h, axis=1, keepdims=True), 0 * c + np.mean(c, axis=1, keepdims=True)),
    "those of the first task": lambda h, c: (0 * h + h[:, :1], 0 * c + c[:, :1]),
    "those of the parameter before": lambda h, c: (np.roll(h, 1, 2), np.roll(c, 1, 2)),
    "those of the parameter after": lambda h, c: (np.roll(h, -1, 2), np.roll(c, -1, 2)),
    "h the mean over the parameters": lambda h, c: (0 * h + np.mean(h, axis=2, keepdims=True), c),
    "c the mean over the parameters": lambda h, c: (h, 0 * c + np.mean(c, axis=2, keepdims=True)),
    "halved": lambda h, c: (h / 2, c / 2),
    "c halved": lambda h, c: (h, c / 2),
    "hidden units in reverse": lambda h, c: (h[..., ::-1], c[..., ::-1]),
    "negative": lambda h, c: (-h, -c),
    "their sum for h": lambda h, c: (h + c, c),
    "exchanged": lambda h, c: (c, h),
    "c for h": lambda h, c: (c, c),
}
NAMED = {"i f g o": "i f g o (PyTorch, Keras)", "i g f o": "i g f o (TensorFlow's i j f o)"}
PLACES = {"".join(p): tuple(p.index(gate) for gate in "ifog") for p in itertools.permutations("ifog")}
ORDERS: dict[str, tuple[int, ...] | None] = {
    "i f o g": None, **{NAMED.get(" ".join(p), " ".join(p)): rows for p, rows in PLACES.items() if p != "ifog"},
}  # fmt: skip
FAMILIES_OF_CELLS: dict[str, tuple[str, Callable[[float], Any]]] = {
    "forget bias + {}": ("first layer", lambda c: lambda i, f, o, u, z: _cell()(i, f + c, o, u, z)),
    "input bias + {}": ("first layer", lambda c: lambda i, f, o, u, z: _cell()(i + c, f, o, u, z)),
    "output bias + {}": ("first layer", lambda c: lambda i, f, o, u, z: _cell()(i, f, o + c, u, z)),
    "all biases + {}": ("first layer", lambda c: lambda i, f, o, u, z: _cell()(i + c, f + c, o + c, u + c, z)),
    "gates of {} times their inputs": ("first layer", lambda c: lambda i, f, o, u, z: _cell()(c * i, c * f, c * o, u, z)),
    "state within -{0} and {0}": ("first layer", lambda c: lambda i, f, o, u, z: (sigmoid(o) * np.tanh(clip(_cell()(i, f, o, u, z)[1], abs(c))), clip(_cell()(i, f, o, u, z)[1], abs(c)))),
    "h and c times {}": ("hidden state", lambda c: lambda h, z: (c * h, c * z)),
    "h times {}": ("hidden state", lambda c: lambda h, z: (c * h, z)),
    "c times {}": ("hidden state", lambda c: lambda h, z: (h, c * z)),
}
