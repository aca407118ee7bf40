"""Losses of logits and their slopes.  Derivation: derivations/supervised-tasks.md"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.softmax import log_softmax, softmax

__all__ = ["Slopes", "by_class", "cross_entropy", "floored", "focal", "margin", "masked", "mean_of_classes", "of_logits_squared", "powered", "pulled", "smoothed_by", "squares", "tempered", "through_softmax"]

Slopes = Callable[[Array, Array], tuple[Array, Array]]  # logits and targets → losses of the data points, slopes in the logits


def through_softmax(of_probabilities: Slopes) -> Slopes:
    """A loss of the probabilities as one of the logits."""

    def slopes(z: Array, t: Array) -> tuple[Array, Array]:
        p = softmax(z)
        loss, g = of_probabilities(p, t)
        return loss, p * (g - np.sum(p * g, axis=-1, keepdims=True))

    return slopes


def cross_entropy(z: Array, t: Array) -> tuple[Array, Array]:
    """−Σ t log softmax(z), and its slope."""
    return -np.sum(t * log_softmax(z), axis=-1), softmax(z) - t


def smoothed_by(rate: float, others: bool = False) -> Slopes:
    """The cross-entropy with the targets (1 − rate) t + rate/C, or + rate (1 − t)/(C − 1)."""

    def slopes(z: Array, t: Array) -> tuple[Array, Array]:
        C = t.shape[-1]
        return cross_entropy(z, (1 - rate) * t + (rate * (1 - t) / max(C - 1, 1) if others else rate / C))

    return slopes


def focal(power: float, held: bool = False) -> Slopes:
    """−(1 − p)^power log p of the label, the weight held constant or not."""

    def slopes(z: Array, t: Array) -> tuple[Array, Array]:
        p, log_p = (np.sum(t * x, axis=-1, keepdims=True) for x in (softmax(z), log_softmax(z)))
        weight = (1 - p) ** power
        by_log = weight if held else weight - power * p * (1 - p) ** (power - 1) * log_p
        return -(weight * log_p)[..., 0], by_log * (softmax(z) - t)

    return slopes


def powered(power: float) -> Slopes:
    """(1 − p^power)/power of the label."""

    def slopes(z: Array, t: Array) -> tuple[Array, Array]:
        p = np.sum(t * softmax(z), axis=-1, keepdims=True)
        return ((1 - p**power) / power)[..., 0], p**power * (softmax(z) - t)

    return slopes


def masked(keep: Callable[[Array], Array]) -> Slopes:
    """The cross-entropy of some data points, by the probability of their label."""

    def slopes(z: Array, t: Array) -> tuple[Array, Array]:
        loss, g = cross_entropy(z, t)
        mask = keep(np.sum(t * softmax(z), axis=-1).real)
        return loss * mask, g * mask[..., None]

    return slopes


def floored(epsilon: float) -> Slopes:
    """−log(p + ε) of the label."""

    def slopes(z: Array, t: Array) -> tuple[Array, Array]:
        p = np.sum(t * softmax(z), axis=-1, keepdims=True)
        return -np.log(p + epsilon)[..., 0], p / (p + epsilon) * (softmax(z) - t)

    return slopes


def pulled(rate: float) -> Slopes:
    """The cross-entropy less rate times the entropy of the probabilities."""

    def slopes(z: Array, t: Array) -> tuple[Array, Array]:
        loss, g = cross_entropy(z, t)
        p, log_p = softmax(z), log_softmax(z)
        mean = np.sum(p * log_p, axis=-1, keepdims=True)
        return loss + rate * mean[..., 0], g + rate * p * (log_p - mean)

    return slopes


def margin(z: Array, t: Array) -> tuple[Array, Array]:
    """The sum over the other classes of max(0, 1 + z_c − z_label)."""
    own = np.sum(t * z, axis=-1, keepdims=True)
    over = ((1 + z - own).real > 0) * (1 - t)
    return np.sum(over * (1 + z - own), axis=-1), over - t * np.sum(over, axis=-1, keepdims=True)


def of_logits_squared(z: Array, t: Array) -> tuple[Array, Array]:
    """‖z − t‖²/2."""
    return np.sum((z - t) ** 2, axis=-1) / 2, z - t


def by_class(z: Array, t: Array) -> tuple[Array, Array]:
    """Σ_c log(1 + exp z) − tz, and its slope."""
    return np.sum(np.log1p(np.exp(z)) - t * z, axis=-1), 1 / (1 + np.exp(-z)) - t


def mean_of_classes(slopes: Slopes) -> Slopes:
    """1/C of a loss."""
    return lambda z, t: tuple(x / t.shape[-1] for x in slopes(z, t))


squares = through_softmax(lambda p, t: (np.sum((p - t) ** 2, axis=-1), 2 * (p - t)))


def tempered(z: Array, t: Array, factor: float) -> tuple[Array, Array]:
    """The cross-entropy of factor·z."""
    loss, g = cross_entropy(factor * z, t)
    return loss, factor * g
