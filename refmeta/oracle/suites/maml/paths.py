"""Adaptation with any optimiser and any Hessian factors, and its derivatives.  Derivation: derivations/maml.md

A path needs `at(theta)` of a task, and `grad` and `hvp` of its points.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.meta.arguments import Point
from refmeta.oracle.suites.maml.optimisers import Memory, Optimiser, Step, descent

__all__ = ["Bend", "Factor", "InnerPath", "adjoints", "alpha_directions", "alpha_rows", "carried", "first_powers", "follow", "tangents"]

STEP = 1e-30
Bend = Callable[[Array], Array]  # v → Hv


class InnerPath(NamedTuple):
    """θ⁽⁰⁾ … θ⁽ᴷ⁾ (N, d) each, the support's points there, the step sizes by step, the optimiser, its first and last memory."""

    thetas: list[Array]
    points: list[Point]
    rows: Array
    optimiser: Optimiser | None
    first: Memory
    last: Memory


class Factor(NamedTuple):
    """(I − Hα) as often as it is applied."""

    times: int
    bend: Bend
    alpha: Array


def follow(support: Any, start: Array, rows: Array, optimiser: Optimiser | None, memory: Memory) -> InnerPath:
    """The path from `start` (N, d) with a row of step sizes per step."""
    first, thetas, points, step = memory, [start], [support.at(start)], _step(optimiser)
    for alpha in rows:
        phi, memory = step(memory, thetas[-1], points[-1].grad, alpha)
        if not np.isfinite(phi).all():
            raise FloatingPointError("an inner step left the finite numbers")
        thetas.append(phi)
        points.append(support.at(phi))
    return InnerPath(thetas, points, rows, optimiser, first, memory)


def _step(optimiser: Optimiser | None) -> Step:
    """The step of an optimiser, by default descent."""
    return descent if optimiser is None else optimiser.step


def carried(path: InnerPath, support: Any, parameters: bool) -> InnerPath:
    """The path where every task begins with what the one before it left: its parameters, the optimiser's memory, or both.

    After i rounds the first i tasks are right.
    """
    theta, kept = path.thetas[0], path.optimiser is not None and path.optimiser.kept
    for _ in range(len(theta)):
        last = _later(path.last, path.first) if kept else path.first
        start = np.concatenate([theta[:1], path.thetas[-1][:-1]]) if parameters else theta
        path = follow(support, start, path.rows, path.optimiser, last._replace(start=start))
    return path


def _later(last: Memory, first: Memory) -> Memory:
    """The memory of every task is the last one of the task before it."""
    fields = {name: getattr(last, name) for name in ("m", "v", "t")}
    shifted = {k: np.concatenate([0 * x[:1], x[:-1]]) for k, x in fields.items() if np.ndim(x)}
    N = len(first.start)
    counts = {} if np.ndim(last.t) or not last.t else {"t": last.t * np.arange(N)[:, None]}
    return first._replace(**shifted | counts)


def adjoints(factors: Sequence[Factor], sources: Sequence[Array]) -> list[Array]:
    """λ_k = s_k + (I − H_kα_k) λ_{k+1} from λ_K = s_K; λ_0 … λ_K."""
    result = [sources[-1]]
    for (times, bend, alpha), source in zip(reversed(factors), reversed(sources[:-1]), strict=True):
        later = result[0]
        for _ in range(times):
            later = later - bend(alpha * later)
        result.insert(0, source + later)
    return result


def first_powers(factors: Sequence[Factor], sources: Sequence[Array]) -> list[Array]:
    """The adjoints without products of two Hessians or more: λ_k = s_k + λ_{k+1} − H_kα_k Σ_{j>k} s_j."""
    result, total = [sources[-1]], sources[-1]
    for (times, bend, alpha), source in zip(reversed(factors), reversed(sources[:-1]), strict=True):
        result.insert(0, source + result[0] - (times * bend(alpha * total) if times else 0.0))
        total = total + source
    return result


def tangents(path: InnerPath, bends: Sequence[Bend], along: Array, along_rows: Array) -> list[Array]:
    """dθ⁽⁰⁾ … dθ⁽ᴷ⁾, (D, N, d) each, in D directions of the start (D, N, d) and of the step sizes (D, K, 1 or d).

    Complex steps go through the optimiser, with the gradient's derivative from the Hessian products.  What the optimiser
    remembers of earlier steps has no derivative if it is detached.
    """
    phi = path.thetas[0] + 1j * STEP * along
    memory, result = path.first._replace(start=phi), [along]
    rows, step = path.rows + 1j * STEP * along_rows, _step(path.optimiser)
    for k, (point, bend) in enumerate(zip(path.points, bends, strict=False)):
        g = point.grad + 1j * STEP * np.stack([bend(v) for v in result[-1]])
        phi, memory = step(memory, phi, g, rows[:, k, None, :])
        if path.optimiser is not None and path.optimiser.detached:
            memory = memory._replace(m=np.real(memory.m), v=np.real(memory.v))
        result.append(phi.imag / STEP)
    return result


def alpha_rows(alpha: Any, steps: int) -> Array:
    """α with one row per step, (K, 1) or (K, d), also if it is complex."""
    alpha = np.asarray(alpha)
    return np.broadcast_to(alpha if alpha.ndim else alpha[None], (steps, alpha.shape[-1] if alpha.ndim else 1))


def alpha_directions(alpha: Any, read: Callable[[Array], Array]) -> Array:
    """The derivative of the rows `read(alpha)` by every entry of alpha, one after another, (D, K, 1 or d)."""
    alpha = np.asarray(alpha, float)
    units = np.eye(alpha.size).reshape(alpha.size, *alpha.shape)
    slopes = [np.imag(read(alpha + 1j * STEP * unit)) / STEP for unit in units]
    return np.stack(slopes) if slopes else np.zeros((0, *np.shape(read(alpha))))
