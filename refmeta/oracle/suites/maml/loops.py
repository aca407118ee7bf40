"""Inner loops that are not a gradient per step from the last point, written as programs.  Derivation: derivations/maml.md

A program is run with complex numbers: their imaginary parts carry its derivatives along all directions at once.
"""

from collections.abc import Callable, Sequence

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.maml.programs import Lifted, Loop, Step, Tasks, ended, inner, stepwise

__all__ = ["LOOPS"]

HALVINGS = 30


def _best(loss: Callable[[Tasks], Lifted]) -> Callable[[Tasks, list[Array]], Array]:
    """The point with the least loss, for every task."""

    def end(tasks: Tasks, path: list[Array]) -> Array:
        wide = [x + 0 * path[-1] for x in path]
        losses = np.stack([np.reshape(loss(tasks).value(x).real, (-1, x.shape[-2]))[0] for x in wide])
        first = np.argmin(losses, axis=0)
        return np.asarray(sum(np.where(first[:, None] == k, x, 0.0) for k, x in enumerate(wide)))

    return end


def _halved(share: float) -> Step:
    """φ − 2⁻ʲαg for every task, j the least with a loss that falls by a share of 2⁻ʲαg²."""

    def step(tasks: Tasks, k: int, path: list[Array], alpha: Array) -> Array:
        phi, s = path[-1], tasks.support
        g, before = s.grad(phi), _real(s.value(phi), phi)
        factor = np.ones((phi.shape[-2], 1))
        for _ in range(HALVINGS):
            fall = share * _real(np.sum(factor * alpha * g * g, axis=-1), phi)
            high = _real(s.value(phi - factor * alpha * g), phi) > before - fall
            if not np.any(high):
                break
            factor = np.where(high[:, None], factor / 2, factor)
        return phi - factor * alpha * g

    return step


def _real(x: Array, phi: Array) -> Array:
    """The number of every task, whatever the direction."""
    return np.asarray(np.real(x)).reshape(-1, phi.shape[-2])[0]


def _in_turn(order: Callable[[int], Sequence[int]]) -> Step:
    """One parameter after another, each with the gradient at the newest point."""

    def step(tasks: Tasks, k: int, path: list[Array], alpha: Array) -> Array:
        phi, d = path[-1], path[-1].shape[-1]
        for j in order(d):
            phi = phi - alpha * tasks.support.grad(phi) * (np.arange(d) == j)
        return phi

    return step


def _secant(long: bool) -> Step:
    """Barzilai and Borwein's steps after the first."""

    def step(tasks: Tasks, k: int, path: list[Array], alpha: Array) -> Array:
        phi, g = path[-1], tasks.support.grad(path[-1])
        if k == 0:
            return phi - alpha * g
        s, y = phi - path[-2], g - tasks.support.grad(path[-2])
        dot: Callable[[Array, Array], Array] = lambda a, b: np.sum(a * b, axis=-1, keepdims=True)
        enough = np.abs(dot(s, y).real) > 1e-12
        rate = dot(s, s) / np.where(enough, dot(s, y), 1.0) if long else dot(s, y) / np.where(enough, dot(y, y), 1.0)
        return phi - np.where(enough, rate, alpha) * g

    return step


def _ahead(tasks: Tasks, k: int, path: list[Array], alpha: Array) -> Array:
    """φ − α∇L(φ − α∇L(φ))."""
    return path[-1] - alpha * tasks.support.grad(path[-1] - alpha * tasks.support.grad(path[-1]))


def _both_in_turn(tasks: Tasks, k: int, path: list[Array], alpha: Array) -> Array:
    """A step of the support, then one of the query."""
    phi = path[-1] - alpha * tasks.support.grad(path[-1])
    return phi - alpha * tasks.query.grad(phi)


def _pooled(reduce: Callable[..., Array]) -> Callable[[Tasks, int, list[Array]], Array]:
    """All tasks' gradients in one."""
    return lambda tasks, k, path: 0 * path[-1] + reduce(tasks.support.grad(path[-1] + 0 * path[0]), axis=-2, keepdims=True)


LOOPS: dict[str, Loop | None] = {
    "descent": None,
    "the second, the fourth, ... step on the query": inner(lambda t, k, path: t[k % 2].grad(path[-1])),
    "the first, the third, ... step on the query": inner(lambda t, k, path: t[1 - k % 2].grad(path[-1])),
    "the first step on the query": inner(lambda t, k, path: t[int(k == 0)].grad(path[-1])),
    "all steps but the first on the query": inner(lambda t, k, path: t[int(k > 0)].grad(path[-1])),
    "every step on the support, then on the query": stepwise(_both_in_turn),
    "on the mean of the tasks' gradients": inner(_pooled(np.mean)),
    "on the sum of the tasks' gradients": inner(_pooled(np.sum)),
    "the gradient one step ahead": stepwise(_ahead),
    "the gradient of the point before": inner(lambda t, k, path: t.support.grad(path[-2:][0])),
    "the mean of the new gradient and that of the point before": inner(
        lambda t, k, path: (t.support.grad(path[-1]) + t.support.grad(path[-2:][0])) / 2
    ),
    "the mean of all gradients so far": inner(lambda t, k, path: np.asarray(sum(t.support.grad(x) for x in path)) / len(path)),
    "phi the mean of the points after theta": ended(lambda t, path: np.asarray(sum(path[1:])) / (len(path) - 1) if path[1:] else path[0]),
    "phi the mean of theta and all points": ended(lambda t, path: np.asarray(sum(path)) / len(path)),
    "phi the mean of the last two points": ended(lambda t, path: (path[-1] + path[-2:][0]) / 2),
    "phi the best point by the support's loss": ended(_best(lambda t: t.support)),
    "phi the best point by the query's loss": ended(_best(lambda t: t.query)),
    "phi and theta added": ended(lambda t, path: path[-1] + path[0]),
    "one parameter after another": stepwise(_in_turn(range)),
    "one parameter after another, from the last": stepwise(_in_turn(lambda d: range(d)[::-1])),
    "one parameter per step": inner(lambda t, k, path: t.support.grad(path[-1]) * (np.arange(path[-1].shape[-1]) == k % path[-1].shape[-1])),
    "Barzilai and Borwein's steps after the first": stepwise(_secant(True)),
    "Barzilai and Borwein's short steps after the first": stepwise(_secant(False)),
    **{
        f"a step halved until the loss falls{f' by {c:g} of alpha |g|^2' if c else ''}": stepwise(_halved(c))
        for c in (0.0, 1e-4, 0.01, 0.1, 0.5)
    },
}
