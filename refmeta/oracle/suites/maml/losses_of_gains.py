"""What implementations choose in the gradient of a linear-quadratic cost.  Derivation: derivations/linear-quadratic-control.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.maml.changed import directed
from refmeta.oracle.suites.maml.losses import SUPPORT, Change, Side
from refmeta.oracle.suites.maml.lq_directions import Pieces, correlated, delayed, pieces
from refmeta.oracle.suites.maml.penalties import Added, times
from refmeta.oracle.suites.maml.programs import Lifted, Loop, Tasks, inner
from refmeta.oracle.suites.maml.schedules import OF_PARAMETERS

__all__ = ["ENTRIES_OF_COSTS", "FAMILIES_OF_COSTS", "INNER_GRADIENTS", "LOOPS_OF_COSTS"]

Direction = Callable[[Pieces], Array]


def _instead(of_pieces: Direction, held: bool = False) -> Change:
    """Another formula of the gradient."""

    def of(task: Any, side: Side) -> Any:
        return directed(task, lambda theta, constant: of_pieces(pieces(side.own.lq, constant if held else theta)))

    return Change(of, SUPPORT, stage=2)


def _gain(x: Pieces, left: Array | None = None, right: Array | None = None) -> Array:
    """Σ_t (RK + γBᵀP(A + BK)) γᵗΣ_t, with other factors."""
    left = x.own + x.later if left is None else left
    return np.sum(left @ (x.moments if right is None else right), axis=-3)


def _unweighted(x: Pieces) -> Array:
    """Σ_t without γᵗ."""
    return x.moments / x.weights[:, None, None] if x.lq.horizon is not None else x.moments


def _instead_at(change: Callable[[Pieces, Array], Pieces]) -> Change:
    """The formula of the gradient with other pieces."""

    def of(task: Any, side: Side) -> Any:
        def direction(theta: Array, constant: Array) -> Array:
            x = change(pieces(side.own.lq, theta), theta)
            return x.flat(_gain(x), x.by_log())

        return directed(task, direction)

    return Change(of, SUPPORT, stage=2)


INNER_GRADIENTS: dict[str, Change | None] = {
    "as it is": None,
    "the gain's with the cost of its own action only": _instead(lambda x: x.flat(_gain(x, x.own + 0 * x.moments[..., :1, :]), x.by_log())),
    "the gain's with later costs only": _instead(lambda x: x.flat(_gain(x, x.later), x.by_log())),
    "own costs only": _instead(lambda x: x.flat(_gain(x, x.own + 0 * x.moments[..., :1, :]), x.by_log(later=0.0))),
    "log sigma's with the cost of its own action only": _instead(lambda x: x.flat(_gain(x), x.by_log(later=0.0))),
    "log sigma's with later costs only": _instead(lambda x: x.flat(_gain(x), x.by_log(own=0.0))),
    "the gain's without moments": _instead(lambda x: x.flat(np.sum(x.weights[:, None, None] * (x.own + x.later), axis=-3), x.by_log())),
    "the gain's with moments not discounted": _instead(lambda x: x.flat(_gain(x, right=_unweighted(x)), x.by_log())),
    "the gain's with the start's moments": _instead(lambda x: x.flat(_gain(x, right=x.weights[:, None, None] * x.lq.start[..., None, :, :] + 0 * x.moments), x.by_log())),
    "the gain's with the first values at all times": _instead(lambda x: x.flat(_gain(x._replace(values=x.values[..., :1, :, :] + 0 * x.values)), x.by_log())),
    "the first values at all times": _instead(lambda x: (lambda y: y.flat(_gain(y), y.by_log()))(x._replace(values=x.values[..., :1, :, :] + 0 * x.values))),
    "the gain's without gamma in front of later costs": _instead(lambda x: x.flat(_gain(x, x.own + x.later / x.lq.gamma), x.by_log())),
    "the gain's with A for A + BK": _instead(lambda x: x.flat(_gain(x, x.own + x.lq.gamma * _turned(x.lq.B)[..., None, :, :] @ x.values @ x.lq.A[..., None, :, :]), x.by_log())),
    "moments as of one noise for all actions": _instead_at(correlated),
    "moments with the noise in the start, too": _instead_at(delayed),
    "log sigma's without its factor 2": _instead(lambda x: x.flat(_gain(x), x.by_log() / 2)),
    "log sigma's by sigma": _instead(lambda x: x.flat(_gain(x), x.by_log() / np.sqrt(x.variance))),
    "log sigma's by sigma^2": _instead(lambda x: x.flat(_gain(x), x.by_log() / (2 * x.variance))),
    "log sigma's not discounted": _instead(lambda x: x.flat(_gain(x), x._replace(weights=np.ones(len(x.weights))).by_log())),
}


def _turned(x: Array) -> Array:
    """xᵀ."""
    return x.swapaxes(-1, -2)


def _block(gain: float, log: float) -> Any:
    """Step sizes of the gain and of log σ, with factors."""
    return lambda a, task: a * np.where(np.arange(task.dim) < task.dim - task.lq.actions, gain, log)


def _column(last: bool) -> Any:
    """No step sizes of the gain's column of the constant, or of the others."""

    def entries(a: Array, task: Any) -> Array:
        m, d, p = task.lq.actions, task.dim, task.lq.states
        constant = (np.arange(d) < d - m) & (np.arange(d) % p == p - 1)
        return a * (~constant if last else constant | (np.arange(d) >= d - m))

    return entries


