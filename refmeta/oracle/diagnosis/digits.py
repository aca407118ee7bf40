"""Right to some digits only: inputs in single precision, an offset, a trace of a mistake, float32 on the way.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Sequence

import numpy as np

from refmeta.oracle.diagnosis.inputs import group_text, input_groups, rounded_result
from refmeta.oracle.judge import JudgeSettings, Outcome, gap
from refmeta.oracle.match import Match, match_of, matching, pairs

__all__ = ["rounding_matches", "single_precision_matches"]

OUTPUT = (
    "right to single precision only: the result is in float32 (in JAX: jax_enable_x64 is off; in PyTorch: the default "
    "dtype); or check it with --dtype float32"
)
ON_THE_WAY = (
    "right to about single precision: float32 on the way, an ε or a damping of that size, a finite difference, or an "
    "iteration that stops early; or check it with --dtype float32"
)


def rounding_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The right result for inputs that were kept in single precision."""
    if settings.dtype != "float64":
        return []
    likely = "; likely: float32 where it is stored or read"
    candidates = [
        match_of(f"the right result for {group_text(names)} in single precision", rounded_result(names, settings), failing, likely)
        for names in input_groups([o.case for o in failing])
    ]
    return matching(candidates, failing, settings)


def single_precision_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """Right to single precision where double was promised."""
    fewest = min(o.digits for o in failing)
    if settings.dtype != "float64" or not 4.5 <= fewest <= 8.5:
        return []
    every = pairs(failing, settings._replace(dtype="float32"))
    if any(gap(p.got, p.right, p.limit) > 1 for p in every):
        return []
    inside = all(np.array_equal(np.float32(p.got), p.got) for p in every)
    return [Match("single precision", OUTPUT if inside else ON_THE_WAY, lambda case, name: None)]
