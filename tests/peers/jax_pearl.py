"""A training step of PEARL in JAX, and one of its mistakes.  Suite: pearl."""

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
SEEN = ("context_states", "context_actions", "context_rewards", "context_following", "context_mask")
MET = ("states", "actions", "rewards", "following", "terminal", "mask")


def features(s, a, r, following, S, A):
    pair, after = jax.nn.one_hot(s * A + a, S * A), jax.nn.one_hot(following, S)
    return jnp.concatenate([jnp.ones_like(r)[:, None], pair, after, r[:, None] * pair, r[:, None] * after], axis=-1)


def belief(encoder, psi, there, prior_factors):
    """Densities multiplied: precisions add."""
    means, log_variances = psi @ encoder[0].T, psi @ encoder[1].T
    precisions = jnp.where(there[:, None] != 0, jnp.exp(-log_variances), 0.0)
    variance = 1 / (precisions.sum(0) + prior_factors)
    return variance * (precisions * means).sum(0), variance


def divergence(mean, variance):
    return jnp.sum(variance + mean**2 - 1 - jnp.log(variance)) / 2


def values(weights, s, z):
    return weights[s] @ jnp.append(1.0, z)


def pearl(encoder_mean, encoder_log_variance, critic, target_critic, policy, log_temperature, target_entropy, gamma, beta,
          prior_factors, noise, leaking=False, **inputs):  # fmt: skip
    S, A, _ = critic.shape
    critic, target_critic, policy = (jnp.asarray(w) for w in (critic, target_critic, policy))
    weights, tau = (jnp.asarray(encoder_mean), jnp.asarray(encoder_log_variance)), jnp.exp(log_temperature)

    def one(noise, context, met):
        psi = features(*context[:4], S, A)
        s, a, r, following, terminal, there = met
        mean_of = lambda x: jnp.where(there != 0, x, 0.0).sum() / there.sum()

        def sample(encoder):
            mean, variance = belief(encoder, psi, context[4], prior_factors)
            return mean + jnp.sqrt(variance) * noise

        z = sample(weights)
        log_pi = jax.nn.log_softmax(values(policy, following, z))
        V = jnp.sum(jnp.exp(log_pi) * (values(target_critic, following, z) - tau * log_pi), axis=-1)
        y = r + gamma * (1 - terminal) * V

        def critic_loss(critic, z):
            return mean_of((values(critic, s, z)[jnp.arange(len(s)), a] - y) ** 2 / 2)

        def actor_loss(policy, z):
            log_pi = jax.nn.log_softmax(values(policy, s, z))
            return mean_of(jnp.sum(jnp.exp(log_pi) * (tau * log_pi - values(critic, s, z)), axis=-1))

        def temperature_loss(log_temperature):
            log_pi = jax.nn.log_softmax(values(policy, s, z))
            entropy = mean_of(-jnp.sum(jnp.exp(log_pi) * log_pi, axis=-1))
            return jnp.exp(log_temperature) * (entropy - target_entropy)

        def encoder_loss(encoder):
            z, q = sample(encoder), belief(encoder, psi, context[4], prior_factors)
            leak = actor_loss(policy, z) if leaking else 0.0
            return critic_loss(critic, z) + beta * divergence(*q) + leak

        mean, variance = belief(weights, psi, context[4], prior_factors)
        parts = {"mean": mean, "variance": variance, "kl": divergence(mean, variance), "z": z}
        parts["critic_loss"], parts["critic_grad"] = jax.value_and_grad(critic_loss)(critic, z)
        parts["actor_loss"], parts["actor_grad"] = jax.value_and_grad(actor_loss)(policy, z)
        both = jax.value_and_grad(temperature_loss)(jnp.asarray(log_temperature))
        parts["temperature_loss"], parts["temperature_grad"] = both
        parts["encoder_mean_grad"], parts["encoder_log_variance_grad"] = jax.grad(encoder_loss)(weights)
        return parts

    rows = jax.vmap(one)(noise, *(tuple(inputs[name] for name in names) for names in (SEEN, MET)))
    return {name: np.asarray(x) for name, x in rows.items()}


def pearl_leaking(**inputs):
    """The policy's loss reaches the encoder through z."""
    return pearl(**inputs, leaking=True)
