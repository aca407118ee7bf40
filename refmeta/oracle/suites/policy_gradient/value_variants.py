"""Values, visits and best values with some departures.  Derivation: derivations/exact-policy-gradient.md

Arrays have an axis of time in front, (T, N, S, ...): T is the horizon, or 1 where there is none.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.policy_gradient.optima import largest, optimum, soft, stopped
from refmeta.oracle.suites.policy_gradient.problem import TAU, Evaluation
from refmeta.oracle.suites.policy_gradient.readings import ReadProcess, Run, policy_at, read, run_of

__all__ = ["CONCERNS", "PARTS"]

OF_POLICY, BEST = ("value", "action_value", "advantage"), ("optimal_value", "soft_value")
EVERY = (*OF_POLICY, "occupancy", *BEST)
CONCERNS = {
    **dict.fromkeys(("horizon", "discount", "P", "ends"), EVERY), "reward": (*OF_POLICY, *BEST), "power of gamma": (*OF_POLICY, "optimal_value"),
    **dict.fromkeys(("softmax over", "logits times", "layout of theta", "noise in the policy", "probabilities changed"), (*OF_POLICY, "occupancy")),
    "start": ("occupancy",), "visits": ("occupancy",), "return": ("action_value", "advantage"), "advantage": ("advantage",),
    "largest value": ("optimal_value",), "best actions": ("optimal_value",), "best values": ("optimal_value",), "times": (*OF_POLICY, "occupancy"), "soft maximum": ("soft_value",), "sweeps until no value moves by": BEST,
}  # fmt: skip


def _scale(process: ReadProcess, point: Point) -> Any:
    """What all rewards are multiplied by."""
    return point["power of gamma"](process.gamma, process.horizon) if "power of gamma" in point else 1.0


def _run(problem: Evaluation, point: Point, theta: Array) -> tuple[Run, ReadProcess, Array]:
    """Visits and values, the process, and the policy."""
    process, pi = read(problem, point), policy_at(problem, point, theta).pi
    return run_of(process, pi), process, pi


def _in_time(problem: Evaluation, x: Array, more: int = 0, *, total: bool = False) -> Array:
    """(T, N, ...) as (N, T, ...); where there is no horizon the first time alone, or the sum over time.

    Raises
    ------
    numpy.linalg.LinAlgError
        If another number of times was computed than is asked for.
    """
    horizon = problem.task.mdp.horizon
    if horizon is None:
        return np.asarray(np.sum(x, axis=0) if total else x[0])
    if len(x) != horizon + more:
        raise np.linalg.LinAlgError("another horizon")
    return np.moveaxis(x, 0, 1)


def _value(problem: Evaluation, point: Point, theta: Array) -> Array:
    """V."""
    run, process, _ = _run(problem, point, theta)
    V = np.concatenate([run.V, 0 * process.r[None, ..., 0]])
    return _in_time(problem, V, 1) * _scale(process, point)


def _action_value(problem: Evaluation, point: Point, theta: Array) -> Array:
    """Q, or what is used instead."""
    run, process, pi = _run(problem, point, theta)
    Q = point["return"](run, process, pi) if "return" in point else run.Q
    return _in_time(problem, Q) * _scale(process, point)


def _advantage(problem: Evaluation, point: Point, theta: Array) -> Array:
    """Q − Σ π Q, or what is used instead."""
    run, process, pi = _run(problem, point, theta)
    Q = point["return"](run, process, pi) if "return" in point else run.Q
    A = point["advantage"](Q, pi, run) if "advantage" in point else Q - np.sum(pi * Q, axis=-1, keepdims=True)
    return _in_time(problem, A) * _scale(process, point)


def _occupancy(problem: Evaluation, point: Point, theta: Array) -> Array:
    """γᵗ Pr(s_t = s), summed over t where there is no horizon, or what is used instead."""
    run, process, pi = _run(problem, point, theta)
    return _in_time(problem, point["visits"](run, process, pi) if "visits" in point else run.visits, total=True)


def _best(problem: Evaluation, point: Point, theta: Array, name: str, right: Any) -> tuple[Array, ReadProcess]:
    """V of a maximum, in time, and the process."""
    process, pi, maximum = read(problem, point), policy_at(problem, point, theta).pi, point.get(name, right)
    if "best values" in point:
        return point["best values"](process, pi), process
    if "best actions" in point and process.horizon is not None:
        return point["best actions"](process, pi, maximum), process
    move = point.get("sweeps until no value moves by")
    if move is None or process.horizon is not None:
        return optimum(process, pi, maximum), process
    return stopped(process, pi, maximum, move), process


def _optimal_value(problem: Evaluation, point: Point, theta: Array) -> Array:
    """V = max_a Q."""
    V, process = _best(problem, point, theta, "largest value", largest)
    return _in_time(problem, V, 1) * _scale(process, point)


def _soft_value(problem: Evaluation, point: Point, theta: Array) -> Array:
    """V = τ ln Σ exp(Q/τ)."""
    return _in_time(problem, _best(problem, point, theta, "soft maximum", soft(TAU))[0], 1)


PARTS: dict[str, Callable[[Evaluation, Point, Array], Array]] = {
    "value": _value, "action_value": _action_value, "advantage": _advantage, "occupancy": _occupancy, "optimal_value": _optimal_value, "soft_value": _soft_value,
}  # fmt: skip
