"""Evidence for exact returns: values by iteration, enumeration and duality, derivatives by the complex step."""

import itertools
import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check, Error, gradient_error, hvp_error, off, worst
from refmeta.oracle.suites.expected_estimators.definition import paths, probability
from refmeta.policies import TabularSoftmax
from refmeta.problems import random_ending_process, random_policy_return, random_process
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP
from refmeta.tasks.planning import optimal_values

__all__ = ["CHECKS", "all_paths", "fixed_point", "model", "random_tree"]

Case = tuple[PolicyReturn, Array]


def _random_point(rng: Generator, kind: str = "discounted") -> Case:
    """A task and parameters."""
    task = random_policy_return(rng, kind)
    return task, rng.normal(size=task.dim)


def _random_direction(kind: str, rng: Generator) -> tuple[PolicyReturn, Array, Array]:
    """A task, parameters and a direction."""
    task, theta = _random_point(rng, kind)
    return task, theta, rng.normal(size=task.dim)


def _property(name: str, expected: Callable[[FiniteMDP, Array], Array], case: Case) -> Error:
    """A property of the point against `expected(mdp, π)`."""
    task, theta = case
    return off(lambda z: getattr(z[0].at(z[1]), name), case, expected(task.mdp, task.at(theta).probabilities))


def model(mdp: FiniteMDP, pi: Array) -> tuple[Array, Array]:
    """P_π and r_π, one entry after another; π (..., N, S, A)."""
    S, A = pi.shape[-2:]
    K, r = np.zeros((*pi.shape[:-1], S)), np.zeros(pi.shape[:-1])
    for n, s, a in itertools.product(range(pi.shape[-3]), range(S), range(A)):
        K[..., n, s, :] += pi[..., n, s, a, None] * mdp.P[n, s, a]
        r[..., n, s] += pi[..., n, s, a] * mdp.R[n, s, a]
    return K, r


def _policy_model(case: Case) -> Error:
    """P_π and r_π of the process under the policy."""
    inputs = case[0].mdp, np.array(case[0].at(case[1]).probabilities)
    K, r = model(*inputs)
    return worst([off(lambda z: z[0].transitions(z[1]), inputs, K), off(lambda z: z[0].rewards(z[1]), inputs, r)])


def fixed_point(sweep: Callable[[Array], Array], x: Array) -> Array:
    """x after 1,500 sweeps, or after one that changes no bit: γ^1500 < 1e-33 for γ ≤ 0.95, or with ends."""
    for _ in range(1500):
        before, x = x, sweep(x)
        if before.tobytes() == x.tobytes():
            break
    return x


def _values(mdp: FiniteMDP, pi: Array) -> Array:
    """V by sweeps of V ← r_π + γP_πV."""
    K, r = model(mdp, pi)
    return fixed_point(lambda V: r + mdp.gamma * np.einsum("...st,...t->...s", K, V), np.zeros_like(r))


def _visits(mdp: FiniteMDP, pi: Array) -> Array:
    """d by sweeps of d ← ρ + γP_πᵀd."""
    K = model(mdp, pi)[0]
    return fixed_point(lambda d: mdp.rho + mdp.gamma * np.einsum("nst,ns->nt", K, d), np.zeros(mdp.rho.shape))


def _dual_loss(mdp: FiniteMDP, pi: Array) -> Array:
    """−J as −Σ_s d(s) r_π(s)."""
    return -np.sum(_visits(mdp, pi) * model(mdp, pi)[1], axis=-1)


def _random_ending_point(rng: Generator) -> Case:
    """A task that ends, at γ = 1 without a horizon, and parameters."""
    mdp = random_ending_process(rng)
    return PolicyReturn(mdp, TabularSoftmax(mdp.states, mdp.actions)), rng.normal(size=mdp.states * mdp.actions)


def _undiscounted_loss(mdp: FiniteMDP, pi: Array) -> Array:
    """−J as −ρᵀV, V by sweeps with the loops of the ends left in."""
    return -np.sum(mdp.rho * _values(mdp, pi), axis=-1)


def _advantage(case: Case) -> Error:
    """With or without a horizon."""
    point = case[0].at(case[1])
    Q, pi = np.array(point.action_value), point.probabilities
    V = np.sum((pi if Q.ndim == pi.ndim else pi[:, None]) * Q, axis=-1, keepdims=True)
    return off(lambda z: z[0].at(z[1]).advantage, case, Q - V)


def random_tree(rng: Generator) -> Case:
    """Two states, two actions, three steps: 64 trajectories from each state."""
    mdp = random_process(rng, 1, 2, 2, gamma=float(rng.uniform(0.3, 1)), horizon=3)
    return PolicyReturn(mdp, TabularSoftmax(2, 2)), rng.normal(size=4)


