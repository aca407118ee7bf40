"""Processes and softmax policies as implementations read them.  Derivation: derivations/exact-policy-gradient.md

Arrays have an axis of time in front, (T, N, S, ...): T is the horizon, or 1 where there is none.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.policy_gradient.problem import Evaluation
from refmeta.policies.softmax import TabularSoftmax

__all__ = ["ReadPolicy", "ReadProcess", "Run", "axis_of", "is_left", "policy_at", "pull", "read", "run_of", "shares_of", "table"]

CLOSED = 1e12  # where each step leaves with a chance of 2⁻²², the condition is some 1e7


class ReadProcess(NamedTuple):
    """P (N, S, A, S), r (N, S, A), ρ (N, S), γ and the horizon."""

    P: Array
    r: Array
    rho: Array
    gamma: float
    horizon: float | None


class ReadPolicy(NamedTuple):
    """π and ln π (N or 1, S, A), and the softmax below it: π without noise, and the slope of ln π in its logarithm.

    again : is π normalised once more after its change?
    """

    pi: Array
    logs: Array
    inner: Array
    slope: Array
    again: bool = False


class Run(NamedTuple):
    """Visits γᵗ Pr(s_t = s), (T, N, S); Q, (T, N, S, A); V and the next V, (T, N, S)."""

    visits: Array
    Q: Array
    V: Array
    after: Array


@lru_cache(maxsize=512)
def _process(problem: Evaluation, reading: tuple[Any, ...]) -> ReadProcess | None:
    """The process as a point reads it; None if it has no value."""
    mdp, (horizon, discount, start, P, reward, ends) = problem.task.mdp, reading
    shape, gamma = mdp.shape, at_most_one(mdp.gamma)
    H, gamma = horizon(mdp.horizon) if horizon else mdp.horizon, discount(gamma) if discount else gamma
    full = np.broadcast_to(mdp.P, (*shape, *mdp.P.shape[-3:]))
    r, rho = np.broadcast_to(mdp.expected_reward, full.shape[:-1]), np.broadcast_to(mdp.rho, (*shape, mdp.states))
    read = P(full) if P else full
    r = reward(r, read, mdp.R) if reward else r
    read, r = ends(read, r) if ends else (read, r)
    if H is None and not gamma < 1 and not (mdp.terminal.any() and is_left(read)):
        return None
    return ReadProcess(read, r, start(rho) if start else rho, gamma, H)


def is_left(P: Array) -> bool:
    """Is a process whose rows add up to less than 1 left from every state?  Of one that is not, I − P is singular."""
    kernel = np.mean(P, axis=-2)
    return bool(np.max(np.linalg.cond(np.eye(kernel.shape[-1]) - kernel)) < CLOSED)


def read(problem: Evaluation, point: Point) -> ReadProcess:
    """The process of a point; LinAlgError if it has no value."""
    process = _process(problem, tuple(point.get(name) for name in ("horizon", "discount", "start", "P", "reward", "ends")))
    if process is None:
        raise np.linalg.LinAlgError("no value")
    return process


def axis_of(point: Point) -> int:
    """The axis of the softmax."""
    return -2 if "softmax over" in point else -1


def table(problem: Evaluation, point: Point, theta: Array) -> Array:
    """Logits (…, S, A) of parameters (…, d)."""
    policy = problem.task.policy
    if "layout of theta" in point and isinstance(policy, TabularSoftmax):
        return theta.reshape(*theta.shape[:-1], policy.actions, policy.states).swapaxes(-1, -2) * point.get("logits times", 1.0)
    return policy.table(theta) * point.get("logits times", 1.0)


def policy_at(problem: Evaluation, point: Point, theta: Array, *, still: bool = False) -> ReadPolicy:
    """π of θ; if `still`, the normaliser of the softmax is that of the real part of θ."""
    x, axis = table(problem, point, theta), axis_of(point)
    x = x - np.max(np.real(x), axis=axis, keepdims=True)
    logs = x - np.log(np.sum(np.exp(np.real(x) if still else x), axis=axis, keepdims=True))
    inner, noise = np.exp(logs), point.get("noise in the policy", 0.0)
    if "probabilities changed" in point:
        change, again = point["probabilities changed"]
        pi, slope = change(inner)
        pi = pi / np.sum(pi, axis=axis, keepdims=True) if again else pi
        return ReadPolicy(pi, np.log(pi), inner, slope, again)
    if not noise:
        return ReadPolicy(inner, logs, inner, np.ones(1))
    pi = (1 - noise) * inner + noise / inner.shape[-1]
    return ReadPolicy(pi, np.log(pi), inner, (1 - noise) * inner / pi)


def pull(problem: Evaluation, point: Point, policy: ReadPolicy, g: Array, score: Array | None = None, centre: bool = True) -> Array:
    """The slope in θ, (N, d), from that in ln π, (N, S, A); `score` is the π of its slope, `centre` says if it has one."""
    g = g - policy.pi * np.sum(g, axis=axis_of(point), keepdims=True) if policy.again else g
    g = g * policy.slope
    g = g - (policy.inner if score is None else score) * np.sum(g, axis=axis_of(point), keepdims=True) if centre else g
    g = g * point.get("logits times", 1.0)
    turned = "layout of theta" in point and isinstance(problem.task.policy, TabularSoftmax)
    return g.swapaxes(-1, -2).reshape(*g.shape[:-2], -1) if turned else problem.task.policy.pullback(g)


def run_of(process: ReadProcess, pi: Array) -> Run:
    """Visits and values."""
    P, r, rho, gamma, horizon = process
    kernel, reward = gamma * np.einsum("nsa,nsat->nst", pi + 0 * r, P), np.sum(pi * r, axis=-1)
    if horizon is None:
        system = np.eye(kernel.shape[-1]) - kernel
        V = np.linalg.solve(system, reward[..., None])[..., 0]
        d = np.linalg.solve(system.swapaxes(-1, -2), (rho + 0 * reward)[..., None])[..., 0]
        return Run(d[None], (r + gamma * _expect(P, V))[None], V[None], V[None])
    values, visits, shares = [0 * reward], [rho + 0 * reward], shares_of(horizon)
    for share in shares[::-1]:
        values.insert(0, share * reward + np.einsum("nst,nt->ns", kernel, values[0]))
        visits.append(np.einsum("nst,ns->nt", kernel, visits[-1]))
    V = np.stack(values)
    Q = shares[:, None, None, None] * r + gamma * np.einsum("nsat,hnt->hnsa", P, V[1:])
    return Run(np.array(visits[:-1]).reshape(-1, *rho.shape), Q, V[:-1], V[1:])


def shares_of(horizon: float) -> Array:
    """1 for every step; for a horizon between two whole numbers the last step's is the fraction."""
    whole = int(np.floor(horizon))
    return np.array([1.0] * whole + [horizon - whole] * (horizon > whole))


def _expect(P: Array, V: Array) -> Array:
    """Σ_s' P V."""
    return np.einsum("nsat,nt->nsa", P, V)