ENTRIES_OF_COSTS = OF_PARAMETERS | {
    "none for log sigma": _block(1.0, 0.0),
    "none for the gain": _block(0.0, 1.0),
    "half for the gain": _block(0.5, 1.0),
    "half for log sigma": _block(1.0, 0.5),
    "none for the gain's last column": _column(True),
    "none for the gain's other columns": _column(False),
}


def _natural(damping: float, held: bool, fisher: bool = False) -> Loop:
    """The gain's gradient times (ΣγᵗΣ_t + damping)⁻¹; with `fisher` over the variances, too, and log σ's over 2Σγᵗ."""

    def direction(tasks: Tasks, k: int, path: list[Array]) -> Array:
        lq, g = tasks.support.task.lq, Lifted(tasks.support.task).grad(path[-1])
        x = pieces(lq, path[-1].real if held else path[-1])
        m, p = lq.actions, lq.states
        S = np.sum(x.moments, axis=-3) + damping * np.eye(p)
        by_gain = g[..., :-m].reshape(*g.shape[:-1], m, p)
        natural = np.linalg.solve(S, _turned(by_gain)).swapaxes(-1, -2)
        log = g[..., -m:]
        if fisher:
            natural, log = natural * x.variance[..., :, None], log / (2 * np.sum(x.weights))
        return np.concatenate([natural.reshape(*g.shape[:-1], -1), log + 0 * g[..., -m:]], axis=-1)

    return inner(direction)


LOOPS_OF_COSTS: dict[str, Loop] = {
    f"the gain's gradient over the moments{', held constant' * held}": _natural(0.0, held) for held in (False, True)
} | {f"the natural gradient{', its matrix held constant' * held}": _natural(0.0, held, fisher=True) for held in (False, True)}


def _log_deviation(problem: Any, theta: Array, phi: Array) -> Added:
    """Minus the sum of log σ of φ: the entropy."""
    m, d = problem.query.lq.actions, phi.shape[-1]
    last = (np.arange(d) >= d - m).astype(float)
    return Added(-np.sum(phi * last, axis=-1), 0 * theta, -last + 0 * phi)


FAMILIES_OF_COSTS: dict[str, tuple[Any, ...]] = {
    **{
        f"the gain's gradient over the moments{', held constant' * held}, damped by {{}}": (
            "inner loop", lambda c, held=held: _natural(c, held), (1e-3, 0.1, 1.0)
        )
        for held in (False, True)
    },
    "{} for the gain": ("alpha of the parameters", lambda c: _block(c, 1.0), (0.3, 2.0)),
    "{} for log sigma": ("alpha of the parameters", lambda c: _block(1.0, c), (0.3, 2.0)),
    "plus {} times minus the entropy": ("added to the outer loss", times(_log_deviation), (0.1, -0.1)),
}
