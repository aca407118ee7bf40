"""The sampled suites' inputs as the library's own objects, and the library's answers.

Derivation: derivations/sampled-meta-gradients.md
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import sampled
from refmeta.policies import LinearSoftmax, TabularSoftmax
from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.sampling.enumeration import expectation
from refmeta.sampling.surrogates import Surrogate, dice, likelihood_ratio, loaded_dice, reinforce, tmaml
from refmeta.sampling.trajectories import Trajectories
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

SURROGATES = ("reinforce", "likelihood_ratio", "dice", "tmaml", "loaded_dice")
OF_BATCHES = tuple(f"{name}_{part}" for name in SURROGATES for part in ("loss", "grad", "hvp"))
OF_EXPECTATIONS = ("formulation_exact", "formulation_sampled", "naive_hessian", "lvc_hessian", "dice_hessian")
INPUTS_OF_BATCHES = (
    "theta", "theta_sampled", "state_count", "action_count", "features", "states", "actions", "rewards", "mask",
    "baseline", "gamma", "lam", "v",
)  # fmt: skip
INPUTS_OF_EXPECTATIONS = ("theta", "P", "R", "rho", "gamma", "horizon", "alpha", "episodes", "steps", "v")


def at_most_one(x: float) -> float:
    """γ or λ; one that was moved above 1 by a little, as κ is measured, is taken for 1."""
    return 1.0 if 1 < x < 1 + 1e-6 else x


@dataclass(frozen=True, eq=False)
class Batches:
    """A batch of trajectories a task, on which surrogates are evaluated at theta, with a direction."""

    theta: Array
    theta_sampled: Array
    policy: Any
    trajectories: Any
    baseline: Array
    gamma: float
    lam: float
    v: Array

    def surrogate(self, name: str, **changes: Any) -> Surrogate:
        """One of the five, with some of its arguments changed."""
        make: Any = {"reinforce": reinforce, "likelihood_ratio": likelihood_ratio, "dice": dice, "tmaml": tmaml}.get(
            name, loaded_dice
        )
        given = {"gamma": at_most_one(self.gamma), "baseline": self.baseline}
        given |= {"lam": at_most_one(self.lam)} if make is loaded_dice else {}
        batch = changes.pop("trajectories", self.trajectories)
        return make(self.policy, self.theta_sampled, batch, **given | changes)


@dataclass(frozen=True, eq=False)
class Expectations:
    """A tiny process a task, on which estimators are taken over every tuple of trajectories."""

    theta: Array
    tasks: tuple[PolicyReturn, ...]
    alpha: float
    episodes: int
    steps: int
    v: Array


def batches(x: dict[str, Any]) -> Batches:
    """The inputs of the suite `surrogates`; states with a last axis of their own are those of a linear-Gaussian policy."""
    counts = x["state_count"], x["action_count"]
    if np.ndim(x["states"]) == np.ndim(x["rewards"]) + 1:
        policy: Any = LinearGaussian(*counts)
    else:
        policy = TabularSoftmax(*counts) if x["features"] is None else LinearSoftmax(x["features"])
    given = Trajectories(*(x[name] for name in ("states", "actions", "rewards", "mask")))
    return Batches(x["theta"], x["theta_sampled"], policy, given, x["baseline"], x["gamma"], x["lam"], x["v"])


def expectations(x: dict[str, Any]) -> Expectations:
    """The inputs of the suite `expected-estimators`."""
    each = zip(x["P"], x["R"], x["rho"], strict=True)
    processes = [FiniteMDP(P, R, rho, x["gamma"], x["horizon"]) for P, R, rho in each]
    tasks = tuple(PolicyReturn(mdp, TabularSoftmax(mdp.states, mdp.actions)) for mdp in processes)
    return Expectations(x["theta"], tasks, x["alpha"], x["episodes"], x["steps"], x["v"])


def of_batch(name: str, case: Batches) -> Array:
    """A part of the suite `surrogates`."""
    kind, part = name.rsplit("_", 1)
    return evaluated(case, case.surrogate(kind), part)


def evaluated(case: Batches, surrogate: Surrogate, part: str) -> Array:
    """The loss, gradient or Hessian product of a surrogate."""
    point = surrogate.at(case.theta)
    return np.asarray(point.hvp(case.v) if part == "hvp" else getattr(point, part))


def of_expectation(name: str, case: Expectations) -> Array:
    """A part of the suite `expected-estimators`."""
    if name == "formulation_exact":
        return np.stack([sampled.formulation_exact(case.theta, t, alpha=case.alpha, steps=case.steps).gradient
                         for t in case.tasks])  # fmt: skip
    if name == "formulation_sampled":
        given: dict[str, Any] = {"alpha": case.alpha, "episodes": case.episodes, "steps": case.steps}
        return np.stack([sampled.formulation_sampled(case.theta, t, **given).gradient for t in case.tasks])
    kind: Any = {"naive_hessian": reinforce, "lvc_hessian": likelihood_ratio, "dice_hessian": dice}[name]
    return np.stack([expected_hvp(case, task, kind) for task in case.tasks])


def expected_hvp(case: Expectations, task: PolicyReturn, kind: Any, **changes: Any) -> Array:
    """E[∇²L̂ v] of a surrogate at the parameters where its trajectories were drawn."""
    given = {"gamma": at_most_one(task.mdp.gamma)} | changes

    def product(batch: Trajectories) -> Array:
        return kind(task.policy, case.theta, batch, **given).at(case.theta).hvp(case.v)

    return expectation(product, task.mdp, task.policy, case.theta).mean
