"""Known-wrong steps of PEARL, each a forward pass of its own, differentiated by complex steps.  Right: `meta.pearl`.

A case is a `TrainingStep`.  Rows give {part: (N, ...)}: the belief, its sample, and what the losses and their slopes become.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.judges import complex_step
from refmeta.meta.pearl import Encoder
from refmeta.meta.pearl.encoder import Gaussian, context_of, posterior, posterior_without_prior
from refmeta.oracle.wrong.row import rows, wrong
from refmeta.softmax import log_softmax, softmax

Product = Callable[[Gaussian, Array], Gaussian]


def _features(agent: Any, psi: Array) -> Array:
    return psi


def _kl(q: Gaussian) -> Array:
    return np.sum(np.exp(q.log_variance) + q.mean**2 - 1 - q.log_variance, axis=-1) / 2


def _sample(q: Gaussian, noise: Array) -> Array:
    return q.mean + np.exp(q.log_variance / 2) * noise


def _loss(critic: Array, actor: Array, divergence: Array) -> Array:
    """The encoder's loss, from the critic's, the actor's, and β KL."""
    return critic + divergence


class Change(NamedTuple):
    """What is done differently."""

    features: Callable[[Any, Array], Array] = _features
    infer: Callable[[Any], Product] = lambda case: case.settings.infer
    kl: Callable[[Gaussian], Array] = _kl
    sample: Callable[[Gaussian, Array], Array] = _sample
    tau: Callable[[Array], Array] = np.exp
    future: Callable[[Array, Array, Array, Array], Array] = lambda pi, Q, target, entropy: (
        np.sum(pi * target, -1) + entropy
    )
    goes_on: Callable[[Array], Array] = lambda terminal: 1 - terminal
    loss: Callable[[Array, Array, Array], Array] = _loss
    held: bool = True
    log: Callable[[Array], Array] = log_softmax
    weight: Callable[[Array], Array] = lambda mean: mean


def parts(case: Any, change: Change) -> dict[str, Array]:
    """The belief and its sample, three losses, and every slope."""
    agent, given, noise, settings = case.agent, case.context, case.noise, case.settings
    seen = context_of(given, agent.states, agent.actions)
    psi, there = change.features(agent, seen.features), np.asarray(seen.mask)
    b = case.batch
    s, a, after = (np.asarray(i, int) for i in (b.states, b.actions, b.following))
    mean = change.weight(np.asarray(b.mask, bool) / np.sum(np.asarray(b.mask, bool), axis=-1, keepdims=True))
    task = np.arange(len(s))[:, None]

    def table(weights: Array, z: Array) -> Array:
        return np.einsum("saz,nz->nsa", weights, np.concatenate([np.ones((len(z), 1)), z], axis=-1))

    def belief(encoder: Encoder) -> Gaussian:
        return change.infer(case)(Gaussian(*(np.einsum("...nf,zf->...nz", psi, w) for w in encoder)), there)

    def target(z: Array) -> Array:
        logits = table(agent.policy, z)
        pi, entropy = (
            softmax(logits),
            -change.tau(agent.log_temperature) * np.sum(softmax(logits) * change.log(logits), -1),
        )
        V = change.future(pi, table(agent.critic, z), table(agent.target_critic, z), entropy)
        return b.rewards + settings.gamma * change.goes_on(np.asarray(b.terminal)) * V[task, after]

    def critic_loss(critic: Array, z: Array, y: Array) -> Array:
        return np.sum(mean * (table(critic, z)[task, s, a] - y) ** 2, axis=-1) / 2

    def actor_loss(policy: Array, z: Array) -> Array:
        logits = table(policy, z)
        f = change.tau(agent.log_temperature) * change.log(logits) - table(agent.critic, z)
        return np.sum(mean * np.sum(softmax(logits) * f, -1)[task, s], axis=-1)

    def temperature_loss(log_temperature: Array) -> Array:
        logits = table(agent.policy, z)
        entropy = np.sum(mean * -np.sum(softmax(logits) * change.log(logits), -1)[task, s], axis=-1)
        return np.exp(log_temperature) * (entropy - settings.target_entropy)

    def encoder_loss(encoder: Encoder) -> Array:
        q = belief(encoder)
        z = change.sample(q, noise)
        critic = critic_loss(agent.critic, z, y if change.held else target(z))
        return change.loss(critic, actor_loss(agent.policy, z), settings.beta * change.kl(q))

    q = belief(agent.encoder)
    z = change.sample(q, noise)
    y = target(z)
    return {
        "mean": q.mean, "variance": np.exp(q.log_variance), "kl": change.kl(q), "z": z,
        "critic_loss": critic_loss(agent.critic, z, y), "actor_loss": actor_loss(agent.policy, z),
        "temperature_loss": temperature_loss(agent.log_temperature),
        "critic_grad": complex_step(lambda w: critic_loss(w, z, y), agent.critic),
        "actor_grad": complex_step(lambda w: actor_loss(w, z), agent.policy),
        "temperature_grad": complex_step(temperature_loss, agent.log_temperature),
        "encoder_mean_grad": complex_step(lambda w: encoder_loss(agent.encoder._replace(mean=w)), agent.encoder.mean),
        "encoder_log_variance_grad": complex_step(
            lambda w: encoder_loss(agent.encoder._replace(log_variance=w)), agent.encoder.log_variance
        ),
    }  # fmt: skip


