"""Inner loops as programs.  Derivation: derivations/maml.md

A program is run with complex numbers: their imaginary parts carry its derivatives along all directions at once.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import unit_vectors

__all__ = ["Lifted", "Loop", "Slopes", "Step", "Tasks", "ended", "inner", "run_loop", "started", "stepwise"]

STEP = 1e-30


class Lifted(NamedTuple):
    """A loss at complex points whose real parts are one point: it is expanded to first order there."""

    task: Any

    def grad(self, x: Array) -> Array:
        """∇L."""
        if not np.iscomplexobj(x):
            return np.asarray(self.task.at(x).grad)
        base, imag = _parts(x)
        point = self.task.at(base)
        bend = getattr(point, "forward", None) or point.hvp
        return point.grad + 1j * np.stack([bend(v) for v in imag])

    def value(self, x: Array) -> Array:
        """L."""
        base, imag = _parts(x)
        point = self.task.at(base)
        return point.loss + 1j * np.sum(imag * point.grad, axis=-1)

    def curve(self, x: Array, v: Array) -> Array:
        """Hv, H held constant."""
        hvp = self.task.at(_parts(x)[0]).hvp
        return np.stack([hvp(each.real) + 1j * hvp(each.imag) for each in v]) if v.ndim > 2 else hvp(v)


class Tasks(NamedTuple):
    """The two losses of all tasks."""

    support: Lifted
    query: Lifted


Loop = Callable[[Tasks, Array, Sequence[Array]], list[Array]]  # the tasks, θ and a row of step sizes per step → the path
Step = Callable[[Tasks, int, list[Array], Array], Array]  # the tasks, k, θ⁽⁰⁾ … θ⁽ᵏ⁾ and α → θ⁽ᵏ⁺¹⁾
Slopes = Callable[[Sequence[Array]], tuple[Array, Array]]


def _parts(x: Array) -> tuple[Array, Array]:
    """The point, and the directions one after another."""
    return (x[0].real, x.imag) if x.ndim > 2 else (x.real, x.imag[None])


def run_loop(loop: Loop, support: Any, query: Any, start: Array, rows: Array) -> tuple[list[Array], Slopes]:
    """θ⁽⁰⁾ … θ⁽ᴷ⁾, and Σ_k s_k of which they are the points, by θ (N, d) and by the step sizes (N, K, d)."""
    tasks, d, K = Tasks(Lifted(support), Lifted(query)), start.shape[-1], len(rows)
    thetas = loop(tasks, start, list(np.broadcast_to(rows, (K, d))))

    def slopes(sources: Sequence[Array]) -> tuple[Array, Array]:
        unit = 1j * STEP * unit_vectors(d * (K + 1)).reshape(d * (K + 1), K + 1, 1, d)
        path = loop(tasks, start + unit[:, 0], [row + unit[:, k + 1] for k, row in enumerate(np.broadcast_to(rows, (K, d)))])
        by_all = sum(np.einsum("jnd,nd->nj", np.imag(x) / STEP + 0 * unit[:, 0].real, s) for x, s in zip(path, sources, strict=True))
        both = np.asarray(by_all).reshape(len(start), K + 1, d)
        return both[:, 0], both[:, 1:]

    return thetas, slopes


def stepwise(step: Step) -> Loop:
    """A step after another."""

    def loop(tasks: Tasks, theta: Array, rows: Sequence[Array]) -> list[Array]:
        path = [theta]
        for k, alpha in enumerate(rows):
            path.append(step(tasks, k, path, alpha))
        return path

    return loop


def inner(direction: Callable[[Tasks, int, list[Array]], Array]) -> Loop:
    """φ − α times a direction."""
    return stepwise(lambda tasks, k, path, alpha: path[-1] - alpha * direction(tasks, k, path))


def started(change: Callable[[Tasks, Array], Array]) -> Loop:
    """Descent from another point than θ."""

    def loop(tasks: Tasks, theta: Array, rows: Sequence[Array]) -> list[Array]:
        return inner(lambda t, k, path: t.support.grad(path[-1]))(tasks, change(tasks, theta), rows)

    return loop


def ended(end: Callable[[Tasks, list[Array]], Array]) -> Loop:
    """Descent, and another last point."""

    def loop(tasks: Tasks, theta: Array, rows: Sequence[Array]) -> list[Array]:
        path = inner(lambda t, k, path: t.support.grad(path[-1]))(tasks, theta, rows)
        return [*path[:-1], end(tasks, path)]

    return loop
