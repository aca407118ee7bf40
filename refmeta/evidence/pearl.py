"""Evidence for PEARL: densities summed on a grid, numbers one after another, complex steps of every loss, exact Bayes."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.judged import drawing, off
from refmeta.judges import complex_step
from refmeta.meta import pearl
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
from refmeta.meta.posterior_sampling import posterior_sampling
from refmeta.meta.task_posterior import task_posterior
from refmeta.policies import TabularSoftmax
from refmeta.problems import random_process
from refmeta.sampling.transitions import Transitions, sample_experience
from refmeta.tasks.exact_return import PolicyReturn

N, S, A, Z = 3, 3, 2, 2


class Drawn(NamedTuple):
    """Everything that a training step looks at; context and batch with gaps."""

    encoder: Encoder
    context: Context
    batch: Transitions
    noise: Array
    critic: Array
    target_critic: Array
    policy: Array


def transitions(rng: Generator, n: int) -> Transitions:
    """n of N tasks, the first of every task there, others missing."""
    shape = (N, n)
    mask = rng.random(shape) < 0.8
    mask[:, 0] = True
    s, a, following = rng.integers(0, S, shape), rng.integers(0, A, shape), rng.integers(0, S, shape)
    return Transitions(s, a, 0.5 + rng.normal(size=shape), following, rng.random(shape) < 0.3, mask)


def drawn(rng: Generator) -> Drawn:
    """A generic training step."""
    context = context_of(transitions(rng, 4), S, A)
    encoder = Encoder(*(0.5 * rng.normal(size=(2, Z, context.features.shape[-1]))))
    return Drawn(encoder, context, transitions(rng, 5), rng.normal(size=(N, Z)), *rng.normal(size=(3, S, A, 1 + Z)))


def _gaussians(rng: Generator) -> Gaussian:
    return Gaussian(*rng.normal(size=(2, N, 4, Z)))


def one_by_one(each: Gaussian, prior: bool) -> Array:
    """Mean and log σ² of the product by adding natural parameters, factor by factor."""
    precision, weighted = np.full((N, Z), float(prior)), np.zeros((N, Z))
    for n in range(each.mean.shape[1]):
        for i, z in np.ndindex(N, Z):
            t = math.exp(-each.log_variance[i, n, z])
            precision[i, z] += t
            weighted[i, z] += t * each.mean[i, n, z]
    return np.concatenate([weighted / precision, -np.log(precision)], axis=-1)


def _product(rng: Generator, infer: Any, prior: bool) -> float:
    each = _gaussians(rng)
    return off(lambda z: np.concatenate(infer(z), axis=-1), each, one_by_one(each, prior), scale=np.max(np.abs(each)))


def _divergence(rng: Generator) -> float:
    """E_q log(q/p), a polynomial of the noise, by Gauss–Hermite quadrature."""
    mean, log_variance = rng.normal(size=(2, N, Z))
    x, weights = np.polynomial.hermite_e.hermegauss(5)
    z = mean[..., None] + np.exp(log_variance / 2)[..., None] * x
    ratio = (-log_variance[..., None] - x**2 + z**2) / 2
    return off(kl, Gaussian(mean, log_variance), np.sum(ratio @ weights, axis=-1) / math.sqrt(2 * math.pi), scale=1.0)


def _sampled(rng: Generator) -> float:
    """Scalars."""
    q, noise = Gaussian(*rng.normal(size=(2, N, Z))), rng.normal(size=(N, Z))
    rows = [[q.mean[i, z] + math.exp(q.log_variance[i, z] / 2) * noise[i, z] for z in range(Z)] for i in range(N)]
    return off(lambda z: sample(z[0], z[1]), (q, noise), rows)


def losses_by_scalars(given: Drawn, z: Array, log_tau: float, gamma: float, target_entropy: float) -> Array:
    """Critic's, actor's and temperature's loss, one transition and one action after another; (N, 3)."""
    tau, rows = math.exp(log_tau), []
    for i in range(N):
        one = [1.0, *z[i]]

        def of(w: Array, s: int, one: list[float] = one) -> list[float]:
            return [sum(float(x) * y for x, y in zip(w[s, a], one, strict=True)) for a in range(A)]

        def acting(s: int, of: Any = of) -> list[float]:
            weights = [math.exp(x) for x in of(given.policy, s)]
            return [x / sum(weights) for x in weights]

        sums, there = [0.0, 0.0, 0.0], 0
        for s, a, r, after, terminal, mask in zip(*(part[i] for part in given.batch), strict=True):
            if not mask:
                continue
            pi, there = acting(after), there + 1
            V = sum(p * (q - tau * math.log(p)) for p, q in zip(pi, of(given.target_critic, after), strict=True))
            y = r + gamma * (0.0 if terminal else V)
            sums[0] += (of(given.critic, s)[a] - y) ** 2 / 2
            pi = acting(s)
            sums[1] += sum(p * (tau * math.log(p) - q) for p, q in zip(pi, of(given.critic, s), strict=True))
            sums[2] += tau * (-sum(p * math.log(p) for p in pi) - target_entropy)
        rows.append([x / there for x in sums])
    return np.array(rows)


