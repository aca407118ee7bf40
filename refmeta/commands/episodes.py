"""`python -m refmeta demo episodes`: what a few episodes in an unknown task are worth to each way of adapting.

Every policy is judged by its exact return, so nothing here is the luck of an evaluation.
"""

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.arrays import Array
from refmeta.meta import model_based, pearl
from refmeta.meta.inner import adapt
from refmeta.meta.maml import MAML
from refmeta.meta.model_based import Prior, Statistics
from refmeta.meta.pearl.encoder import Gaussian
from refmeta.meta.posterior_sampling import Adapted, posterior_sampling
from refmeta.meta.reptile import Reptile
from refmeta.meta.task_posterior import entropy, optimal_plans, thompson_sampling
from refmeta.meta.train import Adam, meta_train
from refmeta.sampling.rollout import rollout
from refmeta.sampling.surrogates import reinforce
from refmeta.sampling.transitions import sample_experience
from refmeta.tables import print_number_table
from refmeta.tasks.distributions import GoalGridworlds, RandomMDPs, reward_noise_of
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.planning import optimal_values

__all__ = [
    "by_policy_gradient", "comparison", "gridworlds", "learned_prior", "mean_returns", "belief_of_another_task",
    "random_mdps", "through_a_model", "trained_agent", "trained_start", "uninterrupted",
]  # fmt: skip

EPISODES = 5
GRIDWORLDS, RANDOM_MDPS = GoalGridworlds(), RandomMDPs()


def uninterrupted(result: Any) -> Any:
    """The result of a training; KeyboardInterrupt if it was interrupted."""
    if result.interrupted:
        raise KeyboardInterrupt
    return result


def trained_agent(family: Any, rng: Generator, *, settings: pearl.Settings, latent: int, **options: Any) -> pearl.Agent:
    """PEARL, by Adam with step size 0.02 on batches of 12 tasks, 64 transitions each."""
    policy = family.policy
    start = pearl.init(policy.states, policy.actions, latent=latent, rng=rng)
    result = pearl.train(family, start, settings=settings, outer=Adam(0.02), transitions=64, rng=rng, **options)
    return uninterrupted(result).agent


def belief_of_another_task(factors: Gaussian, mask: ArrayLike | None = None) -> Gaussian:
    """The belief from another task's context."""
    return Gaussian(*(np.roll(part, 1, axis=0) for part in pearl.posterior(factors, mask)))


def learned_prior(family: Any, rng: Generator, *, horizon: int, noise: float) -> Prior:
    """Fitted on 100 tasks, 10 episodes of uniform actions each: one concentration, one mean and one variance."""
    task = family.sample(100, rng).support
    acting: dict[str, Any] = {"horizon": horizon, "reward_noise": reward_noise_of(family), "rng": rng}
    experience = sample_experience(task.mdp, task.policy, np.zeros((100, task.dim)), episodes=10, **acting)
    statistics = model_based.statistics(experience, task.mdp.states, task.mdp.actions)
    return model_based.fit(Prior(1.0, 0.0, 1.0, noise), statistics).prior


def through_a_model(
    task: PolicyReturn, theta: Array, prior: Prior, rng: Generator, *, alpha: float, **acting: Any
) -> Adapted:
    """Five exact gradient steps from a start on the model of all that was met, then an episode by that policy."""

    def act(statistics: Statistics, rng: Generator) -> Array:
        model = model_based.model_task(prior, statistics, task)
        return adapt(theta, model, alpha=alpha, steps=5).adapted

    infer = lambda experience: model_based.statistics(experience, task.mdp.states, task.mdp.actions)
    return posterior_sampling(task, infer, act, episodes=EPISODES, rng=rng, **acting)


def by_policy_gradient(
    task: PolicyReturn, theta: Array, rng: Generator, *, alpha: float, gamma: float, **acting: Any
) -> list[float]:
    """One step of REINFORCE from a start, on 0, 1, … of its own episodes."""
    batch = rollout(task.mdp, task.policy, theta, episodes=EPISODES, rng=rng, **acting)
    returns = [float(-np.mean(task.at(theta).loss))]
    for n in range(1, EPISODES + 1):
        prefix = type(batch)(*(part[..., :n, :] for part in batch))
        step = alpha * reinforce(task.policy, theta, prefix, gamma=gamma).at(theta).grad
        returns.append(float(-np.mean(task.at(theta - step).loss)))
    return returns


def trained_start(family: Any, rule: Any, rng: Generator, *, iterations: int) -> Array:
    """θ trained from zeros, by Adam with step size 0.02 on exact gradients of 20 tasks."""
    start = np.zeros(family.dim)
    result = meta_train(family, start, rule=rule, outer=Adam(0.02), iterations=iterations, batch=20, rng=rng)
    return uninterrupted(result).theta


def mean_returns(adapted: Adapted) -> list[float]:
    """The mean over the tasks, before each episode and after the last."""
    return [float(x) for x in np.mean(adapted.returns, axis=1)]


