"""The first-order effect of an ε, wherever one may stand in a suite.  Derivation: derivations/using-the-oracle.md

An effect is ∂(result)/∂ε at ε = 0, one row per task.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.judge import JudgeSettings, transformed
from refmeta.oracle.suite import Case

__all__ = ["effect_of"]


@lru_cache(maxsize=1024)
def _effect(case: Case, part: str, name: str) -> Array | None:
    """One effect, kept while a diagnosis compares; None where it has none."""
    with np.errstate(all="ignore"):
        try:
            return np.asarray(case.about.effects(case, part)[name]())
        except (AttributeError, KeyError, FloatingPointError, ValueError, np.linalg.LinAlgError):
            return None


def effect_of(name: str, settings: JudgeSettings) -> Callable[[Case, str], Array | None]:
    """An effect as the target would return it."""

    def value(case: Case, part: str) -> Array | None:
        raw = _effect(case, part, name)
        return None if raw is None else transformed(raw, case, settings, part)

    return value
