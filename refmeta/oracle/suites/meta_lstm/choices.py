"""What implementations of Meta-LSTM choose, the right alternative first.  Derivation: derivations/meta-lstm.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices, Predicate
from refmeta.oracle.suites.meta_lstm.cell_choices import CELLS, FED_BACK, GATES, HIDDEN, ORDERS, UPDATES
from refmeta.oracle.suites.meta_lstm.problem import Learner
from refmeta.oracle.suites.meta_lstm.signal_choices import GRADIENTS, LOSSES, PREPROCESSINGS
from refmeta.oracle.suites.meta_lstm.variants import variant

__all__ = ["CHOICES", "PREDICATES", "additions", "layouts", "numbers", "variant"]


def _after(loss: Callable[..., Array], path: list[Array]) -> Array:
    """The sum of the query's losses after every step."""
    return sum((loss("query", theta) for theta in path[1:]), start=0 * loss("query", path[0]))


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
