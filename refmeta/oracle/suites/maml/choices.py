"""What implementations of MAML choose, the right alternative first.  Derivation: derivations/maml.md

An alternative is what `variants` runs instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, matvec
from refmeta.oracle.choices import Choices
from refmeta.oracle.suites.maml.additions import additions, layouts, numbers
from refmeta.oracle.suites.maml.families import FAMILIES
from refmeta.oracle.suites.maml.loops import LOOPS
from refmeta.oracle.suites.maml.losses import COMMON
from refmeta.oracle.suites.maml.optimisers import OPTIMISERS
from refmeta.oracle.suites.maml.paths import Bend, InnerPath
from refmeta.oracle.suites.maml.predicates import PREDICATES
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
    axes = [np.broadcast_to(axis, theta.shape) for axis in np.eye(theta.shape[-1])]
    diagonal = np.stack([bend(axis)[..., j] for j, axis in enumerate(axes)], axis=-1)
    return lambda v: diagonal * v


def _matrix(change: Callable[[Array], Array]) -> Callable[[Bend, Array], Bend]:
    """v → M v, M a function of the Hessian (N, d, d)."""

    def bent(bend: Bend, theta: Array) -> Bend:
        H = np.stack([bend(np.broadcast_to(axis, theta.shape)) for axis in np.eye(theta.shape[-1])], axis=-1)
        M = change(H)
        return lambda v: matvec(M, v)

    return bent


def _spectral(change: Callable[[Array], Array]) -> Callable[[Bend, Array], Bend]:
    """The Hessian with other eigenvalues."""

    def of(H: Array) -> Array:
        w, V = np.linalg.eigh((H + H.swapaxes(-1, -2)) / 2)
        return np.asarray(np.einsum("nij,nj,nkj->nik", V, change(w), V))

    return _matrix(of)


def _rows_for_columns(H: Array) -> Array:
    """VᵀΛV for VΛVᵀ."""
    w, V = np.linalg.eigh(H)
    return np.asarray(np.einsum("nji,nj,njk->nik", V, w, V))


def _others(x: Array) -> Array:
    """The mean of the other tasks' rows."""
    return (np.sum(x, axis=0) - x) / max(len(x) - 1, 1)


def _surgery(x: Array) -> Array:
    """Every row without its conflicts with the other rows as given, one after another."""
    if x.ndim < 2:
        return x
    rows = []
    for i, row in enumerate(x):
        for j, other in enumerate(x):
            if i != j and row @ other < 0:
                row = row - (row @ other) / (other @ other) * other
        rows.append(row)
    return np.stack(rows)


def _norm(x: Array) -> Array:
    """‖x‖ of every row, with as many axes as x."""
    return np.sqrt(np.sum(x**2, axis=tuple(range(1, x.ndim)), keepdims=True))


def _clipped(x: Array, bound: float) -> Array:
    """Rows of norm at most `bound`; an objective as it is."""
    return x / np.maximum(_norm(x) / bound, 1.0) if x.ndim > 1 else x


def _only(which: int) -> Callable[..., Array]:
    """The row of one step alone."""
    return lambda rows, as_alpha, alpha: as_alpha(rows * (np.arange(rows.shape[1]) == which % max(rows.shape[1], 1))[:, None])


