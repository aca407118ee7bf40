"""The suite `model`: its inputs as the library's own objects, and the library's answers.

Derivation: derivations/model-based.md
"""

from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.meta import model_based
from refmeta.meta.model_based import Prior
from refmeta.oracle.agents import SEEN, context
from refmeta.oracle.batches import at_most_one
from refmeta.policies import TabularSoftmax
from refmeta.sampling.transitions import Transitions
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

INPUTS_OF_MODELS = (
    "theta", *SEEN, "concentration", "reward_mean", "reward_variance", "noise_variance", "P", "R", "rho", "gamma", "horizon",
    "alpha", "steps",
)  # fmt: skip
OF_MODELS = (
    "transition", "reward", "log_marginal", "concentration_grad", "reward_mean_grad", "reward_variance_grad", "objective",
    "gradient",
)  # fmt: skip


class Modelled(NamedTuple):
    """What is adapted through a learned model: a prior, a context of every true task, θ, α, K."""

    theta: Array
    prior: Prior
    context: Transitions
    task: PolicyReturn
    alpha: Any
    steps: int


def modelled(x: dict[str, Any]) -> Modelled:
    """The inputs of the suite."""
    prior = Prior(x["concentration"], x["reward_mean"], x["reward_variance"], x["noise_variance"])
    mdp = FiniteMDP(x["P"], x["R"], x["rho"], x["gamma"], x["horizon"])
    task = PolicyReturn(mdp, TabularSoftmax(mdp.states, mdp.actions))
    return Modelled(x["theta"], prior, context(x), task, x["alpha"], x["steps"])


def proper(task: PolicyReturn) -> PolicyReturn:
    """The task; a start or a discount that was moved by a little, as κ is measured, is one again."""
    rho = task.mdp.rho / np.sum(task.mdp.rho, axis=-1, keepdims=True)
    return replace_fields(task, mdp=replace_fields(task.mdp, rho=rho, gamma=at_most_one(task.mdp.gamma)))


def of_model(name: str, case: Modelled) -> Array:
    """A part of the suite."""
    mdp = case.task.mdp
    seen = model_based.statistics(case.context, mdp.states, mdp.actions)
    if name in ("transition", "reward"):
        return np.asarray(model_based.posterior(case.prior, seen)[name == "reward"])
    if name == "log_marginal":
        return np.asarray(model_based.log_marginal(case.prior, seen))
    if name in ("objective", "gradient"):
        function = getattr(model_based, name)
        return np.asarray(
            function(case.theta, seen, proper(case.task), prior=case.prior, alpha=case.alpha, steps=case.steps)
        )
    slopes = model_based.log_marginal_gradient(case.prior, seen)
    one = {"concentration_grad": slopes.log_concentration, "reward_mean_grad": slopes.mean}
    return np.asarray(one.get(name, np.sum(slopes.log_variance, axis=(-2, -1))))