def comparison(
    family: Any, held_out: PolicyReturn, agent: pearl.Agent, rng: Generator, *, alpha: float, horizon: int, gamma: float,
    noise: float, iterations: int,
) -> tuple[dict[str, list[float]], Adapted]:  # fmt: skip
    """Mean returns of every way of adapting, and what PEARL did."""
    acting: dict[str, Any] = {"horizon": horizon, "reward_noise": reward_noise_of(family)}
    ours = pearl.adapt(agent, held_out, episodes=EPISODES, rng=rng, **acting)
    others = pearl.adapt(agent, held_out, episodes=EPISODES, infer=belief_of_another_task, rng=rng, **acting)
    prior = learned_prior(family, rng, horizon=horizon, noise=noise)
    modelled = model_based.ModelledTasks(family, prior, episodes=2, horizon=horizon)
    zeros = np.zeros(family.dim)
    options: dict[str, Any] = {"alpha": alpha, **acting}
    learned = trained_start(modelled, MAML(alpha, steps=5), rng, iterations=iterations)
    starts = {"learned model, from zeros": zeros, "learned model, from MAML's start on models": learned}
    rows = {"PEARL": mean_returns(ours), "PEARL, another task's context": mean_returns(others)}
    rows |= {name: mean_returns(through_a_model(held_out, x, prior, rng, **options)) for name, x in starts.items()}
    for name, rule in {"MAML": MAML(alpha), "Reptile": Reptile(alpha, steps=3)}.items():
        start = trained_start(family, rule, rng, iterations=iterations)
        returns = by_policy_gradient(held_out, start, rng, gamma=gamma, **options)
        rows[f"{name}'s start (exact gradients), REINFORCE"] = returns
    return rows, ours


HEADS = tuple(str(n) for n in range(EPISODES + 1))
CORNER = "episodes of experience:"
REINFORCE = (
    " REINFORCE takes one step from a start on the episodes of that start; the starts of MAML and Reptile were "
    "trained on exact gradients, not on samples."
)


def gridworlds(
    rng: Generator, *, tasks: int = 300, iterations: int = 20, family: Any = GRIDWORLDS, horizon: int = 40
) -> None:
    """Goal gridworlds, with exact Bayes over their goals."""
    goals = family.policy.states - 1
    settings = pearl.Settings(gamma=0.95, beta=1e-4, target_entropy=0.5)
    options = {"tasks": 60, "horizon": horizon, "updates": 60, "iterations": iterations}
    agent = trained_agent(family, rng, settings=settings, latent=6, **options)
    held_out, every = family.sample(tasks, rng).support, family.tasks(np.arange(1, goals + 1)).mdp
    rows, ours = comparison(
        family, held_out, agent, rng, alpha=20.0, horizon=horizon, gamma=0.95, noise=1e-2, iterations=3 * iterations
    )
    exact = thompson_sampling(held_out, every, optimal_plans(every), episodes=EPISODES, horizon=horizon, rng=rng)
    rows["exact Bayes, Thompson sampling"] = mean_returns(exact)
    rows["entropy of PEARL's belief"] = [float(np.mean(q.entropy)) for q in ours.beliefs]
    rows["entropy of exact Bayes"] = [float(np.mean(entropy(p))) for p in exact.beliefs]
    best = float(np.mean(optimal_values(held_out.mdp).best_return))
    print_number_table(
        f"Goal gridworlds, episodes of {horizon} steps: {tasks} held-out tasks",
        "mean exact return: 0.95^(moves - 1) at the goal; entropies in nats", CORNER, HEADS, rows,
        f"The optimum is {best:.3f} on average. PEARL acts on one draw of z an episode, and has learned by acting in "
        "60 other tasks. With another task's context it explores as much and learns nothing. The learned model looks "
        f"for the goal where its prior, fitted on 100 other tasks, still promises one.{REINFORCE} Exact Bayes is told "
        f"the {goals} tasks and how to act in each: a yardstick, not a bound. PEARL's belief is a density over 6 "
        "variables, whose entropy may be negative; only how the two entropies fall can be compared.",
    )  # fmt: skip


def random_mdps(rng: Generator, *, tasks: int = 300, iterations: int = 20, family: Any = RANDOM_MDPS) -> None:
    """Random MDPs, of which there are too many for exact Bayes."""
    settings = pearl.Settings(gamma=0.9, beta=1e-3, target_entropy=float(np.log(family.actions)) / 2)
    options = {"tasks": 300, "horizon": family.horizon, "context": 60, "iterations": iterations}
    agent = trained_agent(family, rng, settings=settings, latent=30, **options)
    held_out = family.sample(tasks, rng).support
    noise = family.reward_noise**2
    more: dict[str, Any] = {"horizon": family.horizon, "noise": noise, "iterations": 2 * iterations}
    rows, ours = comparison(family, held_out, agent, rng, alpha=10.0, gamma=1.0, **more)
    rows["entropy of PEARL's belief"] = [float(np.mean(q.entropy)) for q in ours.beliefs]
    best = float(np.mean(optimal_values(held_out.mdp).best_return))
    print_number_table(
        f"Random MDPs after RL^2, episodes of {family.horizon} steps, judged by exact returns: {tasks} held-out tasks",
        f"mean exact return: sum of {family.horizon} expected rewards; entropy in nats", CORNER, HEADS, rows,
        f"The optimum, by a policy that may depend on time, is {best:.3f} on average. No start has anything to gain "
        "before it adapts. The learned model is told that processes are Markov and rewards Gaussian, PEARL is not: "
        f"it has to learn from 300 other tasks what a transition says of all the rest.{REINFORCE}",
    )  # fmt: skip
