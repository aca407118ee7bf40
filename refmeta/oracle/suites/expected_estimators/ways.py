"""Every batch that can be drawn, and what a surrogate makes of it, where a point departs from what is right.

Derivation: derivations/sampled-meta-gradients.md
"""

import itertools
import math
from collections import Counter
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.expected_estimators.kernels import STARTS, log_policy, values, world
from refmeta.oracle.suites.expected_estimators.problem import Expectations
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.oracle.suites.surrogates.variants import sums, terms
from refmeta.sampling.enumeration import Paths
from refmeta.sampling.trajectories import Trajectories, discounts
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["OF_DRAWS", "OF_SURROGATES", "Draws", "draws", "every_path", "subset"]

OF_SURROGATES = ("discount", "over time", "over trajectories", "rewards", "return", "baseline", "advantages", "sums", "trajectories used")
OF_DRAWS = (*OF_SURROGATES, "batches", "start of trajectories", "credited rewards")
ORDERED = ("fading around", "over ends", "through ends", "running", "running over trajectories", "first trajectory's return")


class Draws(NamedTuple):
    """Batches: weights (n,), visits of each pair (n, S A), credits of a surrogate and their slopes in ln π, their returns, −M L's factor."""

    weight: Array
    visits: Array
    credit: Array
    bend: Array
    returns: Array
    scale: float


def subset(point: Point, names: tuple[str, ...]) -> tuple[tuple[str, Any], ...]:
    """What of a point concerns some choices, to be remembered."""
    return tuple((name, point[name]) for name in names if name in point)


@lru_cache(maxsize=256)
def every_path(mdp: FiniteMDP, start: str = "") -> Paths:
    """All trajectories of H steps, also through states that are never left and pay nothing: nothing declares an end."""
    rho = np.asarray(STARTS[start](mdp.rho) if start in STARTS else mdp.rho)
    s = np.flatnonzero(rho)
    weight, past, H = rho[s], np.zeros((len(s), 0, 3)), mdp.horizon or 1
    for t in range(H):
        merged = t == H - 1 and mdp.R.ndim == 2
        P = np.broadcast_to(np.eye(mdp.states)[0], mdp.P[s].shape) if merged else mdp.P[s]
        source, a, following = np.nonzero(P)
        reward = mdp.R[s[source], a] if mdp.R.ndim == 2 else mdp.R[s[source], a, following]
        past = np.concatenate([past[source], np.stack([s[source], a, reward], axis=-1)[:, None]], axis=1)
        weight, s = weight[source] * P[source, a, following], following
    states, actions = (past[..., i].astype(np.intp) for i in (0, 1))
    return Paths(Trajectories(states, actions, past[..., 2], np.ones(states.shape, bool)), weight)


@lru_cache(maxsize=1024)
def draws(problem: Expectations, i: int, M: int, name: str, theta: Any, departures: tuple[tuple[str, Any], ...]) -> Draws:
    """All batches of M trajectories of a task, of several orders of the same once where that is right, and a surrogate's credits."""
    task, point = problem.tasks[i], dict(departures)
    batch, weight = _tuples(problem, i, M, point)
    b = _exact_values(problem, i, batch, str(point.get("baseline", "")))
    of = {key: x for key, x in point.items() if key in OF_SURROGATES and not str(x).startswith("exact")}
    case = Batches(problem.theta, problem.theta, task.policy, batch, b, at_most_one(task.mdp.gamma), 1.0, problem.v)
    zero, cells = np.zeros(batch.mask.shape), np.eye(task.policy.dim)
    here = cells[(batch.states * task.policy.actions + batch.actions).reshape(len(weight), -1)]
    each = terms(name, case, of)
    _, slope, _ = sums(each, zero, zero)
    return Draws(
        weight, np.sum(here, axis=1), np.einsum("nk,nkj->nj", slope.reshape(len(weight), -1), here), _bend(each, here, zero),
        np.sum(discounts(batch.mask, case.gamma) * batch.rewards, axis=(-2, -1)), 1.0 if point.get("over trajectories") == "sum" else 1 / M,
    )  # fmt: skip


