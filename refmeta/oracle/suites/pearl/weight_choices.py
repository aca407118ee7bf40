"""What implementations of PEARL choose for the tables of the agent, its z and its transitions, the right alternative first.  Derivation: derivations/pearl.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices
from refmeta.oracle.suites.pearl.pieces import between, most
from refmeta.softmax import log_softmax

__all__ = ["FAMILIES_OF_POLICIES", "WEIGHTS"]

Logs = Callable[[Array, Array], Array]


def _other_layout(w: Array) -> Array:
    """(S, A) read as (A, S)."""
    P, S, A, Z = w.shape
    return w.reshape(P, A, S, Z).swapaxes(1, 2)


TABLES: dict[str, Callable[[Array], Array] | None] = {
    "[1, z]": None,
    "[z, 1]": lambda w: np.roll(w, 1, axis=-1),
    "[0, z]": lambda w: w * (np.arange(w.shape[-1]) > 0),
    "[1, 0]": lambda w: w * (np.arange(w.shape[-1]) == 0),
    "[1, -z]": lambda w: w * np.where(np.arange(w.shape[-1]) > 0, -1, 1),
    "[1, z in reverse]": lambda w: np.concatenate([w[..., :1], w[..., :0:-1]], axis=-1),
    "[1, z], weights (A, S, 1 + Z)": _other_layout,
    "[1, z], states in reverse": lambda w: w[:, ::-1],
    "[1, z], actions in reverse": lambda w: w[:, :, ::-1],
}


def _mixed(share: float) -> Logs:
    """ln((1 − ε) π + ε/A)."""
    return lambda x, tau: np.log((1 - share) * np.exp(log_softmax(x)) + share / x.shape[-1])


def _at_least(low: float, *, again: bool = False) -> Logs:
    """ln max(π, c), normalised again or not."""

    def logs(x: Array, tau: Array) -> Array:
        pi = most(np.exp(log_softmax(x)), low)
        return np.log(pi / np.sum(pi, axis=-1, keepdims=True) if again else pi)

    return logs


POLICIES: dict[str, Logs | None] = {
    "softmax over actions": None,
    "softmax over states": lambda x, tau: log_softmax(x.swapaxes(-1, -2)).swapaxes(-1, -2),
    "softmax over all states and actions": lambda x, tau: log_softmax(x.reshape(*x.shape[:-2], -1)).reshape(x.shape),
    "uniform": lambda x, tau: 0 * x - np.log(x.shape[-1]),
    "softmax of -logits": lambda x, tau: log_softmax(-x),
    "sharpened, softmax of 2 logits": lambda x, tau: log_softmax(2 * x),
    "softmax of logits/2": lambda x, tau: log_softmax(x / 2),
    "softmax of logits/tau": lambda x, tau: log_softmax(x / tau),
    "softmax of tau logits": lambda x, tau: log_softmax(x * tau),
    "softmax twice": lambda x, tau: log_softmax(np.exp(log_softmax(x))),
    "sigmoid of each logit": lambda x, tau: -np.log1p(np.exp(-x)),
    "sigmoid of each logit, normalised": lambda x, tau: -np.log1p(np.exp(-x)) - np.log(np.sum(1 / (1 + np.exp(-x)), axis=-1, keepdims=True)),
    "exp of each logit, not normalised": lambda x, tau: x,
    "softmax of tanh of logits": lambda x, tau: log_softmax(np.tanh(x)),
    "softmax of logits of the mean over states": lambda x, tau: log_softmax(0 * x + np.mean(x, axis=-2, keepdims=True)),
    "greedy": lambda x, tau: np.where(np.real(x) == np.max(np.real(x), axis=-1, keepdims=True), 0.0, -1e3) + 0 * x,
    "logits within -1 and 1": lambda x, tau: log_softmax(between(x, -1, 1)),
    "logits within -5 and 5": lambda x, tau: log_softmax(between(x, -5, 5)),
    **{f"{share:g} of the uniform mixed in": _mixed(share) for share in (0.01, 0.05, 0.1)},
    **{f"probabilities at least {low:g}": _at_least(low) for low in (0.01, 0.05, 0.1)},
}

def _of(which: str) -> Callable[[Array, Array, Array], Array]:
    """Another z: the mean, 0, or that of another task."""
    return {
        "the mean": lambda z, m, v: m + 0 * z, "the next task's": lambda z, m, v: np.roll(z, -1, 1),
        "the task's before": lambda z, m, v: np.roll(z, 1, 1), "the first task's": lambda z, m, v: 0 * z + z[:, :1], "0": lambda z, m, v: 0 * z,
        "the other way from the mean": lambda z, m, v: 2 * m - z, "tanh of it": lambda z, m, v: np.tanh(z),
    }[which]  # fmt: skip


ZS = ("the mean", "the next task's", "the task's before", "the first task's", "0", "the other way from the mean", "tanh of it")
OTHERS: dict[str, Any] = {"the draw": None, **{name: _of(name) for name in ZS}}
OF_ENCODER: dict[str, Any] = {
    "the draw": None, **{name: (_of(name), True) for name in ZS}, **{f"{name}, the target that of the draw": (_of(name), False) for name in ZS},
}  # fmt: skip
REPEATED: dict[str, Callable[[Array], Array] | None] = {
    "all count": None,
    "the last alone counts (fancy index +=)": lambda same: 1.0 * ~np.any(np.triu(same, 1), axis=-1),
    "the first alone counts": lambda same: 1.0 * ~np.any(np.tril(same, -1), axis=-1),
    "their mean counts": lambda same: 1 / np.maximum(np.sum(same, axis=-1), 1),
    "mean over those of each, not over n": lambda same: np.sum(np.any(same, axis=-1), axis=-1, keepdims=True) / np.maximum(np.sum(same, axis=-1), 1),
    "weighted by their number": lambda same: 1.0 * np.sum(same, axis=-1),
}
TASKS: dict[str, Callable[[Array], Array] | None] = {
    "each its own": None,
    "divided by N": lambda x: x / x.shape[-1],
    "sum": lambda x: 0 * x + np.sum(x, axis=-1, keepdims=True),
    "mean": lambda x: 0 * x + np.mean(x, axis=-1, keepdims=True),
    "sum so far": lambda x: np.cumsum(x, axis=-1),
    "mean so far": lambda x: np.cumsum(x, axis=-1) / np.arange(1, x.shape[-1] + 1),
    "the first task's": lambda x: 0 * x + x[:, :1],
    "the last task's": lambda x: 0 * x + x[:, -1:],
    "tasks in reverse": lambda x: x[:, ::-1],
    "the next task's": lambda x: np.roll(x, -1, -1),
    "largest": lambda x: 0 * x + np.take_along_axis(x, np.argmax(np.real(x), -1)[..., None], -1),
}
LOGARITHMS: dict[str, Callable[[Array], Array] | None] = {
    "natural": None, "to base 2": lambda x: x / np.log(2), "to base 10": lambda x: x / np.log(10), "at least -20": lambda x: most(x, -20.0),
    "at least -5": lambda x: most(x, -5.0), "at least -2": lambda x: most(x, -2.0), "pi itself": np.exp,
}  # fmt: skip
WEIGHTS: Choices = {
    "weights times": TABLES, "weights of the critics times": TABLES, "weights of the policy times": TABLES, "policy": POLICIES, "logarithm": LOGARITHMS,
    "z of the critic": OTHERS, "z of the target": OTHERS, "z of the policy": OTHERS, "z of the encoder's loss": OF_ENCODER,
    "repeated pairs": REPEATED, "repeated states": REPEATED, "losses over tasks": TASKS,
}  # fmt: skip
FAMILIES_OF_POLICIES = {
    "softmax of {} logits": ("policy", lambda c: lambda x, tau: log_softmax(c * x)),
    "{} of the uniform mixed in": ("policy", _mixed),
    "probabilities at least {}": ("policy", _at_least),
    "probabilities at least {}, normalised again": ("policy", lambda c: _at_least(c, again=True)),
    "logits within -{0} and {0}": ("policy", lambda c: lambda x, tau: log_softmax(between(x, -abs(c), abs(c)))),
    "ln(pi + {})": ("logarithm", lambda c: lambda x: np.log(np.exp(x) + c)),
    "ln pi at least {}": ("logarithm", lambda c: lambda x: most(x, c)),
}
