"""What implementations choose in softmax regression.  Derivation: derivations/supervised-tasks.md"""

import numpy as np

from refmeta.arrays import replace_fields
from refmeta.oracle.suites.maml.changed import mapped
from refmeta.oracle.suites.maml.class_changes import (
    by_rank,
    cosine,
    decayed,
    frequency,
    held_classes,
    in_order,
    labels,
    of_logits,
    over_points,
    ridge,
    ridge_but,
    seen,
    share,
    weighted_points,
)
from refmeta.oracle.suites.maml.class_loops import (
    CURVATURES_OF_CLASSES,
    LOOPS_OF_CLASSES,
    feature_major,
    means,
    of_table,
)
from refmeta.oracle.suites.maml.class_terms import (
    by_class,
    cross_entropy,
    floored,
    focal,
    margin,
    masked,
    mean_of_classes,
    of_logits_squared,
    powered,
    pulled,
    smoothed_by,
    squares,
    tempered,
    through_softmax,
)
from refmeta.oracle.suites.maml.data_scaled import INPUTS
from refmeta.oracle.suites.maml.families import sided_families
from refmeta.oracle.suites.maml.losses import COMMON, SUPPORT, Change, from_support, sided
from refmeta.oracle.suites.maml.losses_of_data import BY_POINT_COUNT, SHARED_POINTS, point_count
from refmeta.oracle.suites.maml.losses_of_points import LOOPS_OF_POINTS, POINTS
from refmeta.oracle.suites.maml.programs import started
from refmeta.oracle.suites.maml.schedules import OF_PARAMETERS, reordered

__all__ = ["CLASSIFICATION", "FAMILIES_OF_CLASSES"]

