"""What implementations of Meta-LSTM choose, the right alternative first.  Derivation: derivations/meta-lstm.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta.lstm import sigmoid
from refmeta.oracle.choices import Choices, Predicate
from refmeta.oracle.suites.meta_lstm.cell_choices import CELLS, FAMILIES_OF_CELLS, HIDDEN, ORDERS
from refmeta.oracle.suites.meta_lstm.gate_choices import FAMILIES_OF_GATES, FED_BACK, GATES, UPDATES
from refmeta.oracle.suites.meta_lstm.judged_choices import JUDGED, STARTS, discounted
from refmeta.oracle.suites.meta_lstm.preprocessing_choices import PREPROCESSINGS
from refmeta.oracle.suites.meta_lstm.problem import Learner
from refmeta.oracle.suites.meta_lstm.signal_choices import (
    FAMILIES_OF_SIGNALS,
    GRADIENTS,
    LOSSES,
    OUTER,
)
from refmeta.oracle.suites.meta_lstm.variants import variant

__all__ = ["CHOICES", "FAMILIES", "PREDICATES", "RECIPES", "additions", "layouts", "numbers", "variant"]
SAME = ("branch", "below", "(max(ln|x|/10, -1), sign x)", "2.2e-16", "sign x ln|x|", "threshold", "negative x")
OF_LOSSES = {name: value for name, value in PREPROCESSINGS.items() if value is None or not any(words in name for words in SAME)}
CHOICES: Choices = {
    "gates": GATES,
    "gates fed back": FED_BACK,
    "first gates": {
        "0": None, "1": lambda i, f: (0 * i + 1, 0 * f + 1), "1/2": lambda i, f: (0 * i + 0.5, 0 * f + 0.5), "the forget gate 1": lambda i, f: (0 * i, 0 * f + 1),
        "the input gate 1": lambda i, f: (0 * i + 1, 0 * f), "the forget gate 1/2": lambda i, f: (0 * i, 0 * f + 0.5), "sigmoid of the biases": lambda i, f: (sigmoid(i), sigmoid(f)),
        "the biases": lambda i, f: (i, f), "sigmoid of the biases, exchanged": lambda i, f: (sigmoid(f), sigmoid(i)), "sigmoid of the biases, held": lambda i, f: (np.real(sigmoid(i)), np.real(sigmoid(f))),
    },
    "gates in turn": {
        "no": None, "the forget gate reads theta - i g": (1, lambda theta, now, i, f, g: (theta - i * g, now)), "the input gate reads f theta": (0, lambda theta, now, i, f, g: (f * theta, now)),
        "the forget gate is told this step's input gate": (1, lambda theta, now, i, f, g: (theta, now._replace(of_f=i))),
        "the input gate is told this step's forget gate": (0, lambda theta, now, i, f, g: (theta, now._replace(of_i=f))),
        "the forget gate reads theta - g": (1, lambda theta, now, i, f, g: (theta - g, now)), "the forget gate reads f theta - i g": (1, lambda theta, now, i, f, g: (f * theta - i * g, now)),
        "the input gate reads f theta - i g": (0, lambda theta, now, i, f, g: (f * theta - i * g, now)), "the input gate reads the gradient": (0, lambda theta, now, i, f, g: (g, now)),
        "the forget gate reads the gradient": (1, lambda theta, now, i, f, g: (g, now)), "the input gate twice, fed with itself": (0, lambda theta, now, i, f, g: (theta, now._replace(of_i=i))),
        "the forget gate twice, fed with itself": (1, lambda theta, now, i, f, g: (theta, now._replace(of_f=f))), "the forget gate without theta": (1, lambda theta, now, i, f, g: (0 * theta, now)),
        "the input gate without theta": (0, lambda theta, now, i, f, g: (0 * theta, now)),
    },
    "update": UPDATES,
    "inputs of the gates": {
        "h, theta, gate": None, "h, gate, theta": lambda h, t, m, s: (h, m, t), "theta, h, gate": lambda h, t, m, s: (t, h, m),
        "gate, h, theta": lambda h, t, m, s: (m, h, t), "theta, gate, h": lambda h, t, m, s: (t, m, h), "gate, theta, h": lambda h, t, m, s: (m, t, h),
        "theta left out": lambda h, t, m, s: (h, 0 * t, m), "h left out": lambda h, t, m, s: (0 * h, t, m), "gate left out": lambda h, t, m, s: (h, t, 0 * m),
        "c0 for theta": lambda h, t, m, s: (h, s, m), "theta - c0 for theta": lambda h, t, m, s: (h, t - s, m), "h in reverse": lambda h, t, m, s: (h[..., ::-1], t, m),
        "|theta| for theta": lambda h, t, m, s: (h, np.where(np.real(t) < 0, -t, t), m), "h, theta, 1 - gate": lambda h, t, m, s: (h, t, 1 - m), "-theta for theta": lambda h, t, m, s: (h, -t, m),
        "theta for the gate too": lambda h, t, m, s: (h, t, t), "h the mean over the parameters": lambda h, t, m, s: (0 * h + np.mean(h, axis=2, keepdims=True), t, m),
        "theta the mean over the parameters": lambda h, t, m, s: (h, 0 * t + np.mean(t, axis=2, keepdims=True), m), "h held": lambda h, t, m, s: (np.real(h), t, m),
        "all held": lambda h, t, m, s: (np.real(h), np.real(t), np.real(m)), "gate for theta too": lambda h, t, m, s: (h, m, m),
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
    "preprocessing of the loss": OF_LOSSES,
    "gradient": GRADIENTS,
    "gradient goes to": {"first layer and update": None, "the first layer": "the first layer", "the update": "the update"},
    "loss": LOSSES,
    "inputs of the first layer": {
        "gradient, loss, h": None, "loss, gradient, h": lambda g, L, h: (L, g, h), "h, gradient, loss": lambda g, L, h: (h, g, L),
        "h, loss, gradient": lambda g, L, h: (h, L, g), "both first entries, both second, h": lambda g, L, h: (g[..., :1], L[..., :1], g[..., 1:], L[..., 1:], h),
        "h left out": lambda g, L, h: (g, L, 0 * h), "loss left out": lambda g, L, h: (g, 0 * L, h), "h, both first entries, both second": lambda g, L, h: (h, g[..., :1], L[..., :1], g[..., 1:], L[..., 1:]),
        "entries of loss, then of gradient, in turn": lambda g, L, h: (L[..., :1], g[..., :1], L[..., 1:], g[..., 1:], h), "entries in reverse": lambda g, L, h: (g[..., ::-1], L[..., ::-1], h),
        "all columns in reverse": lambda g, L, h: (h[..., ::-1], L[..., ::-1], g[..., ::-1]), "gradient the mean over the parameters": lambda g, L, h: (0 * g + np.mean(g, axis=2, keepdims=True), L, h),
        "gradient, h, loss": lambda g, L, h: (g, h, L), "loss, h, gradient": lambda g, L, h: (L, h, g), "h held": lambda g, L, h: (g, L, np.real(h)), "loss for the gradient too": lambda g, L, h: (L, L, h), "gradient left out": lambda g, L, h: (0 * g, L, h), "gradient for the loss too": lambda g, L, h: (g, g, h),
    },
    "biases of the first layer": {
        "b": None, "none": lambda b: 0 * b, "2 b": lambda b: 2 * b, "-b": lambda b: -b, "in reverse": lambda b: b[:, ::-1], "of the input gate everywhere": lambda b: np.tile(b[:, : b.shape[1] // 4], 4),
        "b/2": lambda b: b / 2, "the mean of b": lambda b: 0 * b + np.mean(b, axis=1, keepdims=True), "forget and input gate exchanged": lambda b: _blocks(b, (1, 0, 2, 3)),
        "output gate and candidate exchanged": lambda b: _blocks(b, (0, 1, 3, 2)), "the forget gate's left out": lambda b: _blocks(b, (0, 1, 2, 3), without=1),
    },
    "order of the rows of W": ORDERS,
    "first layer": CELLS,
    "hidden state": HIDDEN,
    "carried between tasks": {
        "nothing": None, "theta": ("theta",), "h and c": ("h", "c"), "gates": ("of_i", "of_f"), "h, c and gates": ("h", "c", "of_i", "of_f"),
        "everything": ("theta", "h", "c", "of_i", "of_f"),
    },
    "steps": {
        "K": None, "K - 1": lambda K: max(K - 1, 0), "K + 1": lambda K: K + 1, "at least 1": lambda K: max(K, 1), "at most 1": lambda K: min(K, 1),
        "at most 2": lambda K: min(K, 2), "at most 3": lambda K: min(K, 3), "2 K": lambda K: 2 * K, "at most 4": lambda K: min(K, 4), "K/2": lambda K: K // 2, "K + 2": lambda K: K + 2, "1": lambda K: 1, "2": lambda K: 2, "5": lambda K: 5,
        "at least 2": lambda K: max(K, 2), "K - 1, at least 1": lambda K: max(K - 1, 1), "0": lambda K: 0,
    },
    "start": STARTS,
    "judged on": JUDGED,
    "held constant": {
        "as the part says": None, "gradients and losses (independent)": ("g", "L"), "nothing (exact)": (), "gradients": ("g",), "losses": ("L",),
        "h and c": ("h", "c"), "fed back gates": ("of_i", "of_f"), "theta in the gates": ("theta in the gates",),
        "all before the last step": ("all but the last",), "gradients, losses, h and c": ("g", "L", "h", "c"),
        "gradients, losses and theta in the gates": ("g", "L", "theta in the gates"), "gradients, losses and fed back gates": ("g", "L", "of_i", "of_f"),
        "gradients, losses, and all before the last step": ("g", "L", "all but the last"), "h": ("h",), "c": ("c",), "theta in the gates, h and c": ("theta in the gates", "h", "c"),
        "fed back gates, h and c": ("of_i", "of_f", "h", "c"), "fed back gates and theta in the gates": ("of_i", "of_f", "theta in the gates"), "losses, h and c": ("L", "h", "c"),
        "gradients, h and c": ("g", "h", "c"), "all that is kept but theta": ("h", "c", "of_i", "of_f"), "all that is kept but theta, and theta in the gates": ("h", "c", "of_i", "of_f", "theta in the gates"),
        "the fed back input gate": ("of_i",), "the fed back forget gate": ("of_f",), "theta": ("theta",), "gradients, losses and theta": ("g", "L", "theta"),
        "gradients, losses, h": ("g", "L", "h"), "gradients, losses, c": ("g", "L", "c"), "gradients, losses and all that is kept but theta": ("g", "L", "h", "c", "of_i", "of_f"),
        "gradients, losses, h, c and theta in the gates": ("g", "L", "h", "c", "theta in the gates"), "losses and theta in the gates": ("L", "theta in the gates"), "gradients and theta in the gates": ("g", "theta in the gates"),
        "gradients, losses, all that is kept but theta, and theta in the gates": ("g", "L", "h", "c", "of_i", "of_f", "theta in the gates"),
    },
    "ridge": {
        "on support and query": None, "on neither": lambda r, which, n: 0.0, "on the query only": lambda r, which, n: r * (which == "query"),
        "on the support only": lambda r, which, n: r * (which == "support"), "without 1/2": lambda r, which, n: 2 * r, "over n": lambda r, which, n: r / n,
        "times n": lambda r, which, n: r * n, "squared": lambda r, which, n: r**2, "halved": lambda r, which, n: r / 2, "without 1/2 in the query": lambda r, which, n: r * (1 + (which == "query")),
        "without 1/2 in the support": lambda r, which, n: r * (1 + (which == "support")), "over n in the query": lambda r, which, n: r / (n if which == "query" else 1), "negative": lambda r, which, n: -r,
    },
    "label smoothing": {"none": None, **{f"{c:g}": c for c in (0.01, 0.05, 0.1, 0.2)}},
    "over points": {"mean": None, "sum": "both", "sum in the support": "support", "sum in the query": "query"},
    "over tasks": {
        "each its own": None, "divided by N": lambda x: x / x.shape[-1], "sum": lambda x: 0 * x + np.sum(x, -1, keepdims=True), "mean": lambda x: 0 * x + np.mean(x, -1, keepdims=True),
        "sum so far": lambda x: np.cumsum(x, axis=-1), "mean so far": lambda x: np.cumsum(x, axis=-1) / np.arange(1, x.shape[-1] + 1), "the first task's": lambda x: 0 * x + x[:, :1],
        "the last task's": lambda x: 0 * x + x[:, -1:], "the next task's": lambda x: np.roll(x, -1, axis=-1),
    },
    "outer gradients": OUTER,
    "layout of theta": {"class after class": None, "feature after feature": True},
}  # fmt: skip


def _blocks(b: Array, order: tuple[int, ...], without: int | None = None) -> Array:
    """The quarters of b in another order, one of them 0."""
    quarters = np.split(b, 4, axis=1)
    return np.concatenate([0 * quarters[k] if k == without else quarters[k] for k in order], axis=1)


FAMILIES: dict[str, tuple[str, Callable[[float], Any]]] = {
    **FAMILIES_OF_CELLS, **FAMILIES_OF_GATES, **FAMILIES_OF_SIGNALS,
    "{} b": ("biases of the first layer", lambda c: lambda b: c * b), "b + {}": ("biases of the first layer", lambda c: lambda b: b + c),
    "b_I + {}": ("biases of the gates", lambda c: lambda i, f: (i + c, f)), "b_F + {}": ("biases of the gates", lambda c: lambda i, f: (i, f + c)),
    "{0} b_I, {0} b_F": ("biases of the gates", lambda c: lambda i, f: (c * i, c * f)), "{0} W_I, {0} W_F": ("weights of the gates", lambda c: lambda i, f: (c * i, c * f)),
    "{} of c0": ("start", lambda c: lambda c0, base: c * c0), "c0 + {}": ("start", lambda c: lambda c0, base: c0 + c),
    "{} more": ("ridge", lambda c: lambda r, which, n: r + c), "a ridge of {}": ("ridge", lambda c: lambda r, which, n: c), "a ridge times {}": ("ridge", lambda c: lambda r, which, n: c * r),
    "{} in the support": ("ridge", lambda c: lambda r, which, n: c if which == "support" else r), "{} in the query": ("ridge", lambda c: lambda r, which, n: c if which == "query" else r),
    "{} of the support's loss mixed in": ("judged on", lambda c: lambda loss, path: (1 - c) * loss("query", path[-1]) + c * loss("support", path[-1])),
    "and {} times the support's loss": ("judged on", lambda c: lambda loss, path: loss("query", path[-1]) + c * loss("support", path[-1])),
    "and {} times the query's loss before the steps": ("judged on", lambda c: lambda loss, path: loss("query", path[-1]) + c * loss("query", path[0])),
    "after every step, weights {}^(K - k)": ("judged on", lambda c: lambda loss, path: discounted(loss, path, c)),
    "and {} |theta|^2/2": ("judged on", lambda c: lambda loss, path: loss("query", path[-1]) + c * np.sum(path[-1] ** 2, axis=-1) / 2),
    "label smoothing {}": ("label smoothing", lambda c: c),
}  # fmt: skip
FIRST = {"columns h first": "h, gradient, loss", "columns loss first": "loss, gradient, h"}
ROWS = {"rows of PyTorch": "i f g o (PyTorch, Keras)", "rows of TensorFlow": "i g f o (TensorFlow's i j f o)"}
RECIPES: dict[str, dict[str, Any]] = {
    f"a cell with {rows} and {columns}": {"order of the rows of W": ORDERS[ROWS[rows]], "inputs of the first layer": CHOICES["inputs of the first layer"][FIRST[columns]]}
    for rows in ROWS for columns in FIRST
} | {
    "a cell of TensorFlow": {"order of the rows of W": ORDERS[ROWS["rows of TensorFlow"]], "first layer": CELLS["forget bias + 1"]},
    "two biases and rows of PyTorch": {"order of the rows of W": ORDERS[ROWS["rows of PyTorch"]], "biases of the first layer": CHOICES["biases of the first layer"]["2 b"]},
}


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
