"""Evidence for linear-quadratic control: moments by mean and covariance, values by powers, derivatives by complex steps."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array, replace_fields
from refmeta.evidence.checks import Check, Error, gradient_error, hvp_error, off, worst
from refmeta.judges import complex_step
from refmeta.problems import random_linear_quadratic, random_undiscounted_control
from refmeta.tasks.lq import LinearQuadratic, stationary
from refmeta.tasks.policy_cost import PolicyCost

__all__ = ["CHECKS"]

Case = tuple[PolicyCost, Array]


def _random_point(rng: Generator) -> Case:
    """Tasks of four steps, and gains so small that most are stable."""
    task = PolicyCost(random_linear_quadratic(rng))
    return task, 0.3 * rng.normal(size=task.dim)


def _random_direction(rng: Generator) -> tuple[PolicyCost, Array, Array]:
    """Tasks, parameters and a direction."""
    task, theta = _random_point(rng)
    return task, theta, rng.normal(size=task.dim)


def _closed_loop(lq: LinearQuadratic, theta: Array) -> tuple[Array, Array, Array]:
    """A + BK, the covariance added in a step, and σ²."""
    K, variance = theta[: -lq.actions].reshape(lq.actions, lq.states), np.exp(theta[-lq.actions :]) ** 2
    return lq.A + lq.B @ K, lq.noise + np.einsum("nij,j,nkj->nik", lq.B, variance, lq.B), variance


def _moments(case: Case) -> Error:
    """The moments from the mean and the covariance of the state."""
    task, theta = case
    lq, (M, added, _), expected = task.lq, _closed_loop(task.lq, theta), []
    mean = lq.start[..., -1]
    covariance = lq.start - np.einsum("ni,nj->nij", mean, mean)
    for t in range(lq.horizon or 0):
        expected.append(lq.gamma**t * (covariance + np.einsum("ni,nj->nij", mean, mean)))
        mean, covariance = np.einsum("nij,nj->ni", M, mean), np.einsum("nij,njk,nlk->nil", M, covariance, M) + added
    return off(lambda z: z[0].at(z[1]).moments, case, np.stack(expected, axis=1))


def _powers(lq: LinearQuadratic, theta: Array) -> Array:
    """P_t = Σ_k γᵏ (Mᵏ)ᵀ (Q + KᵀRK) Mᵏ, t = 0 … H."""
    K, M = theta[: -lq.actions].reshape(lq.actions, lq.states), _closed_loop(lq, theta)[0]
    H, C = lq.horizon or 0, lq.Q + np.einsum("ji,njk,kl->nil", K, lq.R, K)
    power = [np.linalg.matrix_power(M, k) for k in range(H)]
    terms = [lq.gamma**k * np.einsum("nji,njk,nkl->nil", power[k], C, power[k]) for k in range(H)]
    return np.stack([sum(terms[: H - t], 0 * C) for t in range(H + 1)], axis=1)


def _values(case: Case) -> Error:
    """P_t up to the last step."""
    return off(lambda z: z[0].at(z[1]).values, case, _powers(case[0].lq, case[1])[:, :-1])


def _cost(case: Case) -> Error:
    """Duality: tr(P_0 Σ_0) + Σ γᵗ⁺¹ tr(P_{t+1} N) + Σ γᵗ tr(R diag σ²)."""
    task, theta = case
    lq, P, (_, added, variance) = task.lq, _powers(task.lq, theta), _closed_loop(task.lq, theta)
    weight = lq.gamma ** np.arange(P.shape[1] - 1)
    expected = np.einsum("nij,nij->n", P[:, 0], lq.start) + np.einsum("njj,j->n", lq.R, variance) * np.sum(weight)
    expected += lq.gamma * np.einsum("t,ntij,nij->n", weight, P[:, 1:], added)
    return off(lambda z: z[0].at(z[1]).loss, case, expected)


def _random_series(rng: Generator) -> tuple[Array, Array, float]:
    """M, S and γ."""
    return rng.normal(size=(2, 3, 3)) / 3, rng.normal(size=(2, 3, 3)), float(rng.uniform(0.3, 0.95))


def _stationary(case: tuple[Array, Array, float]) -> Error:
    """vec X = (I − γ M ⊗ M)⁻¹ vec S; the case is (M, S, γ), S one per task or one for all."""
    M, S, gamma = case
    N, n = M.shape[:2]
    L = np.einsum("nij,nkl->nikjl", M, M).reshape(N, n * n, n * n)
    source = np.broadcast_to(S, M.shape).reshape(N, n * n, 1)
    expected = np.linalg.solve(np.eye(n * n) - gamma * L, source).reshape(N, n, n)
    return off(lambda z: stationary(z[0], z[1], z[2]), case, expected)


def _random_undiscounted(rng: Generator) -> tuple[PolicyCost, Array, Array]:
    """Tasks at γ = 1 without a horizon, small gains and a direction."""
    task = PolicyCost(random_undiscounted_control(rng))
    return task, 0.1 * rng.normal(size=task.dim), rng.normal(size=task.dim)


def _undiscounted_cost(case: tuple[PolicyCost, Array, Array]) -> Error | float:
    """The cost from one Kronecker system; gradient and Hessian product by complex steps; NaN where a gain is not stable."""
    task, theta, v = case
    lq, K = task.lq, theta.reshape(task.lq.actions, task.lq.states - 1)
    n = lq.states - 1
    M = lq.A[:, :n, :n] + lq.B[:, :n] @ K
    if np.any(np.abs(np.linalg.eigvals(M)) > 0.95):
        return np.nan
    kronecker = np.eye(n * n) - np.einsum("nij,nkl->nikjl", M, M).reshape(-1, n * n, n * n)
    X = np.linalg.solve(kronecker, lq.start[:, :n, :n].reshape(-1, n * n, 1)).reshape(-1, n, n)
    cost = np.einsum("nij,nij->n", lq.Q[:, :n, :n] + np.einsum("ji,njk,kl->nil", K, lq.R, K), X)
    gradient = complex_step(lambda t: task.at(t).loss, theta)
    product = complex_step(lambda t: task.at(t).grad, theta, v)
    point: Callable[[Any], Any] = lambda z: PolicyCost(replace_fields(lq, **z[0])).at(z[1])
    inputs = {name: getattr(lq, name) for name in ("A", "B", "Q", "R", "start")}, theta, v
    return worst([
        off(lambda z: point(z).loss, inputs, cost), off(lambda z: point(z).grad, inputs, gradient),
        off(lambda z: point(z).hvp(z[2]), inputs, product),
    ])  # fmt: skip


CHECKS = (
    Check("lq-moments", "Σ' = MΣMᵀ + B diag(σ²) Bᵀ + W", "mean and covariance apart", _random_point, _moments),
    Check("lq-values", "P = Q + KᵀRK + γMᵀP'M", "sums of powers of M", _random_point, _values),
    Check("lq-cost", "Σ γᵗ[tr((Q+KᵀRK)Σ_t) + tr(R diag σ²)]", "duality: tr(P_0 Σ_0) + noise", _random_point, _cost),
    Check("lq-gradient", "2 Σ γᵗ(RK + γBᵀP'M) Σ_t", "complex step of J", _random_point, gradient_error),
    Check("lq-hvp", "both recursions differentiated", "complex step of ∇J", _random_direction, hvp_error),
    Check("lq-undiscounted-cost", "tr((Q + KᵀRK)X), 2(RK + BᵀPM)X, γ = 1", "Kronecker system; complex steps",
          _random_undiscounted, _undiscounted_cost),
    Check("lq-stationary", "X = S + γMXMᵀ", "Kronecker system", _random_series, _stationary),
)
