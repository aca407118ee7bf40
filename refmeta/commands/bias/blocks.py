"""The settings of `python -m refmeta bias`.  Derivation: derivations/sampled-meta-gradients.md"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.commands.bias.estimators import ESTIMATORS, Estimator
from refmeta.commands.bias.likeness import Likeness
from refmeta.commands.bias.yours import Yours, your_moments
from refmeta.meta import sampled
from refmeta.sampling.enumeration import excess_text, number_of_paths
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["BiasRow", "Block", "blocks"]


class BiasRow(NamedTuple):
    """One estimator at one setting: its bias for either formulation."""

    estimator: Estimator | Yours
    exact: sampled.Bias
    sampled: sampled.Bias


class Block(NamedTuple):
    """One setting: K, M, α, the two gradients, and one row per estimator; no rows where there are too many tuples.

    likenesses : how near a user's estimator, the last of the rows, is to others; () without one.
    """

    steps: int
    episodes: int
    alpha: float
    exact: Array
    sampled: Array
    rows: tuple[BiasRow, ...]
    likenesses: tuple[Likeness, ...] = ()


def blocks(
    task: PolicyReturn, theta: Array, *, steps: Sequence[int], episodes: Sequence[int], alphas: Sequence[float],
    yours: Yours | None = None,
) -> Iterator[Block]:  # fmt: skip
    """Every setting in turn, with a row for a user's estimator if there is one."""
    number, none = number_of_paths(task.mdp), np.full(task.dim, np.nan)
    for K, M, alpha in itertools.product(steps, episodes, alphas):
        if excess_text(number, K * M):
            yield Block(K, M, alpha, none, none, ())
            continue
        exact = sampled.formulation_exact(theta, task, alpha=alpha, steps=K).gradient
        mean = sampled.formulation_sampled(theta, task, alpha=alpha, episodes=M, steps=K).gradient
        block = Block(K, M, alpha, exact, mean, tuple(_row(e, task, theta, K, M, alpha, exact, mean) for e in ESTIMATORS))
        yield block if yours is None else _with_yours(block, yours, task, theta)


def _with_yours(block: Block, yours: Yours, task: PolicyReturn, theta: Array) -> Block:
    """The block with the row of a user's estimator, and how near it is to others."""
    size: Any = {"steps": block.steps, "episodes": block.episodes, "alpha": block.alpha}
    moments, likenesses = your_moments(yours.function, task, theta, **size)
    row = BiasRow(yours, *(sampled.estimator_bias(moments, truth) for truth in (block.exact, block.sampled)))
    return block._replace(rows=(*block.rows, row), likenesses=likenesses)


def _row(
    e: Estimator, task: PolicyReturn, theta: Array, K: int, M: int, alpha: float, exact: Array, mean: Array
) -> BiasRow:
    """One estimator at one setting."""
    moments = sampled.moments(
        lambda x, surrogates: e.estimate(task, x, surrogates, alpha),
        lambda x, batch: e.make(task, x, batch),
        theta, task, alpha=alpha, episodes=M, steps=K,
    )  # fmt: skip
    return BiasRow(e, sampled.estimator_bias(moments, exact), sampled.estimator_bias(moments, mean))
