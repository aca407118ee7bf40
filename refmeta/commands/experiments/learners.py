"""The ways to adapt to a task from a few episodes: policy gradients, PEARL, and a learned model.

Every policy is judged by its exact return, so nothing is the luck of an evaluation.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.arrays import Array
from refmeta.commands.experiments.starts import trained_starts, uninterrupted
from refmeta.meta import model_based, pearl
from refmeta.meta.inner import adapt
from refmeta.meta.maml import MAML
from refmeta.meta.model_based import Prior, Statistics
from refmeta.meta.pearl.encoder import Gaussian
from refmeta.meta.posterior_sampling import Adapted, posterior_sampling
from refmeta.meta.reptile import Reptile
from refmeta.meta.sampled_maml import EMAML, LVC, SampledMAML
from refmeta.meta.train import Adam
from refmeta.sampling.rollout import rollout
from refmeta.sampling.surrogates import reinforce
from refmeta.sampling.trajectories import Trajectories
from refmeta.sampling.transitions import sample_experience
from refmeta.tasks.distributions import reward_noise_of
from refmeta.tasks.exact_return import PolicyReturn

__all__ = [
    "EPISODES", "Acting", "after_reinforce", "belief_of_another_task", "by_policy_gradient", "gradient_starts",
    "learned_prior", "mean_returns", "own_step_size", "pearl_rows", "model_rows", "reinforce_batch", "through_a_model",
    "trained_agent",
]  # fmt: skip

EPISODES = 5


class Acting(NamedTuple):
    """How tasks are acted in and learned from: steps per episode, discount of returns, and the α of gradient steps."""

    family: Any
    horizon: int
    gamma: float
    alpha: float

    @property
    def options(self) -> dict[str, Any]:
        """The keywords of whatever draws episodes."""
        return {"horizon": self.horizon, "reward_noise": reward_noise_of(self.family)}


def mean_returns(returns: Array) -> list[float]:
    """The mean over the tasks, before each episode and after the last; returns (E + 1, N)."""
    return [float(x) for x in np.mean(returns, axis=1)]


def gradient_starts(acting: Acting, rng: Generator, *, iterations: int) -> dict[str, Array]:
    """Zeros; starts trained from zeros on exact gradients; and two that were trained on EPISODES episodes, as they act later."""
    family, alpha = acting.family, acting.alpha
    rules: dict[str, Any] = {"joint training": MAML(alpha, steps=0), "Reptile": Reptile(alpha, steps=3), "exact MAML": MAML(alpha)}
    rules |= {name: SampledMAML(alpha, e, EPISODES, **acting.options) for name, e in (("E-MAML", EMAML), ("LVC", LVC))}
    zeros = np.zeros(family.dim)
    return {"zeros": zeros} | trained_starts(family, zeros, rules, rng, iterations=iterations)


def reinforce_batch(task: PolicyReturn, theta: Array, acting: Acting, rng: Generator) -> Trajectories:
    """EPISODES episodes of the start."""
    return rollout(task.mdp, task.policy, theta, episodes=EPISODES, rng=rng, **acting.options)


def after_reinforce(
    task: PolicyReturn, theta: Array, batch: Trajectories, acting: Acting, *, alpha: float, episodes: int
) -> Array:
    """The exact returns after one step of REINFORCE on the first episodes of a batch, (N,)."""
    prefix = type(batch)(*(part[..., :episodes, :] for part in batch))
    step = alpha * reinforce(task.policy, theta, prefix, gamma=acting.gamma).at(theta).grad if episodes else 0.0
    return np.broadcast_to(-task.at(theta - step).loss, task.shape)


def by_policy_gradient(task: PolicyReturn, theta: Array, acting: Acting, rng: Generator) -> Array:
    """The exact returns after one step of REINFORCE from a start, on 0, 1, … of its own episodes; (E + 1, N)."""
    batch = reinforce_batch(task, theta, acting, rng)
    each = (after_reinforce(task, theta, batch, acting, alpha=acting.alpha, episodes=n) for n in range(EPISODES + 1))
    return np.stack(list(each))


def own_step_size(
    training: PolicyReturn, theta: Array, acting: Acting, rng: Generator, alphas: Sequence[float]
) -> float:
    """The α with the best mean return after REINFORCE on EPISODES episodes of each training task."""
    batch = reinforce_batch(training, theta, acting, rng)
    mean = lambda a: float(np.mean(after_reinforce(training, theta, batch, acting, alpha=a, episodes=EPISODES)))
    return float(max(alphas, key=mean))


def trained_agent(family: Any, rng: Generator, *, settings: pearl.Settings, latent: int, **options: Any) -> pearl.Agent:
    """PEARL, by Adam with step size 0.02 on batches of 12 tasks, 64 transitions each."""
    policy = family.policy
    start = pearl.init(policy.states, policy.actions, latent=latent, rng=rng)
    result = pearl.train(family, start, settings=settings, outer=Adam(0.02), transitions=64, rng=rng, **options)
    return uninterrupted(result).agent


def belief_of_another_task(factors: Gaussian, mask: ArrayLike | None = None) -> Gaussian:
    """The belief from another task's context."""
    return Gaussian(*(np.roll(part, 1, axis=0) for part in pearl.posterior(factors, mask)))


