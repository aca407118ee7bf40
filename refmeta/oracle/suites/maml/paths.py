"""Adaptation with any optimiser and any Hessian factors, and its derivatives.  Derivation: derivations/maml.md

A path needs `at(theta)` of a task, and `grad` and `hvp` of its points.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.meta.arguments import Point
from refmeta.oracle.choices import unit_vectors
from refmeta.oracle.suites.maml.steps import Memory, Optimiser, Step, descent

__all__ = ["Bend", "Factor", "InnerPath", "adjoints", "alpha_directions", "alpha_rows", "carried", "first_powers", "follow", "pullback"]

STEP = 1e-30
KEPT = ("start", "first", "m", "v")  # what a step may depend on, of what is remembered
Bend = Callable[[Array], Array]  # v → Hv


class InnerPath(NamedTuple):
    """θ⁽⁰⁾ … θ⁽ᴷ⁾ (N, d) each, the support's points there, the step sizes by step, the optimiser, its first and last memory.

    slopes : the derivatives of a path that a program made, which has no support's points; else None.
    """

    thetas: list[Array]
    points: list[Point]
    rows: Array
    optimiser: Optimiser | None
    first: Memory
    last: Memory
    slopes: Callable[[Sequence[Array]], tuple[Array, Array]] | None = None


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


def pullback(path: InnerPath, bends: Sequence[Bend], sources: Sequence[Array]) -> tuple[Array, Array]:
    """dF/dθ (N, d) and dF by the step sizes (N, K, d), backwards through any optimiser, from s_k = ∂F/∂θ⁽ᵏ⁾.

    What the optimiser has detached is a constant: of its memory of earlier steps, or the gradients "g".
    """
    step, memories, detached = _step(path.optimiser), [path.first], path.optimiser.detached if path.optimiser else ()
    for theta, point, alpha in zip(path.thetas, path.points, path.rows, strict=False):
        memories.append(step(memories[-1], theta, point.grad, alpha)[1])
    later, rows = {"phi": sources[-1]}, list[Array]()
    for k in reversed(range(len(path.rows))):
        slopes = _step_slopes(step, memories[k], path.thetas[k], path.points[k].grad, path.rows[k])
        before = dict.fromkeys(("phi", "g", "alpha", *KEPT), 0 * sources[-1])
        for (given, result), slope in slopes.items():
            if result in later:
                before[given] = before[given] + _pulled(slope, later[result])
        rows.insert(0, before["alpha"])
        bent = 0.0 if "g" in detached else bends[k](before["g"])
        later = {"phi": sources[k] + before["phi"] + bent} | {name: before[name] for name in KEPT if name not in detached}
    N, d = sources[-1].shape
    return later["phi"] + later.get("start", 0.0), np.stack(rows, axis=1) if rows else np.zeros((N, 0, d))


class _Moved(NamedTuple):
    """A step with its inputs by name, and the shape (N, d) of its results."""

    step: Step
    memory: Memory
    inputs: dict[str, Array]

    def along(self, units: Array) -> dict[tuple[str, str], Array]:
        """The derivatives of every output along directions (J, d), each of one input alone, (J, N, d), by complex steps."""
        J, d = units.shape
        unit = 1j * STEP * np.eye(len(self.inputs))[:, :, None, None, None] * units[:, None]
        x = {name: value + unit[:, i].reshape(-1, 1, d) for i, (name, value) in enumerate(self.inputs.items())}
        kept = self.memory._replace(**{name: x[name] for name in KEPT if name in x})
        moved, after = self.step(kept, x["phi"], x["g"], x["alpha"])
        slopes: dict[tuple[str, str], Array] = {}
        for name, value in {"phi": moved, **{name: getattr(after, name) for name in KEPT}}.items():
            if np.iscomplexobj(value):
                by_input = (np.imag(value) / STEP).reshape(len(self.inputs), J, -1, d)
                slopes |= {(given, name): by_input[i] for i, given in enumerate(self.inputs)}
        return slopes


def _step_slopes(step: Step, memory: Memory, phi: Array, g: Array, alpha: Array) -> dict[tuple[str, str], Array]:
    """The derivative of every output of a step by every input: entry by entry (1, N, d) if others do not matter, else (d, N, d)."""
    kept = {name: getattr(memory, name) for name in KEPT if np.ndim(getattr(memory, name))}
    moved, d = _Moved(step, memory, {"phi": phi, "g": g, "alpha": alpha, **kept}), phi.shape[-1]
    weights = np.cos(np.arange(1.0, d + 1))
    slopes = moved.along(np.stack([np.ones(d), weights]))
    if all(_is_by_entry(slope, weights) for slope in slopes.values()):
        return {key: slope[:1] for key, slope in slopes.items()}
    return moved.along(unit_vectors(d))


def _is_by_entry(slopes: Array, weights: Array) -> bool:
    """Is the slope along the weights that along ones, each entry times its weight?"""
    one, other = slopes[0] * weights, slopes[1]
    return bool(np.all(np.abs(other - one) <= 1e-9 * np.abs(one) + 1e-12 * np.max(np.abs(slopes[0]))))


def _pulled(slope: Array, later: Array) -> Array:
    """Σ_j of the derivative of entry j, times the adjoint (N, d), by entry."""
    return slope[0] * later if len(slope) == 1 else np.einsum("jnd,nd->nj", slope, later)


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
