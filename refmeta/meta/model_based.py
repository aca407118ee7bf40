"""Adaptation through a learned model of the process.  Derivation: derivations/model-based.md

The inner steps descend the exact loss in the posterior-mean model of a context; the result is judged on the true task.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_count, as_generator, finite_result
from refmeta.meta.arguments import Task
from refmeta.meta.inner import adapt, adjoints, query_point
from refmeta.meta.learned_model import (
    Fitted,
    Model,
    Prior,
    PriorGradient,
    Statistics,
    fit,
    log_marginal,
    log_marginal_gradient,
    posterior,
    statistics,
)
from refmeta.meta.loop import check_methods
from refmeta.sampling.transitions import sample_experience
from refmeta.tasks.distributions import Split, reward_noise_of
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

__all__ = [
    "Fitted", "Model", "ModelledTasks", "Prior", "PriorGradient", "Statistics", "fit", "gradient", "log_marginal",
    "log_marginal_gradient", "model_task", "objective", "posterior", "statistics",
]  # fmt: skip


def model_task(prior: Prior, data: Statistics, task: PolicyReturn) -> PolicyReturn:
    """The return in the posterior-mean model, with the start, discount, horizon, policy and temperature of the task."""
    if not isinstance(task, PolicyReturn):
        raise TypeError(f"task must be a PolicyReturn, got {type(task).__name__}")
    model = posterior(prior, data)
    ends = np.broadcast_to(data.ended, model.R.shape[:-1])
    mdp = FiniteMDP(*model, task.mdp.rho, task.mdp.gamma, task.mdp.horizon, ends)
    return PolicyReturn(mdp, task.policy, task.temperature)


@finite_result
def objective(
    theta: ArrayLike, data: Statistics, task: PolicyReturn, *, prior: Prior, alpha: ArrayLike, steps: int = 1
) -> Array:
    """L(φ) of the true task, φ adapted on the posterior-mean model; (...).

    Eq: model-based-maml

    theta (..., d), alpha, steps and the errors are as in `refmeta.adapt`; other errors are those of `posterior`.
    """
    support: Task = model_task(prior, data, task)
    return np.array(query_point(adapt(theta, support, alpha=alpha, steps=steps), support, task).loss)[()]


@finite_result
def gradient(
    theta: ArrayLike, data: Statistics, task: PolicyReturn, *, prior: Prior, alpha: ArrayLike, steps: int = 1
) -> Array:
    """λ_0, by λ_k = λ_{k+1} − ∇²L̂(θ⁽ᵏ⁾)(α ⊙ λ_{k+1}) from λ_K = ∇L(φ), L̂ the model's loss; (..., d).

    Eq: model-based-maml

    It is exact if the context does not depend on θ.  Parameters and errors are those of `objective`.
    """
    support: Task = model_task(prior, data, task)
    inner = adapt(theta, support, alpha=alpha, steps=steps)
    return adjoints(inner, alpha, [query_point(inner, support, task).grad])[0]


@dataclass(frozen=True, eq=False)
class ModelledTasks:
    """A family whose support is a model learned from episodes of uniform actions, and whose query is the true task.

    The rewards of these episodes have the `reward_noise` of the family, if it has that field.

    With `MAML` this is adaptation through a learned model: meta_train(ModelledTasks(family, prior), theta, rule=…, …).
    """

    family: Any
    prior: Prior
    episodes: int = 5
    horizon: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "episodes", as_count(self.episodes, "episodes", least=1))
        check_methods(family=(self.family, "sample"))
        if not isinstance(self.prior, Prior):
            raise TypeError(f"prior must be a Prior, got {type(self.prior).__name__}")

    @property
    def dim(self) -> int:
        """The number of parameters of the policy."""
        return int(self.family.dim)

    def sample(self, n: int, rng: Generator | int | None = None) -> Split:
        """n tasks: the posterior-mean models of fresh contexts, and the true tasks."""
        rng = as_generator(rng)
        task = self.family.sample(n, rng).support
        if not isinstance(task, PolicyReturn):
            raise TypeError(f"the tasks of family must be PolicyReturn, got {type(task).__name__}")
        uniform = np.zeros((*task.shape, task.dim))
        options: dict[str, Any] = {"horizon": self.horizon, "reward_noise": reward_noise_of(self.family), "rng": rng}
        context = sample_experience(task.mdp, task.policy, uniform, episodes=self.episodes, **options)
        return Split(model_task(self.prior, statistics(context, task.mdp.states, task.mdp.actions), task), task)
