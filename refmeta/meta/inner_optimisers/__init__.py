"""Optimisers of the inner loop: each step as a pure function, and its adjoint.  Derivation: derivations/inner-optimisers.md

A rule goes to `rm.adapt(..., optimiser=...)` and to `rm.maml`; `None` is gradient descent.  A rule around another rule works
on the gradient first: `ClippedByNorm(1.0, DecayedWeights(0.01, Adam()))` clips, adds the decay, and then takes Adam's step.
"""

from refmeta.meta.inner_optimisers.adam import Adam, AdamEpsilonHat, AdamEpsilonRoot
from refmeta.meta.inner_optimisers.momentum import GradientDescent, HeavyBall, Nesterov
from refmeta.meta.inner_optimisers.rmsprop import RMSProp
from refmeta.meta.inner_optimisers.state import Slopes, UpdateRule
from refmeta.meta.inner_optimisers.wrappers import (
    ClippedByNorm,
    DecayedWeights,
    DecoupledDecay,
    DecoupledDecayPaper,
    as_optimiser,
)
from refmeta.meta.optimisers import Moments, zero_moments

__all__ = [
    "Adam", "AdamEpsilonHat", "AdamEpsilonRoot", "ClippedByNorm", "DecayedWeights", "DecoupledDecay",
    "DecoupledDecayPaper", "GradientDescent", "HeavyBall", "Moments", "Nesterov", "UpdateRule", "RMSProp", "Slopes",
    "as_optimiser", "zero_moments",
]  # fmt: skip
