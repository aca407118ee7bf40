"""The settings of `python -m refmeta bias`.  Derivation: derivations/sampled-meta-gradients.md"""

import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.commands.bias.estimators import ESTIMATORS, Estimator
from refmeta.commands.bias.likeness import Likeness, always
from refmeta.commands.bias.limits import limit_bias
from refmeta.commands.bias.yours import Yours, read_yours, your_moments
from refmeta.meta import sampled
from refmeta.pieces import in_order
from refmeta.sampling.enumeration import excess_text, number_of_paths
from refmeta.tables import shown_line
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["BiasRow", "Block", "blocks"]


class BiasRow(NamedTuple):
    """One estimator at one setting: its bias for either formulation."""

    estimator: Estimator | Yours
    exact: sampled.Bias
    sampled: sampled.Bias


class Block(NamedTuple):
    """One setting: K, M, α, the two gradients, and one row per estimator; no rows where there are too many tuples.

    episodes : M, or infinity: what the means tend to, of which the two gradients are one.
    likenesses : how near a user's estimator, the last of the rows, is to others; () without one, and where M is infinite.
    note : of a user's estimator where M is infinite.
    """

    steps: int
    episodes: float
    alpha: float
    exact: Array
    sampled: Array
    rows: tuple[BiasRow, ...]
    likenesses: tuple[Likeness, ...] = ()
    note: str = ""


def blocks(
    task: PolicyReturn, theta: Array, *, steps: Sequence[int], episodes: Sequence[float], alphas: Sequence[float],
    yours: Yours | None = None, executor: Executor | None = None,
) -> Iterator[Block]:  # fmt: skip
    """Every setting in turn, infinite M last, with a row for a user's estimator if there is one.

    A piece for an executor is a setting of finite M.  On a terminal the setting that is waited for is named.
    """
    total, numbers = len(steps) * len(episodes) * len(alphas), itertools.count(1)
    finite = [int(M) for M in episodes if not math.isinf(M)]
    enumerated = _enumerated(task, theta, itertools.product(steps, finite, alphas), yours, executor)
    for K in steps:
        named: list[tuple[Likeness, ...]] = []
        for M, alpha in itertools.product(sorted(episodes, key=math.isinf), alphas):
            size = "M → ∞" if math.isinf(M) else f"M = {M}"
            with shown_line(f"setting {next(numbers)} of {total}: K = {K}, {size}, α = {alpha:g}"):
                block = _limit(task, theta, K, alpha, yours, named) if math.isinf(M) else next(enumerated)
            named += [block.likenesses] if block.likenesses else []
            yield block


def _enumerated(
    task: PolicyReturn, theta: Array, settings: Iterable[tuple[int, int, float]], yours: Yours | None, executor: Executor | None
) -> Iterator[Block]:
    """The settings (K, M, α) in turn; other processes send numbers, and the functions of the estimators stay here."""
    if executor is None:
        yield from (_block(task, theta, *setting, yours) for setting in settings)
        return
    words = (yours.what, yours.function.vectorised) if yours else None
    names: dict[Any, Any] = {e.name: e for e in ESTIMATORS} | ({yours.name: yours} if yours else {})
    for block in in_order(functools.partial(_sent, task, theta, words), settings, executor):
        yield block._replace(rows=tuple(row._replace(estimator=names[row.estimator]) for row in block.rows))


def _sent(task: PolicyReturn, theta: Array, words: tuple[str, bool] | None, setting: tuple[int, int, float]) -> Any:
    """The block of a setting, with names for its estimators."""
    yours = read_yours(words[0], vectorised=words[1]) if words else None
    block = _block(task, theta, *setting, yours)
    return block._replace(rows=tuple(row._replace(estimator=row.estimator.name) for row in block.rows))  # type: ignore[arg-type]


def _block(task: PolicyReturn, theta: Array, K: int, M: int, alpha: float, yours: Yours | None) -> Block:
    """One setting with M trajectories per step; without rows where there are too many tuples."""
    none = np.full(task.dim, np.nan)
    if excess_text(number_of_paths(task.mdp), K * M):
        return Block(K, M, alpha, none, none, ())
    exact = sampled.formulation_exact(theta, task, alpha=alpha, steps=K).gradient
    mean = sampled.formulation_sampled(theta, task, alpha=alpha, episodes=M, steps=K).gradient
    block = Block(K, M, alpha, exact, mean, tuple(_row(e, task, theta, K, M, alpha, exact, mean) for e in ESTIMATORS))
    return block if yours is None else _with_yours(block, yours, task, theta)


def _limit(
    task: PolicyReturn, theta: Array, K: int, alpha: float, yours: Yours | None, named: Sequence[tuple[Likeness, ...]]
) -> Block:  # fmt: skip
    """M → ∞, where both gradients are that of exact adaptation; a user's row is that of the estimator that it is called."""
    exact = sampled.formulation_exact(theta, task, alpha=alpha, steps=K).gradient
    biases = {e: limit_bias(e, task, theta, exact, alpha=alpha, steps=K) for e in ESTIMATORS}
    rows = tuple(BiasRow(e, bias, bias) for e, bias in biases.items())
    block = Block(K, math.inf, alpha, exact, exact, rows)
    if yours is None:
        return block
    if not named:
        return block._replace(note="yours was called at no M above, so that its limit is not computed; give --episodes that can be enumerated, too")
    names = always(named)
    own = [bias for e, bias in biases.items() if e.name in names]
    if not own:
        known = f"yours is {' and '.join(names)}, which has no row in this table" if names else "yours is no estimator that is known here at every M above"
        return block._replace(note=f"{known}, so that its limit is not computed")
    if any(not np.allclose(bias, own[0], rtol=1e-9, atol=1e-12) for bias in own):
        return block._replace(
            note=f"yours is {' and '.join(names)} on the batches above, and their limits differ: more --episodes tell them apart"
        )
    return block._replace(rows=(*rows, BiasRow(yours, own[0], own[0])))


def _with_yours(block: Block, yours: Yours, task: PolicyReturn, theta: Array) -> Block:
    """The block with the row of a user's estimator, and how near it is to others."""
    size: Any = {"steps": block.steps, "episodes": int(block.episodes), "alpha": block.alpha}
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
