"""Softmax regressions with another data term, other labels, another ridge.  Derivation: derivations/supervised-tasks.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, one_hot, replace_fields
from refmeta.oracle.suites.maml.changed import Made, MadePoint, holomorphic, penalty, weighted
from refmeta.oracle.suites.maml.class_terms import Slopes, cross_entropy
from refmeta.oracle.suites.maml.losses import Change, Side
from refmeta.softmax import log_softmax, softmax

__all__ = ["by_rank", "cosine", "decayed", "frequency", "held_classes", "in_order", "labels", "of_logits", "over_points", "ridge", "ridge_but", "seen", "share", "weighted_points"]


def of_logits(slopes: Slopes) -> Change:
    """The mean of another loss of the logits; the ridge stays."""

    def of(task: Any, side: Side) -> Any:
        targets = one_hot(task.labels, task.classes)

        def both(theta: Array) -> tuple[Array, Array]:
            z = task.X @ theta.reshape(*theta.shape[:-1], task.classes, -1).swapaxes(-1, -2)
            loss, g = slopes(z, targets)
            table = g.swapaxes(-1, -2) @ task.X / z.shape[-2]
            return np.mean(loss, axis=-1), table.reshape(*table.shape[:-2], -1)

        return weighted((1.0, holomorphic(both)), (1.0, penalty(np.full(task.dim, task.ridge))))

    return Change(of, stage=1)


def seen(t: Array) -> Array:
    """How many classes appear, (N, 1)."""
    return np.sum(np.any(t > 0, axis=-2), axis=-1)[..., None]


def share(w: Array) -> Array:
    """Weights that add up to 1."""
    return w / np.sum(w, axis=-1, keepdims=True)


def weighted_points(weigh: Callable[[Array], Array]) -> Change:
    """The cross-entropy of data points with weights: a function of the targets (N, n, C) to (N, n), which add up to the loss."""

    def of(task: Any, side: Side) -> Any:
        targets = one_hot(task.labels, task.classes)
        w = weigh(targets)

        def both(theta: Array) -> tuple[Array, Array]:
            z = task.X @ theta.reshape(*theta.shape[:-1], task.classes, -1).swapaxes(-1, -2)
            loss, g = cross_entropy(z, targets)
            table = (w[..., None] * g).swapaxes(-1, -2) @ task.X
            return np.sum(w * loss, axis=-1), table.reshape(*table.shape[:-2], -1)

        return weighted((1.0, holomorphic(both)), (1.0, penalty(np.full(task.dim, task.ridge))))

    return Change(of, stage=1)


def frequency(t: Array) -> Array:
    """How many data points have the label of each one."""
    return np.sum(t * np.sum(t, axis=-2, keepdims=True), axis=-1)


def over_points(task: Any, side: Side) -> Any:
    """The softmax over the data points."""
    targets = one_hot(task.labels, task.classes)

    def both(theta: Array) -> tuple[Array, Array]:
        z = (task.X @ theta.reshape(*theta.shape[:-1], task.classes, -1).swapaxes(-1, -2)).swapaxes(-1, -2)
        t = targets.swapaxes(-1, -2)
        g = softmax(z) * np.sum(t, axis=-1, keepdims=True) - t
        table = g @ task.X / t.shape[-1]
        return -np.sum(t * log_softmax(z), axis=(-1, -2)) / t.shape[-1], table.reshape(*table.shape[:-2], -1)

    return weighted((1.0, holomorphic(both)), (1.0, penalty(np.full(task.dim, task.ridge))))


def labels(change: Callable[[Array, int], Array]) -> Change:
    """Other labels."""
    return Change(lambda task, side: replace_fields(task, labels=change(task.labels, task.classes)))


def in_order(labels: Array) -> Array:
    """Classes numbered in the order in which they appear."""
    orders = [{c: k for k, c in enumerate(dict.fromkeys(row.tolist()))} for row in labels]
    return np.array([[order[c] for c in row.tolist()] for order, row in zip(orders, labels, strict=True)])


def by_rank(labels: Array) -> Array:
    """Classes numbered in their order among those that appear."""
    return np.stack([np.unique(row, return_inverse=True)[1].reshape(row.shape) for row in labels])


def held_classes(which: Callable[[Array, int], Array]) -> Change:
    """Classes that take no part in the softmax: a statement on the labels of a task (n,) and C, to (C,)."""

    def of(task: Any, side: Side) -> Any:
        out = np.stack([np.where(which(row, task.classes), 0.0, -200.0) for row in task.labels])
        targets = one_hot(task.labels, task.classes)

        def both(theta: Array) -> tuple[Array, Array]:
            z = task.X @ theta.reshape(*theta.shape[:-1], task.classes, -1).swapaxes(-1, -2)
            seen = out[:, None, :] == 0
            z = np.where(seen, z, -200.0)
            loss, g = cross_entropy(z, targets)
            table = (g * seen).swapaxes(-1, -2) @ task.X / z.shape[-2]
            return np.mean(loss, axis=-1), table.reshape(*table.shape[:-2], -1)

        return weighted((1.0, holomorphic(both)), (1.0, penalty(np.full(task.dim, task.ridge))))

    return Change(of, stage=1)


def decayed(task: Any, side: Side) -> Any:
    """The ridge acts in the gradient, and is not differentiated."""
    ridge = side.own.ridge
    without = replace_fields(task, ridge=0.0)

    def at(theta: Array) -> MadePoint:
        point = without.at(theta)
        return MadePoint(theta, lambda: task.at(theta).loss, lambda: point.grad + ridge * theta, point.hvp)

    return Made(at)


def cosine(task: Any, side: Side) -> Any:
    """The logits are cosines of weights and inputs."""
    targets, X = one_hot(task.labels, task.classes), task.X / (np.linalg.norm(task.X, axis=-1, keepdims=True) + 1e-12)

    def both(theta: Array) -> tuple[Array, Array]:
        W = theta.reshape(*theta.shape[:-1], task.classes, -1)
        norm = np.sqrt(np.sum(W**2, axis=-1, keepdims=True))
        z = X @ (W / norm).swapaxes(-1, -2)
        loss, g = cross_entropy(z, targets)
        table = g.swapaxes(-1, -2) @ X / z.shape[-2]
        table = (table - W * np.sum(W * table, axis=-1, keepdims=True) / norm**2) / norm
        return np.mean(loss, axis=-1), table.reshape(*table.shape[:-2], -1)

    return weighted((1.0, holomorphic(both)), (1.0, penalty(np.full(task.dim, task.ridge))))


def ridge(factor: Callable[[Side], float]) -> Change:
    """Another ridge."""
    return Change(lambda task, side: replace_fields(task, ridge=factor(side) * task.ridge))


def ridge_but(feature: int) -> Change:
    """No ridge on the weights of one feature."""

    def of(task: Any, side: Side) -> Any:
        mask = np.zeros((side.own.classes, side.own.X.shape[-1]))
        mask[:, feature] = -side.own.ridge
        return weighted((1.0, task), (1.0, penalty(mask.ravel())))

    return Change(of, stage=2)
