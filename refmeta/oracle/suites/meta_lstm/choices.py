"""What implementations of Meta-LSTM choose, the right alternative first.  Derivation: derivations/meta-lstm.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta.lstm import preprocessing, sigmoid
from refmeta.oracle.choices import Choices, Predicate
from refmeta.oracle.suites.meta_lstm.problem import Learner
from refmeta.oracle.suites.meta_lstm.variants import variant

__all__ = ["CHOICES", "PREDICATES", "additions", "layouts", "numbers", "variant"]

Pair = tuple[Array, Array]


def _size(x: Array) -> Array:
    """|x|, with its slope."""
    return np.where(np.real(x) < 0, -x, x)


def _sign(x: Array) -> Array:
    """±1."""
    return np.where(np.real(x) < 0, -1.0, 1.0)


def _both(large: Callable[[Array], Pair], small: Callable[[Array], Pair], p: float = 10.0) -> Callable[[Array], Array]:
    """One pair where |x| ≥ e^−p, another elsewhere."""

    def value(x: Array) -> Array:
        where = np.real(_size(x)) >= np.exp(-p)
        pairs = zip(large(np.where(where, x, 1)), small(x), strict=True)
        return np.stack(np.broadcast_arrays(*(np.where(where, a, b) for a, b in pairs)), axis=-1)

    return value


def _log(p: float) -> Callable[[Array], Pair]:
    """(ln|x|/p, ±1)."""
    return lambda x: (np.log(_size(x)) / p, _sign(x))


def _linear(p: float) -> Callable[[Array], Pair]:
    """(−1, eᵖ x)."""
    return lambda x: (-1.0 + 0 * x, np.exp(p) * x)


def _everywhere(pair: Callable[[Array], Pair]) -> Callable[[Array], Array]:
    """One pair for every x."""
    return lambda x: np.stack(np.broadcast_arrays(*pair(x)), axis=-1)


PREPROCESSINGS: dict[str, Callable[[Array], Array] | None] = {
    "(ln|x|/10, sign x), or (-1, e^10 x) below e^-10": None,
    "without the sign": _both(lambda x: (np.log(_size(x)) / 10, 0 * x), _linear(10)),
    "the sign alone": _both(lambda x: (0 * x, _sign(x)), lambda x: (0 * x, np.exp(10) * x)),
    "the first entry alone": lambda x: preprocessing(x) * np.array([1, 0]),
    "the second entry alone": lambda x: preprocessing(x) * np.array([0, 1]),
    "entries exchanged": lambda x: preprocessing(x)[..., ::-1],
    "(x, 0)": _everywhere(lambda x: (x, 0 * x)),
    "(x, x)": _everywhere(lambda x: (x, x)),
    "(0, x)": _everywhere(lambda x: (0 * x, x)),
    "(x, sign x)": _everywhere(lambda x: (x, _sign(x))),
    "(|x|, sign x)": _everywhere(lambda x: (_size(x), _sign(x))),
    "(0, 0)": _everywhere(lambda x: (0 * x, 0 * x)),
    "p = 7": _both(_log(7), _linear(7), 7),
    "p = 5": _both(_log(5), _linear(5), 5),
    "p = 1": _both(_log(1), _linear(1), 1),
    "ln not divided by p": _both(_log(1), _linear(10)),
    "log10": _both(lambda x: (np.log10(_size(x)) / 10, _sign(x)), _linear(10)),
    "log2": _both(lambda x: (np.log2(_size(x)) / 10, _sign(x)), _linear(10)),
    "-ln|x|/10": _both(lambda x: (-np.log(_size(x)) / 10, _sign(x)), _linear(10)),
    "sign reversed": _both(lambda x: (np.log(_size(x)) / 10, -_sign(x)), _linear(10)),
    "ln(1 + |x|)/10": _everywhere(lambda x: (np.log1p(_size(x)) / 10, _sign(x))),
    "ln(|x| + 1e-8)/10": _everywhere(lambda x: (np.log(_size(x) + 1e-8) / 10, _sign(x))),
    "the first branch everywhere": _everywhere(_log(10)),
    "the second branch everywhere": _everywhere(_linear(10)),
    "branches exchanged": _both(lambda x: _linear(10)(x), _log(10)),
    "(0, e^10 x) below e^-10": _both(_log(10), lambda x: (0 * x, np.exp(10) * x)),
    "(1, e^10 x) below e^-10": _both(_log(10), lambda x: (0 * x + 1, np.exp(10) * x)),
    "(-1, e^-10 x) below e^-10": _both(_log(10), lambda x: (0 * x - 1, np.exp(-10) * x)),
    "(-1, sign x) below e^-10": _both(_log(10), lambda x: (0 * x - 1, _sign(x))),
    "(-1, 0) below e^-10": _both(_log(10), lambda x: (0 * x - 1, 0 * x)),
    "(-1, x) below e^-10": _both(_log(10), lambda x: (0 * x - 1, x)),
}
GRADIENTS: dict[str, Callable[..., Array] | None] = {
    "of the support's loss": None,
    "divided by n": lambda s, theta, ridge, more: s.slope / more["n"],
    "times n": lambda s, theta, ridge, more: s.slope * more["n"],
    "negative": lambda s, theta, ridge, more: -s.slope,
    "without ridge": lambda s, theta, ridge, more: s.slope - ridge * theta,
    "of the query's loss": lambda s, theta, ridge, more: more["query"]().slope,
    "mean over tasks": lambda s, theta, ridge, more: 0 * s.slope + np.mean(s.slope, axis=1, keepdims=True),
    "sum over tasks": lambda s, theta, ridge, more: 0 * s.slope + np.sum(s.slope, axis=1, keepdims=True),
    "divided by N": lambda s, theta, ridge, more: s.slope / s.slope.shape[1],
    "divided by d": lambda s, theta, ridge, more: s.slope / s.slope.shape[-1],
    "scaled to norm 1": lambda s, theta, ridge, more: s.slope / np.sqrt(np.sum(s.slope**2, axis=-1, keepdims=True)),
    "its sign": lambda s, theta, ridge, more: _sign(s.slope),
    "clipped to norm 0.25": lambda s, theta, ridge, more: _clipped(s.slope, 0.25),
    "entries clipped at 0.25": lambda s, theta, ridge, more: np.where(np.abs(np.real(s.slope)) > 0.25, 0.25 * _sign(s.slope), s.slope),
    "entries clipped at 0.1": lambda s, theta, ridge, more: np.where(np.abs(np.real(s.slope)) > 0.1, 0.1 * _sign(s.slope), s.slope),
    "half": lambda s, theta, ridge, more: s.slope / 2,
    "twice": lambda s, theta, ridge, more: s.slope * 2,
}
LOSSES: dict[str, Callable[..., Array] | None] = {
    "of the support": None,
    "0": lambda s, before, more: 0 * s.loss,
    "of the query": lambda s, before, more: more["query"]().loss,
    "of the step before, at first 0": lambda s, before, more: before.loss + 0 * s.loss,
    "without its change": lambda s, before, more: np.real(s.loss),
    "times n": lambda s, before, more: s.loss * more["n"],
    "divided by n": lambda s, before, more: s.loss / more["n"],
    "mean over tasks": lambda s, before, more: 0 * s.loss + np.mean(s.loss, axis=1, keepdims=True),
    "negative": lambda s, before, more: -s.loss,
    "the change since the step before": lambda s, before, more: s.loss - before.loss,
    "exp(-loss)": lambda s, before, more: np.exp(-s.loss),
}


def _clipped(g: Array, most: float) -> Array:
    """g, shortened to a norm."""
    norm = np.sqrt(np.sum(g**2, axis=-1, keepdims=True))
    return np.where(np.real(norm) > most, most * g / norm, g)


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
def _after(loss: Callable[..., Array], path: list[Array]) -> Array:
    """The sum of the query's losses after every step."""
    return sum((loss("query", theta) for theta in path[1:]), start=0 * loss("query", path[0]))


