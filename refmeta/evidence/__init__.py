"""The evidence for every labelled formula, chapter by chapter, in the order of reading."""

from refmeta.evidence import (
    best_possible,
    control,
    differences,
    ends,
    geometry,
    gradients,
    hypergradients,
    inner_optimisers,
    kl,
    maml,
    many_episodes,
    meta_lstm,
    model_based,
    pearl,
    reptile,
    returns,
    sampled,
    sampling,
    shared,
    soft_returns,
    targets,
)
from refmeta.evidence.checks import Check

__all__ = ["CHECKS"]

CHECKS: tuple[Check, ...] = (
    *shared.CHECKS, *differences.CHECKS, *returns.CHECKS, *ends.CHECKS, *soft_returns.CHECKS, *geometry.CHECKS, *control.CHECKS,
    *maml.CHECKS, *inner_optimisers.CHECKS, *reptile.CHECKS, *gradients.CHECKS, *hypergradients.CHECKS,
    *sampling.CHECKS, *targets.CHECKS, *kl.CHECKS, *sampled.CHECKS, *many_episodes.CHECKS,
    *meta_lstm.CHECKS, *pearl.CHECKS, *model_based.CHECKS, *best_possible.CHECKS,
)  # fmt: skip
