"""What the known-wrong formulas of an inner optimiser share.  Derivation: derivations/inner-optimisers.md"""

from typing import Any

from refmeta.arrays import Array
from refmeta.oracle.suites.maml_optimisers.departures import StepChange
from refmeta.oracle.suites.maml_optimisers.unrolled import gradients, unrolled

__all__ = ["check_clips", "check_decays", "check_optimiser", "through"]


def through(problem: Any, departure: StepChange | None = None) -> Array:
    """The exact meta-gradient, through a changed step."""
    return gradients(unrolled(problem, *([departure] if departure else [])))[0]


def check_optimiser(problem: Any, *optimisers: str) -> None:
    """AttributeError where the optimiser is none of these: the row says nothing."""
    if problem.rule.optimiser not in optimisers:
        raise AttributeError(f"the row is about {', '.join(optimisers)}")


def check_decays(problem: Any, *kinds: str) -> None:
    """AttributeError where the decay is none of these."""
    if problem.rule.decay not in kinds:
        raise AttributeError(f"the row is about {', '.join(kinds)} decay")


def check_clips(problem: Any) -> None:
    """AttributeError where nothing is clipped."""
    if problem.rule.clip is None:
        raise AttributeError("the row is about a clipped gradient")
