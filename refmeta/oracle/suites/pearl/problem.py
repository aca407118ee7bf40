"""A training step of PEARL as the library takes it.  Derivation: derivations/pearl.md"""

from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import pearl
from refmeta.oracle.bicomplex import COMPLEX, complex_numbers, real_part
from refmeta.oracle.common import CONTEXT, context
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.pearl.definition import PEARL, Pearl, part_functions
from refmeta.sampling.transitions import Transitions

__all__ = ["TrainingStep", "all_parts", "answer", "problem"]


class TrainingStep(NamedTuple):
    """The data of one step of PEARL: an agent; a context, a batch and the noise of z for every task."""

    agent: pearl.Agent
    context: Transitions
    batch: Transitions
    noise: Array
    settings: pearl.Settings

    def __hash__(self) -> int:
        """By identity."""
        return id(self)

    def __eq__(self, other: object) -> bool:
        """The same object?"""
        return self is other

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs of the suite as nested lists."""
        agent, settings, (*transitions, _, mask) = self.agent, self.settings, self.context
        inputs = {
            **dict(zip(CONTEXT, (*transitions, mask), strict=True)),
            "prior_factors": int(settings.infer is pearl.posterior),
            "encoder_mean": agent.encoder.mean, "encoder_log_variance": agent.encoder.log_variance, "noise": self.noise,
            **self.batch._asdict(), **agent._asdict(), **settings._asdict(),
        }  # fmt: skip
        return {name: np.asarray(x).tolist() for name, x in inputs.items() if name not in ("encoder", "infer")}


def problem(x: dict[str, Any]) -> TrainingStep:
    """The inputs of the suite; `prior_factors`, 0 or 1, says how a posterior is inferred."""
    if x["prior_factors"] not in (0, 1):
        raise ValueError(f"prior_factors must be 0 or 1, got {x['prior_factors']!r}")
    encoder = pearl.Encoder(x["encoder_mean"], x["encoder_log_variance"])
    agent = pearl.Agent(encoder, *(x[name] for name in pearl.Agent._fields[1:]))
    batch = Transitions(*(x[name] for name in Transitions._fields))
    infer = (pearl.posterior_without_prior, pearl.posterior)[x["prior_factors"]]
    return TrainingStep(
        agent, context(x), batch, x["noise"], pearl.Settings(x["gamma"], x["beta"], x["target_entropy"], infer)
    )


def answer(part: str, problem: TrainingStep) -> Array:
    """The library's result."""
    agent, transitions, batch, noise, settings = problem
    settings = settings._replace(gamma=at_most_one(settings.gamma))
    context = pearl.context_of(transitions, agent.states, agent.actions)
    q = settings.infer(pearl.factors(agent.encoder, context.features), context.mask)
    z, tau = pearl.sample(q, noise), {"log_temperature": agent.log_temperature}
    if part in ("mean", "variance", "kl", "z"):
        return np.asarray({"mean": q.mean, "variance": q.variance, "kl": pearl.kl(q), "z": z}[part])
    if part == "critic_loss":
        target = pearl.soft_target(batch, z, agent.target_critic, agent.policy, gamma=settings.gamma, **tau)
        return np.asarray(pearl.critic_loss(agent.critic, z, batch, target))
    if part == "actor_loss":
        return np.asarray(pearl.actor_loss(agent.policy, z, batch, agent.critic, **tau))
    if part == "temperature_loss":
        acting = agent.log_temperature, agent.policy, z, batch
        return np.asarray(pearl.temperature_loss(*acting, target_entropy=settings.target_entropy))
    slopes = pearl.gradient(agent, context, batch, noise, settings)
    return np.asarray(
        {
            "critic_grad": slopes.critic, "actor_grad": slopes.policy, "temperature_grad": slopes.log_temperature,
            "encoder_mean_grad": slopes.encoder.mean, "encoder_log_variance_grad": slopes.encoder.log_variance,
        }[part]
    )  # fmt: skip


def all_parts(problem: TrainingStep, f: Pearl = PEARL, **changes: Any) -> dict[str, Array]:
    """Every part by the definition, in complex numbers; functions of the definition, or inputs, may be exchanged."""
    x = complex_numbers(problem.inputs | changes)
    tasks = [part_functions(x, task, COMPLEX, f) for task in range(len(problem.noise))]
    return {name: real_part([task[name]() for task in tasks]) for name in tasks[0]}
