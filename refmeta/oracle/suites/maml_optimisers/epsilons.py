"""Where an ε may stand in MAML through an inner optimiser: in a loss, in a norm, below a root.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.epsilons import slope
from refmeta.oracle.suite import Case, Effects
from refmeta.oracle.suites.maml.epsilons import loss_effects
from refmeta.oracle.suites.maml.problem import answer
from refmeta.oracle.suites.maml_optimisers.departures import StepChange
from refmeta.oracle.suites.maml_optimisers.rules import clipped, norm
from refmeta.oracle.suites.maml_optimisers.unrolled import gradients, unrolled

__all__ = ["effects"]


def effects(case: Case, part: str) -> Effects:
    """An ε in the losses, or in the norm of the clip."""
    problem = case.problem
    places = loss_effects(problem, lambda p: answer(part, p))
    if part == "gradient" and problem.rule.clip is not None:
        places |= {"c/(‖∇L‖ + ε)": lambda: slope(partial(_through, problem, lambda e: lambda g: norm(g) + e))}
        places |= {"c/√(‖∇L‖² + ε)": lambda: slope(partial(_through, problem, lambda e: lambda g: np.sqrt(norm(g) ** 2 + e)))}
    return places


def _through(problem: Any, size: Callable[[float], Callable[[Array], Array]], epsilon: float) -> Array:
    """The meta-gradient with another norm in the clip."""
    clip = partial(clipped, size=size(epsilon))
    return gradients(unrolled(problem, StepChange(lambda rule, pieces: (rule, pieces._replace(clip=clip)))))[0]
