"""How adapted parameters are judged, and what the scores of the batches count for.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.expected_estimators.kernels import World, gradient, loss, world
from refmeta.oracle.suites.expected_estimators.problem import Expectations

__all__ = ["Ways", "h", "judged"]

h = 1e-30
JUDGED: dict[str, Callable[[int], list[float]]] = {
    "all": lambda K: [1.0] * (K + 1), "mean of all": lambda K: [1 / (K + 1)] * (K + 1), "all adapted": lambda K: [0.0] * (K > 0) + [1.0] * max(K, 1),
    "mean of the adapted": lambda K: [0.0] * (K > 0) + [1 / max(K, 1)] * max(K, 1), "first and last": lambda K: [1.0] * (K > 0) + [0.0] * max(K - 1, 0) + [1.0],
    "half of the first": lambda K: [0.5] * (K > 0) + [0.0] * max(K - 1, 0) + [1.0 - 0.5 * (K > 0)], "improvement": lambda K: [-1.0] * (K > 0) + [0.0] * max(K - 1, 0) + [1.0],
}  # fmt: skip


class Ways(NamedTuple):
    """Every way to adapt: φ (d, B, d) with axis 0 the direction of the complex step, ln of its chance, scores with a value, credits so far."""

    phi: Array
    chance: Array
    scores: Array
    credit: Array


def judged(problem: Expectations, i: int, point: Point, ways: Ways, path: list[Array], w: World) -> Array:
    """Σ p (∂L + L ∂ ln p): the loss after adaptation, and the scores."""
    A, at = problem.tasks[i].policy.actions, point.get("evaluated at", "phi")
    p, score = np.exp(ways.chance.real), ways.chance.imag / h
    if at == "mean of the batches":
        mean = np.sum(p[..., None] * (ways.phi + 1j * h * ways.phi.real * score[..., None]), axis=1)
        return loss(w, mean, A).imag / h
    phi = _adapted(at, path)
    L = loss(w, phi, A)
    slope = L.imag / h
    if at == "theta":
        slope = ways.phi.imag / h @ gradient(w, problem.theta, A)
    if (kind := point.get("judged", "")) in JUDGED:
        weights = JUDGED[kind](len(path) - 1)
        every = [c * loss(w, x, A) for c, x in zip(weights, path, strict=True)]
        L = sum(every[1:], every[0])
        slope = L.imag / h
    value: Any = L.real
    if point.get("value of the score term") == "mean reward":
        value = loss(world(problem.tasks[i].mdp, "undiscounted"), phi, A).real / (problem.tasks[i].mdp.horizon or 1)
    elif point.get("value of the score term") == "undiscounted":
        value = loss(world(problem.tasks[i].mdp, "undiscounted"), phi, A).real
    return np.asarray(np.sum(p * (slope + value * score + ways.scores / h), axis=1))


def _adapted(at: Any, path: list[Array]) -> Array:
    """φ, or what is judged instead."""
    if isinstance(at, tuple):
        return path[0] + at[1] * (path[-1] - path[0])
    if at == "mean of all":
        return sum(path[1:], path[0]) / len(path)
    return path[-1]