def _with_prior(case: Any, factors: Gaussian, there: Array) -> tuple[Gaussian, Array]:
    """The factors, and the prior as one more where the case counts it."""
    if case.settings.infer is posterior_without_prior:
        return factors, there
    one = np.zeros((*factors.mean.shape[:-2], 1, factors.mean.shape[-1]))
    more = Gaussian(*(np.concatenate([x, one], axis=-2) for x in factors))
    return more, np.concatenate([there, np.ones((*there.shape[:-1], 1), bool)], axis=-1)


@wrong(
    "mean-of-factors", "μ = mean of μ_n, σ² = mean of σ_n²", quantity="parts",
    cause="the encoder's outputs are averaged over the context, as a permutation-invariant network's would be",
)  # fmt: skip
def mean_of_factors(case: Any) -> Any:
    def average(factors: Gaussian, there: Array) -> Gaussian:
        factors, there = _with_prior(case, factors, there)
        p = (there / np.sum(there, axis=-1, keepdims=True))[..., None]
        return Gaussian(np.sum(p * factors.mean, -2), np.log(np.sum(p * np.exp(factors.log_variance), -2)))

    return parts(case, Change(infer=lambda case: average))


@wrong(
    "deviation-for-variance", "σ² = 1/Σ σ_n⁻¹, μ = σ² Σ μ_n σ_n⁻¹", quantity="parts",
    cause="the encoder's second output, a deviation, is taken for a variance in the product",
)  # fmt: skip
def deviation_for_variance(case: Any) -> Any:
    def product(factors: Gaussian, there: Array) -> Gaussian:
        return case.settings.infer(factors._replace(log_variance=factors.log_variance / 2), there)

    return parts(case, Change(infer=lambda case: product))


@wrong("kl-reversed", "KL(N(0, I) ‖ q)", quantity="parts", cause="the arguments of the KL divergence are swapped")
def kl_reversed(case: Any) -> Any:
    def kl(q: Gaussian) -> Array:
        return np.sum((1 + q.mean**2) * np.exp(-q.log_variance) - 1 + q.log_variance, axis=-1) / 2

    return parts(case, Change(kl=kl))


@wrong("kl-without-half", "Σ (σ² + μ² − 1 − log σ²)", quantity="parts", cause="the ½ of the KL divergence is lost")
def kl_without_half(case: Any) -> Any:
    return parts(case, Change(kl=lambda q: 2 * _kl(q)))


@wrong(
    "actor-reaches-encoder", "∇(critic_loss + actor_loss + β KL) in the encoder", quantity="parts",
    cause="z is not detached where it enters the policy's loss",
)  # fmt: skip
def actor_reaches_encoder(case: Any) -> Any:
    return parts(case, Change(loss=lambda critic, actor, divergence: critic + actor + divergence))


