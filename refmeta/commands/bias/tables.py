"""The tables of `python -m refmeta bias`.  Derivation: derivations/sampled-meta-gradients.md"""

import itertools

import numpy as np

from refmeta.commands.bias.blocks import Block
from refmeta.commands.bias.likeness import likeness_text
from refmeta.meta import sampled
from refmeta.sampling.enumeration import MOST, excess_text
from refmeta.tables import Column, paragraphs, table

__all__ = ["block_table", "cells"]

ROUNDING = 1e-13


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
    rows = [[e.name, *cells(exact), *cells(mean), f"{mean.deviation:#.3g}"] for e, exact, mean in block.rows]
    text = table(f"{head}; {size}\n", columns, rows)
    tuples = number ** (block.steps * block.episodes)
    return f"{text}\n\n{paragraphs(likeness_text(block.likenesses, tuples))}" if block.likenesses else text


def cells(bias: sampled.Bias) -> tuple[str, str, str]:
    """The norm, 0 if it is rounding, the norm in percent of the gradient's, and the cosine of estimate and gradient.

    A large percentage and a negative cosine have fewer digits, so that a table fits 80 columns.
    """
    percent, cosine = 100 * bias.relative, f"{bias.cosine:.{5 if bias.cosine >= 0 else 4}f}"
    share = f"{percent:.1f}" if percent < 99.95 else f"{percent:.0f}" if percent < 9999.5 else f"{percent:.0e}".replace("e+0", "e")
    return "0" if bias.relative < ROUNDING else f"{bias.norm:#.2g}", share.replace("e+", "e"), cosine
