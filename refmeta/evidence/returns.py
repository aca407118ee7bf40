"""Evidence for exact returns: values by iteration, enumeration and duality, derivatives by the complex step."""

import itertools
import math
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.judged import drawing, off
from refmeta.judges import complex_step
from refmeta.policies import TabularSoftmax
from refmeta.problems import random_policy_return, random_process
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP
from refmeta.tasks.planning import optimal_values


def _point(rng: Generator, kind: str = "discounted") -> tuple[Any, Array, Any]:
    task = random_policy_return(rng, kind)
    theta = rng.normal(size=task.dim)
    return task, theta, task.at(theta)


def _published(name: str, rng: Generator, expected: Any, kind: str = "discounted") -> float:
    """A property of a random point against `expected(mdp, π)`."""
    task, theta, point = _point(rng, kind)
    return off(lambda z: getattr(z[0].at(z[1]), name), (task, theta), expected(task.mdp, point.probabilities))


def _model(mdp: FiniteMDP, pi: Array) -> tuple[Array, Array]:
    """P_π and r_π, one entry after another."""
    N, S, A = pi.shape
    K, r = np.zeros((N, S, S)), np.zeros((N, S))
    for n, s, a in itertools.product(range(N), range(S), range(A)):
        K[n, s] += pi[n, s, a] * mdp.P[n, s, a]
        r[n, s] += pi[n, s, a] * mdp.R[n, s, a]
    return K, r


def _policy_model(rng: Generator) -> float:
    task, _, point = _point(rng)
    K, r = _model(task.mdp, point.probabilities)
    inputs = (task.mdp, np.array(point.probabilities))
    return max(off(lambda z: z[0].transitions(z[1]), inputs, K), off(lambda z: z[0].rewards(z[1]), inputs, r))


def _iterated(mdp: FiniteMDP, pi: Array) -> Array:
    """V by 1,500 sweeps of V ← r_π + γP_πV: γ^1500 < 1e-33 for γ ≤ 0.95."""
    K, r = _model(mdp, pi)
    V = np.zeros_like(r)
    for _ in range(1500):
        V = r + mdp.gamma * np.einsum("nst,nt->ns", K, V)
    return V


def _visited(mdp: FiniteMDP, pi: Array) -> Array:
    """d by 1,500 sweeps of d ← ρ + γP_πᵀd."""
    K, d = _model(mdp, pi)[0], np.zeros(mdp.rho.shape)
    for _ in range(1500):
        d = mdp.rho + mdp.gamma * np.einsum("nst,ns->nt", K, d)
    return d


def _dual(mdp: FiniteMDP, pi: Array) -> Array:
    """−J as −Σ_s d(s) r_π(s)."""
    return -np.sum(_visited(mdp, pi) * _model(mdp, pi)[1], axis=-1)


def _advantage(rng: Generator) -> float:
    task, theta, point = _point(rng)
    Q = np.array(point.action_value)
    expected = Q - np.sum(point.probabilities * Q, axis=-1, keepdims=True)
    return off(lambda z: z[0].at(z[1]).advantage, (task, theta), expected)


def _gradient(kind: str, rng: Generator) -> float:
    task, theta, _ = _point(rng, kind)
    return off(lambda z: z[0].at(z[1]).grad, (task, theta), complex_step(lambda t: task.at(t).loss, theta))


def _hvp(kind: str, rng: Generator) -> float:
    task, theta, _ = _point(rng, kind)
    v = rng.normal(size=task.dim)
    expected = complex_step(lambda t: task.at(t).grad, theta, v)
    return off(lambda z: z[0].at(z[1]).hvp(z[2]), (task, theta, v), expected)


def _tiny(rng: Generator) -> tuple[Any, Array]:
    """Two states, two actions, three steps: 128 trajectories a start."""
    mdp = random_process(rng, 1, 2, 2, gamma=float(rng.uniform(0.3, 1)), horizon=3)
    return PolicyReturn(mdp, TabularSoftmax(2, 2)), rng.normal(size=4)


