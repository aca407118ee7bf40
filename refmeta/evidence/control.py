"""Evidence for linear-quadratic control: moments by mean and covariance, values by powers, derivatives by complex steps."""

from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.judged import drawing, off
from refmeta.judges import complex_step
from refmeta.problems import random_linear_quadratic
from refmeta.tasks.lq import LinearQuadratic, stationary
from refmeta.tasks.policy_cost import PolicyCost


def _task(rng: Generator) -> tuple[PolicyCost, Array]:
    task = PolicyCost(random_linear_quadratic(rng))
    return task, 0.3 * rng.normal(size=task.dim)


def _parts(lq: LinearQuadratic, theta: Array) -> tuple[Array, Array, Array]:
    """A + BK, the covariance added in a step, and σ²."""
    K, variance = theta[: -lq.actions].reshape(lq.actions, lq.states), np.exp(theta[-lq.actions :]) ** 2
    return lq.A + lq.B @ K, lq.noise + np.einsum("nij,j,nkj->nik", lq.B, variance, lq.B), variance


def _moments(rng: Generator) -> float:
    """Mean and covariance of the state, apart."""
    task, theta = _task(rng)
    lq, (M, added, _), expected = task.lq, _parts(task.lq, theta), []
    mean = lq.start[..., -1]
    covariance = lq.start - np.einsum("ni,nj->nij", mean, mean)
    for t in range(lq.horizon or 0):
        expected.append(lq.gamma**t * (covariance + np.einsum("ni,nj->nij", mean, mean)))
        mean, covariance = np.einsum("nij,nj->ni", M, mean), np.einsum("nij,njk,nlk->nil", M, covariance, M) + added
    return off(lambda z: z[0].at(z[1]).moments, (task, theta), np.stack(expected, axis=1))


def _powers(lq: LinearQuadratic, theta: Array) -> Array:
    """P_t = Σ_k γᵏ (Mᵏ)ᵀ (Q + KᵀRK) Mᵏ, t = 0 … H."""
    K, M = theta[: -lq.actions].reshape(lq.actions, lq.states), _parts(lq, theta)[0]
    H, C = lq.horizon or 0, lq.Q + np.einsum("ji,njk,kl->nil", K, lq.R, K)
    power = [np.linalg.matrix_power(M, k) for k in range(H)]
    terms = [lq.gamma**k * np.einsum("nji,njk,nkl->nil", power[k], C, power[k]) for k in range(H)]
    return np.stack([sum(terms[: H - t], 0 * C) for t in range(H + 1)], axis=1)


def _values(rng: Generator) -> float:
    task, theta = _task(rng)
    return off(lambda z: z[0].at(z[1]).values, (task, theta), _powers(task.lq, theta)[:, :-1])


def _cost(rng: Generator) -> float:
    """Duality: tr(P_0 Σ_0) + Σ γᵗ⁺¹ tr(P_{t+1} N) + Σ γᵗ tr(R diag σ²)."""
    task, theta = _task(rng)
    lq, P, (_, added, variance) = task.lq, _powers(task.lq, theta), _parts(task.lq, theta)
    weight = lq.gamma ** np.arange(P.shape[1] - 1)
    expected = np.einsum("nij,nij->n", P[:, 0], lq.start) + np.einsum("njj,j->n", lq.R, variance) * np.sum(weight)
    expected += lq.gamma * np.einsum("t,ntij,nij->n", weight, P[:, 1:], added)
    return off(lambda z: z[0].at(z[1]).loss, (task, theta), expected)


def _gradient(rng: Generator) -> float:
    task, theta = _task(rng)
    return off(lambda z: z[0].at(z[1]).grad, (task, theta), complex_step(lambda t: task.at(t).loss, theta))


def _hvp(rng: Generator) -> float:
    task, theta = _task(rng)
    v: Any = rng.normal(size=task.dim)
    expected = complex_step(lambda t: task.at(t).grad, theta, v)
    return off(lambda z: z[0].at(z[1]).hvp(z[2]), (task, theta, v), expected)


def _stationary(rng: Generator) -> float:
    """vec X = (I − γ M ⊗ M)⁻¹ vec S."""
    M, S, gamma = rng.normal(size=(2, 3, 3)) / 3, rng.normal(size=(2, 3, 3)), float(rng.uniform(0.3, 0.95))
    L = np.einsum("nij,nkl->nikjl", M, M).reshape(2, 9, 9)
    expected = np.linalg.solve(np.eye(9) - gamma * L, S.reshape(2, 9, 1)).reshape(2, 3, 3)
    return off(lambda z: stationary(z[0], z[1], z[2]), (M, S, gamma), expected)


CHECKS = (
    drawing("lq-moments", "Σ' = MΣMᵀ + B diag(σ²) Bᵀ + W", "mean and covariance apart", _moments),
    drawing("lq-values", "P = Q + KᵀRK + γMᵀP'M", "sums of powers of M", _values),
    drawing("lq-cost", "Σ γᵗ[tr((Q+KᵀRK)Σ_t) + tr(R diag σ²)]", "duality: tr(P_0 Σ_0) + noise", _cost),
    drawing("lq-gradient", "2 Σ γᵗ(RK + γBᵀP'M) Σ_t", "complex step of J", _gradient),
    drawing("lq-hvp", "both recursions differentiated", "complex step of ∇J", _hvp),
    drawing("lq-stationary", "X = S + γMXMᵀ", "Kronecker system", _stationary),
)