def _tuples(problem: Expectations, i: int, M: int, point: Point) -> tuple[Trajectories, Array]:
    """Batches of M trajectories, and what the process contributes to their probabilities."""
    paths = every_path(problem.tasks[i].mdp, point.get("start of trajectories", ""))
    kind, n = point.get("batches", ""), len(paths.weight)
    if any(x in ORDERED for x in point.values()) or "trajectories used" in point:
        index = np.array(list(itertools.product(range(n), repeat=M)))
        often = np.ones(len(index))
    else:
        index = np.array(list(itertools.combinations_with_replacement(range(n), M)))
        often = np.array([math.factorial(M) // math.prod(map(math.factorial, Counter(row).values())) for row in index.tolist()], float)
    same = np.array([len(set(row)) for row in index.tolist()])
    often = {"orders once": often**0, "distinct": often * (same == M), "distinct once": 1.0 * (same == M), "alike": often * (same == 1)}.get(kind, often)
    batch = Trajectories(*(np.asarray(x)[index] for x in paths.trajectories))
    if "credited rewards" in point:
        batch = batch._replace(rewards=_credited(problem.tasks[i].mdp, batch, point["credited rewards"]))
    weight = np.prod(paths.weight[index], axis=1) if kind != "first's chance" else paths.weight[index[:, 0]]
    return batch, often * weight


def _credited(mdp: FiniteMDP, batch: Trajectories, kind: str) -> Array:
    """Rewards that are credited instead of those that came."""
    s, a, R = batch.states, batch.actions, np.asarray(mdp.R)
    mean = R if R.ndim == 2 else np.sum(np.asarray(mdp.P) * R, axis=-1)
    if kind == "mean":
        return mean[s, a]
    if kind == "largest" and R.ndim == 3:
        return np.max(R, axis=-1)[s, a]
    if kind == "unweighted" and R.ndim == 3:
        return np.mean(R, axis=-1)[s, a]
    if kind == "of the policy":
        return np.mean(mean, axis=-1)[s]
    return batch.rewards


def _exact_values(problem: Expectations, i: int, batch: Trajectories, kind: str) -> Array:
    """The exact values at θ of the states, or of the states and actions, of every step; 0 without such a baseline."""
    if not kind.startswith("exact"):
        return np.zeros(batch.mask.shape)
    task = problem.tasks[i]
    every = values(world(task.mdp), np.exp(log_policy(problem.theta, task.policy.actions)))[::-1]
    table = np.stack([Q if kind == "exact Q" else V for V, Q in every])
    if kind == "exact mean":
        return 0.0 * batch.rewards + _means(problem, i, table)
    t = np.arange(batch.mask.shape[-1]) if kind != "exact start" else 0
    return np.asarray(table[t, batch.states, batch.actions] if kind == "exact Q" else table[t, batch.states])


def _means(problem: Expectations, i: int, table: Array) -> Array:
    """E V_t(s_t) at θ of every step."""
    w, pi = world(problem.tasks[i].mdp), np.exp(log_policy(problem.theta, problem.tasks[i].policy.actions))
    d, found = w.rho, []
    for V in table:
        found.append(d @ V)
        d = (d[:, None] * pi).ravel() @ w.P
    return np.array(found)


def _bend(each: Any, here: Array, zero: Array) -> Array:
    """How credits change with ln π, (n, S A, S A); (0,) where they do not."""
    total = np.zeros(())
    for w, C, link in each:
        curve = link(w.reshape(len(w), -1), zero.reshape(len(w), -1))[2]
        if np.any(curve):
            moved = C @ here
            total = total + np.einsum("nki,nk,nkj->nij", moved, curve, moved)
    return total if total.ndim else np.zeros(0)