def pearl_rows(agent: pearl.Agent, task: PolicyReturn, acting: Acting, rng: Generator) -> tuple[dict[str, Array], Adapted]:
    """PEARL, PEARL with the context of another task, and what the first of them did."""
    options: dict[str, Any] = {"episodes": EPISODES, "rng": rng, **acting.options}
    ours = pearl.adapt(agent, task, **options)
    others = pearl.adapt(agent, task, infer=belief_of_another_task, **options)
    return {"PEARL": ours.returns, "PEARL, another task's context": others.returns}, ours


def learned_prior(acting: Acting, rng: Generator, *, noise: float) -> Prior:
    """Fitted on 100 tasks, 10 episodes of uniform actions each: one concentration, one mean and one variance."""
    task = acting.family.sample(100, rng).support
    zeros = np.zeros((100, task.dim))
    experience = sample_experience(task.mdp, task.policy, zeros, episodes=10, rng=rng, **acting.options)
    statistics = model_based.statistics(experience, task.mdp.states, task.mdp.actions)
    return model_based.fit(Prior(1.0, 0.0, 1.0, noise), statistics).prior


def through_a_model(task: PolicyReturn, theta: Array, prior: Prior, acting: Acting, rng: Generator) -> Array:
    """Five exact gradient steps from a start on the model of all that was met, then an episode by that policy; (E + 1, N)."""

    def act(statistics: Statistics, rng: Generator) -> Array:
        model = model_based.model_task(prior, statistics, task)
        return adapt(theta, model, alpha=acting.alpha, steps=5).adapted

    infer = lambda experience: model_based.statistics(experience, task.mdp.states, task.mdp.actions)
    return posterior_sampling(task, infer, act, episodes=EPISODES, rng=rng, **acting.options).returns


def model_rows(
    task: PolicyReturn, joint: Array, acting: Acting, rng: Generator, *, noise: float, iterations: int
) -> dict[str, Array]:
    """The learned model, from zeros, from joint training and from a start that MAML trained on models."""
    prior = learned_prior(acting, rng, noise=noise)
    modelled = model_based.ModelledTasks(acting.family, prior, episodes=2, horizon=acting.horizon)
    zeros = np.zeros(acting.family.dim)
    rules = {"learned model, MAML's start": MAML(acting.alpha, steps=5)}
    starts = {"learned model, from zeros": zeros, "learned model, joint start": joint}
    starts |= trained_starts(modelled, zeros, rules, rng, iterations=iterations)
    return {name: through_a_model(task, theta, prior, acting, rng) for name, theta in starts.items()}
