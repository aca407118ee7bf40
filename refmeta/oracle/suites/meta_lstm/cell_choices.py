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

__all__ = ["CELLS", "FAMILIES_OF_CELLS", "FED_BACK", "GATES", "HIDDEN", "ORDERS", "UPDATES"]


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


def _within(x: Array) -> Array:
    """Not below 0, not above 1."""
    return np.where(np.real(x) < 0, 0, np.where(np.real(x) > 1, 1, x))


def _clip(x: Array, most: float = 1.0) -> Array:
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
    "hard sigmoid, (x + 3)/6": _cell(gate=lambda x: _within(x / 6 + 0.5)),
    "hard sigmoid, x/5 + 1/2": _cell(gate=lambda x: _within(x / 5 + 0.5)),
    "sigmoid of -x": _cell(gate=lambda x: sigmoid(-x)),
    "sigmoid for the outer tanh": _cell(outer=sigmoid),
    "softplus of the candidate": _cell(inner=lambda u: np.log1p(np.exp(u))),
    "relu of the candidate": _cell(inner=lambda u: np.where(np.real(u) > 0, u, 0)),
    "the forget gate 1 - the input gate": lambda i, f, o, u, c: _cell()(i, -i, o, u, c),
    "the input gate times state and candidate": lambda i, f, o, u, c: _cell()(i, i, o, u, c),
    "exp of the input gate": lambda i, f, o, u, c: _exponential(i, f, o, u, c),
    "a GRU's: (1 - i) u + i h": lambda i, f, o, u, c: (sigmoid(i) * c + sigmoid(-i) * np.tanh(u),) * 2,
    "state not kept, i u": lambda i, f, o, u, c: _cell()(i, f, o, u, 0 * c),
    "state within -1 and 1": lambda i, f, o, u, c: (sigmoid(o) * np.tanh(_clip(_cell()(i, f, o, u, c)[1])), _clip(_cell()(i, f, o, u, c)[1])),
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
    "hard sigmoid, z/5 + 1/2": lambda i, f: (_within(i / 5 + 0.5), _within(f / 5 + 0.5)),
    "hard sigmoid, (z + 3)/6": lambda i, f: (_within(i / 6 + 0.5), _within(f / 6 + 0.5)),
    "sigmoid of 2 z": lambda i, f: (sigmoid(2 * i), sigmoid(2 * f)),
    "i + f = 1, by softmax": lambda i, f: (sigmoid(i - f), sigmoid(f - i)),
    "relu of i": lambda i, f: (np.where(np.real(i) > 0, i, 0), sigmoid(f)),
    "|i|": lambda i, f: (np.where(np.real(i) > 0, i, -i), sigmoid(f)),
    "i not put through sigmoid": lambda i, f: (i, sigmoid(f)),
    "f not put through sigmoid": lambda i, f: (sigmoid(i), f),
    "tanh of f": lambda i, f: (sigmoid(i), np.tanh(f)),
    "sigmoid of -z": lambda i, f: (sigmoid(-i), sigmoid(-f)),
    "sigmoid of -f": lambda i, f: (sigmoid(i), sigmoid(-f)),
    "f = i": lambda i, f: (sigmoid(i), sigmoid(i)),
    "f + 1 before the sigmoid": lambda i, f: (sigmoid(i), sigmoid(f + 1)),
    "the first parameter's for all": lambda i, f: (0 * i + sigmoid(i)[..., :1], 0 * f + sigmoid(f)[..., :1]),
    "mean over the tasks": lambda i, f: (0 * i + np.mean(sigmoid(i), 1, keepdims=True), 0 * f + np.mean(sigmoid(f), 1, keepdims=True)),
    "not followed in the gradient": lambda i, f: (np.real(sigmoid(i)), np.real(sigmoid(f))),
    "the same for all parameters": lambda i, f: (0 * i + np.mean(sigmoid(i), -1, keepdims=True), 0 * f + np.mean(sigmoid(f), -1, keepdims=True)),
}
FED_BACK: dict[str, Callable[..., Pair] | None] = {
    "gates after the sigmoid": None,
    "gates before the sigmoid": lambda i, f, z_i, z_f: (z_i, z_f),
    "none": lambda i, f, z_i, z_f: (0 * i, 0 * f),
    "each other's": lambda i, f, z_i, z_f: (f, i),
    "the input gate to both": lambda i, f, z_i, z_f: (i, i),
    "the forget gate to both": lambda i, f, z_i, z_f: (f, f),
    "1 - gates": lambda i, f, z_i, z_f: (1 - i, 1 - f),
    "their products": lambda i, f, z_i, z_f: (i * f, i * f),
    "their mean": lambda i, f, z_i, z_f: ((i + f) / 2, (i + f) / 2),
    "the input gate alone": lambda i, f, z_i, z_f: (i, 0 * f),
    "the forget gate alone": lambda i, f, z_i, z_f: (0 * i, f),
    "mean over the parameters": lambda i, f, z_i, z_f: (0 * i + np.mean(i, -1, keepdims=True), 0 * f + np.mean(f, -1, keepdims=True)),
    "each other's before the sigmoid": lambda i, f, z_i, z_f: (z_f, z_i),
    "those of the parameter before": lambda i, f, z_i, z_f: (np.roll(i, 1, -1), np.roll(f, 1, -1)),
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
    "theta - g": lambda theta, i, f, g: theta - g + 0 * i,
    "theta + f - i g": lambda theta, i, f, g: theta + f - i * g,
    "(1 + f) theta - i g": lambda theta, i, f, g: (1 + f) * theta - i * g,
    "(1 - i) theta + i g": lambda theta, i, f, g: (1 - i) * theta + i * g,
    "f theta - (1 - i) g": lambda theta, i, f, g: f * theta - (1 - i) * g,
    "theta - f i g": lambda theta, i, f, g: theta - f * i * g,
    "theta - i (g + (1 - f) theta)": lambda theta, i, f, g: theta - i * (g + (1 - f) * theta),
    "f theta - i sign g": lambda theta, i, f, g: f * theta - i * np.sign(np.real(g)),
    "f theta - i |g|": lambda theta, i, f, g: f * theta - i * np.where(np.real(g) < 0, -g, g),
    "f theta - i^2 g": lambda theta, i, f, g: f * theta - i**2 * g,
    "f^2 theta - i g": lambda theta, i, f, g: f**2 * theta - i * g,
    "theta - i theta - f g": lambda theta, i, f, g: theta - i * theta - f * g,
    "f - i g": lambda theta, i, f, g: f - i * g,
    "f theta - i g, theta in f theta held": lambda theta, i, f, g: f * np.real(theta) - i * g,
    "i held": lambda theta, i, f, g: f * theta - np.real(i) * g,
    "f held": lambda theta, i, f, g: np.real(f) * theta - i * g,
    "i and f held": lambda theta, i, f, g: np.real(f) * theta - np.real(i) * g,
    "f theta - i g with i of the mean": lambda theta, i, f, g: f * theta - np.mean(i, -1, keepdims=True) * g,
    "f theta - mean of i g": lambda theta, i, f, g: f * theta - np.mean(i * g, -1, keepdims=True),
    "at most 0.1 of i g": lambda theta, i, f, g: f * theta - _clip(i * g, 0.1),
    "at most 1 of theta": lambda theta, i, f, g: _clip(f * theta - i * g),
    "f theta - i tanh g": lambda theta, i, f, g: f * theta - i * np.tanh(g),
    "tanh of f theta - i g": lambda theta, i, f, g: np.tanh(f * theta - i * g),
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
    "state within -{0} and {0}": ("first layer", lambda c: lambda i, f, o, u, z: (sigmoid(o) * np.tanh(_clip(_cell()(i, f, o, u, z)[1], abs(c))), _clip(_cell()(i, f, o, u, z)[1], abs(c)))),
    "h and c times {}": ("hidden state", lambda c: lambda h, z: (c * h, c * z)),
    "h times {}": ("hidden state", lambda c: lambda h, z: (c * h, z)),
    "c times {}": ("hidden state", lambda c: lambda h, z: (h, c * z)),
    "sigmoid of {} z": ("gates", lambda c: lambda i, f: (sigmoid(c * i), sigmoid(c * f))),
    "{} times sigmoid": ("gates", lambda c: lambda i, f: (c * sigmoid(i), c * sigmoid(f))),
    "{} times the input gate": ("gates", lambda c: lambda i, f: (c * sigmoid(i), sigmoid(f))),
    "{} times the forget gate": ("gates", lambda c: lambda i, f: (sigmoid(i), c * sigmoid(f))),
    "input gate {}": ("gates", lambda c: lambda i, f: (0 * i + c, sigmoid(f))),
    "forget gate {}": ("gates", lambda c: lambda i, f: (sigmoid(i), 0 * f + c)),
    "f + {} before the sigmoid": ("gates", lambda c: lambda i, f: (sigmoid(i), sigmoid(f + c))),
    "i + {} before the sigmoid": ("gates", lambda c: lambda i, f: (sigmoid(i + c), sigmoid(f))),
    "input gate at most {}": ("gates", lambda c: lambda i, f: (np.where(np.real(sigmoid(i)) > c, c, sigmoid(i)), sigmoid(f))),
    "forget gate at least {}": ("gates", lambda c: lambda i, f: (sigmoid(i), np.where(np.real(sigmoid(f)) < c, c, sigmoid(f)))),
    "gates within {0} and 1 - {0}": ("gates", lambda c: lambda i, f: (_between(sigmoid(i), c), _between(sigmoid(f), c))),
    "times {}": ("gates fed back", lambda c: lambda i, f, z_i, z_f: (c * i, c * f)),
    "f theta - i g - {} theta": ("update", lambda c: lambda theta, i, f, g: f * theta - i * g - c * theta),
    "f theta - i (g + {} theta)": ("update", lambda c: lambda theta, i, f, g: f * theta - i * (g + c * theta)),
    "f theta - {} g": ("update", lambda c: lambda theta, i, f, g: f * theta - c * g + 0 * i),
    "theta - {} i g": ("update", lambda c: lambda theta, i, f, g: theta - c * i * g),
    "f theta - {} i g": ("update", lambda c: lambda theta, i, f, g: f * theta - c * i * g),
    "f theta - (i + {}) g": ("update", lambda c: lambda theta, i, f, g: f * theta - (i + c) * g),
    "i g at most {} in size": ("update", lambda c: lambda theta, i, f, g: f * theta - _clip(i * g, abs(c))),
    "theta at most {} in size": ("update", lambda c: lambda theta, i, f, g: _clip(f * theta - i * g, abs(c))),
    "{} both": ("first gates", lambda c: lambda b_i, b_f: (c + 0 * b_i, c + 0 * b_f)),
    "the forget gate {}": ("first gates", lambda c: lambda b_i, b_f: (0 * b_i, c + 0 * b_f)),
    "the input gate {}": ("first gates", lambda c: lambda b_i, b_f: (c + 0 * b_i, 0 * b_f)),
}


def _between(x: Array, low: float) -> Array:
    """x within c and 1 − c."""
    return np.where(np.real(x) < low, low, np.where(np.real(x) > 1 - low, 1 - low, x))