ORDERS = {
    "i f o g": None, "i f g o (PyTorch, Keras)": (0, 1, 3, 2), "i g f o (TensorFlow's i j f o)": (0, 2, 3, 1), "f i o g": (1, 0, 2, 3),
    "f i g o": (1, 0, 3, 2), "o f i g": (2, 1, 0, 3), "g i f o": (1, 2, 3, 0), "i o f g": (0, 2, 1, 3), "f o i g": (2, 0, 1, 3), "g f o i": (3, 1, 2, 0),
}  # fmt: skip
STARTS: dict[str, Callable[[Array, Array], Array] | None] = {
    "c0": None, "c0, not learned": lambda c0, base: base, "zeros": lambda c0, base: 0 * base, "c0/2": lambda c0, base: c0 / 2,
    "c0 in reverse": lambda c0, base: c0[:, ::-1],
}  # fmt: skip
JUDGED: dict[str, Callable[..., Array] | None] = {
    "the query's loss at the end": None,
    "the support's loss at the end": lambda loss, path: loss("support", path[-1]),
    "support's and query's loss at the end": lambda loss, path: loss("support", path[-1]) + loss("query", path[-1]),
    "the query's loss after every step, mean": lambda loss, path: _after(loss, path) / max(len(path) - 1, 1),
    "the query's loss after every step, sum": _after,
    "the query's loss at the start": lambda loss, path: loss("query", path[0]),
    "the query's loss before the last step": lambda loss, path: loss("query", path[max(len(path) - 2, 0)]),
    "the query's loss at the mean of all points": lambda loss, path: loss("query", sum(path) / len(path)),
    "the change of the query's loss": lambda loss, path: loss("query", path[-1]) - loss("query", path[0]),
}
CHOICES: Choices = {
    "gates": GATES,
    "gates fed back": FED_BACK,
    "first gates": {"0": None, "1": 1.0, "1/2": 0.5},
    "update": UPDATES,
    "inputs of the gates": {
        "h, theta, gate": None, "h, gate, theta": lambda h, t, m, s: (h, m, t), "theta, h, gate": lambda h, t, m, s: (t, h, m),
        "gate, h, theta": lambda h, t, m, s: (m, h, t), "theta, gate, h": lambda h, t, m, s: (t, m, h), "gate, theta, h": lambda h, t, m, s: (m, t, h),
        "theta left out": lambda h, t, m, s: (h, 0 * t, m), "h left out": lambda h, t, m, s: (0 * h, t, m), "gate left out": lambda h, t, m, s: (h, t, 0 * m),
        "c0 for theta": lambda h, t, m, s: (h, s, m), "gate for theta too": lambda h, t, m, s: (h, m, m),
    },
    "weights of the gates": {
        "W_I, W_F": None, "W_I for both": lambda i, f: (i, i), "W_F for both": lambda i, f: (f, f), "exchanged": lambda i, f: (f, i),
        "negative W_I": lambda i, f: (-i, f),
    },
    "biases of the gates": {
        "b_I, b_F": None, "none": lambda i, f: (0 * i, 0 * f), "b_F + 1": lambda i, f: (i, f + 1), "exchanged": lambda i, f: (f, i),
        "without b_I": lambda i, f: (0 * i, f), "without b_F": lambda i, f: (i, 0 * f), "b_I for both": lambda i, f: (i, i), "-b_I": lambda i, f: (-i, f),
    },
    "preprocessing": PREPROCESSINGS,
    "preprocessing of the gradient": PREPROCESSINGS,
    "preprocessing of the loss": {name: value for name, value in PREPROCESSINGS.items() if value is None or "branch" not in name and "below" not in name},
    "gradient": GRADIENTS,
    "gradient goes to": {"first layer and update": None, "the first layer": "the first layer", "the update": "the update"},
    "loss": LOSSES,
    "inputs of the first layer": {
        "gradient, loss, h": None, "loss, gradient, h": lambda g, L, h: (L, g, h), "h, gradient, loss": lambda g, L, h: (h, g, L),
        "h, loss, gradient": lambda g, L, h: (h, L, g), "both first entries, both second, h": lambda g, L, h: (g[..., :1], L[..., :1], g[..., 1:], L[..., 1:], h),
        "h left out": lambda g, L, h: (g, L, 0 * h), "gradient left out": lambda g, L, h: (0 * g, L, h), "gradient for the loss too": lambda g, L, h: (g, g, h),
    },
    "biases of the first layer": {"b": None, "none": lambda b: 0 * b, "2 b": lambda b: 2 * b},
    "order of the rows of W": ORDERS,
    "first layer": CELLS,
    "hidden state": HIDDEN,
    "carried between tasks": {
        "nothing": None, "theta": ("theta",), "h and c": ("h", "c"), "gates": ("of_i", "of_f"), "h, c and gates": ("h", "c", "of_i", "of_f"),
        "everything": ("theta", "h", "c", "of_i", "of_f"),
    },
    "steps": {
        "K": None, "K - 1": lambda K: max(K - 1, 0), "K + 1": lambda K: K + 1, "at least 1": lambda K: max(K, 1), "at most 1": lambda K: min(K, 1),
        "at most 2": lambda K: min(K, 2), "at most 3": lambda K: min(K, 3), "2 K": lambda K: 2 * K,
    },
    "start": STARTS,
    "judged on": JUDGED,
    "held constant": {
        "as the part says": None, "gradients and losses (independent)": ("g", "L"), "nothing (exact)": (), "gradients": ("g",), "losses": ("L",),
        "h and c": ("h", "c"), "fed back gates": ("of_i", "of_f"), "theta in the gates": ("theta in the gates",),
        "all before the last step": ("all but the last",), "gradients, losses, h and c": ("g", "L", "h", "c"),
        "gradients, losses and theta in the gates": ("g", "L", "theta in the gates"), "gradients, losses and fed back gates": ("g", "L", "of_i", "of_f"),
        "gradients, losses, and all before the last step": ("g", "L", "all but the last"),
    },
    "ridge": {
        "on support and query": None, "on neither": lambda r, which, n: 0.0, "on the query only": lambda r, which, n: r * (which == "query"),
        "on the support only": lambda r, which, n: r * (which == "support"), "without 1/2": lambda r, which, n: 2 * r, "over n": lambda r, which, n: r / n,
    },
    "over points": {"mean": None, "sum": "both", "sum in the support": "support", "sum in the query": "query"},
    "over tasks": {"each its own": None, "divided by N": True},
    "layout of theta": {"class after class": None, "feature after feature": True},
}  # fmt: skip


