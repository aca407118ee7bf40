"""The settings of `python -m refmeta bias`, one table each.  Derivation: derivations/sampled-meta-gradients.md"""

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import refmeta
from refmeta.arrays import Array
from refmeta.commands.bias_estimators import ESTIMATORS, Estimator
from refmeta.meta import sampled
from refmeta.sampling.enumeration import MOST, excess_text, number_of_paths
from refmeta.tables import Column, paragraphs, table
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["BiasRow", "Block", "as_json", "block_table", "blocks"]

ROUNDING = 1e-13


class BiasRow(NamedTuple):
    """One estimator at one setting: its bias for either formulation."""

    estimator: Estimator
    exact: sampled.Bias
    sampled: sampled.Bias


class Block(NamedTuple):
    """One setting: K, M, α, the two gradients, and one row per estimator; no rows where there are too many tuples."""

    steps: int
    episodes: int
    alpha: float
    exact: Array
    sampled: Array
    rows: tuple[BiasRow, ...]


def blocks(
    task: PolicyReturn, theta: Array, *, steps: Sequence[int], episodes: Sequence[int], alphas: Sequence[float]
) -> Iterator[Block]:
    """Every setting in turn."""
    number, none = number_of_paths(task.mdp), np.full(task.dim, np.nan)
    for K, M, alpha in itertools.product(steps, episodes, alphas):
        if excess_text(number, K * M):
            yield Block(K, M, alpha, none, none, ())
            continue
        exact = sampled.formulation_exact(theta, task, alpha=alpha, steps=K).gradient
        mean = sampled.formulation_sampled(theta, task, alpha=alpha, episodes=M, steps=K).gradient
        yield Block(K, M, alpha, exact, mean, tuple(_row(e, task, theta, K, M, alpha, exact, mean) for e in ESTIMATORS))


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


def block_table(block: Block, number: int) -> str:
    """A block as a table, or how many of a process's `number` trajectories a tuple may have."""
    head = f"K = {block.steps}, M = {block.episodes}, α = {block.alpha:g}"
    if not block.rows:
        most = next(k for k in itertools.count(1) if excess_text(number, k + 1))
        return paragraphs(
            f"{head}: not enumerated, more than {MOST:,} tuples of trajectories; --steps times --episodes may be "
            f"{most} at most on this process"
        )
    size = f"|∇I| = {np.linalg.norm(block.exact):.4g}, |∇II| = {np.linalg.norm(block.sampled):.4g}"
    heads = [f"{target}\n{text}" for target in ("∇I:", "∇II:") for text in ("|bias|", "in %", "cosine")]
    columns = [Column("estimator", text=True), *(Column(text, right=True) for text in (*heads, "deviation"))]
    rows = [[e.name, *_cells(exact), *_cells(mean), f"{mean.deviation:#.3g}"] for e, exact, mean in block.rows]
    return table(f"{head}; {size}\n", columns, rows)


def _cells(bias: sampled.Bias) -> tuple[str, str, str]:
    """The norm, 0 if it is rounding, the norm in percent of the gradient's, and the cosine of estimate and gradient."""
    return "0" if bias.relative < ROUNDING else f"{bias.norm:#.2g}", f"{100 * bias.relative:.1f}", f"{bias.cosine:.5f}"


def as_json(name: str, task: PolicyReturn, settings: Sequence[Block]) -> str:
    """Every block, with numbers in full and null for a number that is not finite."""

    def number(x: float) -> float | None:
        return x if math.isfinite(x) else None

    def estimator(row: BiasRow) -> dict[str, Any]:
        biases = {key: {f: number(x) for f, x in getattr(row, key)._asdict().items()} for key in ("exact", "sampled")}
        return {"estimator": row.estimator.name} | biases

    def entry(block: Block) -> dict[str, Any]:
        sizes = {key: getattr(block, key) for key in ("steps", "episodes", "alpha")}
        gradients = {key: [number(float(x)) for x in getattr(block, key)] for key in ("exact", "sampled")}
        return {**sizes, "gradient": gradients, "estimators": [estimator(row) for row in block.rows]}

    document = {"refmeta": refmeta.__version__, "process": name, "trajectories": number_of_paths(task.mdp)}
    return json.dumps({**document, "settings": [entry(block) for block in settings]}, indent=1)
