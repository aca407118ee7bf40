"""One step of Meta-LSTM with some departures.  Derivation: derivations/meta-lstm.md

Arrays have the axis of the perturbations of a leaf in front: (P, N, ...).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.meta.lstm import preprocessing, sigmoid
from refmeta.oracle.choices import Point
from refmeta.softmax import log_softmax

__all__ = ["Data", "ReadSignal", "State", "signal_of", "step_of"]


class Data(NamedTuple):
    """Points X (N, n, f), one-hot labels (N, n, C), and the weight of the ridge."""

    X: Array
    labels: Array
    ridge: float


class State(NamedTuple):
    """θ (P, N, d); h and c of the first layer, (P, N, d, H); what the gates remember of themselves, (P, N, d)."""

    theta: Array
    h: Array
    c: Array
    of_i: Array
    of_f: Array


class ReadSignal(NamedTuple):
    """∇L (P, N, d) and L (P, N)."""

    slope: Array
    loss: Array


def signal_of(data: Data, theta: Array, point: Point, which: str) -> ReadSignal:
    """∇L and L of the mean cross-entropy + ridge/2 ‖θ‖²."""
    (X, labels, ridge), n = data, data.X.shape[-2]
    ridge = point["ridge"](ridge, which, n) if "ridge" in point else ridge
    smooth = point.get("label smoothing", 0.0)
    labels = (1 - smooth) * labels + smooth / labels.shape[-1] if smooth else labels
    over = n if point.get("over points") in (which, "both") else 1
    shape = (*theta.shape[:-1], labels.shape[-1], X.shape[-1])
    turned = "layout of theta" in point
    W = theta.reshape(*shape[:-2], shape[-1], shape[-2]).swapaxes(-1, -2) if turned else theta.reshape(shape)
    logs = log_softmax(X @ W.swapaxes(-1, -2))
    slope = over * (np.exp(logs) - labels).swapaxes(-1, -2) @ X / n
    slope = (slope.swapaxes(-1, -2) if turned else slope).reshape(theta.shape) + ridge * theta
    return ReadSignal(slope, ridge * np.sum(theta**2, axis=-1) / 2 - over * np.sum(labels * logs, axis=(-2, -1)) / n)


def step_of(
    x: dict[str, Array], point: Point, data: tuple[Data, Data], states: tuple[State, State], signal: ReadSignal, before: ReadSignal, start: State
) -> State:
    """f ⊙ θ − i ⊙ ∇L, the gates from the first layer's reading of ∇L and L."""
    (now, gated), (g, L) = states, signal
    more = {
        "query": lambda: signal_of(data[1], now.theta, point, "query"), "start": lambda: signal_of(data[0], start.theta, point, "support"), "n": data[0].X.shape[-2],
        "first": before.slope.ndim == 1, "before": before, "ridge": data[0].ridge * np.sum(now.theta**2, axis=-1) / 2, "classes": data[0].labels.shape[-1],
    }  # fmt: skip
    chosen = point["gradient"](signal, now.theta, data[0].ridge, more) if "gradient" in point else g
    L = point["loss"](signal, before, more) if "loss" in point else L
    places = {"the first layer": (chosen, g), "the update": (g, chosen)}
    to_layer, to_update = places.get(point.get("gradient goes to", ""), (chosen, chosen))
    h, c = _layer(x, point, to_layer, L, now)
    i, f, of_i, of_f = _gates(x, point, h, gated.theta, now, start, to_update)
    update = point.get("update", lambda theta, i, f, g: f * theta - i * g)
    return State(update(now.theta, i, f, to_update), h, c, of_i, of_f)


def _layer(x: dict[str, Array], point: Point, g: Array, L: Array, now: State) -> tuple[Array, Array]:
    """h and c after a step of the first layer on the preprocessed ∇L and L."""
    both = point.get("preprocessing", preprocessing)
    of_g, of_L = (point.get(f"preprocessing of the {name}", both)(value) for name, value in (("gradient", g), ("loss", L)))
    state = point["hidden state"](now.h, now.c) if "hidden state" in point else (now.h, now.c)
    shape = np.broadcast_shapes(of_g.shape[:-1], of_L[..., None, :].shape[:-1], state[0].shape[:-1])
    pieces = [np.broadcast_to(y, (*shape, y.shape[-1])) for y in (of_g, of_L[..., None, :], state[0])]
    pieces = point["inputs of the first layer"](*pieces) if "inputs of the first layer" in point else pieces
    b = point["biases of the first layer"](x["b"]) if "biases of the first layer" in point else x["b"]
    z = np.concatenate(pieces, axis=-1) @ x["W"][:, None].swapaxes(-1, -2) + b[:, None, None]
    rows = np.split(z, 4, axis=-1)
    i, f, o, u = (rows[j] for j in point.get("order of the rows of W", (0, 1, 2, 3)))
    h, c = (point.get("first layer") or _cell)(i, f, o, u, state[1])
    return h, c


def _cell(i: Array, f: Array, o: Array, u: Array, c: Array) -> tuple[Array, Array]:
    """c' = σ(f) c + σ(i) tanh(u), h' = σ(o) tanh(c')."""
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(u)
    return sigmoid(o) * np.tanh(c), c


def _gates(x: dict[str, Array], point: Point, h: Array, theta: Array, now: State, start: State, g: Array) -> tuple[Array, ...]:
    """i and f, and what the next step's gates get of them; in turn if a gate reads what the other one did."""
    read: Callable[[Array, State], list[Array]] = lambda theta, now: _inner(x, point, h, theta, now, start)
    z, turn = read(theta, now), point.get("gates in turn")
    gates = point.get("gates", lambda i, f: (sigmoid(i), sigmoid(f)))
    if turn:
        which, change = turn
        again = read(*change(theta, now, *gates(*z), g))
        z = [again[k] if k == which else z[k] for k in range(2)]
    i, f = gates(*z)
    return (i, f, *(point["gates fed back"](i, f, *z) if "gates fed back" in point else (i, f)))


def _inner(x: dict[str, Array], point: Point, h: Array, theta: Array, now: State, start: State) -> list[Array]:
    """What the gates are sigmoids of."""
    weights = (x["W_I"], x["W_F"])
    weights = point["weights of the gates"](*weights) if "weights of the gates" in point else weights
    biases = (x["b_I"], x["b_F"])
    biases = point["biases of the gates"](*biases) if "biases of the gates" in point else biases
    z = []
    for w, b, memory in zip(weights, biases, (now.of_i, now.of_f), strict=True):
        shape = np.broadcast_shapes(h.shape[:-1], theta.shape, memory.shape, start.theta.shape)
        pieces = [np.broadcast_to(y, (*shape, y.shape[-1])) for y in (h, theta[..., None], memory[..., None], start.theta[..., None])]
        pieces = point["inputs of the gates"](*pieces) if "inputs of the gates" in point else pieces[:3]
        z.append((np.concatenate(pieces, axis=-1) @ w[:, None, :, None])[..., 0] + b[:, None, None])
    return z
