"""Evidence for the geometry of policies: dense matrices from the definitions, sweeps of the soft equation."""

from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check, Error, off
from refmeta.evidence.returns import fixed_point
from refmeta.judges import complex_step
from refmeta.problems import random_policy_return, random_process
from refmeta.tasks import fisher
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP
from refmeta.tasks.planning import soft_values

__all__ = ["CHECKS"]

KINDS = ("discounted", "finite-horizon", "linear-features")
Case = tuple[PolicyReturn, Array, Array]


def _random_direction(rng: Generator) -> Case:
    """A task, parameters and a direction."""
    task = random_policy_return(rng, KINDS[rng.integers(3)], states=3, actions=3)
    return task, rng.normal(size=task.dim), rng.normal(size=task.dim)


def _scores(task: Any, theta: Array) -> Array:
    """∇log π(a|s), (S, A, d)."""
    return task.policy.score(theta, np.arange(task.policy.states)[:, None], np.arange(task.policy.actions))


def _visits(point: Any) -> Array:
    """Σ_t γᵗ Pr(s_t = s), (N, S)."""
    d = point.occupancy
    return d if d.ndim == 2 else np.einsum("nts->ns", d)


def _dense(task: Any, theta: Array) -> Array:
    """Σ dπ ∇log π ∇log πᵀ, (N, d, d)."""
    point, s = task.at(theta), _scores(task, theta)
    return np.einsum("ns,nsa,sai,saj->nij", _visits(point), point.probabilities, s, s)


def _fisher(case: Case) -> Error:
    """The case is (task, theta, v)."""
    return off(lambda z: fisher.product(z[0].at(z[1]), z[2]), case, _dense(*case[:2]) @ case[2])


def _natural_gradient(case: Any) -> Error:
    """The pseudo-inverse of the dense F, times ∇J; the case is (task, theta, ...)."""
    task, theta, *_ = case
    F, g = _dense(task, theta), -task.at(theta).grad
    values, vectors = np.linalg.eigh(F)
    inverse = np.where(values > 1e-9 * values[:, -1:], 1 / np.where(values > 0, values, 1), 0)
    expected = np.einsum("nij,nj,nkj,nk->ni", vectors, inverse, vectors, g)
    spread = np.max(np.where(inverse > 0, inverse, 0), axis=1) * values[:, -1]
    scale = np.max(np.abs(expected), axis=1) * np.maximum(1, spread)
    return off(lambda z: fisher.natural_gradient(z[0].at(z[1])), (task, theta), expected, scale)


def _policy_kl(case: Case) -> Error:
    """D in logarithms of probabilities, from θ to θ + v."""
    task, start, move = case
    old, new = task.at(start), task.at(start + move)
    logs = np.log(old.probabilities) - np.log(new.probabilities)
    terms = np.einsum("ns,nsa,nsa->nsa", _visits(old), old.probabilities, logs)
    scale = np.sum(np.abs(terms), axis=(1, 2))
    inputs = task, start, start + move
    return off(lambda z: fisher.PolicyKL(z[0].at(z[1])).at(z[2]).loss, inputs, np.sum(terms, (1, 2)), scale)


def _kl_gradient(case: Case) -> Error:
    """∇D at θ + v, with D from θ."""
    task, start, move = case
    kl = fisher.PolicyKL(task.at(start))
    expected = complex_step(lambda t: kl.at(t).loss, start + move)
    return off(lambda z: fisher.PolicyKL(z[0].at(z[1])).at(z[2]).grad, (task, start, start + move), expected)


def _kl_hvp(case: Case) -> Error:
    """∇²D at θ + v along θ, with D from θ."""
    task, start, move = case
    kl = fisher.PolicyKL(task.at(start))
    expected = complex_step(lambda t: kl.at(t).grad, start + move, start)
    return off(lambda z: fisher.PolicyKL(z[0].at(z[1])).at(z[2]).hvp(z[1]), (task, start, start + move), expected)


def _hessian_split(case: Case) -> Error:
    """ℋ₁, ℋ₂ and ℋ₁₂ as matrices (N, d, d): sums over states, actions and time, ∇Q by complex steps."""
    task, theta, v = case
    point, s = task.at(theta), _scores(task, theta)
    timed = point.action_value.ndim == 4
    d, Q = point.occupancy, point.action_value
    dQ = complex_step(lambda t: task.at(t).action_value, theta)
    d, Q, dQ = (d, Q, dQ) if timed else (d[:, None], Q[:, None], dQ[:, None])
    pi, states = point.probabilities, np.arange(task.policy.states)
    curvature = task.policy.score_hvp(theta, states[:, None], 0, np.eye(task.dim))
    cross = np.einsum("nts,nsa,sai,ntsaj->nij", d, pi, s, dQ)
    parts = (
        np.einsum("nts,nsa,ntsa,sai,saj->nij", d, pi, Q, s, s),
        np.einsum("nts,nsa,ntsa,sij->nij", d, pi, Q, curvature),
        cross,
        cross.swapaxes(-1, -2),
    )
    expected = np.stack([part @ v for part in parts], axis=1)
    return off(lambda z: np.stack(fisher.hessian_split(z[0].at(z[1]), z[2]), axis=1), case, expected)


def _random_process(rng: Generator) -> tuple[FiniteMDP, float]:
    """A process and a temperature."""
    return random_process(rng, gamma=float(rng.uniform(0.3, 0.95))), float(rng.uniform(0.2, 3))


def _soft_values(case: tuple[FiniteMDP, float]) -> Error:
    """Sweeps of V ← τ log Σ exp((R + γPV)/τ)."""
    mdp, tau = case

    def sweep(V: Array) -> Array:
        Q = mdp.R + mdp.gamma * np.einsum("nsat,nt->nsa", mdp.P, V)
        top = np.max(Q)
        return tau * np.log(np.sum(np.exp((Q - top) / tau), axis=-1)) + top

    return off(lambda z: soft_values(z[0], temperature=z[1]).value, case, fixed_point(sweep, np.zeros(mdp.rho.shape)))


CHECKS = (
    Check("fisher", "Σ d (diag π − ππᵀ), as a product", "Σ dπ ∇log π ∇log πᵀ, dense", _random_direction, _fisher),
    Check("natural-gradient", "A − mean A; least squares on the scores", "pseudo-inverse of the dense F",
          _random_direction, _natural_gradient),
    Check("policy-kl", "Σ d₀ KL(π₀ ‖ π)", "logarithms of probabilities", _random_direction, _policy_kl),
    Check("policy-kl-gradient", "Σ d₀ (π − π₀)", "complex step of the KL", _random_direction, _kl_gradient),
    Check("policy-kl-hvp", "Σ d₀ (diag π − ππᵀ)", "complex step of its gradient", _random_direction, _kl_hvp),
    Check("hessian-split", "ℋ₁ + ℋ₂ + ℋ₁₂ + ℋ₁₂ᵀ", "each part dense, ∇Q by complex steps",
          _random_direction, _hessian_split),
    Check("soft-values", "V = τ log Σ exp(Q/τ)", "1,500 sweeps", _random_process, _soft_values),
)  # fmt: skip
