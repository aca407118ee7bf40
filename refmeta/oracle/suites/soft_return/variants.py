"""The return with entropy, with some departures from what is right.  Derivation: derivations/exact-policy-gradient.md

The entropy is kept apart from the rewards: J = J_r + J_e.  Arrays have an axis of time in front, (T, N, S, ...): T is the
number of steps, or 1 where there is no horizon.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.policy_gradient.problem import Evaluation
from refmeta.oracle.suites.policy_gradient.readings import (
    ReadPolicy,
    ReadProcess,
    Run,
    policy_at,
    pull,
    read,
    run_of,
)

__all__ = ["CONCERNS", "EntropyCounts", "Entropy", "shannon", "variant"]

STEP = 1e-30
EVERY, SLOPES = ("value", "action_value", "advantage", "loss", "grad", "hvp"), ("grad", "hvp")
CONCERNS = {
    "action value": ("action_value",), "advantage": ("advantage",), "visits": SLOPES, "slope of the entropy": SLOPES, "Hessian": ("hvp",),
    **dict.fromkeys(("start", "horizon"), ("loss", *SLOPES)),
}  # fmt: skip  # the other choices concern every part


class Entropy(NamedTuple):
    """Of each state (N, S), as a reward of each action whose mean it is, and its slope in π up to a number per state, (N, S, A)."""

    value: Array
    reward: Array
    slope: Array


class EntropyCounts(NamedTuple):
    """How often the entropy of the first state and that of later ones count in the value, and in the slope of their own state."""

    first: float = 1.0
    later: float = 1.0
    first_slope: float = 1.0
    later_slope: float = 1.0


class _Pieces(NamedTuple):
    """The run with rewards, the process that pays entropy and its run, π, the entropy (not times τ), and a common factor."""

    process: ReadProcess
    paid: ReadProcess
    plain: Run
    bonus: Run
    policy: ReadPolicy
    tau: float
    entropy: Entropy
    counts: EntropyCounts
    factor: Any


def shannon(pi: Array, logs: Array) -> Entropy:
    """−Σ π log π."""
    return Entropy(-np.sum(pi * logs, axis=-1), -logs, -logs)


def variant(part: str, problem: Evaluation, point: Point) -> Array | None:
    """A part where a point departs from what is right; None if it is not concerned."""
    point = {name: value for name, value in point.items() if value is not None}
    if not all(part in CONCERNS.get(choice, EVERY) for choice in point):
        return None
    with np.errstate(all="ignore"):
        try:
            value = np.real(PARTS[part](problem, point, problem.theta))
        except (ArithmeticError, np.linalg.LinAlgError):
            return None
    return np.array(value) if np.isfinite(value).all() else None


def _pieces(problem: Evaluation, point: Point, theta: Array) -> _Pieces:
    """Both runs at θ."""
    process, policy, given = read(problem, point), policy_at(problem, point, theta), problem.task.temperature
    tau = point["temperature"](given) if "temperature" in point else given
    entropy = point.get("entropy", shannon)(policy.pi, policy.logs)
    paid = process._replace(r=tau * entropy.value[..., None] + 0 * process.r)
    paid = point["steps of the entropy"](paid) if "steps of the entropy" in point else paid
    counts = point["entropy of"](process.gamma) if "entropy of" in point else EntropyCounts()
    factor = point["factor"](given, process.gamma, process.horizon) if "factor" in point else 1.0
    return _Pieces(process, paid, run_of(process, policy.pi), run_of(paid, policy.pi), policy, tau, entropy, counts, factor)


def _in_time(pieces: _Pieces, x: Array) -> Array:
    """(T, N, ...) as (N, T, ...), or its only time where there is no horizon."""
    return np.asarray(x[0] if pieces.process.horizon is None else np.moveaxis(x, 0, 1))


def _of_steps(x: Array, like: Array, steps: int) -> Array:
    """The first steps of x, and zeros like the second array where it has fewer."""
    return np.concatenate([x, np.broadcast_to(0 * like, (max(steps - len(x), 0), *like.shape))])[:steps]


def _values(pieces: _Pieces) -> Array:
    """V before every step, and with a horizon after the last, (T + 1, N, S)."""
    own, steps = pieces.paid.r[..., 0], len(pieces.plain.V) + 1
    extra = pieces.counts.first * own + pieces.counts.later * (pieces.bonus.V - own)
    return _of_steps(pieces.plain.V, own, steps) + _of_steps(extra, own, steps)


def _ahead(pieces: _Pieces) -> Array:
    """Q = R + γP V, (T, N, S, A)."""
    later = pieces.counts.later * (pieces.bonus.Q - pieces.paid.r)
    return pieces.plain.Q + _of_steps(later, pieces.paid.r, len(pieces.plain.Q))


def _value(problem: Evaluation, point: Point, theta: Array) -> Array:
    """V."""
    pieces = _pieces(problem, point, theta)
    V = _values(pieces)
    return np.asarray(pieces.factor * _in_time(pieces, V))


def _action_value(problem: Evaluation, point: Point, theta: Array) -> Array:
    """Q, or what is called so."""
    pieces = _pieces(problem, point, theta)
    Q = _ahead(pieces)
    Q = point["action value"](Q, pieces.plain.Q, pieces.tau, pieces.entropy) if "action value" in point else Q
    return np.asarray(pieces.factor * _in_time(pieces, Q))


def _advantage(problem: Evaluation, point: Point, theta: Array) -> Array:
    """Q − τ log π − V."""
    pieces = _pieces(problem, point, theta)
    Q, V, reward = _ahead(pieces), _values(pieces)[:-1, ..., None], pieces.counts.first_slope * pieces.tau * pieces.entropy.reward
    how = point.get("advantage", lambda Q, V, reward, pi, plain: Q + reward - V)
    return np.asarray(pieces.factor * _in_time(pieces, how(Q, V, reward, pieces.policy.pi, pieces.plain)))


def _loss(problem: Evaluation, point: Point, theta: Array) -> Array:
    """−ρ·V."""
    pieces = _pieces(problem, point, theta)
    return np.asarray(-np.sum(pieces.process.rho * _values(pieces)[0], axis=-1) * pieces.factor)


def _gradient(problem: Evaluation, point: Point, theta: Array) -> Array:
    """−Σ d π (Q − τ log π − V), pulled back; what "Hessian" holds is taken at the real part of θ."""
    held = point.get("Hessian", ())
    moving = _pieces(problem, point, theta)
    still = _pieces(problem, point, np.real(theta)) if held else moving
    visited, valued, paying = (still if name in held else moving for name in ("visits", "Q", "log pi"))
    own, ahead = point.get("slope of the entropy", lambda tau: (tau, 1.0))(moving.tau)
    pi, counts, slope = moving.policy.pi, moving.counts, own * paying.entropy.slope
    later = ahead * counts.later * (valued.bonus.Q - valued.paid.r)
    g = np.sum(_visits(visited, point, visited.plain, visited.process)[..., None] * pi * valued.plain.Q, axis=0)
    g = g + np.sum(_visits(visited, point, visited.bonus, visited.paid)[..., None] * pi * (later + counts.later_slope * slope), axis=0)
    g = g + (counts.first_slope - counts.later_slope) * moving.process.rho[..., None] * pi * slope
    return np.asarray(-pull(problem, point, moving.policy, g) * moving.factor)


def _visits(pieces: _Pieces, point: Point, run: Run, process: ReadProcess) -> Array:
    """The visits of one of both runs."""
    return np.asarray(point["visits"](run, process, pieces.policy.pi) if "visits" in point else run.visits)


def _hvp(problem: Evaluation, point: Point, theta: Array) -> Array:
    """The slope of the gradient along v."""
    return np.imag(_gradient(problem, point, theta + 1j * STEP * problem.v)) / STEP


PARTS: dict[str, Callable[[Evaluation, Point, Array], Array]] = {
    "value": _value, "action_value": _action_value, "advantage": _advantage, "loss": _loss, "grad": _gradient, "hvp": _hvp,
}  # fmt: skip