BY_ALPHA: dict[str, Callable[..., Array] | None] = {
    "as it is": None,
    "of the last step only": _only(-1),
    "of the first step only": _only(0),
    "mean over the steps": lambda rows, as_alpha, alpha: as_alpha(rows) / max(rows.shape[1], 1),
    "sum over the steps in every row": lambda rows, as_alpha, alpha: as_alpha(0 * rows + np.sum(rows, axis=1, keepdims=True)),
    "mean over the parameters": lambda rows, as_alpha, alpha: as_alpha(rows) / rows.shape[2],
    "mean over steps and parameters": lambda rows, as_alpha, alpha: as_alpha(rows) / max(rows.shape[1] * rows.shape[2], 1),
    "mean over what shares an entry": lambda rows, as_alpha, alpha: as_alpha(rows) * np.size(alpha) / max(rows.shape[1] * rows.shape[2], 1),
    "negated": lambda rows, as_alpha, alpha: -as_alpha(rows),
    "its size": lambda rows, as_alpha, alpha: np.abs(as_alpha(rows)),
    "its sign": lambda rows, as_alpha, alpha: np.sign(as_alpha(rows)),
    "that of sqrt(alpha)": lambda rows, as_alpha, alpha: as_alpha(rows) * 2 * np.sqrt(alpha),
    "that of 1/alpha": lambda rows, as_alpha, alpha: -as_alpha(rows) * alpha**2,
    "divided by alpha": lambda rows, as_alpha, alpha: as_alpha(rows) / alpha,
    "steps in reverse": lambda rows, as_alpha, alpha: as_alpha(rows[:, ::-1]),
    "rows one step late": lambda rows, as_alpha, alpha: as_alpha(np.roll(rows, 1, axis=1)),
    "rows one step early": lambda rows, as_alpha, alpha: as_alpha(np.roll(rows, -1, axis=1)),
    "added up over the steps": lambda rows, as_alpha, alpha: as_alpha(np.cumsum(rows, axis=1)),
    "added up from the last step": lambda rows, as_alpha, alpha: as_alpha(np.cumsum(rows[:, ::-1], axis=1)[:, ::-1]),
    "the first parameter's only": lambda rows, as_alpha, alpha: as_alpha(rows * (np.arange(rows.shape[2]) == 0)),
    "without the last parameter's": lambda rows, as_alpha, alpha: as_alpha(rows * (np.arange(rows.shape[2]) < rows.shape[2] - 1)),
    "sizes added up": lambda rows, as_alpha, alpha: as_alpha(np.abs(rows)),
    "that of log(alpha)": lambda rows, as_alpha, alpha: as_alpha(rows) * alpha,
    "not differentiated": lambda rows, as_alpha, alpha: as_alpha(0 * rows),
}
RESULTS: dict[str, Callable[[Array, int], Array] | None] = {
    "as it is": None,
    "divided by the number of tasks": lambda x, d: x / len(x),
    "times the number of tasks": lambda x, d: x * len(x),
    "negated": lambda x, d: -x,
    "divided by the number of parameters": lambda x, d: x / d,
    "every row the sum over the tasks": lambda x, d: 0 * x + np.sum(x, axis=0),
    "every row the mean over the tasks": lambda x, d: 0 * x + np.mean(x, axis=0),
    "added up over the tasks": lambda x, d: np.cumsum(x, axis=0),
    "the first task's row only": lambda x, d: np.concatenate([x[:1], 0 * x[1:]]),
    "the last task's row only": lambda x, d: np.concatenate([0 * x[:-1], x[-1:]]),
    "every row that of the first task": lambda x, d: 0 * x + x[:1],
    "every row that of the last task": lambda x, d: 0 * x + x[-1:],
    "the tasks in reverse": lambda x, d: x[::-1],
    "the tasks moved on by one": lambda x, d: np.roll(x, 1, axis=0),
    "every row clipped to norm 1": lambda x, d: _clipped(x, 1.0),
    "every row clipped to norm 10": lambda x, d: _clipped(x, 10.0),
    "every row over its norm": lambda x, d: x / _norm(x) if x.ndim > 1 else x,
    "clipped to [-1, 1]": lambda x, d: np.clip(x, -1, 1),
    "less the mean over the tasks": lambda x, d: x - np.mean(x, axis=0),
    "less the mean of the other tasks": lambda x, d: x - _others(x),
    "the mean of the other tasks": lambda x, d: _others(x) + 0 * x,
    "less the first task's": lambda x, d: x - x[:1],
    "plus the mean over the tasks": lambda x, d: x + np.mean(x, axis=0),
    "divided by N - 1": lambda x, d: x / max(len(x) - 1, 1),
    "divided by N + 1": lambda x, d: x / (len(x) + 1),
    "divided by sqrt(N)": lambda x, d: x / np.sqrt(len(x)),
    "divided by N^2": lambda x, d: x / len(x) ** 2,
    "every row the median over the tasks": lambda x, d: 0 * x + np.median(x, axis=0),
    "the running mean over the tasks": lambda x, d: np.cumsum(x, axis=0) / np.arange(1, len(x) + 1).reshape(-1, *[1] * (x.ndim - 1)),
    "weighted by norm over the mean norm": lambda x, d: x * _norm(x) / np.mean(_norm(x)) if x.ndim > 1 else x,
    "weighted by 1/norm, of mean weight 1": lambda x, d: x / _norm(x) / np.mean(1 / _norm(x)) if x.ndim > 1 else x,
    "every row of the mean norm": lambda x, d: x / _norm(x) * np.mean(_norm(x)) if x.ndim > 1 else x,
    "every row over the norm of all": lambda x, d: x / np.linalg.norm(x),
    "every row over the largest norm": lambda x, d: x / np.max(_norm(x)) if x.ndim > 1 else x,
    "conflicts with other tasks projected away": lambda x, d: _surgery(x),
    "its sign": lambda x, d: np.sign(x),
    "its size": lambda x, d: np.abs(x),
    "tanh of it": lambda x, d: np.tanh(x),
    "standardised over the tasks": lambda x, d: (x - np.mean(x, axis=0)) / (np.std(x, axis=0) + 1e-8),
}
HESSIANS: dict[str, Callable[[Bend, Array], Bend] | None] = {
    "as it is": None,
    "its diagonal": _diagonal,
    "without its negative eigenvalues": _spectral(lambda w: np.maximum(w, 0)),
    "its eigenvalues' sizes": _spectral(np.abs),
    "its largest eigenvalue only": _spectral(lambda w: w * (np.abs(w) == np.max(np.abs(w), axis=-1, keepdims=True))),
    "eigenvalues clipped to [-1, 1]": _spectral(lambda w: np.clip(w, -1, 1)),
    "eigenvectors in rows": _matrix(_rows_for_columns),
    "its lower triangle": _matrix(np.tril),
    "its upper triangle": _matrix(np.triu),
    "its transpose": _matrix(lambda H: H.swapaxes(-1, -2)),
    "without its diagonal": _matrix(lambda H: H * (1 - np.eye(H.shape[-1]))),
    "the sums of its rows": _matrix(lambda H: np.eye(H.shape[-1]) * np.sum(H, axis=-1, keepdims=True)),
    "its mean eigenvalue": _matrix(lambda H: np.eye(H.shape[-1]) * np.trace(H, axis1=-2, axis2=-1)[:, None, None] / H.shape[-1]),
    "the identity": _matrix(lambda H: np.eye(H.shape[-1]) + 0 * H),
    "the mean over the tasks": _matrix(lambda H: np.mean(H, axis=0) + 0 * H),
    "that of the first task": _matrix(lambda H: H[:1] + 0 * H),
    "that of the next task": _matrix(lambda H: np.roll(H, -1, axis=0)),
    "its inverse": _matrix(np.linalg.inv),
    "its square": _matrix(lambda H: H @ H),
    "entry by entry positive": _matrix(np.abs),
}
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
