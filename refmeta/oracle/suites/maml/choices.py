"""What implementations of MAML choose, the right alternative first.  Derivation: derivations/maml.md

An alternative is what `variants` runs instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, matvec
from refmeta.oracle.choices import Choices, unit_vectors
from refmeta.oracle.suites.maml.additions import additions, layouts, numbers
from refmeta.oracle.suites.maml.families import FAMILIES
from refmeta.oracle.suites.maml.loops import LOOPS
from refmeta.oracle.suites.maml.losses import COMMON
from refmeta.oracle.suites.maml.matrices import MATRICES
from refmeta.oracle.suites.maml.optimisers import OPTIMISERS
from refmeta.oracle.suites.maml.paths import Bend, InnerPath
from refmeta.oracle.suites.maml.predicates import PREDICATES
from refmeta.oracle.suites.maml.results import BY_ALPHA, RESULTS
from refmeta.oracle.suites.maml.schedules import OF_PARAMETERS, READINGS
from refmeta.oracle.suites.maml.variants import variant

__all__ = ["CHOICES", "FAMILIES", "PREDICATES", "additions", "layouts", "numbers", "variant"]

Indices = Callable[[int], list[int]]
STEPS: dict[str, Indices | None] = {
    "K": None,
    "K - 1": lambda K: list(range(K - 1)),
    "K + 1": lambda K: [*range(K), max(K - 1, 0)],
    "K - 1, without the first": lambda K: list(range(1, K)),
    "one": lambda K: [0],
    "one if any": lambda K: [0][:K],
    "none": lambda K: [],
    "at least one": lambda K: list(range(max(K, 1))),
    "2K": lambda K: [*range(K), *range(K)],
    "at most 2": lambda K: list(range(min(K, 2))),
    "at most 3": lambda K: list(range(min(K, 3))),
    "at most 5": lambda K: list(range(min(K, 5))),
    "at most 10": lambda K: list(range(min(K, 10))),
}
OUTER: dict[str, Callable[[int], Array] | None] = {
    "the query's loss at phi": None,
    "that of theta and of every step, mean": lambda K: np.ones(K + 1) / (K + 1),
    "that of theta and of every step, sum": lambda K: np.ones(K + 1),
    "that of every step, mean": lambda K: np.arange(K + 1).clip(0, 1) / max(K, 1) if K else np.ones(1),
    "that of every step, sum": lambda K: np.arange(K + 1).clip(0, 1) if K else np.ones(1),
    "that of theta plus that of phi": lambda K: np.eye(K + 1)[0] + np.eye(K + 1)[K],
    "the mean of those of theta and phi": lambda K: (np.eye(K + 1)[0] + np.eye(K + 1)[K]) / 2,
    "that of theta less that of phi": lambda K: np.eye(K + 1)[0] - np.eye(K + 1)[K],
    "that of the last step but one": lambda K: np.eye(K + 1)[max(K - 1, 0)],
    "that of phi less half that of theta": lambda K: np.eye(K + 1)[K] - np.eye(K + 1)[0] / 2,
    "that of every step, weights k": lambda K: np.arange(K + 1.0) / max(K * (K + 1) / 2, 1) if K else np.ones(1),
    "that of every step and theta, weights 1 in the last and 1/K in the others": lambda K: np.append(np.full(K, 1 / max(K, 1)), 1.0),
    "that of phi less that of theta": lambda K: np.eye(K + 1)[K] - np.eye(K + 1)[0],
}
PLACES: dict[str, Callable[[list[Array]], Array] | None] = {
    "phi": None,
    "theta": lambda thetas: thetas[0],
    "the last point but one": lambda thetas: thetas[-2:][0],
    "the mean of theta and phi": lambda thetas: (thetas[0] + thetas[-1]) / 2,
    "the mean of all steps": lambda thetas: np.mean(np.stack(thetas[1:] or thetas), axis=0),
    "phi less theta": lambda thetas: thetas[-1] - thetas[0],
}
KEPT: dict[str, Indices | None] = {
    "all": None,
    "none (first order)": lambda K: [],
    "the last only": lambda K: list(range(K))[-1:],
    "the first only": lambda K: list(range(K))[:1],
    "all but the last": lambda K: list(range(K))[:-1],
    "all but the first": lambda K: list(range(K))[1:],
    "the last two": lambda K: list(range(K))[-2:],
    "the first two": lambda K: list(range(K))[:2],
    "all but the second": lambda K: [k for k in range(K) if k != 1],
    "all but the last but one": lambda K: [k for k in range(K) if k != K - 2],
    "the first, the third, ...": lambda K: list(range(0, K, 2)),
    "the second, the fourth, ...": lambda K: list(range(1, K, 2)),
    "all, the last one twice": lambda K: [*range(K), *range(K)[-1:]],
    "all, the first one twice": lambda K: [*range(K), *range(K)[:1]],
    "all twice": lambda K: [*range(K), *range(K)],
    "all, and one more at phi": lambda K: list(range(K + 1)) if K else [],
}
TAKEN: dict[str, Callable[[InnerPath, int, Any], Any] | None] = {
    "its step's point": None,
    "theta": lambda path, k, query: path.points[0],
    "phi": lambda path, k, query: path.points[-1],
    "the next point": lambda path, k, query: path.points[min(k + 1, len(path.points) - 1)],
    "the point before": lambda path, k, query: path.points[max(k - 1, 0)],
    "its step's point, of the query's loss": lambda path, k, query: query.at(path.thetas[k]),
    "the next point, of the query's loss": lambda path, k, query: query.at(path.thetas[k + 1]),
    "theta, of the query's loss": lambda path, k, query: query.at(path.thetas[0]),
    "phi, of the query's loss": lambda path, k, query: query.at(path.thetas[-1]),
}
SCALED: dict[str, Callable[[Array], Array] | None] = {
    "alpha": None,
    "alpha^2": lambda a: a**2,
    "1": np.ones_like,
    "-alpha": np.negative,
    "alpha/2": lambda a: a / 2,
    "2 alpha": lambda a: 2 * a,
    "the first step's alpha": lambda a: 0 * a + a[:1],
    "the last step's alpha": lambda a: 0 * a + a[-1:],
    "the next step's alpha": lambda a: np.concatenate([a[1:], a[-1:]]),
    "alpha's mean over the parameters": lambda a: np.mean(a, axis=1, keepdims=True),
    "alpha/K": lambda a: a / max(len(a), 1),
}


def _diagonal(bend: Bend, theta: Array) -> Bend:
    """v → diag(H) ⊙ v."""
    axes = [np.broadcast_to(axis, theta.shape) for axis in unit_vectors(theta.shape[-1])]
    diagonal = np.stack([bend(axis)[..., j] for j, axis in enumerate(axes)], axis=-1)
    return lambda v: diagonal * v


def _matrix(change: Callable[[Array], Array]) -> Callable[[Bend, Array], Bend]:
    """v → M v, M a function of the Hessian (N, d, d)."""

    def bent(bend: Bend, theta: Array) -> Bend:
        M = change(np.stack([bend(np.broadcast_to(axis, theta.shape)) for axis in unit_vectors(theta.shape[-1])], axis=-1))
        return lambda v: matvec(M, v)

    return bent


HESSIANS: dict[str, Callable[[Bend, Array], Bend] | None] = {
    "as it is": None, "its diagonal": _diagonal, **{words: _matrix(change) for words, change in MATRICES.items()}
}  # fmt: skip
CHOICES: Choices = {
    "Hessian factors": KEPT,
    "Hessians taken at": TAKEN,
    "alpha in the factors": SCALED,
    "order of the factors": {
        "as it is": None, "reversed": "reversed", "expanded to the first power of alpha": "expanded",
        "alpha on the left of the Hessian": "left", "reversed, alpha on the left of the Hessian": "reversed left",
    },
    "Hessian": HESSIANS,
    "steps": STEPS,
    "alpha": READINGS,
    "alpha of the parameters": OF_PARAMETERS,
    "inner optimiser": OPTIMISERS,
    "inner loop": LOOPS,
    "carried between tasks": {"nothing": None, "the parameters": True},
    **COMMON,
    "outer loss": OUTER,
    "query's loss taken at": PLACES,
    "gradient of alpha": BY_ALPHA,
    "result": RESULTS,
}
