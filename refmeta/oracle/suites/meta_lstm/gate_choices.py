"""What implementations of Meta-LSTM choose for the gates and the update, the right alternative first.  Derivation: derivations/meta-lstm.md

An alternative is what is computed instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta.lstm import sigmoid
from refmeta.oracle.suites.meta_lstm.cell_choices import clip, within

Pair = tuple[Array, Array]

__all__ = ["FAMILIES_OF_GATES", "FED_BACK", "GATES", "UPDATES", "between"]

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
    "hard sigmoid, z/5 + 1/2": lambda i, f: (within(i / 5 + 0.5), within(f / 5 + 0.5)),
    "hard sigmoid, (z + 3)/6": lambda i, f: (within(i / 6 + 0.5), within(f / 6 + 0.5)),
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
    "at most 0.1 of i g": lambda theta, i, f, g: f * theta - clip(i * g, 0.1),
    "at most 1 of theta": lambda theta, i, f, g: clip(f * theta - i * g),
    "f theta - i tanh g": lambda theta, i, f, g: f * theta - i * np.tanh(g),
    "tanh of f theta - i g": lambda theta, i, f, g: np.tanh(f * theta - i * g),
}


def between(x: Array, low: float) -> Array:
    """x within c and 1 − c."""
    return np.where(np.real(x) < low, low, np.where(np.real(x) > 1 - low, 1 - low, x))
FAMILIES_OF_GATES: dict[str, tuple[str, Callable[[float], Any]]] = {
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
    "gates within {0} and 1 - {0}": ("gates", lambda c: lambda i, f: (between(sigmoid(i), c), between(sigmoid(f), c))),
    "times {}": ("gates fed back", lambda c: lambda i, f, z_i, z_f: (c * i, c * f)),
    "f theta - i g - {} theta": ("update", lambda c: lambda theta, i, f, g: f * theta - i * g - c * theta),
    "f theta - i (g + {} theta)": ("update", lambda c: lambda theta, i, f, g: f * theta - i * (g + c * theta)),
    "f theta - {} g": ("update", lambda c: lambda theta, i, f, g: f * theta - c * g + 0 * i),
    "theta - {} i g": ("update", lambda c: lambda theta, i, f, g: theta - c * i * g),
    "f theta - {} i g": ("update", lambda c: lambda theta, i, f, g: f * theta - c * i * g),
    "f theta - (i + {}) g": ("update", lambda c: lambda theta, i, f, g: f * theta - (i + c) * g),
    "i g at most {} in size": ("update", lambda c: lambda theta, i, f, g: f * theta - clip(i * g, abs(c))),
    "theta at most {} in size": ("update", lambda c: lambda theta, i, f, g: clip(f * theta - i * g, abs(c))),
    "{} both": ("first gates", lambda c: lambda b_i, b_f: (c + 0 * b_i, c + 0 * b_f)),
    "the forget gate {}": ("first gates", lambda c: lambda b_i, b_f: (0 * b_i, c + 0 * b_f)),
    "the input gate {}": ("first gates", lambda c: lambda b_i, b_f: (c + 0 * b_i, 0 * b_f)),
}
