"""A Meta-LSTM in the experiment on adaptation: its losses on held-out tasks, and how long its steps are."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from refmeta.commands.experiments.starts import uninterrupted
from refmeta.meta import meta_lstm
from refmeta.meta.meta_lstm import MetaLSTM
from refmeta.meta.train import Adam, meta_train
from refmeta.tasks.distributions import Split

__all__ = ["TrainedLSTM", "longest_step", "trained_lstm"]


class TrainedLSTM(NamedTuple):
    """A trained Meta-LSTM on held-out tasks: mean query loss after each number of steps, and its longest step in gradients."""

    curve: list[float]
    longest: float


def trained_lstm(family: Any, held_out: Split, rng: Generator, *, steps: Sequence[int], iterations: int) -> TrainedLSTM:
    """A Meta-LSTM trained from zeros for the last of `steps`, which adapts by its own rule."""
    dim, hidden = family.dim, 20
    start = meta_lstm.init(dim, hidden=hidden, rng=rng).ravel()
    rule, outer = MetaLSTM(dim, hidden, steps[-1]), Adam(0.01, max_norm=10.0)
    result = meta_train(family, start, rule=rule, outer=outer, iterations=iterations, batch=20, rng=rng)
    weights = meta_lstm.unravel(uninterrupted(result).theta, dim=dim, hidden=hidden)
    losses = [float(np.mean(meta_lstm.objective(weights, *held_out, steps=k))) for k in steps]
    return TrainedLSTM(losses, longest_step(weights, held_out.support, steps=steps[-1]))


def longest_step(weights: meta_lstm.Parameters, support: Any, *, steps: int) -> float:
    """max |θ_t − θ_{t−1}| / |∇L(θ_{t−1})| over tasks and steps."""
    norm, path = functools.partial(np.linalg.norm, axis=-1), meta_lstm.unroll(weights, support, steps=steps).steps
    return float(np.max([norm(step.theta - step.point.theta) / norm(step.point.grad) for step in path]))