def all_paths(case: Case, steps: int) -> tuple[Array, Array]:
    """The return (N, S) and γᵗ Pr(s_t = s') (N, S, steps, S) from each state, summed over all trajectories of so many steps."""
    task, theta = case
    mdp, table = task.mdp, task.at(theta).probabilities
    N, S, _ = table.shape
    returns, visits = np.zeros((N, S)), np.zeros((N, S, steps, S))
    for n, start in np.ndindex(N, S):
        process, pi = (mdp.P[n].tolist(), mdp.R[n].tolist(), np.eye(S)[start].tolist()), table[n].tolist()
        trajectories = [(path, probability(path, pi)) for path in paths(*process, mdp.gamma, steps)]
        returns[n, start] = math.fsum(p * path.to_go[0] for path, p in trajectories if steps)
        for path, p in trajectories:
            for t, (s, _) in enumerate(path.steps):
                visits[n, start, t, s] += mdp.gamma**t * p
    return returns, visits


def _finite_values(case: Case) -> Error:
    """V_t is the return of the steps that are left."""
    H = case[0].mdp.horizon or 0
    expected = np.stack([all_paths(case, H - t)[0] for t in range(H + 1)], axis=1)
    return off(lambda z: z[0].at(z[1]).value, case, expected)


def _finite_occupancy(case: Case) -> Error:
    """The visits from each start, weighted by ρ."""
    mdp = case[0].mdp
    expected = np.einsum("ns,nstu->ntu", mdp.rho, all_paths(case, mdp.horizon or 0)[1])
    return off(lambda z: z[0].at(z[1]).occupancy, case, expected)


def _finite_return(case: Case) -> Error:
    """The return from each start, weighted by ρ."""
    mdp = case[0].mdp
    expected = -np.einsum("ns,ns->n", mdp.rho, all_paths(case, mdp.horizon or 0)[0])
    return off(lambda z: z[0].at(z[1]).loss, case, expected)


def _optimal_values(mdp: FiniteMDP) -> Error:
    """The case is a process with few states and actions."""
    N, S, A = mdp.P.shape[:3]
    tables = np.stack([np.eye(A)[list(choice)] for choice in itertools.product(range(A), repeat=S)])
    returns = np.sum(mdp.rho * _values(mdp, np.stack([tables] * N, axis=1)), axis=-1)
    return off(lambda z: optimal_values(z).best_return, mdp, np.max(returns, axis=0))


CHECKS = (
    Check("policy-model", "P_π = Σ_a πP, r_π = Σ_a πR", "sums written out", _random_point, _policy_model),
    Check("bellman", "V = (I − γP_π)⁻¹r_π", "1,500 sweeps of V ← r + γPV",
          _random_point, partial(_property, "value", _values)),
    Check("advantage", "Σ_b π_b(Q_a − Q_b)", "Q − V", _random_point, _advantage),
    Check("occupancy", "d = (I − γP_πᵀ)⁻¹ρ", "1,500 sweeps of d ← ρ + γPᵀd",
          _random_point, partial(_property, "occupancy", _visits)),
    Check("return", "J = ρᵀV", "duality: Σ d r_π", _random_point, partial(_property, "loss", _dual_loss)),
    Check("undiscounted-return", "J = ρᵀ(I − P_π)⁻¹r_π off the ends, γ = 1", "1,500 sweeps of V ← r + PV",
          _random_ending_point, partial(_property, "loss", _undiscounted_loss)),
    Check("policy-gradient", "d(s) π(a|s) A(s, a)", "complex step of J",
          partial(_random_point, kind="linear-features"), gradient_error),
    Check("policy-hvp", "dd πA + d dπ A + d π dA", "complex step of ∇J",
          partial(_random_direction, "linear-features"), hvp_error),
    Check("finite-horizon-bellman", "V_t = Σ_a π(R + γPV_{t+1})", "every trajectory from every state",
          random_tree, _finite_values),
    Check("finite-horizon-occupancy", "γᵗd_t, d_{t+1} = P_πᵀd_t", "every trajectory", random_tree, _finite_occupancy),
    Check("finite-horizon-return", "J = ρᵀV_0", "every trajectory", random_tree, _finite_return),
    Check("finite-horizon-gradient", "Σ_t γᵗ d_t π A_t", "complex step of J",
          partial(_random_point, kind="finite-horizon"), gradient_error),
    Check("finite-horizon-hvp", "∂(Σ_t γᵗ d_t π A_t) along v", "complex step of ∇J",
          partial(_random_direction, "finite-horizon"), hvp_error),
    Check("optimal-values", "V* = max_a (R + γPV*)", "every deterministic policy",
          lambda rng: random_process(rng, 1, 3, 2, gamma=0.7), _optimal_values),
)  # fmt: skip
