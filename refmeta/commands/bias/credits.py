"""Weights of the scores in an inner step: γᵗĜ_t and others.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.sampling.returns import reward_to_go, whole_return
from refmeta.sampling.surrogates import Surrogate, Term
from refmeta.sampling.trajectories import Trajectories, discounts
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["CREDITS", "Credit", "credited"]

Credit = Callable[[Trajectories, float], Array]


def _to_go(batch: Trajectories, gamma: float) -> Array:
    """γᵗĜ_t."""
    return discounts(batch.mask, gamma) * reward_to_go(batch, gamma=gamma)


def _normalised(batch: Trajectories, gamma: float, ddof: int) -> Array:
    """(Ĝ − mean Ĝ)/(std Ĝ + 1e-8) over the M·H steps of a batch; with one step, 0."""
    G = reward_to_go(batch, gamma=gamma)
    steps = G.shape[-2] * G.shape[-1]
    centred = G - np.mean(G, axis=(-2, -1), keepdims=True)
    variance = np.sum(centred**2, axis=(-2, -1), keepdims=True) / max(steps - ddof, 1)
    return centred / (np.sqrt(variance) + 1e-8) * batch.mask


CREDITS: dict[str, Credit] = {
    "whole return": lambda batch, gamma: whole_return(batch, gamma=gamma)[..., None] * batch.mask,
    "undiscounted visits": lambda batch, gamma: reward_to_go(batch, gamma=gamma) * batch.mask,
    "mean over time": lambda batch, gamma: _to_go(batch, gamma) / batch.mask.shape[-1],
    "sum over episodes": lambda batch, gamma: _to_go(batch, gamma) * batch.mask.shape[-2],
    "normalised": lambda batch, gamma: discounts(batch.mask, gamma) * _normalised(batch, gamma, 0),
    "normalised by ddof 1": lambda batch, gamma: discounts(batch.mask, gamma) * _normalised(batch, gamma, 1),
    "normalised, undiscounted visits": lambda batch, gamma: _normalised(batch, gamma, 0),
    "normalised by ddof 1, undiscounted visits": lambda batch, gamma: _normalised(batch, gamma, 1),
}


def credited(credit: Credit, link: Any) -> Callable[[PolicyReturn, Array, Trajectories], Surrogate]:
    """The surrogate −(1/M) Σ w g(x) with other weights w than γᵗĜ."""

    def make(task: PolicyReturn, theta: Array, batch: Trajectories) -> Surrogate:
        weights = credit(batch, task.mdp.gamma)
        return Surrogate(task.policy, theta, batch, (Term(weights, 0.0, 0.0, link),))

    return make
