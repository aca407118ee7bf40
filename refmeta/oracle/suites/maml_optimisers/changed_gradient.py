"""The meta-gradient through a changed step, which the known-wrong formulas share.  Derivation: derivations/inner-optimisers.md"""

from collections.abc import Sequence
from typing import Any

from refmeta.arrays import Array
from refmeta.oracle.suites.maml_optimisers.departures import StepChange
from refmeta.oracle.suites.maml_optimisers.unrolled import gradients, unrolled

__all__ = ["through"]


def through(problem: Any, change: StepChange | None = None, *, optimisers: Sequence[str] = (), decays: Sequence[str] = ()) -> Array:
    """The exact meta-gradient, through a changed step if the optimiser and the decay are among those that are named."""
    rule = problem.rule
    concerned = (not optimisers or rule.optimiser in optimisers) and (not decays or rule.decay in decays)
    return gradients(unrolled(problem, *(() if change is None or not concerned else (change,))))[0]
