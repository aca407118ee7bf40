"""Derivatives from values alone: central differences, Richardson's extrapolation, and the error that is left.

Derivation: derivations/judges.md
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.numerics.returned import in_single_precision

__all__ = ["Difference", "RATIO2", "Rounding", "least_noise", "mixed_difference", "noise_of", "slope_difference"]

RATIO2 = 12.0  # the square of the ratio of two neighbouring steps; its root is irrational
LEVELS = 4  # steps of one table
ROUNDING, FLOOR = 10.0, 32.0  # units of rounding that the error allows for, and that hide an order of convergence
ENOUGH, LOOSE = 1e-11, 1e-8  # relative errors: no other step is tried; steps are tried both ways
FINEST, COARSEST = 12, -16  # how many levels the steps may become finer or coarser than at first
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
    noise: Array
    top: Array

    def at(self, size: Array) -> Array:
        """The rounding of values that reach this size."""
        return np.maximum(self.eps * size, self.noise * np.maximum(1.0, size / np.maximum(self.top, TINY)))


EXACT = Rounding(EPS, np.zeros(1), np.ones(1))


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
    steps = q[1:] - q[:-1]
    first = q[1:] + steps / (RATIO2 - 1)
    turns = first[1:] - first[:-1]
    second = first[1:] + turns / (RATIO2**2 - 1)
    rounding = ROUNDING * unit[[2, 3, 3]]
    falls = np.abs(steps)
    (early_gap, late_gap), (_, early_step, late_step) = np.abs(turns), falls
    gaps = np.array([
        np.maximum(np.maximum(early_gap, late_gap - rounding[1] / 3), early_step / RATIO2**2),
        np.maximum(np.maximum(late_gap, early_gap / RATIO2), late_step / RATIO2**2),
        np.maximum(np.abs(second[1] - second[0]), late_gap / RATIO2),
    ])  # fmt: skip
    early, late = _falling(falls, 1.5, FLOOR * unit[1:])
    if even is not None:
        rising = _falling(np.abs(even), 0.75, FLOOR * unit)
        early, late = early & rising[0] & rising[1], late & rising[1] & rising[2]
    errors = np.where(np.array([early, late, early & late]), gaps + rounding, np.inf)
    errors[~np.isfinite(errors)] = np.inf
    best = np.argmin(errors, axis=0), np.arange(q.shape[1])
    derivative = np.array([first[1], first[2], second[1]])[best]
    size = np.abs(derivative) if even is None else np.maximum(np.abs(derivative), np.abs(even[-1]))
    return _Table(derivative, errors[best], rounding[best], size)


def _falling(sizes: Array, order: float, floor: Array) -> Array:
    """True where sizes fall with the step at this order or faster, for each two neighbours; or are below the floor."""
    return (sizes[1:] * RATIO2 ** (order / 2) <= sizes[:-1]) | (sizes[1:] <= floor[1:])


def _search(table: Callable[[int], _Table]) -> tuple[Difference, int]:
    """The best result per entry over tables at finer and coarser steps, and the level of the best table.

    `table(k)` has the steps h·12^(−k/2) and the three finer ones.  Without an error at k = 0 the nearest finer table
    that has one is taken; from there the steps change while the error falls by half.
    """
    best, found = 0, table(0)
    for k in range(2, FINEST + 1, 2):
        if np.all(np.isfinite(found.error)):
            break
        other = table(k)
        if np.all(np.isfinite(other.error)) or not np.all(np.isfinite(found.derivative)):
            best, found = k, other
    way = -1 if 2 * np.max(found.rounding) > np.max(found.error) else 1
    result, level = _walk(table, found, best, way)
    if level == best and not _enough(result, LOOSE):
        result, level = _walk(table, result, best, -way)
    return Difference(result.derivative, result.error), level


def _walk(table: Callable[[int], _Table], found: _Table, level: int, way: int) -> tuple[_Table, int]:
    """The best result per entry while the error falls by half, to finer steps (way = 1) or coarser ones (way = −1)."""
    result = found
    while np.all(np.isfinite(found.error)) and not _enough(found, ENOUGH) and COARSEST < level < FINEST:
        other = _compared(table(level + way), found, way)
        result = _better(_compared(result, other, -way), other)
        other = _filled(other, result)
        if not np.max(other.error) <= np.max(found.error) / 2:
            break
        level, found = level + way, other
    return result, level


def _enough(found: _Table, relative: float) -> bool:
    """Is the error small, or the function the same at all points?"""
    size = np.max(found.size)
    return bool(size == 0 or np.max(found.error) <= relative * size)


def _compared(table: _Table, other: _Table, way: int) -> _Table:
    """A table at coarser steps (way = −1) with an error that covers what a table at finer steps says."""
    if way == 1:
        return table
    gap = 2 * np.abs(table.derivative - other.derivative)
    return table._replace(error=np.fmax(table.error, gap))


def _filled(one: _Table, other: _Table) -> _Table:
    """One table, and the other where the one has no error."""
    return _Table(*(np.where(np.isfinite(one.error), *pair) for pair in zip(one, other, strict=True)))


def _better(one: _Table, other: _Table) -> _Table:
    """Of each entry the result with the smaller error."""
    return _Table(*(np.where(other.error < one.error, *pair) for pair in zip(other, one, strict=True)))


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
    for measured in () if np.any(rounding.noise) else (False, True):
        if np.all(np.isfinite(found.error)):
            break
        rounding = least_noise(line, step) if measured else _common(rounding, start)
        noisy, level = _search(table)
        better = noisy.error < found.error
        found = Difference(*(np.where(better, *pair) for pair in zip(noisy, found, strict=True)))
    return found, step * RATIO2 ** (-level / 2)


def _common(rounding: Rounding, start: Array) -> Rounding:
    """The rounding of the largest entry, for every entry: one that is a sum of larger terms which cancel has that of the terms."""
    top = np.max(np.abs(start), initial=0.0, keepdims=True)
    return rounding._replace(noise=rounding.eps * top, top=np.where(top > 0, top, 1.0))


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
    """The rounding of F(t) around some t, from the sixth differences of nine values at each.

    Eq: sixth-difference-noise

    Independent errors of size σ make sixth differences of size σ√924; a smooth F makes none if the spacing is small.
    """
    values = np.stack([[line(t + j * spacing) for j in range(-4, 5)] for t in centres])
    with np.errstate(all="ignore"):
        single = in_single_precision(values)
        noise = np.max(np.sqrt(np.mean(np.diff(values, 6, axis=1) ** 2, axis=1) / 924), axis=0)
        top = np.max(np.abs(values), axis=(0, 1))
    return Rounding(max(SINGLE if single else EPS, _decimal_rounding(values)), np.where(np.isfinite(noise), noise, 0.0), np.where(np.isfinite(top), top, 1.0))


def _decimal_rounding(values: Array) -> float:
    """The relative rounding of numbers that were printed with four to nine digits; 0 of others."""
    x = values[np.isfinite(values) & (values != 0)]
    last = 10.0 ** np.floor(np.log10(np.abs(x)))
    for digits in range(3, 10):
        unit = last * 10.0 ** (1 - digits)
        if x.size and np.all(np.abs(np.round(x / unit) * unit - x) <= 4 * EPS * np.abs(x)):
            return 0.5 * 10.0 ** (1 - digits) if digits > 3 else 0.0
    return 0.0


def least_noise(line: Line, step: float) -> Rounding:
    """The least noise at six spacings at which F changes, or what is like it at others.

    A coarse spacing mistakes F itself for noise, and every spacing a kink at 0, but the less the finer it is.
    """
    found = [noise_of(line, np.zeros(1), step * 100.0**-k) for k in range(1, 7)]
    noise = np.stack([np.where(each.noise > 0, each.noise, np.inf) for each in found])
    alike = np.where(noise <= FLOOR * np.min(noise, axis=0), noise, 0.0)
    return found[0]._replace(noise=np.max(np.where(np.isfinite(alike), alike, 0.0), axis=0))
