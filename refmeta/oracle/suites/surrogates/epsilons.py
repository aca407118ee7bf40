"""Where an ε may stand in a surrogate on a batch.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.epsilons import slope
from refmeta.oracle.suite import Case, Effects, at_most_one
from refmeta.oracle.suites.surrogates.kl_definition import PENALTIES
from refmeta.oracle.suites.surrogates.kl_functions import FUNCTIONS
from refmeta.sampling.likelihood import likelihood_at
from refmeta.sampling.surrogates import Surrogate
from refmeta.sampling.trajectories import discounts

__all__ = ["effects", "ratio_effects"]


def effects(case: Case, part: str) -> Effects:
    """An ε in the ratios of a surrogate, or in its mean over trajectories."""
    if part in PENALTIES:
        return _of_penalty(case, part)
    problem, (name, _, kind) = case.problem, part.rpartition("_")
    M = problem.trajectories.mask.shape[-2]
    ratios = ratio_effects(problem.surrogate(name), problem.theta, kind, problem.v)
    return ratios | {"1/(M + ε)": lambda: -case.expected[part].value / M}


def _of_penalty(case: Case, part: str) -> Effects:
    """An ε in the probability of the policy that drew the batch or of the reference, or in the mean over trajectories.

    With u = (k + k') exp(x) and log π held, the slope of u is −u/π_sampled, or −(k' + k'') exp(x)/π_ref.
    """
    problem = case.problem
    batch, M = problem.penalty(part).trajectories, problem.trajectories.mask.shape[-2]
    thetas = problem.theta, problem.theta_sampled, problem.theta_ref
    here, old, ref = (likelihood_at(problem.policy, theta, batch) for theta in thetas)
    weights = discounts(batch.mask, at_most_one(problem.gamma)) * np.exp(here.log_prob - old.log_prob) / M
    k, first = FUNCTIONS[part](here.log_prob - ref.log_prob + 1e-30j)
    of: Callable[[Array, Any], Array] = lambda u, like: here.pull(-weights * u * np.exp(-like.log_prob))
    return {
        "π/(π_sampled + ε)": lambda: of(np.real(k + first), old), "log(π_ref + ε)": lambda: of(np.imag(k + first) / 1e-30, ref),
        "1/(M + ε)": lambda: -case.expected[part].value / M,
    }  # fmt: skip


def ratio_effects(surrogate: Surrogate, theta: Array, kind: str, v: Array) -> Effects:
    """log(π + ε) of the policy that is differentiated, of the one that sampled, or of both.

    The slope of the loss in ε is −(1/M) Σ s (1/π − 1/π_sampled), s the surrogate's slopes in log π; those of the gradient
    and of the Hessian product are its numeric derivatives.
    """
    policy, batch, axes = surrogate.policy, surrogate.trajectories, 1e-30j * np.eye(surrogate.dim)[:, None]
    old = np.exp(-likelihood_at(policy, surrogate.theta_sampled, batch).log_prob)

    def effect(new: int, sampled: int) -> Any:
        def loss(theta: Array) -> Array:
            difference = new * np.exp(-likelihood_at(policy, theta, batch).log_prob) - sampled * old
            return -np.mean(np.sum(surrogate.at(theta).slopes * difference, axis=-1), axis=-1)

        def grad(theta: Array) -> Array:
            return np.imag(loss(theta + axes)).T / 1e-30

        return loss(theta) if kind == "loss" else grad(theta) if kind == "grad" else slope(lambda h: grad(theta + h * v))

    return {
        "log(π + ε)": lambda: effect(1, 1), "log(π + ε) but at the time of sampling": lambda: effect(1, 0),
        "π/(π_sampled + ε)": lambda: effect(0, 1),
    }  # fmt: skip