def _losses(rng: Generator, which: int) -> float:
    """A loss by scalars and its gradient by complex steps, z and whatever is held fixed held."""
    given, z = drawn(rng), rng.normal(size=(N, Z))
    log_tau, gamma, target_entropy = float(0.3 * rng.normal()), float(rng.uniform(0.5, 0.95)), 0.4
    expected = losses_by_scalars(given, z, log_tau, gamma, target_entropy)[:, which : which + 1]
    tau = {"log_temperature": log_tau}

    def critic(x: Any) -> Array:
        y = soft_target(x[0].batch, x[1], x[0].target_critic, x[0].policy, gamma=gamma, **tau)
        slopes = critic_gradient(x[0].critic, x[1], x[0].batch, y)
        return np.concatenate(
            [critic_loss(x[0].critic, x[1], x[0].batch, y)[:, None], slopes.critic.reshape(N, -1), slopes.z], axis=-1
        )

    def actor(x: Any) -> Array:
        given, z = x
        slopes = actor_gradient(given.policy, z, given.batch, given.critic, **tau).reshape(N, -1)
        value = actor_loss(given.policy, z, given.batch, given.critic, **tau)
        return np.concatenate([value[:, None], slopes], axis=-1)

    def temperature(x: Any) -> Array:
        rest = x[0].policy, x[1], x[0].batch
        both = (f(log_tau, *rest, target_entropy=target_entropy) for f in (temperature_loss, temperature_gradient))
        return np.stack(list(both), axis=-1)

    y = soft_target(given.batch, z, given.target_critic, given.policy, gamma=gamma, **tau)
    flat = complex_step(lambda w: critic_loss(w.reshape(S, A, 1 + Z), z, given.batch, y), given.critic.ravel())
    by_z = np.einsum("iij->ij", complex_step(lambda v: critic_loss(given.critic, v, given.batch, y), z))
    by_policy = complex_step(
        lambda w: actor_loss(w.reshape(S, A, 1 + Z), z, given.batch, given.critic, **tau), given.policy.ravel()
    )
    by_tau = complex_step(
        lambda t: temperature_loss(t[0], given.policy, z, given.batch, target_entropy=target_entropy),
        np.array([log_tau]),
    )
    slopes = ([flat, by_z], [by_policy], [by_tau])[which]
    function = (critic, actor, temperature)[which]
    return off(function, (given, z), np.concatenate([expected, *slopes], axis=-1), scale=1.0)


def encoder_of(flat: Array, like: Encoder) -> Encoder:
    """An encoder out of one axis."""
    return Encoder(*flat.reshape(2, *like.mean.shape))


def _encoder(rng: Generator) -> float:
    """Complex steps of the loss in every weight, the target held, with and without the prior factor."""
    given, beta = drawn(rng), 0.3
    infer = (posterior, posterior_without_prior)[rng.integers(2)]
    z = sample(infer(factors(given.encoder, given.context.features), given.context.mask), given.noise)
    target = soft_target(given.batch, z, given.target_critic, given.policy, log_temperature=-0.5, gamma=0.8)
    more: dict[str, Any] = {
        "noise": given.noise,
        "critic": given.critic,
        "target": target,
        "beta": beta,
        "infer": infer,
    }

    def loss(flat: Array) -> Array:
        return pearl.encoder_loss(encoder_of(flat, given.encoder), given.context, given.batch, **more)

    flat = np.concatenate([w.ravel() for w in given.encoder])
    expected = complex_step(loss, flat)

    def slopes(x: Any) -> Array:
        found = pearl.encoder_gradient(encoder_of(x[0], given.encoder), given.context, given.batch, **more)
        return np.concatenate([w.reshape(N, -1) for w in found], axis=-1)

    return off(slopes, (flat,), expected, scale=loss(flat))


