"""Derivatives from values alone: central differences, Richardson's extrapolation, and the error that is left.

Derivation: derivations/judges.md
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array

__all__ = ["Difference", "RATIO2", "Rounding", "mixed_difference", "noise_of", "slope_difference"]

RATIO2 = 12.0  # the square of the ratio of two neighbouring steps; its root is irrational
LEVELS = 4  # steps of one table
ROUNDING, FLOOR = 10.0, 32.0  # units of rounding that the error allows for, and that hide an order of convergence
ENOUGH = 1e-11  # the relative error at which no other step is tried
FINEST, COARSEST = 16, -12  # how many levels the steps may become finer or coarser than at first
EPS, TINY = float(np.finfo(np.float64).eps), float(np.finfo(np.float64).tiny)
SINGLE = float(np.finfo(np.float32).eps)

Line = Callable[[float], Array]
Square = Callable[[float, float], float]


class Difference(NamedTuple):
    """A numeric derivative, and a bound on its error: truncation plus rounding; inf where there is no bound."""

    derivative: Array
    error: Array


class Rounding(NamedTuple):
    """The rounding of a function: relative `eps`; and the `noise` that was measured where its values reach `top`."""

    eps: float
    noise: float
    top: float

    def at(self, size: Array) -> Array:
        """The rounding of values that reach this size."""
        return np.maximum(self.eps * size, self.noise * np.maximum(1.0, size / max(self.top, TINY)))


EXACT = Rounding(EPS, 0.0, 1.0)


class _Table(NamedTuple):
    """One table of Richardson: derivative, error, the rounding in it, and the size that errors are compared with."""

    derivative: Array
    error: Array
    rounding: Array
    size: Array


def _table(q: Array, even: Array | None, unit: Array) -> _Table:
    """The best of T(2,1), T(3,1), T(3,2), where T(k,0) = q_k and T(k,j) extrapolates T(k,j−1) and T(k−1,j−1).

    The error of T(k,j) is |T(k,j) − T(k−1,j)| plus the rounding ROUNDING·unit_k; it is inf where q does not converge.
    """
    first = q[1:] + np.diff(q, axis=0) / (RATIO2 - 1)
    second = first[1:] + np.diff(first, axis=0) / (RATIO2**2 - 1)
    values = np.stack([first[1], first[2], second[1]])
    rounding = ROUNDING * unit[[2, 3, 3]]
    early_gap, late_gap = np.abs(np.diff(first, axis=0))
    gaps = np.stack([
        np.maximum(early_gap, late_gap - rounding[1]),
        np.maximum(late_gap, early_gap / RATIO2**2),
        np.maximum(np.abs(second[1] - second[0]), late_gap / RATIO2**2),
    ])  # fmt: skip
    smooth = _falling(np.abs(np.diff(q, axis=0)), 1.5, FLOOR * unit[1:])
    early, late = smooth[0], smooth[1]
    if even is not None:
        rising = _falling(np.abs(even), 0.5, FLOOR * unit)
        early, late = early & rising[0] & rising[1], late & rising[1] & rising[2]
    errors = np.where(np.stack([early, late, early & late]), gaps + rounding, np.inf)
    errors = np.where(np.isfinite(errors), errors, np.inf)
    best = np.argmin(errors, axis=0)[None]
    pick: Callable[[Array], Array] = lambda rows: np.take_along_axis(rows, best, axis=0)[0]
    size = np.max(np.abs(q if even is None else [*q, *even]), axis=0)
    return _Table(pick(values), pick(errors), pick(rounding), size)


def _falling(sizes: Array, order: float, floor: Array) -> Array:
    """True where sizes fall with the step at this order or faster, for each two neighbours; or are below the floor."""
    return (sizes[1:] * RATIO2 ** (order / 2) <= sizes[:-1]) | (sizes[1:] <= floor[1:])


def _search(table: Callable[[int], _Table]) -> tuple[Difference, int]:
    """The best result per entry over tables at finer and coarser steps, and the level of the best table.

    `table(k)` has the steps h·12^(−k/2) and the three finer ones.  Without an error at k = 0 the nearest finer table
    that has one is taken, then the nearest coarser one; from there the steps change while the error falls by half.
    """
    best, found = 0, table(0)
    for k in (*range(2, FINEST + 1, 2), *range(-2, COARSEST - 1, -2)):
        if np.all(np.isfinite(found.error)):
            break
        other = table(k)
        if np.all(np.isfinite(other.error)) or not np.all(np.isfinite(found.derivative)):
            best, found = k, other
    derivative, error, worst = found.derivative, found.error, float(np.max(found.error))
    way = -1 if 2 * np.max(found.rounding) > worst else 1
    while np.isfinite(worst) and not (worst <= ENOUGH * np.max(found.size) or np.max(found.size) == 0):
        found = table(best + way)
        better = found.error < error
        derivative, error = np.where(better, found.derivative, derivative), np.where(better, found.error, error)
        if not np.max(found.error) <= worst / 2 or not COARSEST < best < FINEST:
            break
        best, worst = best + way, float(np.max(found.error))
    return Difference(derivative, error), best


def slope_difference(
    line: Line, start: Array, *, step: float, rounding: Rounding = EXACT, moved: float = 0.0
) -> tuple[Difference, float]:
    """dF/dt at t = 0 of a curve F(t) of shape (m,), start = F(0), with its error; and the step that was used.

    Eq: richardson-difference

    rounding : that of F.
    moved : |x|/|v| for F(t) = f(x + tv); the rounding of the argument moves F by eps·moved·|F′|.
    """
    evaluate = _remembered(lambda h: np.stack([line(h), line(-h)]))

    def table(k: int) -> _Table:
        steps, values = _steps(step, k), np.stack([evaluate(h) for h in _steps(step, k)])
        h, ahead, behind = steps[:, None], values[:, 0], values[:, 1]
        with np.errstate(all="ignore"):
            q, even = (ahead - behind) / (2 * h), (ahead + behind - 2 * start) / (2 * h)
            size = np.maximum(np.max(np.abs(values), axis=(0, 1)), np.abs(start))
            unit = (rounding.at(size) + rounding.eps * moved * np.max(np.abs(q), axis=0)) / h
            return _table(q, even, unit)

    found, level = _search(table)
    return found, step * RATIO2 ** (-level / 2)


def mixed_difference(
    square: Square, *, step: float, rounding: Rounding = EXACT, moved: float = 0.0
) -> tuple[Difference, float]:
    """d²F/ds dt at 0 of a number F(s, t), by (F(h, h) + F(−h, −h) − F(h, −h) − F(−h, h)) / 4h²; and the step.

    Eq: richardson-mixed-difference
    """
    corners = np.array([[1, 1], [-1, -1], [1, -1], [-1, 1]])
    evaluate = _remembered(lambda h: np.array([square(h * s, h * t) for s, t in corners]))

    def table(k: int) -> _Table:
        steps, values = _steps(step, k), np.stack([evaluate(h) for h in _steps(step, k)])
        with np.errstate(all="ignore"):
            q = (values @ [1, 1, -1, -1])[:, None] / (4 * steps[:, None] ** 2)
            slope = np.max(np.ptp(values, axis=1) / steps)
            unit = (rounding.at(np.max(np.abs(values))) + rounding.eps * moved * slope) / steps[:, None] ** 2
            return _table(q, None, unit)

    found, level = _search(table)
    return found, step * RATIO2 ** (-level / 2)


def _steps(step: float, k: int) -> Array:
    """The steps of the table k: h·12^(−k/2) and the three finer ones."""
    return step * RATIO2 ** (-(k + np.arange(LEVELS)) / 2)


def _remembered(evaluate: Callable[[float], Array]) -> Callable[[float], Array]:
    """The function, each step evaluated once."""
    return functools.cache(evaluate)


def noise_of(line: Line, centres: Array, spacing: float) -> Rounding:
    """The rounding of a number F(t) around some t, from the sixth differences of nine values at each.

    Eq: noise-of-sixth-differences

    Independent errors of size σ make sixth differences of size σ√924; a smooth F makes none if the spacing is small.
    """
    values = np.stack([[line(t + j * spacing) for j in range(-4, 5)] for t in centres])[..., 0]
    single = np.ptp(values) > 0 and bool(np.all(values.astype(np.float32) == values))
    noise = np.max(np.sqrt(np.mean(np.diff(values, 6, axis=1) ** 2, axis=1) / 924))
    top = float(np.max(np.abs(values)))
    return Rounding(SINGLE if single else EPS, float(noise) if np.isfinite(noise) else 0.0, top)
