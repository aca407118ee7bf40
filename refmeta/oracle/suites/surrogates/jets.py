"""log π of every step as implementations read it, with its slopes and their change along v.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.policies.softmax import LinearSoftmax, TabularSoftmax
from refmeta.sampling.likelihood import likelihood_at
from refmeta.sampling.trajectories import Trajectories

__all__ = ["Jets", "jets", "mask_of", "orders"]

H = 1e-30
ORDER, LOG_PI, MASK, DENOMINATORS, PLACE = "order of theta", "log pi", "mask", "denominators", "evaluated at"
MASKS: dict[str, Callable[[Array], Array]] = {
    "kept": lambda m: m,
    "rewards": lambda m: m,
    "ignored": np.ones_like,
    "early": lambda m: np.concatenate([m[..., 1:], 0 * m[..., :1]], axis=-1),
    "late": lambda m: np.concatenate([0 * m[..., :1] + 1, m[..., :-1]], axis=-1),
}
DEVIATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "log variance": (lambda p: p / 2, lambda p: 0 * p + 0.5),
    "softplus": (lambda p: np.log(np.log1p(np.exp(p))), lambda p: 1 / ((1 + np.exp(-p)) * np.log1p(np.exp(p)))),
}  # log σ as a function of what stands for it in θ, and the slope of this function


class Jets(NamedTuple):
    """x (N, M, H), its slopes in θ (N, M, H, d), its slope along v (N, M, H), and the change of the slopes along v."""

    x: Array
    slopes: Array
    along: Array
    bend: Array


def mask_of(problem: Batches, choice: str) -> Array:
    """The mask that is used, (N, M, H)."""
    return np.asarray(MASKS[choice](np.asarray(problem.trajectories.mask, float))) > 0


def jets(problem: Batches, point: Point) -> Jets:
    """x_t of a surrogate as a point of the product reads it."""
    reading = tuple(point.get(name, "") for name in (ORDER, LOG_PI))
    start = "theta_sampled" if point.get(PLACE) == "theta_sampled" else "theta"
    return _jets(problem, point.get(MASK, "kept"), start, reading, point.get(DENOMINATORS, "held"))


@lru_cache(maxsize=4096)
def _jets(problem: Batches, mask: str, start: str, reading: tuple[str, str], denominators: str) -> Jets:
    """x_t = ln π − ln π_sampled, or what stands instead of it."""
    logs, slopes = _log_prob(problem, mask, start, reading)
    one = -1.0 if denominators == "upside down" else 1.0
    x, J = logs.real, slopes.real
    if denominators == "follow":
        x = 0 * x
    elif denominators != "left out":
        x = x - _log_prob(problem, mask, "theta_sampled", reading)[0].real
    return Jets(one * x, one * J, one * (J @ problem.v), one * slopes.imag / H)


@lru_cache(maxsize=4096)
def _log_prob(problem: Batches, mask: str, start: str, reading: tuple[str, str]) -> tuple[Array, Array]:
    """ln π (N, M, H) and its slopes (N, M, H, d) at θ + ihv: the imaginary parts are their changes along v."""
    order, kind = reading
    place = orders(problem).get(order, np.arange(len(problem.theta)))
    theta = (getattr(problem, start) + 1j * H * problem.v)[place]
    policy, batch, theta, factor = _read(problem, kind, theta, mask_of(problem, mask))
    like = likelihood_at(policy, theta, batch)
    logs, slopes = like.log_prob, np.stack([like.along(e) for e in np.eye(policy.dim)], axis=-1) * factor
    logs, slopes = _rewritten(kind, problem.policy, logs, slopes, theta, batch.mask)
    back = np.empty_like(slopes)
    back[..., place] = slopes
    return logs, back


def _read(problem: Batches, kind: str, theta: Array, mask: Array) -> tuple[Any, Trajectories, Array, Array]:
    """The policy, its batch and parameters, and the slopes of these parameters in those that are given."""
    policy, factor = problem.policy, np.ones(len(theta), complex)
    s, a, _, _ = problem.trajectories
    if isinstance(policy, LinearGaussian):
        if kind in DEVIATIONS:
            value, slope = DEVIATIONS[kind]
            m = policy.actions
            theta, factor = np.append(theta[:-m], value(theta[-m:])), np.append(factor[:-m], slope(theta[-m:]))
        double = np.sqrt(2) if kind == "whole square" else 1.0
        return policy, Trajectories(double * s, double * a, 0.0 * mask, mask), theta, factor
    if kind == "over states":
        policy, s, a = _turned(policy), a, s
        if isinstance(policy, TabularSoftmax):
            turn = np.arange(policy.dim).reshape(problem.policy.states, -1).T.ravel()
            return policy, Trajectories(s, a, 0.0 * mask, mask), theta[turn], factor
    return policy, Trajectories(s, a, 0.0 * mask, mask), theta, factor


def _turned(policy: Any) -> Any:
    """The softmax policy whose states are actions, and whose actions are states."""
    if isinstance(policy, LinearSoftmax):
        return LinearSoftmax(policy.features.swapaxes(-3, -2))
    return TabularSoftmax(policy.actions, policy.states)


def _rewritten(kind: str, policy: Any, logs: Array, slopes: Array, theta: Array, mask: Array) -> tuple[Array, Array]:
    """What is used instead of ln π, and its slopes."""
    gaussian = isinstance(policy, LinearGaussian)
    if kind == "probability":
        value = np.exp(logs) * mask
        return value, value[..., None] * slopes
    if kind == "over states" and isinstance(policy, TabularSoftmax):
        turn = np.arange(policy.dim).reshape(policy.states, -1).T.ravel()
        return logs, slopes[..., np.argsort(turn)]
    if kind == "mean" and gaussian:
        return logs / policy.actions, slopes / policy.actions
    if kind == "no log sigma" and gaussian:
        tail = np.append(np.zeros(policy.dim - policy.actions), np.ones(policy.actions))
        return logs + np.sum(policy.log_deviation(theta)) * mask, slopes + tail * mask[..., None]
    return logs, slopes


def orders(problem: Batches) -> dict[str, Array]:
    """Other orders of θ, by name: where each entry of ours stands in them."""
    policy = problem.policy
    if isinstance(policy, TabularSoftmax):
        return {"(A, S)": np.arange(policy.dim).reshape(policy.actions, policy.states).T.ravel()}
    if isinstance(policy, LinearGaussian):
        n, m = policy.states, policy.actions
        gains = np.arange(n * m).reshape(n, m).T.ravel()
        logs = np.arange(n * m, policy.dim)
        return {"(A, S)": np.append(gains, logs), "sigma first": np.append(m + np.arange(n * m), np.arange(m))}
    return {}
