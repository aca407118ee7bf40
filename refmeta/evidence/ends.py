"""Evidence for the length of an episode: the chance that it has t steps, step by step."""

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array, replace_fields
from refmeta.evidence.checks import Check, Error, off, worst
from refmeta.evidence.returns import model
from refmeta.policies import TabularSoftmax
from refmeta.problems import random_ending_process
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["CHECKS", "lengths"]

STEPS = 1500  # an episode of the random processes goes on with a chance of 0.8 at most: 0.8^1500 < 1e-145

Case = tuple[PolicyReturn, Array]


def lengths(case: Case) -> Array:
    """Pr(T = t) for t = 0 … 1,500, (T, N): the starts in an end, and what enters an end in each step."""
    task, theta = case
    K, now, end = model(task.mdp, np.array(task.at(theta).probabilities))[0], np.array(task.mdp.rho), task.mdp.terminal
    chances = [np.sum(now * end, axis=-1)]
    for _ in range(STEPS):
        now = np.einsum("ns,nst->nt", now * ~end, K)
        chances.append(np.sum(now * end, axis=-1))
    return np.stack(chances)


def _random_episodes(rng: Generator) -> list[Case]:
    """A task that ends, with a discount and without, and parameters."""
    mdp = random_ending_process(rng)
    policy, theta = TabularSoftmax(mdp.states, mdp.actions), rng.normal(size=mdp.states * mdp.actions)
    gammas = float(rng.uniform(0.3, 0.95)), 1.0
    return [(PolicyReturn(replace_fields(mdp, gamma=gamma), policy), theta) for gamma in gammas]


def _sum_of_visits(case: Case) -> Error:
    """Σ_s d(s) against (1 − E γᵀ)/(1 − γ), or E T."""
    gamma, chances, t = case[0].mdp.gamma, lengths(case), np.arange(STEPS + 1)[:, None]
    sums = np.sum(chances * (t if gamma == 1 else (1 - gamma**t) / (1 - gamma)), axis=0)
    return off(lambda z: np.sum(z[0].at(z[1]).occupancy, axis=-1), case, sums)


CHECKS = (
    Check("thm:episode-length", "Σ d = (1 − E γᵀ)/(1 − γ), E T at γ = 1", "the chances of each T, step by step",
          _random_episodes, lambda cases: worst(map(_sum_of_visits, cases))),
)  # fmt: skip
