"""Meta-LSTM with some departures, every slope by complex steps.  Derivation: derivations/meta-lstm.md

Arrays have the axis of the perturbations of a leaf in front: (P, N, ...).
"""

from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array, one_hot
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.meta_lstm.problem import Learner
from refmeta.oracle.suites.meta_lstm.steps import Data, ReadSignal, State, signal_of, step_of

__all__ = ["variant"]

H = 1e-30


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
    if not np.isfinite(slopes).all():
        return None
    result: Array = slopes.T.reshape(-1, *core)
    return np.asarray(point["outer gradients"](result)) if "outer gradients" in point else result


def _concerned(kind: str, leaf: str, point: Point) -> bool:
    """Does every departure of the point change this part, in some cases?"""
    held = point.get("held constant")
    right = {"exact": (), "independent": ("g", "L")}.get(kind, held)
    return ("outer gradients" not in point or bool(leaf)) and ("held constant" not in point or held != right) and ("gradient goes to" not in point or "gradient" in point)


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


def _objective(problem: Learner, kind: str, leaf: str, point: Point) -> Array:
    """L_query(θ_K), (P, N)."""
    support, query = _data(problem)
    path = _path(problem, kind, leaf, point)
    judged = point.get("judged on", lambda loss, path: loss("query", path[-1]))
    losses = lambda which, theta: signal_of(support if which == "support" else query, theta, point, which).loss
    value: Array = judged(losses, [state.theta for state in path])
    return point["over tasks"](value) if "over tasks" in point else value


def _path(problem: Learner, kind: str, leaf: str, point: Point) -> list[State]:
    """The states before the first and after every step."""
    data, carried = _data(problem), point.get("carried between tasks")
    base = _base(problem, tuple(sorted((k, v) for k, v in point.items() if k not in ("held constant", "outer gradients")))) if leaf else []
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
    layer, gates = np.zeros((*zero.shape, problem.parameters.hidden)), (zero, zero)
    if "first gates" in point:
        gates = tuple(zero + y[:, None, None] for y in point["first gates"](x["b_I"], x["b_F"]))
    return State(theta, layer, layer, *gates)


def _unrolled(problem: Learner, kind: str, leaf: str, point: Point, data: tuple[Data, Data], start: State, base: list[State]) -> list[State]:
    """K steps."""
    K, held = problem.steps, point.get("held constant", ("g", "L") if kind == "independent" else ())
    K = point["steps"](K) if "steps" in point else K
    path, before = [start], ReadSignal(np.zeros(1), np.zeros((1, 1)))
    for k in range(K):
        now, fixed = path[-1], base[k] if base else path[-1]
        if "all but the last" in held and k == K - 1 and base:
            now = fixed
        moving, still = (signal_of(data[0], each.theta, point, "support") for each in (now, fixed))
        signal = ReadSignal(still.slope if "g" in held else moving.slope, still.loss if "L" in held else moving.loss)
        state = State(*(b if name in held else a for name, a, b in zip(State._fields, now, fixed, strict=True)))
        gated = fixed if "theta in the gates" in held else state
        path.append(step_of(_weights(problem, leaf), point, data, (state, gated), signal, before, path[0]))
        before = signal
    return path
