"""Evidence for returns with entropy: the entropy in plain scalars, sums over trajectories, sweeps, complex steps."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check, Error, gradient_error, hvp_error, off, worst
from refmeta.evidence.returns import all_paths, fixed_point, model
from refmeta.policies import TabularSoftmax
from refmeta.problems import random_policy_return, random_process
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP
from refmeta.tasks.planning import soft_values

__all__ = ["CHECKS", "paid_entropy", "random_soft_return", "soft_sweeps"]

KINDS = ("discounted", "finite-horizon", "linear-features")


Case = tuple[PolicyReturn, Array, Array]


def random_soft_return(rng: Generator, kind: str) -> Case:
    """A task with a temperature, parameters and a direction."""
    task = random_policy_return(rng, kind)
    soft = PolicyReturn(task.mdp, task.policy, float(rng.uniform(0.2, 3)))
    return soft, rng.normal(size=task.dim), rng.normal(size=task.dim)


def _one_of_each(rng: Generator) -> list[Case]:
    """Without a horizon, with one, and with features."""
    return [random_soft_return(rng, kind) for kind in KINDS]


def _worst(judge: Callable[[Case], Error], cases: list[Case]) -> Error:
    """The largest error."""
    return worst(judge(case) for case in cases)


def paid_entropy(task: PolicyReturn, theta: Array) -> FiniteMDP:
    """The process in which every step off the ends also pays τ Σ_a −π log π, as a number, whatever the action."""
    mdp, table = task.mdp, task.at(theta).probabilities
    entropy = [[-math.fsum(p * math.log(p) for p in row if p > 0) for row in rows] for rows in table.tolist()]
    bonus = np.where(mdp.terminal, 0, task.temperature * np.array(entropy))
    return FiniteMDP(mdp.P, mdp.expected_reward + bonus[..., None], mdp.rho, mdp.gamma, mdp.horizon, mdp.terminal)


def soft_sweeps(task: PolicyReturn, theta: Array) -> Array:
    """V without a horizon, by sweeps of V ← r_π + τH + γP_πV."""
    mdp = paid_entropy(task, theta)
    K, r = model(mdp, np.array(task.at(theta).probabilities))
    return fixed_point(lambda V: r + mdp.gamma * np.einsum("nst,nt->ns", K, V), np.zeros_like(r))


def _random_tree(rng: Generator) -> tuple[PolicyReturn, PolicyReturn, Array]:
    """A process of two states and two actions with three steps, the same one without a horizon, and parameters."""
    short = random_process(rng, 1, 2, 2, gamma=float(rng.uniform(0.3, 0.95)), horizon=3)
    long = FiniteMDP(short.P, short.R, short.rho, short.gamma)
    tau, policy = float(rng.uniform(0.2, 3)), TabularSoftmax(2, 2)
    return PolicyReturn(short, policy, tau), PolicyReturn(long, policy, tau), rng.normal(size=4)


def _soft_return(case: tuple[PolicyReturn, PolicyReturn, Array]) -> Error:
    """Over three steps the sum over all trajectories, without a horizon sweeps."""
    short, long, theta = case
    listed = all_paths((PolicyReturn(paid_entropy(short, theta), short.policy), theta), 3)[0]
    expected = ((short, listed), (long, soft_sweeps(long, theta)))
    return worst(off(lambda z: z[0].at(z[1]).loss, (t, theta), -np.sum(t.mdp.rho * V, axis=-1)) for t, V in expected)


def _random_optimum(rng: Generator) -> tuple[FiniteMDP, float]:
    """A process without a horizon, and a temperature at which Q/τ is of order one to ten."""
    return random_process(rng, gamma=float(rng.uniform(0.3, 0.9))), float(rng.uniform(0.5, 3))


def _soft_optimum(case: tuple[FiniteMDP, float]) -> Error:
    """The gradient at softmax(Q/τ) is 0 beside the products d π |Q| of its own sum, and J is the best soft return."""
    mdp, tau = case
    best = soft_values(mdp, temperature=tau)
    task = PolicyReturn(mdp, TabularSoftmax(mdp.states, mdp.actions), tau)
    theta = np.reshape(best.action_value / tau, (*mdp.shape, task.dim))
    scale = np.max(np.abs(best.action_value), axis=(-2, -1)) / (1 - mdp.gamma)
    slope = off(lambda z: z[0].at(z[1]).grad, (task, theta), np.zeros_like(theta), scale)
    return worst([slope, off(lambda z: z[0].at(z[1]).loss, (task, theta), -best.best_return, scale)])


CHECKS = (
    Check("soft-return", "J = E Σ γᵗ(r + τH)", "every trajectory; 1,500 sweeps", _random_tree, _soft_return),
    Check("soft-return-gradient", "d π A, A = Q − τ log π − V", "complex step of J",
          _one_of_each, partial(_worst, gradient_error)),
    Check("soft-return-hvp", "dd πA + d dπ A + d π dA, with d log π in dA", "complex step of ∇J",
          _one_of_each, partial(_worst, hvp_error)),
    Check("thm:soft-optimum", "∇J = 0 at softmax(Q/τ)", "soft values", _random_optimum, _soft_optimum),
)  # fmt: skip