def _enumerated(mdp: FiniteMDP, pi: Array, start: int, steps: int) -> tuple[float, Array]:
    """Σ over all trajectories from a state: the return, and γᵗ Pr(s_t = s)."""
    returns, visits = [], np.zeros((steps, 2))
    for path in itertools.product(itertools.product((0, 1), (0, 1)), repeat=steps):
        probability, reward, s, states = 1.0, 0.0, start, []
        for t, (a, following) in enumerate(path):
            states.append(s)
            reward += mdp.gamma**t * mdp.R[0, s, a]
            probability *= pi[0, s, a] * mdp.P[0, s, a, following]
            s = following
        returns.append(probability * reward)
        for t, s in enumerate(states):
            visits[t, s] += mdp.gamma**t * probability
    return math.fsum(returns), visits


def _finite_values(rng: Generator) -> float:
    task, theta = _tiny(rng)
    pi = task.at(theta).probabilities
    expected = [[_enumerated(task.mdp, pi, s, 3 - t)[0] for s in (0, 1)] for t in range(3)] + [[0.0, 0.0]]
    return off(lambda z: z[0].at(z[1]).value, (task, theta), [expected])


def _finite_occupancy(rng: Generator) -> float:
    task, theta = _tiny(rng)
    pi, rho = task.at(theta).probabilities, task.mdp.rho[0]
    expected = sum(rho[s] * _enumerated(task.mdp, pi, s, 3)[1] for s in (0, 1))
    return off(lambda z: z[0].at(z[1]).occupancy, (task, theta), np.array([expected]))


def _finite_return(rng: Generator) -> float:
    task, theta = _tiny(rng)
    pi, rho = task.at(theta).probabilities, task.mdp.rho[0]
    expected = -sum(rho[s] * _enumerated(task.mdp, pi, s, 3)[0] for s in (0, 1))
    return off(lambda z: z[0].at(z[1]).loss, (task, theta), [expected])


def _optimal_values(rng: Generator) -> float:
    mdp = random_process(rng, 1, 3, 2, gamma=0.7)
    tables = [np.eye(2)[list(choice)][None] for choice in itertools.product((0, 1), repeat=3)]
    best = max(float(np.sum(mdp.rho * _iterated(mdp, pi))) for pi in tables)
    return off(lambda z: optimal_values(z).best_return, mdp, [best])


CHECKS = (
    drawing("policy-model", "P_π = Σ_a πP, r_π = Σ_a πR", "sums written out", _policy_model),
    drawing("bellman", "V = (I − γP_π)⁻¹r_π", "1,500 sweeps of V ← r + γPV", lambda g: _published("value", g, _iterated)),
    drawing("advantage", "Σ_b π_b(Q_a − Q_b)", "Q − V", _advantage),
    drawing(
        "occupancy",
        "d = (I − γP_πᵀ)⁻¹ρ",
        "1,500 sweeps of d ← ρ + γPᵀd",
        lambda g: _published("occupancy", g, _visited),
    ),
    drawing("return", "J = ρᵀV", "duality: Σ d r_π", lambda g: _published("loss", g, _dual)),
    drawing("policy-gradient", "d(s) π(a|s) A(s, a)", "complex step of J", lambda g: _gradient("linear-features", g)),
    drawing("policy-hvp", "dd πA + d dπ A + d π dA", "complex step of ∇J", lambda g: _hvp("linear-features", g)),
    drawing("finite-horizon-bellman", "V_t = Σ_a π(R + γPV_{t+1})", "every trajectory from every state", _finite_values),
    drawing("finite-horizon-occupancy", "γᵗd_t, d_{t+1} = P_πᵀd_t", "every trajectory", _finite_occupancy),
    drawing("finite-horizon-return", "J = ρᵀV_0", "every trajectory", _finite_return),
    drawing("finite-horizon-gradient", "Σ_t γᵗ d_t π A_t", "complex step of J", lambda g: _gradient("finite-horizon", g)),
    drawing("finite-horizon-hvp", "∂(Σ_t γᵗ d_t π A_t) along v", "complex step of ∇J", lambda g: _hvp("finite-horizon", g)),
    drawing("optimal-values", "V* = max_a (R + γPV*)", "every deterministic policy", _optimal_values),
)