DATA_TERMS: dict[str, Change | None] = {
    "cross-entropy": None,
    "cross-entropy of the softmax of the softmax": of_logits(through_softmax(cross_entropy)),
    "minus the probability, without its logarithm": of_logits(through_softmax(lambda p, t: (-np.sum(t * p, axis=-1), -t))),
    "labels smoothed by 0.1": of_logits(smoothed_by(0.1)),
    "focal, 1": of_logits(focal(1.0)),
    "focal, 2": of_logits(focal(2.0)),
    "focal, 2, its weight held constant": of_logits(focal(2.0, held=True)),
    "hinge": of_logits(margin),
    "squared error of the logits": of_logits(of_logits_squared),
    "of all data points not yet right": of_logits(masked(lambda p: p < 0.5)),
    "each class's mean, then the mean over the classes": weighted_points(lambda t: 1 / (frequency(t) * seen(t))),
    "each class's mean, then the mean over all C classes": weighted_points(lambda t: 1 / (frequency(t) * t.shape[-1])),
    "weights n_c": weighted_points(lambda t: frequency(t) / t.shape[-2]),
    "weights 1/sqrt(n_c), over their sum": weighted_points(lambda t: share(1 / np.sqrt(frequency(t)))),
    "weights 1/n_c, mean": weighted_points(lambda t: 1 / frequency(t) / t.shape[-2]),
    "softmax over the data points": Change(over_points, stage=1),
    "logits the cosines": Change(cosine, stage=1),
    "classes up to the largest label only": held_classes(lambda labels, C: np.arange(C) <= np.max(labels)),
    "classes that appear only": held_classes(lambda labels, C: np.isin(np.arange(C), labels)),
    "log of base 2": of_logits(lambda z, t: tuple(x / np.log(2) for x in cross_entropy(z, t))),
    "log of base 10": of_logits(lambda z, t: tuple(x / np.log(10) for x in cross_entropy(z, t))),
    "a sigmoid for each class, sum": of_logits(by_class),
    "a sigmoid for each class, mean": of_logits(mean_of_classes(by_class)),
    "squared error of the probabilities": of_logits(squares),
    "mean squared error of the probabilities": of_logits(mean_of_classes(squares)),
    "cross-entropy divided by the number of classes": of_logits(mean_of_classes(cross_entropy)),
}
FAMILIES_OF_CLASSES = {
    **sided_families({
        "labels smoothed by {}": ("data term", lambda c: of_logits(smoothed_by(c)), (0.05, 0.3)),
        "labels smoothed by {}, over the other classes": ("data term", lambda c: of_logits(smoothed_by(c, True)), (0.05, 0.3)),
        "focal, {}": ("data term", lambda c: of_logits(focal(c)), (0.5, 2.5)),
        "focal, {}, its weight held constant": ("data term", lambda c: of_logits(focal(c, True)), (0.5, 2.5)),
        "(1 - p^{0})/{0}": ("data term", lambda c: of_logits(powered(c)), (0.3, 0.7)),
        "-log(p + {})": ("data term", lambda c: of_logits(floored(c)), (1e-6, 1e-3, 0.1)),
        "cross-entropy less {} times the entropy": ("data term", lambda c: of_logits(pulled(c)), (0.1, -0.1)),
        "logits times {}": ("temperature", lambda c: of_logits(lambda z, t: tempered(z, t, c)), (0.3, 3.0)),
        "a ridge of {}": ("ridge", lambda c: Change(lambda task, side: replace_fields(task, ridge=c)), (0.01, 1.0)),
        "{} added to the ridge": ("ridge", lambda c: Change(lambda task, side: replace_fields(task, ridge=task.ridge + c)), (0.01, 1.0)),
        "cross-entropy times {}": ("data term", lambda c: of_logits(lambda z, t: tuple(c * x for x in cross_entropy(z, t))), (0.3, 3.0)),
    }),
    "{} times the support's class means added to theta": (
        "inner loop", lambda c: started(lambda t, theta: theta + means(t.support.task, c)), (0.5, 2.0)
    ),
}  # fmt: skip
CLASSIFICATION = {
    "loss": {**COMMON["loss"], **sided(BY_POINT_COUNT)},
    "data term": sided(DATA_TERMS),
    "ridge": sided({
        "as it is": None,
        "none": ridge(lambda side: 0.0),
        "doubled (no 1/2)": ridge(lambda side: 2.0),
        "halved": ridge(lambda side: 0.5),
        "divided by the number of data points": ridge(lambda side: 1 / point_count(side)),
        "times the number of data points": ridge(lambda side: float(point_count(side))),
        "divided by the number of parameters": ridge(lambda side: 1 / side.own.dim),
        "divided by the number of classes": ridge(lambda side: 1 / side.own.classes),
        "not on the last feature": ridge_but(-1),
        "not on the first feature": ridge_but(0),
                "squared": Change(lambda task, side: replace_fields(task, ridge=task.ridge**2)),
        "negated": ridge(lambda side: -1.0),
        "1": Change(lambda task, side: replace_fields(task, ridge=1.0)),
    }) | {"not differentiated, in the support only": Change(decayed, SUPPORT, stage=2)},
    "layout of theta": sided({
        "class after class": None,
        "feature after feature": Change(lambda task, side: mapped(task, order=feature_major(side.own)), stage=3),
    }),
    "temperature": sided({
        "1": None,
        "2": of_logits(lambda z, t: tempered(z, t, 0.5)),
        "1/2": of_logits(lambda z, t: tempered(z, t, 2.0)),
    }),
    "labels": {
        **sided({
            "as given": None,
            "numbered in the order of appearance": labels(lambda labels, C: in_order(labels)),
            "numbered by rank among those that appear": labels(lambda labels, C: by_rank(labels)),
            "in reverse": labels(lambda labels, C: C - 1 - labels),
            "one more": labels(lambda labels, C: (labels + 1) % C),
            "one less": labels(lambda labels, C: (labels - 1) % C),
            "at most C - 2": labels(lambda labels, C: np.minimum(labels, max(C - 2, 0))),
            "0 and 1 only": labels(lambda labels, C: np.minimum(labels, 1)),
            "moved on by one against the inputs": labels(lambda labels, C: np.roll(labels, 1, axis=-1)),
            "in reverse against the inputs": labels(lambda labels, C: labels[..., ::-1]),
            "of the first task": labels(lambda labels, C: labels[:1] + 0 * labels),
            "of the next task": labels(lambda labels, C: np.roll(labels, -1, axis=0)),
        }),
    },
    "points": POINTS,
    "inputs": INPUTS,
    "inner loop": LOOPS_OF_POINTS | LOOPS_OF_CLASSES,
    "alpha of the parameters": OF_PARAMETERS | {
        "none for the last feature": of_table(lambda c, f, C, F: f < F - 1),
        "none for the first feature": of_table(lambda c, f, C, F: f > 0),
        "none but for the last feature": of_table(lambda c, f, C, F: f == F - 1),
        "none for the last class": of_table(lambda c, f, C, F: c < C - 1),
        "none for the first class": of_table(lambda c, f, C, F: c > 0),
        "in the order feature after feature": reordered(feature_major),
        "in the order class after class of feature after feature": reordered(lambda task: np.argsort(feature_major(task))),
    },
    "curvature": CURVATURES_OF_CLASSES,
    "query's data": SHARED_POINTS | {"labels of the support": from_support("labels")},
}  # fmt: skip
