"""The agent of PEARL and its gradients.  Derivation: derivations/pearl.md

It has a linear encoder, trained by the loss of the critic through z and by β KL; a critic and a policy that are
bilinear in (s, a) and [1, z]; and a temperature.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_count,
    as_generator,
    as_parameters,
    as_positive,
    as_read_only,
    as_real_scalar,
    as_scalar,
    batch_shape,
    check_finite,
    finite_result,
)
from refmeta.meta.pearl.encoder import (
    Context,
    Encoder,
    Gaussian,
    Inference,
    as_gaussian,
    as_pair,
    factors,
    feature_count,
    kl,
    posterior,
    pullback,
    sample,
)
from refmeta.meta.pearl.soft_actor_critic import critic_gradient, critic_loss, gradients
from refmeta.sampling.transitions import Transitions

__all__ = [
    "Agent", "Gradient", "Settings", "as_agent", "as_settings", "encoder_gradient", "encoder_loss", "gradient", "init",
    "posterior_and_factors", "ravel", "unravel",
]  # fmt: skip


class Agent(NamedTuple):
    """All weights: encoder (Z, F) twice; critic, target critic and policy (S, A, 1 + Z) each; log τ."""

    encoder: Encoder
    critic: Any
    target_critic: Any
    policy: Any
    log_temperature: Any

    @property
    def states(self) -> int:
        """The number of states."""
        return int(np.shape(self.critic)[-3])

    @property
    def actions(self) -> int:
        """The number of actions."""
        return int(np.shape(self.critic)[-2])

    @property
    def latent(self) -> int:
        """The number of latent variables Z."""
        return int(np.shape(self.critic)[-1]) - 1


class Gradient(NamedTuple):
    """Gradients by the weights that an `Agent` learns by descent, one per task in the leading axes."""

    encoder: Encoder
    critic: Array
    policy: Array
    log_temperature: Array


@finite_result
def encoder_loss(
    encoder: Encoder, context: Context, batch: Transitions, *, noise: ArrayLike, critic: ArrayLike, target: ArrayLike,
    beta: float, infer: Inference = posterior,
) -> Array:  # fmt: skip
    """critic_loss at z(encoder), with a constant target, + β KL(q(z|c) ‖ N(0, I)); (...).

    Eq: encoder-gradient
    """
    q, _ = posterior_and_factors(encoder, context, infer)
    return critic_loss(critic, sample(q, noise), batch, target) + as_real_scalar(beta, "beta") * kl(q)


@finite_result
def encoder_gradient(
    encoder: Encoder, context: Context, batch: Transitions, *, noise: ArrayLike, critic: ArrayLike, target: ArrayLike,
    beta: float, infer: Inference = posterior,
) -> Encoder:  # fmt: skip
    """g + β μ in the posterior's mean and (g ⊙ (z − μ) + β (σ² − 1))/2 in log σ², g = ∂critic_loss/∂z, pulled back.

    Eq: encoder-gradient

    The loss of the actor has no part in it.

    Parameters
    ----------
    encoder : Encoder (Z, F) twice
    context : Context, features (..., n, F) and mask (..., n)
    batch : Transitions (..., m)
        The transitions in the loss of the critic.
    noise : (..., Z)
        ε of the sample z = μ + σ ⊙ ε.
    critic : (S, A, 1 + Z)
    target : (..., m)
        A constant, as from `soft_target`.
    beta : float
        Weight of the KL divergence.
    infer : posterior or posterior_without_prior

    Returns
    -------
    Encoder
        (..., Z, F) twice, one per task.
    """
    q, q_factors = posterior_and_factors(encoder, context, infer)
    z = sample(q, noise)
    target = as_parameters(target, "target")
    batch_shape(context=q.mean.shape[:-1], batch=target.shape[:-1])
    return _encoder_gradient(q, q_factors, context, z, critic_gradient(critic, z, batch, target).z, beta)


def _encoder_gradient(q: Gaussian, q_factors: Gaussian, context: Context, z: Array, g: Array, beta: float) -> Encoder:
    """The gradient by the weights of the encoder, from the gradient g by z and β KL."""
    beta = as_real_scalar(beta, "beta")
    slopes = Gaussian(g + beta * q.mean, (g * (z - q.mean) + beta * np.expm1(q.log_variance)) / 2)
    return pullback(q, q_factors, context, slopes)


def posterior_and_factors(encoder: Encoder, context: Context, infer: Inference) -> tuple[Gaussian, Gaussian]:
    """The posterior and its factors."""
    if not isinstance(context, Context):
        raise TypeError(f"context must be a pearl.Context, as from context_of, got {type(context).__name__}")
    q_factors = factors(encoder, context.features)
    return as_gaussian(infer(q_factors, context.mask), "the result of infer"), q_factors


class Settings(NamedTuple):
    """γ of the critic, β of the KL divergence, H̄ of the temperature, and the function that infers a posterior."""

    gamma: float
    beta: float
    target_entropy: float
    infer: Inference = posterior


def as_agent(agent: Any) -> Agent:
    """The agent, with its weights as arrays of finite numbers."""
    if not isinstance(agent, Agent):
        raise TypeError(f"agent must be a pearl.Agent, as from pearl.init, got {type(agent).__name__}")
    encoder = Encoder(*as_pair(agent.encoder, "agent.encoder", Encoder))
    names = ("critic", "target_critic", "policy")
    critic, target, policy = (as_parameters(getattr(agent, name), f"agent.{name}") for name in names)
    if critic.ndim < 3:
        raise ValueError(f"agent.critic has shape {critic.shape}, expected (S, A, 1 + Z)")
    return Agent(encoder, critic, target, policy, as_scalar(agent.log_temperature, "agent.log_temperature"))


def as_settings(settings: Any) -> Settings:
    """The settings; TypeError unless they are `Settings` whose `infer` is a function."""
    if not isinstance(settings, Settings) or not callable(settings.infer):
        raise TypeError(
            f"settings must be Settings(gamma, beta, target_entropy, infer), infer a function, got {settings!r}"
        )
    return settings


def gradient(agent: Agent, context: Context, batch: Transitions, noise: ArrayLike, settings: Settings) -> Gradient:
    """All gradients, at one z = μ + σ ⊙ ε per task; a training step descends along their sum over the tasks."""
    agent, settings = as_agent(agent), as_settings(settings)
    q, q_factors = posterior_and_factors(agent.encoder, context, settings.infer)
    z = sample(q, noise)
    of_step = gradients(
        agent.critic, agent.target_critic, agent.policy, z, batch,
        log_temperature=agent.log_temperature, gamma=settings.gamma, target_entropy=settings.target_entropy,
    )  # fmt: skip
    of_encoder = _encoder_gradient(q, q_factors, context, z, of_step.z, settings.beta)
    return Gradient(of_encoder, of_step.critic, of_step.policy, of_step.log_temperature)


def init(
    states: int, actions: int, *, latent: int = 5, temperature: float = 0.1, scale: float = 0.1,
    rng: Generator | int | None = None,
) -> Agent:  # fmt: skip
    """Random weights N(0, scale²); at first transitions are not informative: their factors have σ² of about 100.

    Raises
    ------
    ValueError, TypeError
        If a number of states, actions or latent variables is below 1, or the temperature not positive.
    """
    S, A, Z = (as_count(n, name, least=1) for n, name in ((states, "states"), (actions, "actions"), (latent, "latent")))
    rng, F, scale = as_generator(rng), feature_count(S, A), as_real_scalar(scale, "scale")
    with np.errstate(over="ignore"):
        mean, log_variance = check_finite(scale * rng.normal(size=(2, Z, F)), "scale is too large")
        critic, policy = check_finite(scale * rng.normal(size=(2, S, A, 1 + Z)), "scale is too large")
    log_variance[:, 0] += np.log(100.0)
    return Agent(
        Encoder(mean, log_variance), critic, critic.copy(), policy, np.log(as_positive(temperature, "temperature"))
    )


def ravel(weights: Agent | Gradient) -> Array:
    """Encoder, critic, policy and log τ in one axis; a gradient is summed over the tasks."""
    leaves = (*weights.encoder, weights.critic, weights.policy, weights.log_temperature)
    cores = (2, 2, 3, 3, 0)
    return np.concatenate(
        [np.sum(x, axis=tuple(range(np.ndim(x) - core))).ravel() for x, core in zip(leaves, cores, strict=True)]
    )


def unravel(agent: Agent, flat: Array) -> Agent:
    """The agent with the weights in `flat`, the inverse of `ravel`; read-only, since callbacks see the agent itself."""
    flat = as_read_only(np.array(flat))
    shapes = [np.shape(x) for x in (*agent.encoder, agent.critic, agent.policy, agent.log_temperature)]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    mean, log_variance, critic, policy, tau = (x.reshape(s) for x, s in zip(np.split(flat, ends), shapes, strict=True))
    return Agent(Encoder(mean, log_variance), critic, agent.target_critic, policy, tau)
