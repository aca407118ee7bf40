"""Tiny processes, on which estimators are averaged exactly.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import maml, sampled
from refmeta.oracle.common import PROCESS, policy_return
from refmeta.oracle.decimals import Inputs
from refmeta.oracle.suite import at_most_one
from refmeta.sampling.enumeration import expectation
from refmeta.sampling.returns import reward_to_go
from refmeta.sampling.surrogates import Surrogate, dice, likelihood_ratio, reinforce
from refmeta.sampling.trajectories import Trajectories
from refmeta.tasks.exact_return import PolicyReturn

__all__ = [
    "SURROGATES", "Estimate", "Expectations", "Surrogates", "answer", "first_order", "normalised_surrogate", "problem",
    "scaled_score", "surrogate", "terms", "without_score",
]  # fmt: skip

Surrogates = Sequence[Surrogate]
Estimate = Callable[[Any, Array, Surrogates, Any], Array]
SURROGATES = {"naive_hessian": reinforce, "lvc_hessian": likelihood_ratio, "dice_hessian": dice}


@dataclass(frozen=True, eq=False)
class Expectations:
    """A tiny process for each task, on which estimators are averaged over every tuple of trajectories."""

    theta: Array
    tasks: tuple[PolicyReturn, ...]
    alpha: float
    episodes: int
    steps: int
    v: Array

    @property
    def inputs(self) -> Inputs:
        """The inputs of the suite as nested lists."""
        each = [task.mdp for task in self.tasks]
        shared = {name: np.asarray(x).tolist() for name, x in vars(self).items() if name != "tasks"}
        processes = {name: [getattr(mdp, name).tolist() for mdp in each] for name in PROCESS}
        return shared | processes | {"gamma": float(each[0].gamma), "horizon": each[0].horizon}


def problem(x: dict[str, Any]) -> Expectations:
    """The inputs of the suite."""
    processes = (dict(zip(PROCESS, each, strict=True)) for each in zip(*(x[name] for name in PROCESS), strict=True))
    tasks = tuple(policy_return(x | process) for process in processes)
    return Expectations(x["theta"], tasks, x["alpha"], x["episodes"], x["steps"], x["v"])


def surrogate(kind: Callable[..., Surrogate], task: PolicyReturn, theta: Array, batch: Trajectories) -> Surrogate:
    """A surrogate, without a baseline, of a batch that was drawn at theta."""
    return kind(task.policy, theta, batch, gamma=at_most_one(task.mdp.gamma))


def normalised_surrogate(task: Any, theta: Array, batch: Trajectories) -> Surrogate:
    """A known-wrong inner surrogate: that of `formulation_sampled` with (Ĝ − mean Ĝ)/std Ĝ over the M·H steps of a batch."""
    G = reward_to_go(batch, gamma=task.mdp.gamma)
    mean, deviation = np.mean(G, axis=(-2, -1), keepdims=True), np.std(G, axis=(-2, -1), keepdims=True)
    return reinforce(task.policy, theta, batch, gamma=task.mdp.gamma, baseline=G - (G - mean) / (deviation + 1e-8))


def without_score(task: Any, theta: Array, surrogates: Surrogates, alpha: Any) -> Array:
    """The gradient through the inner steps, without a score term."""
    return maml.gradient(theta, list(surrogates), task, alpha=alpha, steps=len(surrogates))


def first_order(task: Any, theta: Array, surrogates: Surrogates, alpha: Any) -> Array:
    """The gradient at the adapted parameters alone."""
    return maml.first_order_gradient(theta, list(surrogates), task, alpha=alpha, steps=len(surrogates))


def scaled_score(scale: float) -> Estimate:
    """E-MAML's gradient with its score terms times `scale`: right with 1, else a known-wrong formula."""

    def estimate(task: Any, theta: Array, surrogates: Surrogates, alpha: Any) -> Array:
        value = scale * maml.objective(theta, list(surrogates), task, alpha=alpha, steps=len(surrogates))
        return sampled.emaml_gradient(theta, surrogates, task, alpha=alpha, value=value)

    return estimate


def answer(part: str, problem: Expectations) -> Array:
    """The library's meta-gradient, or its exact mean of a surrogate's Hessian product; one row for each task."""
    return np.stack([_one(part, problem, task) for task in problem.tasks])


def _one(part: str, problem: Expectations, task: PolicyReturn) -> Array:
    """The row of one task."""
    theta, steps = problem.theta, problem.steps
    if part == "formulation_exact":
        return sampled.formulation_exact(theta, task, alpha=problem.alpha, steps=steps).gradient
    if part == "formulation_sampled":
        M = problem.episodes
        return sampled.formulation_sampled(theta, task, alpha=problem.alpha, episodes=M, steps=steps).gradient
    product: Callable[..., Array] = lambda batch: surrogate(SURROGATES[part], task, theta, batch).at(theta).hvp(problem.v)
    return expectation(product, task.mdp, task.policy, theta).mean


def terms(part: str, problem: Expectations, value: Array) -> Any:
    """The largest Σ_t |Q_t(s, a)|; times max |v| for a Hessian product."""
    size = [np.max(np.sum(np.abs(task.at(problem.theta).action_value), axis=-3)) for task in problem.tasks]
    return np.array(size) * (np.max(np.abs(problem.v)) if part.endswith("hessian") else 1.0)
