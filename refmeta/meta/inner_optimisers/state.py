"""What goes into a step of an inner optimiser and out of its adjoint.  Derivation: derivations/inner-optimisers.md"""

from typing import Any, NamedTuple, Protocol

import numpy as np

from refmeta.arrays import Array, as_read_only, as_real_scalar, batch_shape, index_text
from refmeta.meta.optimisers import Moments

__all__ = ["UpdateRule", "Slopes", "as_rate", "as_weight", "check_moments", "filled", "held", "keep", "root_slope"]


class Slopes(NamedTuple):
    """Derivatives of an objective by θ, m and v before a step, and by the step's gradient and step size; (..., d) each."""

    theta: Any
    first: Any = 0.0
    second: Any = 0.0
    gradient: Any = 0.0
    alpha: Any = 0.0


def filled(slopes: Slopes, like: Array) -> Slopes:
    """The slopes as arrays of at least the shape of `like`; the 0 that a rule leaves stands for every entry."""
    return Slopes(*(np.broadcast_to(x, np.broadcast_shapes(np.shape(x), np.shape(like))) for x in slopes))


def held(state: Moments) -> Moments:
    """The state, read-only: the way back needs it as it was before the step, so that a rule must not write into it."""
    first, second = (as_read_only(np.asarray(x).view()) for x in (state.first, state.second))
    return Moments(first, second, state.steps)


class UpdateRule(Protocol):
    """One step (θ, m, v, t) ↦ (θ', m', v', t + 1) for a gradient g, and its adjoint: a pure function each."""

    def step(self, theta: Array, gradient: Array, state: Moments, *, alpha: Any) -> tuple[Array, Moments]: ...
    def adjoint(self, theta: Array, gradient: Array, state: Moments, later: Slopes, *, alpha: Any) -> Slopes: ...


def keep(record: Any, **numbers: float) -> None:
    """Set fields of a frozen record, in its `__post_init__`, to the numbers as they were checked: in double precision."""
    for name, number in numbers.items():
        object.__setattr__(record, name, number)


def as_rate(value: Any, name: str) -> float:
    """A decay rate β of a running sum or mean, in [0, 1)."""
    if not 0 <= (rate := as_real_scalar(value, name)) < 1:
        raise ValueError(f"{name} must satisfy 0 <= {name} < 1, got {rate}")
    return rate


def as_weight(value: Any, name: str) -> float:
    """A number of at least 0: ε, or the weight of a decay."""
    return as_real_scalar(value, name, least=0.0)


def check_moments(state: Moments, gradient: Array) -> None:
    """ValueError unless m and v have the last axis of the gradient and broadcast with it, without new axes."""
    shape = np.shape(gradient)
    for name, moment in (("first", state.first), ("second", state.second)):
        if np.shape(moment)[-1:] != shape[-1:] or batch_shape(**{name: np.shape(moment), "gradient": shape}) != shape:
            raise ValueError(f"state.{name} has shape {np.shape(moment)}, expected {shape} as the gradient")


def root_slope(v: Array, m: Array, by_step: Array, t: int) -> Array:
    """d√v/dv = 1/(2√v), and 0 where v is 0: there m/(√v + ε) with m = 0 does not depend on v, to first order.

    `by_step` is α times the slope by θ', of either sign.

    Raises
    ------
    FloatingPointError
        Where v = 0 and neither m nor `by_step` is 0: √v has no slope at 0, and both multiply it.
    """
    at_zero = v == 0
    if (kink := at_zero & (m != 0) & (by_step != 0)).any():
        *task, entry = np.argwhere(kink)[0]
        where = f"entry {entry}" + (f" of task {index_text(tuple(task))}" if task else "")
        raise FloatingPointError(
            f"inner step {t} has no derivative: at {where} the mean of squares v is 0 but the gradient or its mean m is not, and "
            "the root of v has no slope at 0; use AdamEpsilonRoot, whose epsilon is inside the root, or another starting point"
        )
    return np.where(at_zero, 0.0, 0.5 / np.sqrt(np.where(at_zero, 1.0, v)))
