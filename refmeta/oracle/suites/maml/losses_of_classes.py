"""What implementations choose in softmax regression.  Derivation: derivations/supervised-tasks.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, matvec, one_hot, replace_fields
from refmeta.oracle.suites.maml.changed import Made, MadePoint, bent, holomorphic, mapped, penalty, weighted
from refmeta.oracle.suites.maml.families import sided_families
from refmeta.oracle.suites.maml.loops import Loop, Tasks, started, stepwise
from refmeta.oracle.suites.maml.losses import COMMON, SUPPORT, Change, Side, from_support, sided
from refmeta.oracle.suites.maml.losses_of_data import BY_POINT_COUNT, SHARED_POINTS, point_count
from refmeta.oracle.suites.maml.losses_of_points import INPUTS, LOOPS_OF_POINTS, POINTS
from refmeta.oracle.suites.maml.schedules import OF_PARAMETERS, reordered
from refmeta.softmax import log_softmax, softmax

__all__ = ["CLASSIFICATION", "FAMILIES_OF_CLASSES", "feature_major"]

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


def _smoothed_by(rate: float, others: bool = False) -> Slopes:
    """The cross-entropy with the targets (1 − rate) t + rate/C, or + rate (1 − t)/(C − 1)."""

    def slopes(z: Array, t: Array) -> tuple[Array, Array]:
        C = t.shape[-1]
        return _cross_entropy(z, (1 - rate) * t + (rate * (1 - t) / max(C - 1, 1) if others else rate / C))

    return slopes


def _focal(power: float, held: bool = False) -> Slopes:
    """−(1 − p)^power log p of the label, the weight held constant or not."""

    def slopes(z: Array, t: Array) -> tuple[Array, Array]:
        p, log_p = (np.sum(t * x, axis=-1, keepdims=True) for x in (softmax(z), log_softmax(z)))
        weight = (1 - p) ** power
        by_log = weight if held else weight - power * p * (1 - p) ** (power - 1) * log_p
        return -(weight * log_p)[..., 0], by_log * (softmax(z) - t)

    return slopes


def _powered(power: float) -> Slopes:
    """(1 − p^power)/power of the label."""

    def slopes(z: Array, t: Array) -> tuple[Array, Array]:
        p = np.sum(t * softmax(z), axis=-1, keepdims=True)
        return ((1 - p**power) / power)[..., 0], p**power * (softmax(z) - t)

    return slopes


def _masked(keep: Callable[[Array], Array]) -> Slopes:
    """The cross-entropy of some data points, by the probability of their label."""

    def slopes(z: Array, t: Array) -> tuple[Array, Array]:
        loss, g = _cross_entropy(z, t)
        mask = keep(np.sum(t * softmax(z), axis=-1).real)
        return loss * mask, g * mask[..., None]

    return slopes


def _floored(epsilon: float) -> Slopes:
    """−log(p + ε) of the label."""

    def slopes(z: Array, t: Array) -> tuple[Array, Array]:
        p = np.sum(t * softmax(z), axis=-1, keepdims=True)
        return -np.log(p + epsilon)[..., 0], p / (p + epsilon) * (softmax(z) - t)

    return slopes


def _pulled(rate: float) -> Slopes:
    """The cross-entropy less rate times the entropy of the probabilities."""

    def slopes(z: Array, t: Array) -> tuple[Array, Array]:
        loss, g = _cross_entropy(z, t)
        p, log_p = softmax(z), log_softmax(z)
        mean = np.sum(p * log_p, axis=-1, keepdims=True)
        return loss + rate * mean[..., 0], g + rate * p * (log_p - mean)

    return slopes


def _margin(z: Array, t: Array) -> tuple[Array, Array]:
    """The sum over the other classes of max(0, 1 + z_c − z_label)."""
    own = np.sum(t * z, axis=-1, keepdims=True)
    over = ((1 + z - own).real > 0) * (1 - t)
    return np.sum(over * (1 + z - own), axis=-1), over - t * np.sum(over, axis=-1, keepdims=True)


def _of_logits_squared(z: Array, t: Array) -> tuple[Array, Array]:
    """‖z − t‖²/2."""
    return np.sum((z - t) ** 2, axis=-1) / 2, z - t


def feature_major(task: Any) -> Array:
    """The index of entry f·C + c in the order c·F + f."""
    return np.arange(task.dim).reshape(-1, int(task.classes)).T.ravel()


def _seen(t: Array) -> Array:
    """How many classes appear, (N, 1)."""
    return np.sum(np.any(t > 0, axis=-2), axis=-1)[..., None]


def _share(w: Array) -> Array:
    """Weights that add up to 1."""
    return w / np.sum(w, axis=-1, keepdims=True)


def _weighted_points(weigh: Callable[[Array], Array]) -> Change:
    """The cross-entropy of data points with weights: a function of the targets (N, n, C) to (N, n), which add up to the loss."""

    def of(task: Any, side: Side) -> Any:
        targets = one_hot(task.labels, task.classes)
        w = weigh(targets)

        def both(theta: Array) -> tuple[Array, Array]:
            z = task.X @ theta.reshape(*theta.shape[:-1], task.classes, -1).swapaxes(-1, -2)
            loss, g = _cross_entropy(z, targets)
            table = (w[..., None] * g).swapaxes(-1, -2) @ task.X
            return np.sum(w * loss, axis=-1), table.reshape(*table.shape[:-2], -1)

        return weighted((1.0, holomorphic(both)), (1.0, penalty(np.full(task.dim, task.ridge))))

    return Change(of, stage=1)


def _frequency(t: Array) -> Array:
    """How many data points have the label of each one."""
    return np.sum(t * np.sum(t, axis=-2, keepdims=True), axis=-1)


def _over_points(task: Any, side: Side) -> Any:
    """The softmax over the data points."""
    targets = one_hot(task.labels, task.classes)

    def both(theta: Array) -> tuple[Array, Array]:
        z = (task.X @ theta.reshape(*theta.shape[:-1], task.classes, -1).swapaxes(-1, -2)).swapaxes(-1, -2)
        t = targets.swapaxes(-1, -2)
        g = softmax(z) * np.sum(t, axis=-1, keepdims=True) - t
        table = g @ task.X / t.shape[-1]
        return -np.sum(t * log_softmax(z), axis=(-1, -2)) / t.shape[-1], table.reshape(*table.shape[:-2], -1)

    return weighted((1.0, holomorphic(both)), (1.0, penalty(np.full(task.dim, task.ridge))))


def _labels(change: Callable[[Array, int], Array]) -> Change:
    """Other labels."""
    return Change(lambda task, side: replace_fields(task, labels=change(task.labels, task.classes)))


def _in_order(labels: Array) -> Array:
    """Classes numbered in the order in which they appear."""
    orders = [{c: k for k, c in enumerate(dict.fromkeys(row.tolist()))} for row in labels]
    return np.array([[order[c] for c in row.tolist()] for order, row in zip(orders, labels, strict=True)])


def _by_rank(labels: Array) -> Array:
    """Classes numbered in their order among those that appear."""
    return np.stack([np.unique(row, return_inverse=True)[1].reshape(row.shape) for row in labels])


def _held_classes(which: Callable[[Array, int], Array]) -> Change:
    """Classes that take no part in the softmax: a statement on the labels of a task (n,) and C, to (C,)."""

    def of(task: Any, side: Side) -> Any:
        out = np.stack([np.where(which(row, task.classes), 0.0, -200.0) for row in task.labels])
        targets = one_hot(task.labels, task.classes)

        def both(theta: Array) -> tuple[Array, Array]:
            z = task.X @ theta.reshape(*theta.shape[:-1], task.classes, -1).swapaxes(-1, -2)
            seen = out[:, None, :] == 0
            z = np.where(seen, z, -200.0)
            loss, g = _cross_entropy(z, targets)
            table = (g * seen).swapaxes(-1, -2) @ task.X / z.shape[-2]
            return np.mean(loss, axis=-1), table.reshape(*table.shape[:-2], -1)

        return weighted((1.0, holomorphic(both)), (1.0, penalty(np.full(task.dim, task.ridge))))

    return Change(of, stage=1)


def _decayed(task: Any, side: Side) -> Any:
    """The ridge acts in the gradient, and is not differentiated."""
    ridge = side.own.ridge
    without = replace_fields(task, ridge=0.0)

    def at(theta: Array) -> MadePoint:
        point = without.at(theta)
        return MadePoint(theta, lambda: task.at(theta).loss, lambda: point.grad + ridge * theta, point.hvp)

    return Made(at)


def _cosine(task: Any, side: Side) -> Any:
    """The logits are cosines of weights and inputs."""
    targets, X = one_hot(task.labels, task.classes), task.X / (np.linalg.norm(task.X, axis=-1, keepdims=True) + 1e-12)

    def both(theta: Array) -> tuple[Array, Array]:
        W = theta.reshape(*theta.shape[:-1], task.classes, -1)
        norm = np.sqrt(np.sum(W**2, axis=-1, keepdims=True))
        z = X @ (W / norm).swapaxes(-1, -2)
        loss, g = _cross_entropy(z, targets)
        table = g.swapaxes(-1, -2) @ X / z.shape[-2]
        table = (table - W * np.sum(W * table, axis=-1, keepdims=True) / norm**2) / norm
        return np.mean(loss, axis=-1), table.reshape(*table.shape[:-2], -1)

    return weighted((1.0, holomorphic(both)), (1.0, penalty(np.full(task.dim, task.ridge))))


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
    "labels smoothed by 0.1": _of_logits(_smoothed_by(0.1)),
    "focal, 1": _of_logits(_focal(1.0)),
    "focal, 2": _of_logits(_focal(2.0)),
    "focal, 2, its weight held constant": _of_logits(_focal(2.0, held=True)),
    "hinge": _of_logits(_margin),
    "squared error of the logits": _of_logits(_of_logits_squared),
    "of all data points not yet right": _of_logits(_masked(lambda p: p < 0.5)),
    "each class's mean, then the mean over the classes": _weighted_points(lambda t: 1 / (_frequency(t) * _seen(t))),
    "each class's mean, then the mean over all C classes": _weighted_points(lambda t: 1 / (_frequency(t) * t.shape[-1])),
    "weights n_c": _weighted_points(lambda t: _frequency(t) / t.shape[-2]),
    "weights 1/sqrt(n_c), over their sum": _weighted_points(lambda t: _share(1 / np.sqrt(_frequency(t)))),
    "weights 1/n_c, mean": _weighted_points(lambda t: 1 / _frequency(t) / t.shape[-2]),
    "softmax over the data points": Change(_over_points, stage=1),
    "logits the cosines": Change(_cosine, stage=1),
    "classes up to the largest label only": _held_classes(lambda labels, C: np.arange(C) <= np.max(labels)),
    "classes that appear only": _held_classes(lambda labels, C: np.isin(np.arange(C), labels)),
    "log of base 2": _of_logits(lambda z, t: tuple(x / np.log(2) for x in _cross_entropy(z, t))),
    "log of base 10": _of_logits(lambda z, t: tuple(x / np.log(10) for x in _cross_entropy(z, t))),
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


def _of_table(which: Callable[[Array, Array, int, int], Any]) -> Any:
    """Step sizes of some classes and features only."""

    def entries(a: Array, task: Any) -> Array:
        C, F = int(task.classes), task.dim // int(task.classes)
        c, f = np.divmod(np.arange(task.dim), F)
        return a * which(c, f, C, F)

    return entries


def _means(task: Any, over: float) -> Array:
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
    "the support's class means added to theta": started(lambda t, theta: theta + _means(t.support.task, 1.0)),
    "twice the support's class means added to theta": started(lambda t, theta: theta + _means(t.support.task, 2.0)),
    "the support's class means for theta": started(lambda t, theta: 0 * theta + _means(t.support.task, 1.0)),
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
FAMILIES_OF_CLASSES = {
    **sided_families({
        "labels smoothed by {}": ("data term", lambda c: _of_logits(_smoothed_by(c)), (0.05, 0.3)),
        "labels smoothed by {}, over the other classes": ("data term", lambda c: _of_logits(_smoothed_by(c, True)), (0.05, 0.3)),
        "focal, {}": ("data term", lambda c: _of_logits(_focal(c)), (0.5, 2.5)),
        "focal, {}, its weight held constant": ("data term", lambda c: _of_logits(_focal(c, True)), (0.5, 2.5)),
        "(1 - p^{0})/{0}": ("data term", lambda c: _of_logits(_powered(c)), (0.3, 0.7)),
        "-log(p + {})": ("data term", lambda c: _of_logits(_floored(c)), (1e-6, 1e-3, 0.1)),
        "cross-entropy less {} times the entropy": ("data term", lambda c: _of_logits(_pulled(c)), (0.1, -0.1)),
        "logits times {}": ("temperature", lambda c: _of_logits(lambda z, t: _tempered(z, t, c)), (0.3, 3.0)),
        "a ridge of {}": ("ridge", lambda c: Change(lambda task, side: replace_fields(task, ridge=c)), (0.01, 1.0)),
        "{} added to the ridge": ("ridge", lambda c: Change(lambda task, side: replace_fields(task, ridge=task.ridge + c)), (0.01, 1.0)),
        "cross-entropy times {}": ("data term", lambda c: _of_logits(lambda z, t: tuple(c * x for x in _cross_entropy(z, t))), (0.3, 3.0)),
    }),
    "{} times the support's class means added to theta": (
        "inner loop", lambda c: started(lambda t, theta: theta + _means(t.support.task, c)), (0.5, 2.0)
    ),
}  # fmt: skip


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
        "not differentiated": Change(_decayed, stage=2),
        "squared": Change(lambda task, side: replace_fields(task, ridge=task.ridge**2)),
        "negated": _ridge(lambda side: -1.0),
        "1": Change(lambda task, side: replace_fields(task, ridge=1.0)),
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
    "labels": {
        **sided({
            "as given": None,
            "numbered in the order of appearance": _labels(lambda labels, C: _in_order(labels)),
            "numbered by rank among those that appear": _labels(lambda labels, C: _by_rank(labels)),
            "in reverse": _labels(lambda labels, C: C - 1 - labels),
            "one more": _labels(lambda labels, C: (labels + 1) % C),
            "one less": _labels(lambda labels, C: (labels - 1) % C),
            "at most C - 2": _labels(lambda labels, C: np.minimum(labels, max(C - 2, 0))),
            "0 and 1 only": _labels(lambda labels, C: np.minimum(labels, 1)),
            "moved on by one against the inputs": _labels(lambda labels, C: np.roll(labels, 1, axis=-1)),
            "in reverse against the inputs": _labels(lambda labels, C: labels[..., ::-1]),
            "of the first task": _labels(lambda labels, C: labels[:1] + 0 * labels),
            "of the next task": _labels(lambda labels, C: np.roll(labels, -1, axis=0)),
        }),
    },
    "points": POINTS,
    "inputs": INPUTS,
    "inner loop": LOOPS_OF_POINTS | LOOPS_OF_CLASSES,
    "alpha of the parameters": OF_PARAMETERS | {
        "none for the last feature": _of_table(lambda c, f, C, F: f < F - 1),
        "none for the first feature": _of_table(lambda c, f, C, F: f > 0),
        "none but for the last feature": _of_table(lambda c, f, C, F: f == F - 1),
        "none for the last class": _of_table(lambda c, f, C, F: c < C - 1),
        "none for the first class": _of_table(lambda c, f, C, F: c > 0),
        "in the order feature after feature": reordered(feature_major),
        "in the order class after class of feature after feature": reordered(lambda task: np.argsort(feature_major(task))),
    },
    "curvature": CURVATURES_OF_CLASSES,
    "query's data": SHARED_POINTS | {"labels of the support": from_support("labels")},
}  # fmt: skip


def _tempered(z: Array, t: Array, factor: float) -> tuple[Array, Array]:
    """The cross-entropy of factor·z."""
    loss, g = _cross_entropy(factor * z, t)
    return loss, factor * g
