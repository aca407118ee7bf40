"""The gradient and Hessian products of a loss that can only be evaluated.  Derivation: derivations/judges.md"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.numerics.differences import (
    EPS,
    EXACT,
    FLOOR,
    RATIO2,
    SINGLE,
    Difference,
    Rounding,
    least_noise,
    mixed_difference,
    noise_of,
    slope_difference,
)  # fmt: skip
from refmeta.numerics.returned import in_single_precision

__all__ = ["Scale", "gradient_along", "loss_along", "loss_gradient", "loss_hvp", "loss_scale"]

Loss = Callable[[Array], float]
Field = Callable[[Array], Array]
FIRST, SEED = 0.1, 20170309


class Scale(NamedTuple):
    """What one line through θ says of a loss: a step along an axis, and the rounding."""

    step: float
    rounding: Rounding


def _probe(function: Callable[[Array], Any], x: Array, missing: Any) -> Any:
    """function(x), or `missing` where the function is not defined at x, which is beside θ.

    At θ it has answered, so whatever it raises here says where its domain ends.
    """
    try:
        with np.errstate(all="ignore"):
            return function(x)
    except Exception:
        return missing


def _first_step(x: Array, v: Array) -> float:
    """A step along v for a function that changes over lengths of max(1, |x|∞); the norm is between |v|₂ and |v|∞."""
    top = float(np.max(np.abs(v)))
    if top == 0:
        return FIRST
    return FIRST * max(1.0, float(np.max(np.abs(x)))) / (top * float(np.sum((v / top) ** 2)) ** 0.25)


def _moved(x: Array, v: Array) -> float:
    """|x|∞/|v|∞ over the entries that move."""
    moving = v != 0
    return float(np.max(np.abs(x[moving]), initial=0.0) / np.max(np.abs(v), initial=1e-300))


def loss_along(loss: Loss, x: Array, v: Array, scale: Scale | None = None) -> tuple[Difference, float]:
    """⟨∇L(x), v⟩, (1,), by values of the loss alone; and the step that was used."""
    step, rounding = scale or loss_scale(loss, x, v)
    start = np.array([loss(x)])
    return slope_difference(_line(loss, x, v), start, step=step, rounding=rounding, moved=_moved(x, v))


def _line(loss: Loss, x: Array, v: Array) -> Callable[[float], Array]:
    """L(x + tv), (1,), NaN where it is not defined."""
    return lambda t: np.array([_probe(loss, x + t * v, np.nan)])


def loss_scale(loss: Loss, x: Array, v: Array | None = None) -> Scale:
    """The step and the rounding along v, by default a direction of random signs."""
    v = np.random.default_rng(SEED).choice([-1.0, 1.0], size=x.size) if v is None else v
    line = _line(loss, x, v)
    step = _moving_step(line, _first_step(x, v))
    rounding = EXACT._replace(eps=noise_of(line, np.zeros(1), step / 100).eps)
    step = loss_along(loss, x, v, Scale(step, rounding))[1]
    rounding = noise_of(line, step * np.array([-1.0, 0.0, 1.0]), step / 100)
    usual = np.all(rounding.noise <= FLOOR * rounding.eps * rounding.top)
    return Scale(step, rounding if usual else least_noise(line, step))


def _moving_step(line: Callable[[float], Array], step: float) -> float:
    """The step, or the first multiple by 12ⁿ at which the loss is not the same as at 0."""
    start = line(0.0)
    for larger in step * RATIO2 ** np.arange(6.0):
        if np.any(line(larger) != start) or np.any(line(-larger) != start):
            return float(larger)
    return step


def loss_gradient(loss: Loss, x: Array) -> Difference:
    """∇L(x), (d,), by values of the loss alone, one axis at a time; each begins with the step of the one before."""
    (step, rounding), parts = loss_scale(loss, x), []
    for axis in np.eye(x.size):
        part, found = loss_along(loss, x, axis, Scale(step, rounding))
        parts.append(part)
        step = found if np.all(np.isfinite(part.error)) else step
    return _joined(parts)


def loss_hvp(loss: Loss, x: Array, v: Array) -> Difference:
    """∇²L(x) v, (d,), by values of the loss alone: mixed differences of v and each axis."""
    length = float(np.max(np.abs(v)))
    if length == 0:
        return Difference(np.zeros(x.size), np.zeros(x.size))
    (step, rounding), parts, top = loss_scale(loss, x), [], float(np.max(np.abs(x)))
    for axis in np.eye(x.size):
        part, found = mixed_difference(_square(loss, x, axis, v / length), step=step, rounding=rounding, moved=top)
        parts.append(part)
        step = found if np.all(np.isfinite(part.error)) else step
    return Difference(*(length * rows for rows in _joined(parts)))


def _square(loss: Loss, x: Array, u: Array, v: Array) -> Callable[[float, float], float]:
    """L(x + su + tv), NaN where it is not defined."""
    return lambda s, t: _probe(loss, x + s * u + t * v, np.nan)


def _joined(parts: list[Difference]) -> Difference:
    """One difference per axis as one, (d,)."""
    return Difference(*(np.concatenate([part[k] for part in parts]) for k in range(2)))


def gradient_along(grad: Field, x: Array, v: Array, start: Array, *, single: bool = False) -> Difference:
    """∇²L(x) v, (d,), by differences of the gradient along v; start = ∇L(x); `single`: is it known to be in float32?"""
    if not np.any(v):
        return Difference(np.zeros(x.size), np.zeros(x.size))
    line: Callable[[float], Array] = lambda t: _probe(grad, x + t * v, np.full(x.size, np.nan))
    rounding = EXACT._replace(eps=SINGLE if single or in_single_precision(start) else EPS)
    return slope_difference(line, start, step=_first_step(x, v), rounding=rounding, moved=_moved(x, v))[0]
