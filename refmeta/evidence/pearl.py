"""Evidence for PEARL: its definition in complex numbers, densities summed on a grid, exact Bayes."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check, Error, off, worst
from refmeta.meta import pearl
from refmeta.meta.pearl.encoder import (
    Encoder,
    Gaussian,
    Inference,
    context_of,
    factors,
    kl,
    posterior,
    posterior_without_prior,
    sample,
)
from refmeta.meta.posterior_sampling import posterior_sampling
from refmeta.meta.task_posterior import task_posterior
from refmeta.oracle.bicomplex import COMPLEX, complex_numbers, complex_value, real_part
from refmeta.oracle.suites.pearl.definition import PEARL, define, encoder_loss, part_functions, targets
from refmeta.oracle.suites.pearl.problem import TrainingStep, answer
from refmeta.policies import TabularSoftmax
from refmeta.problems import random_process
from refmeta.sampling.transitions import Transitions, sample_experience
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["CHECKS", "A", "N", "S", "Z", "processes", "training_step", "transitions"]

N, S, A, Z = 3, 3, 2, 2


def transitions(rng: Generator, n: int, tasks: int = N, states: int = S, actions: int = A) -> Transitions:
    """n transitions per task; the first is always present, others may be missing."""
    shape = (tasks, n)
    mask = rng.random(shape) < 0.8
    mask[:, :1] = True
    s, a, following = (rng.integers(0, size, shape) for size in (states, actions, states))
    return Transitions(s, a, 0.5 + rng.normal(size=shape), following, rng.random(shape) < 0.3, mask)


def training_step(
    rng: Generator, infer: Inference = posterior, *, tasks: int = N, states: int = S, actions: int = A, latent: int = Z,
    context: int = 4, batch: int = 5,
) -> TrainingStep:  # fmt: skip
    """A generic training step; context and batch with gaps."""
    encoder = Encoder(*(0.5 * rng.normal(size=(2, latent, 1 + 2 * states * actions + 2 * states))))
    critic, target, policy = rng.normal(size=(3, states, actions, 1 + latent))
    return TrainingStep(
        pearl.Agent(encoder, critic, target, policy, float(0.3 * rng.normal())),
        transitions(rng, context, tasks, states, actions),
        transitions(rng, batch, tasks, states, actions),
        rng.normal(size=(tasks, latent)),
        pearl.Settings(float(rng.uniform(0.5, 0.95)), 0.3, 0.6 * math.log(actions), infer),
    )


def _any_step(rng: Generator) -> TrainingStep:
    """A training step, with the prior among the factors or without."""
    return training_step(rng, (posterior, posterior_without_prior)[rng.integers(2)])


def _against_definition(*names: str) -> Callable[[TrainingStep], Error]:
    """The library's answers to parts of the suite, each against its definition in complex numbers."""

    def judge(step: TrainingStep) -> Error:
        right = {name: complex_value(define, name, step.inputs) for name in names}
        return worst(off(partial(answer, name), step, value, scale=1.0) for name, value in right.items())

    return judge


def _encoder(step: TrainingStep) -> Error:
    """The definition's loss, and its slope in every weight by complex steps, the target held."""
    x, rows = complex_numbers(step.inputs), []
    for i in range(len(step.noise)):
        of = part_functions(x, i, COMPLEX)
        loss = encoder_loss(PEARL, x, i, targets(PEARL, x, i, of["z"]()))
        rows.append([loss, *np.ravel([of["encoder_mean_grad"](), of["encoder_log_variance_grad"]()])])

    def both(step: TrainingStep) -> Array:
        agent, transitions, batch, noise, (gamma, beta, _, infer) = step
        context = context_of(transitions, agent.states, agent.actions)
        z = sample(infer(factors(agent.encoder, context.features), context.mask), noise)
        tau: dict[str, Any] = {"log_temperature": agent.log_temperature}
        target = pearl.soft_target(batch, z, agent.target_critic, agent.policy, gamma=gamma, **tau)
        more: dict[str, Any] = {"noise": noise, "critic": agent.critic, "target": target, "beta": beta, "infer": infer}
        loss = pearl.encoder_loss(agent.encoder, context, batch, **more)
        slopes = pearl.encoder_gradient(agent.encoder, context, batch, **more)
        return np.concatenate([loss[:, None], *(w.reshape(len(w), -1) for w in slopes)], axis=-1)

    return off(both, step, real_part(rows), scale=1.0)


def _divergence(q: Gaussian) -> Error:
    """E_q log(q/p), a polynomial of the noise, by Gauss–Hermite quadrature."""
    x, weights = np.polynomial.hermite_e.hermegauss(5)
    z = q.mean[..., None] + np.exp(q.log_variance / 2)[..., None] * x
    ratio = (-q.log_variance[..., None] - x**2 + z**2) / 2
    return off(kl, q, np.sum(ratio @ weights, axis=-1) / math.sqrt(2 * math.pi), scale=1.0)


def _linear_rewards(rng: Generator) -> tuple[Array, float, Transitions]:
    """w and s of the rewards r = w_a z + s ε, and transitions."""
    return rng.normal(size=A) + 2, float(rng.uniform(0.5, 2)), transitions(rng, 6)


