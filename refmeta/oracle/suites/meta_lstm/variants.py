"""Meta-LSTM with some departures, every slope by complex steps.  Derivation: derivations/meta-lstm.md

Arrays have the axis of the perturbations of a leaf in front: (P, N, ...).
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array, one_hot
from refmeta.meta.lstm import preprocessing, sigmoid
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.meta_lstm.problem import Learner
from refmeta.softmax import log_softmax

__all__ = ["Data", "State", "variant"]

H = 1e-30


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


class Signal(NamedTuple):
    """∇L (P, N, d) and L (P, N)."""

    slope: Array
    loss: Array


def variant(part: str, problem: Learner, point: Point) -> Array | None:
    """A part where a point departs from what is right; None if it is not concerned."""
    kind, _, leaf = part.partition("_")
    if not _concerned(kind, leaf, point):
        return None
    with np.errstate(all="ignore"):
        value = _objective(problem, kind, leaf, point)
    if not leaf:
        return np.array(value[0].real) if np.isfinite(value).all() else None
    core = np.shape(getattr(problem.parameters, leaf))
    slopes = np.imag(np.broadcast_to(value, (int(np.prod(core)), value.shape[-1]))) / H
    return slopes.T.reshape(-1, *core) if np.isfinite(slopes).all() else None


def _concerned(kind: str, leaf: str, point: Point) -> bool:
    """Does every departure of the point change this part, in some cases?"""
    held = point.get("held constant")
    right = {"exact": (), "independent": ("g", "L")}.get(kind, held)
    return ("held constant" not in point or held != right) and ("gradient goes to" not in point or "gradient" in point)


@lru_cache(maxsize=256)
def _weights(problem: Learner, leaf: str) -> dict[str, Array]:
    """The leaves with an axis of perturbations in front, one for each entry of the leaf that is named."""
    found = {name: np.asarray(value, float)[None] for name, value in problem.parameters._asdict().items()}
    if leaf:
        found[leaf] = found[leaf] + 1j * H * np.eye(found[leaf].size).reshape(-1, *found[leaf].shape[1:])
    return found


@lru_cache(maxsize=256)
def _data(problem: Learner) -> tuple[Data, Data]:
    """Support and query."""
    support, query = (
        Data(np.asarray(t.X), one_hot(np.asarray(t.labels), t.classes), float(t.ridge)) for t in (problem.support, problem.query)
    )
    return support, query


def _signal(data: Data, theta: Array, point: Point, which: str) -> Signal:
    """∇L and L of the mean cross-entropy + ridge/2 ‖θ‖²."""
    (X, labels, ridge), n = data, data.X.shape[-2]
    ridge = point["ridge"](ridge, which, n) if "ridge" in point else ridge
    over = n if point.get("over points") in (which, "both") else 1
    shape = (*theta.shape[:-1], labels.shape[-1], X.shape[-1])
    turned = "layout of theta" in point
    W = theta.reshape(*shape[:-2], shape[-1], shape[-2]).swapaxes(-1, -2) if turned else theta.reshape(shape)
    logs = log_softmax(X @ W.swapaxes(-1, -2))
    slope = over * (np.exp(logs) - labels).swapaxes(-1, -2) @ X / n
    slope = (slope.swapaxes(-1, -2) if turned else slope).reshape(theta.shape) + ridge * theta
    return Signal(slope, ridge * np.sum(theta**2, axis=-1) / 2 - over * np.sum(labels * logs, axis=(-2, -1)) / n)


def _objective(problem: Learner, kind: str, leaf: str, point: Point) -> Array:
    """L_query(θ_K), (P, N)."""
    support, query = _data(problem)
    path = _path(problem, kind, leaf, point)
    judged = point.get("judged on", lambda loss, path: loss("query", path[-1]))
    losses = lambda which, theta: _signal(support if which == "support" else query, theta, point, which).loss
    value: Array = judged(losses, [state.theta for state in path])
    return value / (value.shape[-1] if "over tasks" in point else 1)


def _path(problem: Learner, kind: str, leaf: str, point: Point) -> list[State]:
    """The states before the first and after every step."""
    data, carried = _data(problem), point.get("carried between tasks")
    base = _base(problem, tuple(sorted((k, v) for k, v in point.items() if k != "held constant"))) if leaf else []
    start = _start(problem, leaf, point)
    if not carried:
        return _unrolled(problem, kind, leaf, point, data, start, base)
    paths: list[list[State]] = []
    for i in range(start.theta.shape[1]):
        now = _of_task(start, i)
        if paths:
            both = zip(State._fields, now, paths[-1][-1], strict=True)
            now = State(*(np.real(last) if name in carried else first for name, first, last in both))
        support, query = (d._replace(X=d.X[i : i + 1], labels=d.labels[i : i + 1]) for d in data)
        paths.append(_unrolled(problem, kind, leaf, point, (support, query), now, [_of_task(state, i) for state in base]))
    return [State(*(_joined(each) for each in zip(*states, strict=True))) for states in zip(*paths, strict=True)]


def _of_task(state: State, i: int) -> State:
    """The state of one task, its axis kept."""
    return State(*(x[:, i : i + 1] for x in state))


def _joined(each: Any) -> Array:
    """Arrays of one task each, as one of all tasks."""
    size = max(len(x) for x in each)
    return np.concatenate([np.broadcast_to(x, (size, *x.shape[1:])) for x in each], axis=1)


@lru_cache(maxsize=512)
def _base(problem: Learner, departures: tuple[tuple[str, Any], ...]) -> list[State]:
    """The path of the weights as they are."""
    return _path(problem, "objective", "", dict(departures))


def _start(problem: Learner, leaf: str, point: Point) -> State:
    """c0, and zeros."""
    x, N = _weights(problem, leaf), len(problem.support.X)
    c0 = point["start"](x["c0"], np.real(x["c0"][:1])) if "start" in point else x["c0"]
    theta = np.broadcast_to(c0[:, None], (len(c0), N, c0.shape[-1]))
    zero = np.zeros((1, N, c0.shape[-1]))
    layer, gate = np.zeros((*zero.shape, problem.parameters.hidden)), zero + point.get("first gates", 0.0)
    return State(theta, layer, layer, gate, gate)


def _unrolled(problem: Learner, kind: str, leaf: str, point: Point, data: tuple[Data, Data], start: State, base: list[State]) -> list[State]:
    """K steps."""
    K, held = problem.steps, point.get("held constant", ("g", "L") if kind == "independent" else ())
    K = point["steps"](K) if "steps" in point else K
    path, before = [start], Signal(np.zeros(1), np.zeros((1, 1)))
    for k in range(K):
        now, fixed = path[-1], base[k] if base else path[-1]
        if "all but the last" in held and k == K - 1 and base:
            now = fixed
        moving, still = (_signal(data[0], each.theta, point, "support") for each in (now, fixed))
        signal = Signal(still.slope if "g" in held else moving.slope, still.loss if "L" in held else moving.loss)
        state = State(*(b if name in held else a for name, a, b in zip(State._fields, now, fixed, strict=True)))
        gated = fixed if "theta in the gates" in held else state
        path.append(_step(_weights(problem, leaf), point, data, (state, gated), signal, before, path[0]))
        before = signal
    return path


def _step(
    x: dict[str, Array], point: Point, data: tuple[Data, Data], states: tuple[State, State], signal: Signal, before: Signal, start: State
) -> State:
    """f ⊙ θ − i ⊙ ∇L, the gates from the first layer's reading of ∇L and L."""
    (now, gated), (g, L) = states, signal
    more = {"query": lambda: _signal(data[1], now.theta, point, "query"), "n": data[0].X.shape[-2]}
    chosen = point["gradient"](signal, now.theta, data[0].ridge, more) if "gradient" in point else g
    L = point["loss"](signal, before, more) if "loss" in point else L
    places = {"the first layer": (chosen, g), "the update": (g, chosen)}
    to_layer, to_update = places.get(point.get("gradient goes to", ""), (chosen, chosen))
    h, c = _layer(x, point, to_layer, L, now)
    i, f, of_i, of_f = _gates(x, point, h, gated.theta, now, start)
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


def _gates(x: dict[str, Array], point: Point, h: Array, theta: Array, now: State, start: State) -> tuple[Array, ...]:
    """i and f, and what the next step's gates get of them."""
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
    i, f = point["gates"](*z) if "gates" in point else (sigmoid(z[0]), sigmoid(z[1]))
    return (i, f, *(point["gates fed back"](i, f, *z) if "gates fed back" in point else (i, f)))
