"""What implementations choose in softmax regression.  Derivation: derivations/supervised-tasks.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, one_hot, replace_fields
from refmeta.oracle.suites.maml.changed import holomorphic, mapped, penalty, weighted
from refmeta.oracle.suites.maml.losses import COMMON, Change, Side, from_support, sided
from refmeta.oracle.suites.maml.losses_of_data import BY_POINT_COUNT, SHARED_POINTS, point_count
from refmeta.softmax import log_softmax, softmax

__all__ = ["CLASSIFICATION", "feature_major"]

Slopes = Callable[[Array, Array], tuple[Array, Array]]  # logits and targets → losses of the data points, slopes in the logits


def _of_logits(slopes: Slopes) -> Change:
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


def _through_softmax(of_probabilities: Slopes) -> Slopes:
    """A loss of the probabilities as one of the logits."""

    def slopes(z: Array, t: Array) -> tuple[Array, Array]:
        p = softmax(z)
        loss, g = of_probabilities(p, t)
        return loss, p * (g - np.sum(p * g, axis=-1, keepdims=True))

    return slopes


def _cross_entropy(z: Array, t: Array) -> tuple[Array, Array]:
    """−Σ t log softmax(z), and its slope."""
    return -np.sum(t * log_softmax(z), axis=-1), softmax(z) - t


def _smoothed(z: Array, t: Array) -> tuple[Array, Array]:
    """The cross-entropy with the targets 0.9 t + 0.1/C."""
    return _cross_entropy(z, 0.9 * t + 0.1 / t.shape[-1])


def _by_class(z: Array, t: Array) -> tuple[Array, Array]:
    """Σ_c log(1 + exp z) − tz, and its slope."""
    return np.sum(np.log1p(np.exp(z)) - t * z, axis=-1), 1 / (1 + np.exp(-z)) - t


def _mean_of_classes(slopes: Slopes) -> Slopes:
    """1/C of a loss."""
    return lambda z, t: tuple(x / t.shape[-1] for x in slopes(z, t))


_squares = _through_softmax(lambda p, t: (np.sum((p - t) ** 2, axis=-1), 2 * (p - t)))
DATA_TERMS: dict[str, Change | None] = {
    "cross-entropy": None,
    "cross-entropy of the softmax of the softmax": _of_logits(_through_softmax(_cross_entropy)),
    "minus the probability, without its logarithm": _of_logits(_through_softmax(lambda p, t: (-np.sum(t * p, axis=-1), -t))),
    "labels smoothed by 0.1": _of_logits(_smoothed),
    "a sigmoid for each class, sum": _of_logits(_by_class),
    "a sigmoid for each class, mean": _of_logits(_mean_of_classes(_by_class)),
    "squared error of the probabilities": _of_logits(_squares),
    "mean squared error of the probabilities": _of_logits(_mean_of_classes(_squares)),
    "cross-entropy divided by the number of classes": _of_logits(_mean_of_classes(_cross_entropy)),
}


def _ridge(factor: Callable[[Side], float]) -> Change:
    """Another ridge."""
    return Change(lambda task, side: replace_fields(task, ridge=factor(side) * task.ridge))


def _ridge_but(feature: int) -> Change:
    """No ridge on the weights of one feature."""

    def of(task: Any, side: Side) -> Any:
        mask = np.zeros((side.own.classes, side.own.X.shape[-1]))
        mask[:, feature] = -side.own.ridge
        return weighted((1.0, task), (1.0, penalty(mask.ravel())))

    return Change(of, stage=2)


def feature_major(task: Any) -> Array:
    """The index of entry f·C + c in the order c·F + f."""
    return np.arange(task.dim).reshape(-1, int(task.classes)).T.ravel()


CLASSIFICATION = {
    "loss": {**COMMON["loss"], **sided(BY_POINT_COUNT)},
    "data term": sided(DATA_TERMS),
    "ridge": sided({
        "as it is": None,
        "none": _ridge(lambda side: 0.0),
        "doubled (no 1/2)": _ridge(lambda side: 2.0),
        "halved": _ridge(lambda side: 0.5),
        "divided by the number of data points": _ridge(lambda side: 1 / point_count(side)),
        "times the number of data points": _ridge(lambda side: float(point_count(side))),
        "divided by the number of parameters": _ridge(lambda side: 1 / side.own.dim),
        "divided by the number of classes": _ridge(lambda side: 1 / side.own.classes),
        "not on the last feature": _ridge_but(-1),
        "not on the first feature": _ridge_but(0),
    }),
    "layout of theta": sided({
        "class after class": None,
        "feature after feature": Change(lambda task, side: mapped(task, order=feature_major(side.own)), stage=3),
    }),
    "temperature": sided({
        "1": None,
        "2": _of_logits(lambda z, t: _tempered(z, t, 0.5)),
        "1/2": _of_logits(lambda z, t: _tempered(z, t, 2.0)),
    }),
    "query's data": SHARED_POINTS | {"labels of the support": from_support("labels")},
}  # fmt: skip


def _tempered(z: Array, t: Array, factor: float) -> tuple[Array, Array]:
    """The cross-entropy of factor·z."""
    loss, g = _cross_entropy(factor * z, t)
    return loss, factor * g
