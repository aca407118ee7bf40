"""Adaptation through a learned model as the library takes it.  Derivation: derivations/model-based.md"""

from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.meta import maml, model_based
from refmeta.meta.model_based import Model, Prior, Statistics
from refmeta.oracle.common import context, policy_return
from refmeta.oracle.decimals import Inputs
from refmeta.oracle.suite import at_most_one
from refmeta.sampling.transitions import Transitions
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["ModelProblem", "maml_parts", "answer", "problem", "parts_from_model"]


class ModelProblem(NamedTuple):
    """Adaptation through a learned model: θ, a prior, a context from each true task, the tasks, α, K."""

    theta: Array
    prior: Prior
    context: Transitions
    task: PolicyReturn
    alpha: Any
    steps: int

    def __hash__(self) -> int:
        """By identity."""
        return id(self)

    def __eq__(self, other: object) -> bool:
        """The same object?"""
        return self is other

    @property
    def statistics(self) -> Statistics:
        """What the context says."""
        return model_based.statistics(self.context, self.task.mdp.states, self.task.mdp.actions)

    @property
    def model(self) -> Model:
        """The posterior mean."""
        return model_based.posterior(self.prior, self.statistics)

    @property
    def support(self) -> PolicyReturn:
        """The task with the transitions and rewards of the model."""
        return model_based.model_task(self.prior, self.statistics, self.truth)

    @property
    def truth(self) -> PolicyReturn:
        """The task, valid again where the measurement of κ moves ρ or γ a little: ρ sums to 1, γ is at most 1."""
        mdp = self.task.mdp
        rho = mdp.rho / np.sum(mdp.rho, axis=-1, keepdims=True)
        return replace_fields(self.task, mdp=replace_fields(mdp, rho=rho, gamma=at_most_one(mdp.gamma)))

    @property
    def inputs(self) -> Inputs:
        """What the definition of the log marginal likelihood takes, as nested lists."""
        prior, lists = self.prior, zip(Transitions._fields, self.context, strict=True)
        numbers = {
            "concentration": prior.concentration, "reward_mean": prior.mean, "reward_variance": prior.variance,
            "noise_variance": prior.noise, "gamma": self.task.mdp.gamma,
        }  # fmt: skip
        x = {f"context_{name}": value for name, value in lists} | numbers
        return {name: np.asarray(value).tolist() for name, value in x.items()}


def problem(x: dict[str, Any]) -> ModelProblem:
    """The inputs of the suite."""
    prior = Prior(x["concentration"], x["reward_mean"], x["reward_variance"], x["noise_variance"])
    return ModelProblem(x["theta"], prior, context(x), policy_return(x), x["alpha"], x["steps"])


def answer(part: str, problem: ModelProblem) -> Array:
    """A part of the suite."""
    prior, statistics = problem.prior, problem.statistics
    if part in ("transition", "reward"):
        return np.asarray(model_based.posterior(prior, statistics)[part == "reward"])
    if part == "log_marginal":
        return np.asarray(model_based.log_marginal(prior, statistics))
    if part in ("objective", "gradient"):
        function, options = getattr(model_based, part), {"alpha": problem.alpha, "steps": problem.steps}
        return np.asarray(function(problem.theta, statistics, problem.truth, prior=prior, **options))
    slopes = model_based.log_marginal_gradient(prior, statistics)
    parts = {"concentration_grad": slopes.log_concentration, "reward_mean_grad": slopes.mean}
    return np.asarray(parts.get(part, np.sum(slopes.log_variance, axis=(-2, -1))))


def maml_parts(problem: ModelProblem, support: PolicyReturn, query: PolicyReturn) -> dict[str, Array]:
    """Objective and gradient where θ is adapted on one task and judged on another."""
    arguments, options = (problem.theta, support, query), {"alpha": problem.alpha, "steps": problem.steps}
    return {"objective": np.asarray(maml.objective(*arguments, **options)), "gradient": maml.gradient(*arguments, **options)}


def parts_from_model(problem: ModelProblem, model: Model) -> dict[str, Array]:
    """Every part that the model determines: the model itself, the objective and the gradient."""
    support = replace_fields(problem.truth, mdp=replace_fields(problem.truth.mdp, P=model.P, R=model.R))
    return {"transition": model.P, "reward": model.R} | maml_parts(problem, support, problem.truth)