def _exact_posterior(case: tuple[Array, float, Transitions]) -> Error:
    """Bayes' rule for a scalar latent, by least squares with a prior row."""
    w, s, context = case
    encoder, rows = _exact_encoder(w, s), []
    for i in range(N):
        here = context.mask[i]
        X = np.concatenate([[1.0], w[context.actions[i, here]] / s])[:, None]
        y = np.concatenate([[0.0], context.rewards[i, here] / s])
        rows.append([np.linalg.lstsq(X, y, rcond=None)[0][0], -math.log(float(np.sum(X**2)))])

    def belief(rewards: Array) -> Array:
        features = context_of(context._replace(rewards=rewards), S, A).features
        return np.concatenate(posterior(factors(encoder, features), context.mask), axis=-1)

    return off(belief, context.rewards, rows, scale=np.max(np.abs(context.rewards)))


def _exact_encoder(w: Array, s: float) -> Encoder:
    """The weights of thm:exact-posterior: 1/w_a on r e_sa, log(s²/w_a²) on e_sa."""
    mean, log_variance = np.zeros((2, 1, 1 + 2 * S * A + 2 * S))
    pairs = np.tile(np.arange(A), S)
    mean[0, 1 + S * A + S : 1 + 2 * S * A + S] = 1 / w[pairs]
    log_variance[0, 1 : 1 + S * A] = np.log(s**2 / w[pairs] ** 2)
    return Encoder(mean, log_variance)


def processes(rng: Generator) -> FiniteMDP:
    """Processes that pay the same, so that any of them may have produced any context."""
    mdp = random_process(rng, N, S, A, 0.8, None)
    return FiniteMDP(mdp.P, mdp.R[0], mdp.rho, mdp.gamma)


def _contexts(rng: Generator) -> tuple[FiniteMDP, Array, Transitions]:
    """Processes, a prior over them, and a context from each."""
    tasks, prior = processes(rng), rng.dirichlet(np.ones(N))
    return tasks, prior, sample_experience(tasks, TabularSoftmax(S, A), np.zeros(S * A), episodes=1, horizon=6, rng=rng)


def _task_posterior(case: tuple[FiniteMDP, Array, Transitions]) -> Error:
    """Bayes' rule, one transition after another."""
    tasks, prior, context = case
    rows = []
    for i in range(len(context.states)):
        p = np.array(prior)
        for s, a, after in zip(context.states[i], context.actions[i], context.following[i], strict=True):
            p = p * tasks.P[:, s, a, after]
            p = p / sum(p)
        rows.append(p)

    def belief(P: Array) -> Array:
        normalised = P / P.sum(-1, keepdims=True)
        return task_posterior(FiniteMDP(normalised, tasks.R, tasks.rho, tasks.gamma), context, prior)

    return off(belief, tasks.P, rows)


def _plans(rng: Generator) -> tuple[FiniteMDP, Array, int]:
    """Processes, the parameters to act by in each, and a seed."""
    return processes(rng), rng.normal(size=(N, S * A)), int(rng.integers(2**31))


def _posterior_sampling(case: tuple[FiniteMDP, Array, int]) -> float:
    """The belief before each episode is that of the episodes before it alone, and the returns are exact."""
    tasks, plans, seed = case
    task = PolicyReturn(tasks, TabularSoftmax(S, A))
    adapted = posterior_sampling(
        task, lambda c: task_posterior(tasks, c), lambda p, g: p @ plans, episodes=3, horizon=4, rng=seed
    )
    rows = []
    for k in range(4):
        belief = task_posterior(tasks, Transitions(*(part[:, : 4 * k] for part in adapted.context)))
        rows.append(np.concatenate([belief, -task.at(belief @ plans).loss[:, None]], axis=-1))
    got = np.concatenate([np.stack(adapted.beliefs), adapted.returns[..., None]], axis=-1)
    expected = np.stack(rows)
    return float(np.max(np.abs(got - expected)) / (30 * np.finfo(float).eps * np.max(np.abs(expected))))


CHECKS = (
    Check("gaussian-product", "∏ N(μ_n, σ_n²)", "natural parameters added",
          lambda g: training_step(g, posterior_without_prior), _against_definition("mean", "variance")),
    Check("gaussian-product-prior", "N(0, I) ∏ N(μ_n, σ_n²)", "natural parameters added",
          training_step, _against_definition("mean", "variance")),
    Check("gaussian-kl", "½ Σ (σ² + μ² − 1 − log σ²)", "quadrature", lambda g: Gaussian(*g.normal(size=(2, N, Z))), _divergence),
    Check("reparametrised-sample", "z = μ + σ ε", "scalars", _any_step, _against_definition("z")),
    Check("thm:exact-posterior", "r = w_a z + s ε", "Bayes' rule by least squares", _linear_rewards, _exact_posterior),
    Check("soft-critic-loss", "½ mean (Q − y)²", "scalars, complex steps", _any_step, _against_definition("critic_loss", "critic_grad")),
    Check("soft-actor-loss", "mean Σ π (τ log π − Q)", "scalars, complex steps", _any_step, _against_definition("actor_loss", "actor_grad")),
    Check("temperature-loss", "τ (mean H − H̄)", "scalars, complex steps", _any_step, _against_definition("temperature_loss", "temperature_grad")),
    Check("encoder-gradient", "critic through z + β KL", "complex steps", _any_step, _encoder),
    Check("posterior-sampling", "act on a sample, update the belief", "each belief and return by itself", _plans, _posterior_sampling),
    Check("task-posterior", "p(i) ∏ P_i(s'|s, a)", "Bayes' rule, step by step", _contexts, _task_posterior),
)  # fmt: skip
