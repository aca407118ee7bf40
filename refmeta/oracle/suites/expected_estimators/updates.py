"""How inner steps are made: of which size, by which optimiser.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.expected_estimators.kernels import log_policy, pulled

__all__ = ["UPDATES", "Inner", "sizes", "update"]

State = dict[str, Array]


class Inner(NamedTuple):
    """An inner step: its gradient, where it is made, where adaptation started, which it is, and the number of actions."""

    g: Array
    phi: Array
    start: Array
    k: int
    A: int


def _norm(g: Array) -> Array:
    """|g|, analytic."""
    return np.sqrt(np.sum(g * g, axis=-1, keepdims=True))


def _momentum(x: Inner, state: State, c: float, fresh: float = 1.0) -> Array:
    """v = c v + g, kept."""
    before = state.get("v")
    state["v"] = fresh * x.g + (0 if before is None else c * before)
    return state["v"]


def _first_fresh(x: Inner, state: State, c: float) -> Array:
    """v = c v + (1 − c) g, which starts with g."""
    before = state.get("v")
    state["v"] = x.g if before is None else c * before + (1 - c) * x.g
    return state["v"]


def _adam(x: Inner, state: State, b1: float, b2: float, epsilon: float, corrected: bool = True) -> Array:
    """Adam's direction."""
    state["m"] = b1 * state.get("m", 0 * x.g) + (1 - b1) * x.g
    state["s"] = b2 * state.get("s", 0 * x.g) + (1 - b2) * x.g**2
    m, s = state["m"], state["s"]
    if corrected:
        m, s = m / (1 - b1 ** (x.k + 1)), s / (1 - b2 ** (x.k + 1))
    return m / (np.sqrt(s) + epsilon)


def _clip(g: Array, c: float, epsilon: float, held: bool) -> Array:
    """g, shortened to a norm."""
    scale = c / (_norm(g) + epsilon)
    return g * np.where(scale.real < 1, scale.real if held else scale, 1.0)


def _entries(g: Array, c: float) -> Array:
    """g with its entries between −c and c."""
    return np.where(np.abs(g.real) <= c, g, np.clip(g.real, -c, c))


def _entropy(x: Inner, c: float) -> Array:
    """g less c times the gradient of the mean of the policy's entropy over the states."""
    logs = log_policy(x.phi, x.A)
    pi = np.exp(logs)
    return x.g + c / logs.shape[-2] * pulled((pi * logs).reshape(*logs.shape[:-2], -1), pi)


def _pi(x: Inner) -> Array:
    """π, entry by entry."""
    return np.exp(log_policy(x.phi, x.A)).reshape(x.phi.shape)


UPDATES: dict[str, Callable[..., Array]] = {
    "momentum": _momentum, "moving average": lambda x, s, c: _momentum(x, s, c, 1 - c), "moving average from g": _first_fresh,
    "nesterov": lambda x, s, c: x.g + c * _momentum(x, s, c),
    "summed": lambda x, s: _momentum(x, s, 1.0), "averaged": lambda x, s: _momentum(x, s, 1.0) / (x.k + 1),
    "unit": lambda x, s, c=0.0: x.g / (_norm(x.g) + c), "norm": lambda x, s, c, e=0.0: _clip(x.g, c, e, False), "norm held": lambda x, s, c, e=0.0: _clip(x.g, c, e, True),
    "entries": lambda x, s, c: _entries(x.g, c), "signs": lambda x, s: np.sign(x.g.real), "tanh": lambda x, s: np.tanh(x.g),
    "divided by pi": lambda x, s: x.g / _pi(x), "times pi": lambda x, s: x.g * _pi(x), "centred": lambda x, s: x.g - np.mean(x.g, axis=-1, keepdims=True),
    "adam": _adam, "rmsprop": lambda x, s, b, e: _adam(x, s, 0.0, b, e, False), "adagrad": lambda x, s, e: x.g / (np.sqrt(_squares(x, s)) + e),
    "decay": lambda x, s, c: x.g + c * x.phi, "decay to theta": lambda x, s, c: x.g + c * (x.phi - x.start), "entropy": lambda x, s, c: _entropy(x, c),
    "entropy, summed": lambda x, s, c: _entropy(x, c * (x.phi.shape[-1] // x.A)),
    "softened": lambda x, s, c: x.g / np.sqrt(x.g**2 + c), "largest": lambda x, s: x.g / np.max(np.abs(x.g.real), axis=-1, keepdims=True),
}  # fmt: skip


def _squares(x: Inner, state: State) -> Array:
    """The sum of the squared gradients so far."""
    state["s"] = state.get("s", 0 * x.g) + x.g**2
    return state["s"]


def update(how: Any, x: Inner, state: State) -> Array:
    """The direction of an inner step."""
    name, *numbers = how if isinstance(how, tuple) else (how,)
    return UPDATES[name](x, state, *numbers) if name in UPDATES else x.g


def sizes(alpha: float, M: int, K: int, point: Point) -> list[float]:
    """The size of every step; one more than there are."""
    kind, *number = point["alpha"] if isinstance(point.get("alpha"), tuple) else (point.get("alpha", ""),)
    k, c = np.arange(K + 2), number[0] if number else 0.0
    gamma: dict[str, Callable[[], Any]] = {
        "squared": lambda: alpha, "negative": lambda: -1.0, "half": lambda: 0.5, "double": lambda: 2.0, "over M": lambda: 1 / M, "over K": lambda: 1 / max(K, 1),
        "times K": lambda: K, "decay": lambda: np.power(c, k), "power": lambda: 1.0 / (k + 1.0) ** c, "root": lambda: alpha**-0.5 if alpha > 0 else 1.0,
        "power of itself": lambda: alpha ** k, "rising": lambda: k + 1.0, "times": lambda: c,
    }  # fmt: skip
    return list(alpha * (0 * k + np.asarray(gamma[kind](), float))) if kind in gamma else [alpha] * (K + 2)
