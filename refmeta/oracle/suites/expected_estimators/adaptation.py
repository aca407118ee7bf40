"""The gradient of the loss after adaptation, by exact or by sampled steps, with some departures: one complex step along each axis.

Derivation: derivations/sampled-meta-gradients.md
"""


import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.expected_estimators.hessians import expected_product
from refmeta.oracle.suites.expected_estimators.judging import Ways, h, judged
from refmeta.oracle.suites.expected_estimators.kernels import gradient, log_policy, pulled, world
from refmeta.oracle.suites.expected_estimators.problem import Expectations
from refmeta.oracle.suites.expected_estimators.updates import Inner, sizes, update
from refmeta.oracle.suites.expected_estimators.ways import OF_DRAWS, Draws, draws, subset

__all__ = ["adapted_gradient"]

MOST = 2 * 10**4


def adapted_gradient(problem: Expectations, i: int, point: Point, sampled: bool) -> Array:
    """The gradient of E L(φ)."""
    A, K = problem.tasks[i].policy.actions, _step_count(problem, point)
    start = (problem.theta + 1j * h * np.eye(len(problem.theta)))[:, None]
    ways, state, path = Ways(start, np.zeros((len(start), 1), complex), np.zeros((len(start), 1)), np.zeros(())), dict[str, Array](), [start]
    for k in range(K):
        g, ways = _sampled(problem, i, point, k, K, ways, start) if sampled else (_exact(problem, i, point, ways.phi, start), ways)
        copies = g.shape[1] // path[-1].shape[1]
        path, state = [np.repeat(x, copies, axis=1) for x in path], {name: np.repeat(x, copies, axis=1) for name, x in state.items()}
        u = update(point.get("inner update", ""), Inner(g, path[-1], start, k, A), state)
        ways = ways._replace(phi=path[-1] - _held(problem, point, k, K, u))
        path.append(ways.phi)
    return judged(problem, i, point, ways, path, world(problem.tasks[i].mdp, point.get("loss", ""), point.get("start after adaptation", "")))


def _step_count(problem: Expectations, point: Point) -> int:
    """K, or how many steps are taken instead."""
    return {"K + 1": problem.steps + 1, "K - 1": max(problem.steps - 1, 0), "1": min(problem.steps, 1)}.get(point.get("steps", ""), problem.steps)


def _held(problem: Expectations, point: Point, k: int, K: int, u: Array) -> Array:
    """A step along u, its derivative times what is used instead of α."""
    alpha = sizes(problem.alpha, problem.episodes, K, point)[k]
    kind = point.get("alpha of the curvature", "")
    bent = {"one": 1.0, "squared": alpha**2, "negative": -alpha}.get(kind, alpha) if not isinstance(kind, tuple) else kind[1] * alpha
    kept = {"none": False, "first": k == 0, "last": k == K - 1, "but the first": k > 0, "but the last": k < K - 1}.get(point.get("curvature", ""), True)
    return alpha * u.real + 1j * bent * kept * u.imag


def _exact(problem: Expectations, i: int, point: Point, phi: Array, start: Array) -> Array:
    """∇L; its slopes by another Hessian, if one is used."""
    task = problem.tasks[i]
    at = start if "inner gradient at" in point else phi
    g = gradient(world(task.mdp, point.get("inner loss", ""), point.get("start of trajectories", "")), at, task.policy.actions)
    if "surrogate" not in point:
        return g
    slopes = [expected_product(point["surrogate"], problem, i, at[0, 0].real, row.imag / h, {}) for row in at[:, 0]]
    return g.real + 1j * h * np.stack(slopes)[:, None]


def _sampled(problem: Expectations, i: int, point: Point, k: int, K: int, ways: Ways, start: Array) -> tuple[Array, Ways]:
    """The surrogate's gradient on every batch after every way so far, and these ways."""
    M, A = 1 if "episodes" in point else problem.episodes, problem.tasks[i].policy.actions
    drawn = draws(problem, i, M, point.get("surrogate", "reinforce"), None, subset(point, OF_DRAWS))
    reused, kind = point.get("later trajectories"), point.get("drawn at", "")
    logs = log_policy(start if "inner gradient at" in point else ways.phi, A)
    pi, D, B = np.exp(logs), len(start), ways.phi.shape[1]
    flat = logs.reshape(D, -1, logs.shape[-1] * logs.shape[-2])
    if reused == "reused" and k:
        credit = drawn.credit + (1j * np.einsum("nij,dnj->dni", drawn.bend, flat.imag) if drawn.bend.size else 0)
        return -drawn.scale * pulled(credit + np.zeros((D, 1, 1)), pi), ways
    if B * len(drawn.weight) > MOST * (5 if K > problem.steps else 1):
        raise ValueError("too many ways to adapt")
    credit = drawn.credit + (1j * np.einsum("nij,dbj->dbni", drawn.bend, flat.imag) if drawn.bend.size else np.zeros((1, 1, 1, 1)))
    credit = np.broadcast_to(credit, (D, B, *drawn.credit.shape))
    if reused == "pooled":
        before = ways.credit.reshape(D, B, 1, -1) if k else 0.0
        ways = ways._replace(credit=(before + credit).reshape(D, B * len(drawn.weight), -1))
        credit = ways.credit.reshape(credit.shape) / (k + 1)
    policy = log_policy(start if kind == "theta" else ways.phi, A).reshape(D, -1, drawn.visits.shape[-1])
    g = -drawn.scale * pulled(credit, pi[:, :, None])
    return g.reshape(D, B * len(drawn.weight), -1), _drawn(problem, point, k, K, ways, drawn, policy @ drawn.visits.T)


def _drawn(problem: Expectations, point: Point, k: int, K: int, ways: Ways, drawn: Draws, logs: Array) -> Ways:
    """The ways with one batch more: their chances, and their scores as they are counted."""
    M, H = problem.episodes, problem.tasks[0].mdp.horizon or 1
    kind = point.get("score term", "")
    c = {
        "dropped": 0.0, "alpha": problem.alpha, "over M": 1 / M, "over M H": 1 / (M * H), "over H": 1 / H, "first": float(k == 0), "last": float(k == K - 1),
        "negative": -1.0, "twice": 2.0, "over K": 1 / K, "but the first": float(k > 0),
    }.get(kind, 1.0) if not isinstance(kind, tuple) else kind[1]  # fmt: skip
    with np.errstate(divide="ignore"):
        weight = np.log(drawn.weight)
    value = point.get("value of the score term", "")
    of = -drawn.returns / M if value == "batch" else -drawn.returns if value == "batch sum" else None
    D, B, n = *ways.phi.shape[:2], len(weight)
    chance = ways.chance[..., None] + weight + logs.real + (1j * c * logs.imag if of is None else 0.0)
    scores = np.broadcast_to(ways.scores[..., None] + (0.0 if of is None else c * of * logs.imag), (D, B, n))
    return ways._replace(chance=chance.reshape(D, B * n), scores=scores.reshape(D, B * n))
