"""PEARL (Rakelly et al. 2019): an encoder infers a belief about the task, and an agent acts on a sample of it.

Derivation: derivations/pearl.md
"""

from refmeta.meta.pearl.agent import Agent, Gradient, Settings, encoder_gradient, encoder_loss, gradient, init
from refmeta.meta.pearl.encoder import (
    Context,
    Encoder,
    Gaussian,
    context_of,
    factors,
    kl,
    posterior,
    posterior_without_prior,
    sample,
)
from refmeta.meta.pearl.soft_actor_critic import (
    actor_gradient,
    actor_loss,
    critic_gradient,
    critic_loss,
    soft_target,
    temperature_gradient,
    temperature_loss,
)
from refmeta.meta.pearl.training import AgentIteration, TrainedAgent, adapt, train

__all__ = [
    "Agent", "AgentIteration", "Context", "Encoder", "Gaussian", "Gradient", "Settings", "TrainedAgent", "actor_gradient",
    "actor_loss", "adapt", "context_of", "critic_gradient", "critic_loss", "encoder_gradient", "encoder_loss", "factors",
    "gradient", "init", "kl", "posterior", "posterior_without_prior", "sample", "soft_target", "temperature_gradient",
    "temperature_loss", "train",
]  # fmt: skip

Iteration, Trained = AgentIteration, TrainedAgent  # the names before 0.7
