"""Evidence for the geometry of policies: dense matrices from the definitions, sweeps of the soft equation."""

import itertools
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.judged import drawing, off
from refmeta.judges import complex_step
from refmeta.problems import random_policy_return, random_process
from refmeta.tasks import fisher
from refmeta.tasks.planning import soft_values

KINDS = ("discounted", "finite-horizon", "linear-features")


def _problem(rng: Generator) -> tuple[Any, Array, Array]:
    task = random_policy_return(rng, KINDS[rng.integers(3)], states=3, actions=3)
    return task, rng.normal(size=task.dim), rng.normal(size=task.dim)


def _scores(task: Any, theta: Array) -> Array:
    """∇log π(a|s), (S, A, d), one after another."""
    pairs = itertools.product(range(task.policy.states), range(task.policy.actions))
    rows = [task.policy.score(theta, s, a) for s, a in pairs]
    return np.reshape(rows, (task.policy.states, task.policy.actions, -1))


def _visits(point: Any) -> Array:
    """Σ_t γᵗ Pr(s_t = s), (N, S)."""
    d = point.occupancy
    return d if d.ndim == 2 else np.einsum("nts->ns", d)


def _dense(task: Any, theta: Array) -> Array:
    """Σ dπ ∇log π ∇log πᵀ, (N, d, d)."""
    point, s = task.at(theta), _scores(task, theta)
    return np.einsum("ns,nsa,sai,saj->nij", _visits(point), point.probabilities, s, s)


def _fisher(rng: Generator) -> float:
    task, theta, v = _problem(rng)
    return off(lambda z: fisher.product(z[0].at(z[1]), z[2]), (task, theta, v), _dense(task, theta) @ v)


def _natural_gradient(rng: Generator) -> float:
    """The pseudo-inverse of the dense F, times ∇J."""
    task, theta, _ = _problem(rng)
    F, g = _dense(task, theta), -task.at(theta).grad
    values, vectors = np.linalg.eigh(F)
    inverse = np.where(values > 1e-9 * values[:, -1:], 1 / np.where(values > 0, values, 1), 0)
    expected = np.einsum("nij,nj,nkj,nk->ni", vectors, inverse, vectors, g)
    spread = np.max(np.where(inverse > 0, inverse, 0), axis=1) * values[:, -1]
    scale = np.max(np.abs(expected), axis=1) * np.maximum(1, spread)
    return off(lambda z: fisher.natural_gradient(z[0].at(z[1])), (task, theta), expected, scale)


def _kl(rng: Generator) -> tuple[Any, Array, Array, Any]:
    """A task, θ₀ and θ, and D(θ) in logarithms of probabilities."""
    task, start, move = _problem(rng)
    return task, start, start + move, fisher.PolicyKL(task.at(start))


def _policy_kl(rng: Generator) -> float:
    task, start, theta, _ = _kl(rng)
    old, new = task.at(start), task.at(theta)
    logs = np.log(old.probabilities) - np.log(new.probabilities)
    terms = np.einsum("ns,nsa,nsa->nsa", _visits(old), old.probabilities, logs)
    scale = np.sum(np.abs(terms), axis=(1, 2))
    return off(
        lambda z: fisher.PolicyKL(z[0].at(z[1])).at(z[2]).loss, (task, start, theta), np.sum(terms, (1, 2)), scale
    )


def _kl_gradient(rng: Generator) -> float:
    task, start, theta, kl = _kl(rng)
    expected = complex_step(lambda t: kl.at(t).loss, theta)
    return off(lambda z: fisher.PolicyKL(z[0].at(z[1])).at(z[2]).grad, (task, start, theta), expected)


def _kl_hvp(rng: Generator) -> float:
    task, start, theta, kl = _kl(rng)
    expected = complex_step(lambda t: kl.at(t).grad, theta, start)
    return off(lambda z: fisher.PolicyKL(z[0].at(z[1])).at(z[2]).hvp(z[1]), (task, start, theta), expected)


def split_by_definition(task: Any, theta: Array) -> tuple[Array, Array, Array]:
    """ℋ₁, ℋ₂ and ℋ₁₂ as matrices (N, d, d): sums over states, actions and time, ∇Q by complex steps."""
    point, s = task.at(theta), _scores(task, theta)
    timed = point.action_value.ndim == 4
    d, Q = point.occupancy, point.action_value
    dQ = complex_step(lambda t: task.at(t).action_value, theta)
    d, Q, dQ = (d, Q, dQ) if timed else (d[:, None], Q[:, None], dQ[:, None])
    pi, eye = point.probabilities, np.eye(task.dim)
    curvature = np.stack([[task.policy.score_hvp(theta, k, 0, e) for e in eye] for k in range(task.policy.states)])
    return (
        np.einsum("nts,nsa,ntsa,sai,saj->nij", d, pi, Q, s, s),
        np.einsum("nts,nsa,ntsa,sij->nij", d, pi, Q, curvature),
        np.einsum("nts,nsa,sai,ntsaj->nij", d, pi, s, dQ),
    )


def _hessian_split(rng: Generator) -> float:
    task, theta, v = _problem(rng)
    first, second, cross = split_by_definition(task, theta)
    parts = (first, second, cross, cross.swapaxes(-1, -2))
    expected = np.stack([part @ v for part in parts], axis=1)
    return off(lambda z: np.stack(fisher.hessian_split(z[0].at(z[1]), z[2]), axis=1), (task, theta, v), expected)


def _soft_values(rng: Generator) -> float:
    """1,500 sweeps of V ← τ log Σ exp((R + γPV)/τ)."""
    mdp, tau = random_process(rng, gamma=float(rng.uniform(0.3, 0.95))), float(rng.uniform(0.2, 3))
    V = np.zeros(mdp.rho.shape)
    for _ in range(1500):
        Q = mdp.R + mdp.gamma * np.einsum("nsat,nt->nsa", mdp.P, V)
        V = tau * np.log(np.sum(np.exp((Q - np.max(Q)) / tau), axis=-1)) + np.max(Q)
    return off(lambda z: soft_values(z[0], temperature=z[1]).value, (mdp, tau), V)


CHECKS = (
    drawing("fisher", "Σ d (diag π − ππᵀ), as a product", "Σ dπ ∇log π ∇log πᵀ, dense", _fisher),
    drawing(
        "natural-gradient",
        "A − mean A; least squares on the scores",
        "pseudo-inverse of the dense F",
        _natural_gradient,
    ),
    drawing("policy-kl", "Σ d₀ KL(π₀ ‖ π)", "logarithms of probabilities", _policy_kl),
    drawing("policy-kl-gradient", "Σ d₀ (π − π₀)", "complex step of the KL", _kl_gradient),
    drawing("policy-kl-hvp", "Σ d₀ (diag π − ππᵀ)", "complex step of its gradient", _kl_hvp),
    drawing("hessian-split", "ℋ₁ + ℋ₂ + ℋ₁₂ + ℋ₁₂ᵀ", "each part dense, ∇Q by complex steps", _hessian_split),
    drawing("soft-values", "V = τ log Σ exp(Q/τ)", "1,500 sweeps", _soft_values),
)
