"""Discrete soft actor-critic, bilinear in (s, a) and [1, z].  Derivation: derivations/pearl.md

Critic and policy are weights (..., S, A, 1 + Z), which give a table over states and actions for every z (..., Z).  A
batch is `Transitions` (..., n).  There is one loss per task, a mean over its transitions; gradients are shaped as weights.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_fraction,
    as_parameters,
    as_real_scalar,
    as_scalar,
    batch_shape,
    dot,
    finite_result,
)
from refmeta.sampling.transitions import Transitions, as_transitions, mean_weights
from refmeta.softmax import centred, log_softmax, softmax

__all__ = [
    "CriticGradient", "StepGradients", "actor_gradient", "actor_loss", "as_target_entropy", "bilinear_table", "critic_gradient",
    "critic_loss", "entropy", "gradients", "polyak_average", "soft_target", "table_transpose", "temperature_gradient",
    "temperature_loss",
]  # fmt: skip


class CriticGradient(NamedTuple):
    """The gradient of the loss of the critic by its weights, (..., S, A, 1 + Z), and by z, (..., Z)."""

    critic: Array
    z: Array


def bilinear_table(weights: ArrayLike, z: ArrayLike, name: str = "weights") -> Array:
    """w[s, a] · [1, z], (..., S, A), for weights (..., S, A, 1 + Z) and z (..., Z).

    Raises
    ------
    ValueError
        If the last axis of the weights is not 1 + Z.
    """
    z = as_parameters(z, "z")
    w = as_parameters(weights, name, dim=z.shape[-1] + 1, why=" = 1 + the latent variables of z")
    if w.ndim < 3 or 0 in w.shape[-3:]:
        raise ValueError(f"{name} has shape {w.shape}, expected (..., S, A, 1 + Z), none of them 0")
    batch_shape(**{name: w.shape[:-3], "z": z.shape[:-1]})
    return finite_result(_bilinear)(w, z)


def _bilinear(w: Array, z: Array) -> Array:
    """w[s, a] · [1, z]."""
    return w[..., 0] + dot(w[..., 1:], z[..., None, None, :])


def table_transpose(slope: Array, z: Array) -> Array:
    """The transpose of `bilinear_table` for the weights: a slope (..., S, A) times [1, z], (..., S, A, 1 + Z)."""
    return slope[..., None] * np.concatenate([np.ones((*z.shape[:-1], 1)), z], axis=-1)[..., None, None, :]


@finite_result
def soft_target(
    batch: Transitions, z: ArrayLike, target_critic: ArrayLike, policy: ArrayLike, *, log_temperature: ArrayLike, gamma: float
) -> Array:  # fmt: skip
    """y = r + γ (1 − terminal) Σ_a π(a|s', z) (Q̄(s', a, z) − τ log π(a|s', z)), (..., n): a constant of `critic_loss`.

    Eq: soft-critic-loss

    Raises
    ------
    ValueError, TypeError
        If the shapes of weights, z and batch do not match, or gamma is outside [0, 1].
    """
    logits, tau = bilinear_table(policy, z, "policy"), _temperature(log_temperature)
    Q = _critic_table(target_critic, z, logits, "target_critic")
    batch = _as_batch(batch, Q)
    return _soft_target(batch, softmax(logits), log_softmax(logits), Q, tau, as_fraction(gamma, "gamma"))


def _soft_target(batch: Transitions, pi: Array, log_pi: Array, Q: Array, tau: Array, gamma: float) -> Array:
    """r + γ (1 − terminal) V(s'), V = Σ_a π (Q − τ log π)."""
    V = dot(pi, Q - tau * log_pi)
    return batch.rewards + gamma * ~batch.terminal * _at(V, batch.following)


@finite_result
def critic_loss(critic: ArrayLike, z: ArrayLike, batch: Transitions, target: ArrayLike) -> Array:
    """½ mean (Q(s, a, z) − y)², for a constant target y (..., n); (...).

    Eq: soft-critic-loss

    Raises
    ------
    ValueError, TypeError
        If the shapes of weights, z, batch and target do not match, or a task has no transition.
    """
    Q = bilinear_table(critic, z, "critic")
    batch, y = _as_batch_and_target(batch, target, Q)
    return dot(mean_weights(batch, "the batch"), _errors(Q, batch, y) ** 2) / 2


@finite_result
def critic_gradient(critic: ArrayLike, z: ArrayLike, batch: Transitions, target: ArrayLike) -> CriticGradient:
    """With D[s, a] the sum of (Q − y)/n over the transitions of (s, a): D ⊗ [1, z] in the weights, Σ D w in z.

    Eq: soft-critic-loss
    """
    w, z = as_parameters(critic, "critic"), as_parameters(z, "z")
    Q = bilinear_table(w, z, "critic")
    batch, y = _as_batch_and_target(batch, target, Q)
    return _critic_gradient(w, z, Q, batch, mean_weights(batch, "the batch"), y)


def _critic_gradient(w: Array, z: Array, Q: Array, batch: Transitions, mean: Array, y: Array) -> CriticGradient:
    """D ⊗ [1, z] and Σ D w."""
    S, A = Q.shape[-2:]
    D = _sums(mean * _errors(Q, batch, y), batch.states * A + batch.actions, S * A)
    D = D.reshape(*D.shape[:-1], S, A)
    return CriticGradient(table_transpose(D, z), np.einsum("...sa,...saz->...z", D, w[..., 1:]))


@finite_result
def actor_loss(
    policy: ArrayLike, z: ArrayLike, batch: Transitions, critic: ArrayLike, *, log_temperature: ArrayLike
) -> Array:
    """mean_s Σ_a π(a|s, z) (τ log π(a|s, z) − Q(s, a, z)), with z and the critic constant; (...).

    Eq: soft-actor-loss
    """
    logits, visits = _policy_and_visits(policy, z, batch)
    Q, tau = _critic_table(critic, z, logits), _temperature(log_temperature)
    return dot(visits, dot(softmax(logits), tau * log_softmax(logits) - Q))


@finite_result
def actor_gradient(
    policy: ArrayLike, z: ArrayLike, batch: Transitions, critic: ArrayLike, *, log_temperature: ArrayLike
) -> Array:
    """ν(s) π (f − ⟨π, f⟩) ⊗ [1, z], f = τ log π − Q, ν(s) the fraction of the batch's states; (..., S, A, 1 + Z).

    Eq: soft-actor-loss
    """
    logits, visits = _policy_and_visits(policy, z, batch)
    Q, tau = _critic_table(critic, z, logits), _temperature(log_temperature)
    return _actor_gradient(as_parameters(z, "z"), visits, softmax(logits), tau * log_softmax(logits) - Q)


def _actor_gradient(z: Array, visits: Array, pi: Array, f: Array) -> Array:
    """ν π (f − ⟨π, f⟩) ⊗ [1, z]."""
    return table_transpose(visits[..., None] * pi * centred(pi, f), z)


@finite_result
def temperature_loss(
    log_temperature: ArrayLike, policy: ArrayLike, z: ArrayLike, batch: Transitions, *, target_entropy: float
) -> Array:
    """τ (mean_s H(π(·|s, z)) − H̄), as a loss of log τ; (...).

    Eq: temperature-loss
    """
    logits, visits = _policy_and_visits(policy, z, batch)
    least = as_target_entropy(target_entropy, logits.shape[-1])
    return _temperature(log_temperature) * (dot(visits, entropy(logits)) - least)


def temperature_gradient(
    log_temperature: ArrayLike, policy: ArrayLike, z: ArrayLike, batch: Transitions, *, target_entropy: float
) -> Array:
    """∂/∂log τ of the loss, which is the loss itself, since dτ/d log τ = τ; (...).

    Eq: temperature-loss
    """
    return temperature_loss(log_temperature, policy, z, batch, target_entropy=target_entropy)


class StepGradients(NamedTuple):
    """The gradients of a training step by critic, z, policy and log τ: those of a `CriticGradient` and two more."""

    critic: Array
    z: Array
    policy: Array
    log_temperature: Array


@finite_result
def gradients(
    critic: ArrayLike, target_critic: ArrayLike, policy: ArrayLike, z: ArrayLike, batch: Transitions, *,
    log_temperature: ArrayLike, gamma: float, target_entropy: float,
) -> StepGradients:  # fmt: skip
    """`critic_gradient` at `soft_target`, `actor_gradient` and `temperature_gradient`: every table is computed once."""
    z, w, tau = as_parameters(z, "z"), as_parameters(critic, "critic"), _temperature(log_temperature)
    logits = bilinear_table(policy, z, "policy")
    later, Q = _critic_table(target_critic, z, logits, "target_critic"), _critic_table(w, z, logits)
    batch = _as_batch(batch, Q)
    mean, pi, log_pi = mean_weights(batch, "the batch"), softmax(logits), log_softmax(logits)
    y, visits = _soft_target(batch, pi, log_pi, later, tau, as_fraction(gamma, "gamma")), _visits(batch, mean, Q.shape[-2])
    surplus = -dot(visits, dot(pi, log_pi)) - as_target_entropy(target_entropy, Q.shape[-1])
    by_policy = _actor_gradient(z, visits, pi, tau * log_pi - Q)
    return StepGradients(*_critic_gradient(w, z, Q, batch, mean, y), by_policy, tau * surplus)


def as_target_entropy(value: float, actions: int) -> float:
    """H̄ in (0, log A], an entropy that a policy of A actions can have; 0 for a single action."""
    H, most = as_real_scalar(value, "target_entropy"), float(np.log(actions))
    if not (0 < H or H == most) or H > most * (1 + 1e-12):
        raise ValueError(
            f"target_entropy must be above 0 and at most log A = {most:.6g} for A = {actions} actions, got {H}: "
            "no policy has another entropy"
        )
    return H


def entropy(logits: Array) -> Array:
    """H(π(·|s)) = −Σ_a π log π, (..., S)."""
    return -dot(softmax(logits), log_softmax(logits))


def polyak_average(target: Array, weights: Array, rate: float) -> Array:
    """The weights of the target after Polyak averaging: (1 − κ) w̄ + κ w."""
    return (1 - rate) * target + rate * weights


def _temperature(log_temperature: ArrayLike) -> Array:
    """τ."""
    return np.exp(as_scalar(log_temperature, "log_temperature"))


def _at(values: Array, states: Array) -> Array:
    """values (..., S) at states (..., n); batch axes broadcast."""
    batch = np.broadcast_shapes(values.shape[:-1], states.shape[:-1])
    values = np.broadcast_to(values, (*batch, values.shape[-1]))
    return np.take_along_axis(values, np.broadcast_to(states, (*batch, states.shape[-1])), axis=-1)


def _as_batch(batch: Transitions, Q: Array) -> Transitions:
    """The batch; ValueError unless it fits a table (..., S, A)."""
    batch = as_transitions(batch, Q.shape[-2], Q.shape[-1], "batch")
    batch_shape(table=Q.shape[:-2], batch=batch.mask.shape[:-1])
    return batch


def _as_batch_and_target(batch: Transitions, target: ArrayLike, Q: Array) -> tuple[Transitions, Array]:
    """The batch, and one target per transition."""
    batch, y = _as_batch(batch, Q), as_parameters(target, "target", dim=batch.mask.shape[-1], why=" as the batch")
    batch_shape(target=y.shape[:-1], batch=batch.mask.shape[:-1])
    return batch, y


def _errors(Q: Array, batch: Transitions, y: Array) -> Array:
    """Q − y (..., n), 0 where there is no transition."""
    S, A = Q.shape[-2:]
    return np.where(batch.mask, _at(Q.reshape(*Q.shape[:-2], S * A), batch.states * A + batch.actions) - y, 0)


def _sums(values: Array, index: Array, size: int) -> Array:
    """The sums of the values (..., n) that have the same index, (..., size)."""
    shape = np.broadcast_shapes(values.shape, index.shape)
    total = np.zeros((*shape[:-1], size), values.dtype)
    rows = np.arange(0, total.size, size).reshape(*shape[:-1], 1)
    np.add.at(total.reshape(-1), np.ravel(rows + index), np.ravel(np.broadcast_to(values, shape)))
    return total


def _policy_and_visits(policy: ArrayLike, z: ArrayLike, batch: Transitions) -> tuple[Array, Array]:
    """Logits (..., S, A), and the fraction ν (..., S) of the batch in each state."""
    logits = bilinear_table(policy, z, "policy")
    batch = _as_batch(batch, logits)
    return logits, _visits(batch, mean_weights(batch, "the batch"), logits.shape[-2])


def _visits(batch: Transitions, mean: Array, states: int) -> Array:
    """ν (..., S), the fraction of the transitions in each state, from their weights in a mean."""
    return _sums(mean, batch.states, states)


def _critic_table(critic: ArrayLike, z: ArrayLike, logits: Array, name: str = "critic") -> Array:
    """Q (..., S, A), with the states and actions of the policy."""
    Q = bilinear_table(critic, z, name)
    if logits.shape[-2:] != Q.shape[-2:]:
        raise ValueError(f"{name} has (states, actions) = {Q.shape[-2:]}, expected {logits.shape[-2:]} as the policy")
    return Q
