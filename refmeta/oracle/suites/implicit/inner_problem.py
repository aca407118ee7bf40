"""How an inner problem is solved: exactly, by some steps, or until it stops.  Derivation: derivations/implicit-and-zeroth-order.md"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array, dot, matvec
from refmeta.oracle.choices import unit_vectors

__all__ = ["Descent", "PHI", "RATES", "Stop", "hessian", "largest", "minimum", "square"]


class Descent(NamedTuple):
    """Steps of gradient descent on L + (λ/2)‖φ − θ‖² from θ, with a rate of λ and of the largest curvature."""

    steps: int
    rate: Callable[[float, Array], Any]


class Stop(NamedTuple):
    """Descent until the loss falls by less, or the slope is shorter, than a number."""

    least: float
    rate: Callable[[float, Array], Any]
    of_loss: bool
    steps: int = 3000


def largest(H: Array) -> Array:
    """The largest eigenvalue, (N, 1)."""
    return np.linalg.eigvalsh(H)[..., -1:]


def _row_sum(H: Array) -> Array:
    """The largest sum of sizes of a row, (N, 1)."""
    return np.max(np.sum(np.abs(H), axis=-1), axis=-1)[..., None]


def _trace(H: Array) -> Array:
    """The trace, (N, 1)."""
    return np.trace(H, axis1=-2, axis2=-1)[..., None]


RATES: dict[str, Callable[[float, Array], Any]] = {
    "1/(lambda + L)": lambda strength, H: 1 / (strength + largest(H)),
    "1/(lambda + the largest row sum of H)": lambda strength, H: 1 / (strength + _row_sum(H)),
    "1/(lambda + tr H)": lambda strength, H: 1 / (strength + _trace(H)),
    "1/(2(lambda + L))": lambda strength, H: 0.5 / (strength + largest(H)),
    "2/(2 lambda + L + the least eigenvalue)": lambda strength, H: 2 / (2 * strength + largest(H) + np.linalg.eigvalsh(H)[..., :1]),
    "1/lambda": lambda strength, H: 1 / strength,
    "1/(2 lambda)": lambda strength, H: 0.5 / strength,
    "0.5": lambda strength, H: 0.5,
    "0.1": lambda strength, H: 0.1,
    "0.05": lambda strength, H: 0.05,
    "0.01": lambda strength, H: 0.01,
}
COUNTS = (1, 2, 3, 4, 5, 8, 10, 16, 20, 25, 30, 32, 50, 64, 100)
PHI: dict[str, Any] = {"stationary": None, "theta": Descent(0, RATES["0.1"])} | {
    f"after {k} step{'s' * (k > 1)} of {name}": Descent(k, rate) for name, rate in RATES.items() for k in COUNTS
} | {
    f"descent at {name} until {what} less than {least:g}": Stop(least, rate, what.startswith("the loss"))
    for name, rate in list(RATES.items())[:3] for what in ("the loss falls by", "the slope is") for least in (0.01, 1e-3, 1e-4, 1e-5, 1e-6)
}  # fmt: skip


def hessian(task: Any, phi: Array) -> Array:
    """∇²L of every task at φ (N, d), (N, d, d)."""
    point = task.at(phi)
    return np.stack([point.hvp(np.broadcast_to(axis, phi.shape)) for axis in unit_vectors(phi.shape[-1])], axis=-1)


def square(x: Array) -> Array:
    """‖x‖² of every row."""
    return dot(x, x)


def minimum(task: Any, theta: Array, strength: float, centre: Array, descent: Descent | None) -> Array:
    """argmin L + (λ/2)‖φ − centre‖² by Newton's method from θ, the nearest where there are many, or steps of descent."""
    phi, rate = theta, descent and descent.rate(strength, hessian(task, theta))
    if isinstance(descent, Stop):
        return _stopped(task, theta, strength, centre, descent, rate)
    for _ in range(20 if descent is None else descent.steps):
        slope = task.at(phi).grad + strength * (phi - centre)
        if descent is None:
            step = matvec(np.linalg.pinv(hessian(task, phi) + strength * np.eye(phi.shape[-1]), rcond=1e-12), slope)
        else:
            step = rate * slope
        phi = phi - step
        if np.all(np.abs(step) <= 1e-15 * np.abs(phi)):
            break
    return phi


def _stopped(task: Any, theta: Array, strength: float, centre: Array, stop: Stop, rate: Any) -> Array:
    """Descent of every task until it stops: the loss at the new point has fallen too little, or the slope is short."""

    def loss(x: Array) -> Array:
        return np.asarray(task.at(x).loss + strength / 2 * square(x - centre))

    phi, done = theta, np.zeros(theta.shape[:-1], bool)
    for _ in range(stop.steps):
        slope = task.at(phi).grad + strength * (phi - centre)
        new = phi - rate * slope
        if not stop.of_loss:
            done = done | (square(slope) < stop.least**2)
        phi_next = np.where(done[..., None], phi, new)
        if stop.of_loss:
            done = done | (loss(phi) - loss(new) < stop.least)
        phi = phi_next
        if np.all(done):
            break
    return phi