def additions(part: str, problem: Learner) -> dict[str, Callable[[], Any]]:
    """The support's loss at the end, or its slope; the query's at the start."""
    names = ("the support's loss at the end", "the query's loss at the start")
    return {name + "'s slope" * ("_" in part): lambda name=name: variant(part, problem, {"judged on": JUDGED[name]}) for name in names}  # type: ignore[misc]


def numbers(problem: Learner) -> dict[str, Any]:
    """Products of sizes of the first layer."""
    hidden = problem.parameters.hidden
    return {"4 H": 4 * hidden, "H + 2": hidden + 2, "H + 4": hidden + 4}


def layouts(problem: Learner) -> dict[str, Array]:
    """Which entry of θ stands where, feature after feature."""
    f = problem.support.X.shape[-1]
    return {"feature after feature": np.arange(problem.support.dim).reshape(-1, f).T.ravel()}


def _without(*names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The same inputs with zeros in some of them."""
    return lambda x: x | {name: np.zeros_like(x[name]) for name in names}


PREDICATES = (
    Predicate(
        "W_I and W_F are 0", "the gates' inputs enter otherwise: h, theta or the gates that are fed back",
        lambda case: not np.any(case.problem.parameters.W_I) and not np.any(case.problem.parameters.W_F), _without("W_I", "W_F"),
    ),
)  # fmt: skip
