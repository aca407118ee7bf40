"""The suite `pearl`: its inputs as the library's own objects, and the library's answers.  Derivation: derivations/pearl.md"""

from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import pearl
from refmeta.meta.pearl import Agent, Encoder, Settings
from refmeta.oracle.batches import at_most_one
from refmeta.sampling.transitions import Transitions

SEEN = ("context_states", "context_actions", "context_rewards", "context_following", "context_mask")
INPUTS_OF_AGENTS = (
    *SEEN, "prior_factors", "encoder_mean", "encoder_log_variance", "noise", "states", "actions", "rewards", "following",
    "terminal", "mask", "critic", "target_critic", "policy", "log_temperature", "target_entropy", "gamma", "beta",
)  # fmt: skip
OF_AGENTS = (
    "mean", "variance", "kl", "z", "critic_loss", "critic_grad", "actor_loss", "actor_grad", "temperature_loss",
    "temperature_grad", "encoder_mean_grad", "encoder_log_variance_grad",
)  # fmt: skip


class TrainingStep(NamedTuple):
    """All that one step of PEARL looks at: an agent, and a context, a batch and the noise of z of every task."""

    agent: Agent
    context: Transitions
    batch: Transitions
    noise: Array
    settings: Settings


def context(x: dict[str, Any]) -> Transitions:
    """The context among the inputs; whether it ended is not looked at."""
    states, actions, rewards, following, mask = (x[name] for name in SEEN)
    return Transitions(states, actions, rewards, following, np.zeros(np.shape(mask), bool), mask)


def training_step(x: dict[str, Any]) -> TrainingStep:
    """The inputs of the suite; `prior_factors`, 0 or 1, says how a posterior is inferred."""
    if x["prior_factors"] not in (0, 1):
        raise ValueError(f"prior_factors must be 0 or 1, got {x['prior_factors']!r}")
    encoder = Encoder(x["encoder_mean"], x["encoder_log_variance"])
    agent = Agent(encoder, *(x[name] for name in ("critic", "target_critic", "policy", "log_temperature")))
    batch = Transitions(*(x[name] for name in Transitions._fields))
    infer = (pearl.posterior_without_prior, pearl.posterior)[x["prior_factors"]]
    return TrainingStep(
        agent, context(x), batch, x["noise"], Settings(x["gamma"], x["beta"], x["target_entropy"], infer)
    )


def of_agent(name: str, case: TrainingStep) -> Array:
    """A part of the suite."""
    agent, context, batch, noise, settings = case
    settings = settings._replace(gamma=at_most_one(settings.gamma))
    seen = pearl.context_of(context, agent.states, agent.actions)
    q = settings.infer(pearl.factors(agent.encoder, seen.features), seen.mask)
    z, tau = pearl.sample(q, noise), {"log_temperature": agent.log_temperature}
    if name in ("mean", "variance", "kl", "z"):
        return np.asarray({"mean": q.mean, "variance": q.variance, "kl": pearl.kl(q), "z": z}[name])
    if name == "critic_loss":
        target = pearl.soft_target(batch, z, agent.target_critic, agent.policy, gamma=settings.gamma, **tau)
        return np.asarray(pearl.critic_loss(agent.critic, z, batch, target))
    if name == "actor_loss":
        return np.asarray(pearl.actor_loss(agent.policy, z, batch, agent.critic, **tau))
    if name == "temperature_loss":
        given = agent.policy, z, batch
        return np.asarray(pearl.temperature_loss(agent.log_temperature, *given, target_entropy=settings.target_entropy))
    found = pearl.gradient(agent, seen, batch, noise, settings)
    return np.asarray(
        {
            "critic_grad": found.critic, "actor_grad": found.policy, "temperature_grad": found.log_temperature,
            "encoder_mean_grad": found.encoder.mean, "encoder_log_variance_grad": found.encoder.log_variance,
        }[name]
    )  # fmt: skip