@wrong(
    "next-state-missing", "ψ without e_s' and r e_s'", quantity="parts",
    cause="the context holds (s, a, r) only, and tasks that differ in their dynamics cannot be told apart",
    seen="katerakelly/oyster issue #4: an option since",
)  # fmt: skip
def next_state_missing(case: Any) -> Any:
    def without(agent: Any, psi: Array) -> Array:
        S, SA = agent.states, agent.states * agent.actions
        kept = np.r_[np.ones(1 + SA), np.zeros(S), np.ones(SA), np.zeros(S)]
        return psi * kept

    return parts(case, Change(features=without))


@wrong(
    "temperature-missing", "log π for τ log π, in the target and in the actor's loss", quantity="parts",
    cause="the rewards are to be scaled in its place, and are not", seen="katerakelly/oyster issue #9",
)  # fmt: skip
def temperature_missing(case: Any) -> Any:
    return parts(case, Change(tau=np.ones_like))


@wrong(
    "kl-summed-loss-averaged", "∇critic_loss/N + β ∇KL", quantity="parts",
    cause="the critic's loss is a mean over all transitions of all tasks, the KL divergence a sum over the tasks",
)  # fmt: skip
def kl_summed_loss_averaged(case: Any) -> Any:
    N = len(case.noise)
    return parts(case, Change(loss=lambda critic, actor, divergence: critic / N + divergence))


@wrong(
    "prior-factor-always", "N(0, I) ∏ factors, also with prior_factors = 0", quantity="parts",
    cause="the prior is always one of the factors",
)  # fmt: skip
def prior_factor_always(case: Any) -> Any:
    return parts(case, Change(infer=lambda case: posterior))


@wrong(
    "prior-factor-never", "∏ factors, also with prior_factors = 1", quantity="parts",
    cause="the prior is never one of the factors", seen="katerakelly/oyster, as in the paper",
)  # fmt: skip
def prior_factor_never(case: Any) -> Any:
    if not np.all(np.any(np.asarray(case.context.mask, bool), axis=-1)):
        raise FloatingPointError("an empty product of factors has no variance")
    return parts(case, Change(infer=lambda case: posterior_without_prior))


@wrong("sample-by-variance", "z = μ + σ² ε", quantity="parts", cause="the variance multiplies the noise")
def sample_by_variance(case: Any) -> Any:
    return parts(case, Change(sample=lambda q, noise: q.mean + np.exp(q.log_variance) * noise))


@wrong(
    "target-not-held",
    "∇(Q − y(z))² in the encoder, y moving with z",
    quantity="parts",
    cause="the target is not detached",
)
def target_not_held(case: Any) -> Any:
    return parts(case, Change(held=False))


@wrong(
    "critic-for-its-target", "y with Q in the place of Q̄", quantity="parts",
    cause="the target critic is not used, or is the same object as the critic",
)  # fmt: skip
def critic_for_its_target(case: Any) -> Any:
    return parts(case, Change(future=lambda pi, Q, target, entropy: np.sum(pi * Q, -1) + entropy))


@wrong(
    "target-without-entropy", "y = r + γ Σ π Q̄", quantity="parts", cause="the entropy bonus is missing in the target"
)
def target_without_entropy(case: Any) -> Any:
    return parts(case, Change(future=lambda pi, Q, target, entropy: np.sum(pi * target, -1)))


@wrong(
    "end-ignored",
    "y = r + γ V(s') at the end, too",
    quantity="parts",
    cause="the target goes on after a terminal state",
)
def end_ignored(case: Any) -> Any:
    return parts(case, Change(goes_on=np.ones_like))


@wrong(
    "context-mask-ignored",
    "every factor counts, padded or not",
    quantity="parts",
    cause="the context's mask is not applied",
)
def context_mask_ignored(case: Any) -> Any:
    context = case.context._replace(mask=np.ones_like(case.context.mask))
    return parts(case._replace(context=context), Change())


@wrong(
    "batch-mask-ignored",
    "means over the batch, padding and all",
    quantity="parts",
    cause="the batch's mask is not applied",
)
def batch_mask_ignored(case: Any) -> Any:
    return parts(case._replace(batch=case.batch._replace(mask=np.ones_like(case.batch.mask))), Change())


ROWS = rows(globals())
