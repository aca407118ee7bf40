"""What the experiments share: training a start, and choosing a step size for it on training tasks."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.meta import maml
from refmeta.meta.train import Adam, Iteration, meta_train
from refmeta.tasks.distributions import Split

__all__ = ["best_alpha", "mean_loss", "name_in", "trained_starts", "uninterrupted"]


def uninterrupted(result: Any) -> Any:
    """The result of a training; KeyboardInterrupt if it was interrupted."""
    if result.interrupted:
        raise KeyboardInterrupt
    return result


def trained_starts(family: Any, theta: Array, rules: dict[str, Any], rng: Generator, **settings: Any) -> dict[str, Array]:
    """θ after Adam with step size 0.02, by the name of the rule; where it diverged, the last finite θ, and the name says so.

    Every rule sees the same tasks.
    """
    starts, settings, seed = {}, {"iterations": 300, "batch": 20, "max_norm": None} | settings, int(rng.integers(2**63))
    outer = Adam(0.02, max_norm=settings.pop("max_norm"))
    for name, rule in rules.items():
        iterations: list[Iteration] = [Iteration(0, theta, theta)]
        try:
            result = meta_train(family, theta, rule=rule, outer=outer, rng=seed, callback=iterations.append, **settings)
            uninterrupted(result)
        except FloatingPointError:
            name += f" (diverged in iteration {iterations[-1].done + 1})"
        starts[name] = iterations[-1].theta
    return starts


def name_in(names: Iterable[str], name: str) -> str:
    """The name of a start among others; "(diverged …)" may follow it there."""
    return next(each for each in names if each == name or each.startswith(f"{name} (diverged"))


def mean_loss(theta: Array, tasks: Split, *, alpha: float, steps: int) -> float:
    """The mean query loss after some steps; infinite where one leaves the finite numbers."""
    try:
        return float(np.mean(maml.objective(theta, *tasks, alpha=alpha, steps=steps)))
    except FloatingPointError:
        return float("inf")


def best_alpha(theta: Array, training: Split, alphas: Sequence[float], *, steps: int) -> float:
    """The step size with the least mean query loss on training tasks after some steps."""
    return float(min(alphas, key=lambda alpha: mean_loss(theta, training, alpha=alpha, steps=steps)))
