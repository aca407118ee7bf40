"""What implementations choose about the data points: which of them, scaled how, one after another.  Derivation: derivations/supervised-tasks.md"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.suites.maml.loops import LOOPS
from refmeta.oracle.suites.maml.losses import QUERY, SUPPORT, Change, Side, sided
from refmeta.oracle.suites.maml.programs import Lifted, Loop, Tasks, inner, stepwise

__all__ = ["LOOPS_OF_POINTS", "POINTS", "some_points"]

Which = Callable[[int], Sequence[int]]


def some_points(task: Any, which: Sequence[int]) -> Any:
    """A task of some of its data points."""
    index = np.asarray(which, int)
    target = "labels" if hasattr(task, "labels") else "y"
    return replace_fields(task, X=task.X[..., index, :], **{target: getattr(task, target)[..., index]})


def _points(which: Which) -> Change:
    """Some of the data points, with their mean."""
    return Change(lambda task, side: some_points(task, which(task.X.shape[-2])))


def _together(task: Any, side: Side) -> Any:
    """The data points of both sides."""
    target = "labels" if hasattr(task, "labels") else "y"
    both = {name: np.concatenate([getattr(x, name) for x in (side.own, side.other)], axis=axis) for name, axis in (("X", -2), (target, -1))}
    return replace_fields(task, **both)


POINTS: dict[str, Change | None] = {
    **sided({
        "all": None,
        "the first half": _points(lambda n: range(max(n // 2, 1))),
        "the second half": _points(lambda n: range(n // 2, n)),
        "all but the last": _points(lambda n: range(max(n - 1, 1))),
        "all but the first": _points(lambda n: range(min(1, n - 1), n)),
        "the first only": _points(lambda n: [0]),
        "the last only": _points(lambda n: [n - 1]),
        "the 1st, the 3rd, ...": _points(lambda n: range(0, n, 2)),
    }),
    "those of both, in the query": Change(_together, QUERY),
    "those of both, in the support": Change(_together, SUPPORT),
    "those of both, in each": Change(_together),
}  # fmt: skip


def _in_step(which: Callable[[int, int], Sequence[int]]) -> Loop:
    """Step k on some data points, a statement on k and n."""
    return inner(lambda t, k, path: Lifted(some_points(t.support.task, which(k, t.support.task.X.shape[-2]))).grad(path[-1]))


def _pass(share: Callable[[int], float], order: Which) -> Loop:
    """A step is a pass over the data points, one after another with a share of α."""

    def step(tasks: Tasks, k: int, path: list[Array], alpha: Array) -> Array:
        phi, task = path[-1], tasks.support.task
        n = task.X.shape[-2]
        for j in order(n):
            phi = phi - share(n) * alpha * Lifted(some_points(task, range(n)[j : j + 1])).grad(phi)
        return phi

    return stepwise(step)


def _half(k: int, n: int) -> range:
    """The first half of n in even steps, the second half in odd ones."""
    return range(n // 2, n) if k % 2 or n < 2 else range(n // 2)


LOOPS_OF_POINTS: dict[str, Loop | None] = LOOPS | {
    "step k on data point k alone": _in_step(lambda k, n: [k % n]),
    "step k on data point k alone, over n": inner(
        lambda t, k, path: (
            Lifted(some_points(t.support.task, [k % t.support.task.X.shape[-2]])).grad(path[-1]) / t.support.task.X.shape[-2]
        )
    ),
    "step k on data point k alone, from the last": _in_step(lambda k, n: [-1 - k % n]),
    "step k on two data points": _in_step(lambda k, n: [2 * k % n, (2 * k + 1) % n]),
    "step k on the first k + 1 data points": _in_step(lambda k, n: range(min(k + 1, n))),
    "step k without data point k": _in_step(lambda k, n: [j for j in range(n) if j != k % n or n == 1]),
    "steps on the halves of the data points by turns": _in_step(_half),
    "a step a pass over the data points, alpha/n each": _pass(lambda n: 1 / n, range),
    "a step a pass over the data points, alpha each": _pass(lambda n: 1.0, range),
    "a step a pass over the data points, alpha/n each, from the last": _pass(lambda n: 1 / n, lambda n: range(n)[::-1]),
    "a step a pass over the data points, alpha each, from the last": _pass(lambda n: 1.0, lambda n: range(n)[::-1]),
}
