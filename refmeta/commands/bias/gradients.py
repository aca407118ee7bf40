"""A user's estimate of ∇L beside others in `python -m refmeta bias`.  Derivation: derivations/sampled-policy-gradients.md"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.commands.bias.likeness import Likeness, compared, gradient_recipe, likeness_text
from refmeta.commands.bias.recipes import GRADIENTS
from refmeta.commands.bias.tables import cells
from refmeta.commands.bias.yours import Yours
from refmeta.meta import sampled
from refmeta.oracle.suites.expected_estimators.every_batch import every_gradient
from refmeta.sampling.enumeration import Expectation, excess_text, expectation, number_of_paths
from refmeta.tables import Column, paragraphs, shown_line, table
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["GradientBlock", "GradientRow", "gradient_blocks", "gradient_table"]


class GradientRow(NamedTuple):
    """One estimator of ∇L: its name, and its bias."""

    name: str
    bias: sampled.Bias


class GradientBlock(NamedTuple):
    """M, ∇L, one row per estimator, and how near the last, a user's, is to the others."""

    episodes: int
    gradient: Array
    rows: tuple[GradientRow, ...]
    likenesses: tuple[Likeness, ...]


def gradient_blocks(yours: Yours, task: PolicyReturn, theta: Array, *, episodes: Sequence[float], alpha: float) -> Iterator[GradientBlock]:
    """Every finite number of trajectories in turn, for a function that estimates ∇L; those that are too many are left out."""
    if yours.function.kind != "gradient":
        return
    truth, number = np.array(task.at(theta).grad), number_of_paths(task.mdp)
    for M in (int(M) for M in episodes if math.isfinite(M)):
        if not excess_text(number, M):
            with shown_line(f"your estimate of the gradient ∇L, M = {M}"):
                chunks = every_gradient(yours.function, theta, task, alpha=alpha, episodes=M)
                moments, likenesses = compared(chunks, {name: gradient_recipe(f, task, theta) for name, f in GRADIENTS.items()})
                row = GradientRow(yours.name, sampled.estimator_bias(moments, truth))
                block = GradientBlock(M, truth, (*_rows(task, theta, M, truth), row), likenesses)
            yield block


def _rows(task: PolicyReturn, theta: Array, M: int, truth: Array) -> Iterator[GradientRow]:
    """The bias for ∇L of each of GRADIENTS."""
    for name, f in GRADIENTS.items():
        moments: Expectation = expectation(lambda batch, f=f: f(task, theta, batch), task.mdp, task.policy, theta, episodes=M)  # type: ignore[misc]
        yield GradientRow(name, sampled.estimator_bias(moments, truth))


def gradient_table(block: GradientBlock, number: int) -> str:
    """The rows as a table, and what the user's estimate is; the process has `number` trajectories."""
    columns = [Column("estimator", text=True), *(Column(head, right=True) for head in ("|bias|", "in %", "cosine", "deviation"))]
    rows = [[name, *cells(bias), f"{bias.deviation:#.3g}"] for name, bias in block.rows]
    title = f"Estimates of ∇L from one batch, M = {block.episodes}; |∇L| = {np.linalg.norm(block.gradient):.4g}\n"
    return f"{table(title, columns, rows)}\n\n{paragraphs(likeness_text(block.likenesses, number**block.episodes))}"
