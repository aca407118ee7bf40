"""Inner loops, step sizes and curvatures of softmax regressions.  Derivation: derivations/supervised-tasks.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, matvec, one_hot
from refmeta.oracle.suites.maml.changed import bent
from refmeta.oracle.suites.maml.losses import SUPPORT, Change, Side
from refmeta.oracle.suites.maml.programs import Loop, Tasks, started, stepwise
from refmeta.softmax import softmax

__all__ = ["CURVATURES_OF_CLASSES", "LOOPS_OF_CLASSES", "feature_major", "means", "of_table"]


def feature_major(task: Any) -> Array:
    """The index of entry f·C + c in the order c·F + f."""
    return np.arange(task.dim).reshape(-1, int(task.classes)).T.ravel()


def of_table(which: Callable[[Array, Array, int, int], Any]) -> Any:
    """Step sizes of some classes and features only."""

    def entries(a: Array, task: Any) -> Array:
        C, F = int(task.classes), task.dim // int(task.classes)
        c, f = np.divmod(np.arange(task.dim), F)
        return a * which(c, f, C, F)

    return entries


def means(task: Any, over: float) -> Array:
    """The mean of every class's inputs, 0 where there are none, (N, C·F)."""
    t = one_hot(task.labels, task.classes)
    sums = t.swapaxes(-1, -2) @ task.X
    counts = np.sum(t, axis=-2)[..., None]
    return (sums / np.maximum(counts, 1)).reshape(*sums.shape[:-2], -1) * over


def _mean_weights(theta: Array, task: Any) -> Array:
    """Every class with the mean of all classes' weights."""
    W = theta.reshape(*theta.shape[:-1], int(task.classes), -1)
    return (0 * W + np.mean(W, axis=-2, keepdims=True)).reshape(theta.shape)


def _until_right() -> Loop:
    """No step of a task whose labels are all predicted."""

    def step(tasks: Tasks, k: int, path: list[Array], alpha: Array) -> Array:
        task, phi = tasks.support.task, path[-1]
        base = (phi[0] if phi.ndim > 2 else phi).real
        z = task.X @ base.reshape(*base.shape[:-1], int(task.classes), -1).swapaxes(-1, -2)
        right = np.argmax(z, axis=-1) == task.labels
        return phi - alpha * tasks.support.grad(phi) * ~np.all(right, axis=-1)[:, None]

    return stepwise(step)


LOOPS_OF_CLASSES: dict[str, Loop | None] = {
    "all classes start from their mean": started(lambda t, theta: _mean_weights(theta, t.support.task)),
    "the support's class means added to theta": started(lambda t, theta: theta + means(t.support.task, 1.0)),
    "twice the support's class means added to theta": started(lambda t, theta: theta + means(t.support.task, 2.0)),
    "the support's class means for theta": started(lambda t, theta: 0 * theta + means(t.support.task, 1.0)),
    "no step once every label is right": _until_right(),
}


def _outer_products(ridge: bool, centred: bool = False, summed: bool = False) -> Change:
    """The mean of outer products of the data points' gradients for the Hessian, with the ridge or not."""

    def of(task: Any, side: Side) -> Any:
        own = side.own

        def bend(theta: Array, v: Array) -> Array:
            z = own.X @ theta.reshape(*theta.shape[:-1], own.classes, -1).swapaxes(-1, -2)
            r = softmax(z) - one_hot(own.labels, own.classes)
            G = (r[..., :, None] * own.X[..., None, :]).reshape(*r.shape[:-1], -1)
            G = G - np.mean(G, axis=-2, keepdims=True) if centred else G
            n = 1 if summed else r.shape[-2]
            return matvec(G.swapaxes(-1, -2), matvec(G, v)) / n + ridge * own.ridge * v

        return bent(task, bend)

    return Change(of, SUPPORT, stage=4)


def _blocks(of_classes: bool) -> Change:
    """The Hessian's blocks of one class, or of one feature, only."""

    def of(task: Any, side: Side) -> Any:
        C, F = int(side.own.classes), side.own.dim // int(side.own.classes)
        index = np.arange(C * F) // F if of_classes else np.arange(C * F) % F

        def bend(theta: Array, v: Array) -> Array:
            hvp = task.at(theta).hvp
            return np.asarray(sum((index == j) * hvp((index == j) * v) for j in range(C if of_classes else F)))

        return bent(task, bend)

    return Change(of, SUPPORT, stage=4)


CURVATURES_OF_CLASSES = {
    "the Hessian": None,
    "outer products of gradients": _outer_products(True),
    "outer products of gradients, no ridge": _outer_products(False),
    "outer products of gradients less their mean": _outer_products(True, centred=True),
    "outer products of gradients, summed": _outer_products(True, summed=True),
    "blocks of one class": _blocks(True),
    "blocks of one feature": _blocks(False),
}