def _exact_posterior(rng: Generator) -> float:
    """r = w_a z + s ε: Bayes' rule for a scalar latent, by least squares with a prior row."""
    w, s, given = rng.normal(size=A) + 2, float(rng.uniform(0.5, 2)), transitions(rng, 6)
    encoder = exact_encoder(w, s)
    rows = []
    for i in range(N):
        here = given.mask[i]
        X = np.concatenate([[1.0], w[given.actions[i, here]] / s])[:, None]
        y = np.concatenate([[0.0], given.rewards[i, here] / s])
        rows.append([np.linalg.lstsq(X, y, rcond=None)[0][0], -math.log(float(np.sum(X**2)))])

    def believed(rewards: Array) -> Array:
        context = context_of(given._replace(rewards=rewards), S, A)
        return np.concatenate(posterior(factors(encoder, context.features), context.mask), axis=-1)

    return off(believed, given.rewards, rows, scale=np.max(np.abs(given.rewards)))


def exact_encoder(w: Array, s: float) -> Encoder:
    """The weights of thm:exact-posterior: 1/w_a on r e_sa, log(s²/w_a²) on e_sa."""
    mean, log_variance = np.zeros((2, 1, 1 + 2 * S * A + 2 * S))
    pairs = np.tile(np.arange(A), S)
    mean[0, 1 + S * A + S : 1 + 2 * S * A + S] = 1 / w[pairs]
    log_variance[0, 1 : 1 + S * A] = np.log(s**2 / w[pairs] ** 2)
    return Encoder(mean, log_variance)


def _tasks(rng: Generator) -> Any:
    """Processes that pay the same, so that any of them may have produced any context."""
    mdp = random_process(rng, N, S, A, 0.8, None)
    return type(mdp)(mdp.P, mdp.R[0], mdp.rho, mdp.gamma)


def _task_posterior(rng: Generator) -> float:
    """Bayes' rule, one transition after another."""
    tasks, prior = _tasks(rng), rng.dirichlet(np.ones(N))
    context = sample_experience(tasks, TabularSoftmax(S, A), np.zeros(S * A), episodes=1, horizon=6, rng=rng)
    rows = []
    for i in range(N):
        p = np.array(prior)
        for s, a, after in zip(context.states[i], context.actions[i], context.following[i], strict=True):
            p = p * tasks.P[:, s, a, after]
            p = p / sum(p)
        rows.append(p)

    def believed(P: Array) -> Array:
        normalised = P / P.sum(-1, keepdims=True)
        return task_posterior(type(tasks)(normalised, tasks.R, tasks.rho, tasks.gamma), context, prior)

    return off(believed, tasks.P, rows)


def _posterior_sampling(rng: Generator) -> float:
    """The belief before each episode is that of the episodes before it alone, and the returns are exact."""
    tasks, seed = _tasks(rng), int(rng.integers(2**31))
    task = PolicyReturn(tasks, TabularSoftmax(S, A))
    plans = rng.normal(size=(N, S * A))
    found = posterior_sampling(
        task, lambda c: task_posterior(tasks, c), lambda p, g: p @ plans, episodes=3, horizon=4, rng=seed
    )
    rows = []
    for k in range(4):
        seen = Transitions(*(part[:, : 4 * k] for part in found.context))
        belief = task_posterior(tasks, seen)
        rows.append(np.concatenate([belief, -task.at(belief @ plans).loss[:, None]], axis=-1))
    got = np.concatenate([np.stack(found.beliefs), found.returns[..., None]], axis=-1)
    expected = np.stack(rows)
    return float(np.max(np.abs(got - expected)) / (30 * np.finfo(float).eps * np.max(np.abs(expected))))


CHECKS = (
    drawing(
        "gaussian-product",
        "∏ N(μ_n, σ_n²)",
        "natural parameters added",
        lambda g: _product(g, posterior_without_prior, False),
    ),
    drawing(
        "gaussian-product-prior",
        "N(0, I) ∏ N(μ_n, σ_n²)",
        "natural parameters added",
        lambda g: _product(g, posterior, True),
    ),
    drawing("gaussian-kl", "½ Σ (σ² + μ² − 1 − log σ²)", "quadrature", _divergence),
    drawing("reparametrised-sample", "z = μ + σ ε", "scalars", _sampled),
    drawing("thm:exact-posterior", "r = w_a z + s ε", "Bayes' rule by least squares", _exact_posterior),
    drawing("soft-critic-loss", "½ mean (Q − y)²", "scalars, complex steps", lambda g: _losses(g, 0)),
    drawing("soft-actor-loss", "mean Σ π (τ log π − Q)", "scalars, complex steps", lambda g: _losses(g, 1)),
    drawing("temperature-loss", "τ (mean H − H̄)", "scalars, complex steps", lambda g: _losses(g, 2)),
    drawing("encoder-gradient", "critic through z + β KL", "complex steps", _encoder),
    drawing("posterior-sampling", "act on a sample, update the belief", "each belief and return by itself", _posterior_sampling),
    drawing("task-posterior", "p(i) ∏ P_i(s'|s, a)", "Bayes' rule, step by step", _task_posterior),
)
