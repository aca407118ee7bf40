"""Estimators of ∇J, J the return, from one batch.  Derivation: derivations/sampled-policy-gradients.md

Each is a mean over M trajectories of Σ_t weight_t ∇ log π_θ(a_t|s_t), (..., d).
"""

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_fraction, finite_result
from refmeta.sampling.likelihood import likelihood
from refmeta.sampling.returns import as_step_values, reward_to_go, whole_return
from refmeta.sampling.trajectories import Policy, Trajectories, as_trajectories, discounts

__all__ = ["gpomdp", "reinforce", "undiscounted_visits"]


def _mean_score(policy: Policy, theta: ArrayLike, trajectories: Trajectories, weights: Array) -> Array:
    """(1/M) Σ weight ∇ log π."""
    return likelihood(policy, theta, trajectories).pull(weights) / weights.shape[-2]


def _advantage(trajectories: Trajectories, gamma: float, baseline: ArrayLike) -> Array:
    """Ĝ_t − b_t, (..., M, H)."""
    return reward_to_go(trajectories, gamma=gamma) - as_step_values(baseline, as_trajectories(trajectories), "baseline")


@finite_result
def reinforce(
    policy: Policy, theta: ArrayLike, trajectories: Trajectories, *, gamma: float, baseline: ArrayLike = 0.0
) -> Array:
    """(1/M) Σ_m (G − b_t) Σ_t ∇ log π(a_t|s_t), G = Σ γᵗ r_t the whole return; (..., d).

    Eq: reinforce
    """
    G, b = whole_return(trajectories, gamma=gamma), as_step_values(baseline, as_trajectories(trajectories), "baseline")
    return _mean_score(policy, theta, trajectories, G[..., None] - b)


@finite_result
def gpomdp(
    policy: Policy, theta: ArrayLike, trajectories: Trajectories, *, gamma: float, baseline: ArrayLike = 0.0
) -> Array:
    """(1/M) Σ_m Σ_t γᵗ (Ĝ_t − b_t) ∇ log π(a_t|s_t), Ĝ the reward to go; (..., d).

    Eq: gpomdp

    Unbiased for the H-step ∇J.
    """
    advantage = _advantage(trajectories, gamma, baseline)
    return _mean_score(
        policy, theta, trajectories, discounts(np.ones(advantage.shape), as_fraction(gamma, "gamma")) * advantage
    )


@finite_result
def undiscounted_visits(
    policy: Policy, theta: ArrayLike, trajectories: Trajectories, *, gamma: float, baseline: ArrayLike = 0.0
) -> Array:
    """(1/M) Σ_m Σ_t (Ĝ_t − b_t) ∇ log π(a_t|s_t), without γᵗ; (..., d).

    Eq: undiscounted-visits

    Biased for ∇J if γ < 1 and H ≥ 2: all visits have the same weight.
    """
    advantage = _advantage(trajectories, gamma, baseline)
    return _mean_score(policy, theta, trajectories, advantage)
