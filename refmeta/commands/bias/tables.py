"""The tables of `python -m refmeta bias`.  Derivation: derivations/sampled-meta-gradients.md"""

import itertools
import math

import numpy as np

from refmeta.commands.bias.blocks import Block
from refmeta.commands.bias.likeness import likeness_text
from refmeta.meta import sampled
from refmeta.sampling.enumeration import MOST, excess_text
from refmeta.tables import Column, paragraphs, table

__all__ = ["block_table", "cells", "deviation"]

ROUNDING = 1e-13


def block_table(block: Block, number: int) -> str:
    """A block as a table, or how many of a process's `number` trajectories a tuple may have."""
    how_many = "M → ∞" if math.isinf(block.episodes) else f"M = {block.episodes}"
    head = f"K = {block.steps}, {how_many}, α = {block.alpha:g}"
    if not block.rows:
        most = next(k for k in itertools.count(1) if excess_text(number, k + 1))
        return paragraphs(
            f"{head}: not enumerated, more than {MOST:,} tuples of trajectories; --steps times --episodes may be "
            f"{most} at most on this process"
        )
    size = f"|∇I| = {np.linalg.norm(block.exact):.4g}, |∇II| = {np.linalg.norm(block.sampled):.4g}"
    heads = [f"{target}\n{text}" for target in ("∇I:", "∇II:") for text in ("|bias|", "in %", "cosine")]
    columns = [Column("estimator", text=True), *(Column(text, right=True) for text in (*heads, "deviation"))]
    rows = [[e.name, *cells(exact), *cells(mean), deviation(mean)] for e, exact, mean in block.rows]
    text = table(f"{head}; {size}\n", columns, rows)
    note = likeness_text(block.likenesses, number ** (block.steps * int(block.episodes))) if block.likenesses else block.note
    return f"{text}\n\n{paragraphs(note)}" if note else text


def deviation(bias: sampled.Bias) -> str:
    """The deviation to three digits; "0" and "∞" of a limit."""
    return {0.0: "0", math.inf: "∞"}.get(bias.deviation, f"{bias.deviation:#.3g}")


def cells(bias: sampled.Bias) -> tuple[str, str, str]:
    """The norm, 0 if it is rounding, the norm in percent of the gradient's, and the cosine of estimate and gradient.

    A large percentage and a negative cosine have fewer digits, so that a table fits 80 columns.
    """
    percent, cosine = 100 * bias.relative, f"{bias.cosine:.{5 if bias.cosine >= 0 else 4}f}"
    share = f"{percent:.1f}" if percent < 99.95 else f"{percent:.0f}" if percent < 9999.5 else f"{percent:.0e}".replace("e+0", "e")
    return "0" if bias.relative < ROUNDING else f"{bias.norm:#.2g}", share.replace("e+", "e"), cosine
