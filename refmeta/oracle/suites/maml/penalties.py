"""What is added to the outer loss, a function of θ and φ.  Derivation: derivations/maml.md"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.softmax import log_softmax, softmax

__all__ = ["PENALTIES", "PENALTIES_OF_POLICIES", "Added", "times"]


class Added(NamedTuple):
    """A term for every task, and its derivatives by θ and by φ."""

    loss: Array
    by_theta: Array
    by_phi: Array


Penalty = Callable[[Any, Array, Array], Added]  # the problem, θ and φ (N, d)


def times(penalty: Penalty) -> Callable[[float], Penalty]:
    """c times a term."""
    return lambda c: lambda problem, theta, phi: Added(*(c * x for x in penalty(problem, theta, phi)))


def _square(x: Array) -> Array:
    """‖x‖²/2 of every row."""
    return np.sum(x**2, axis=-1) / 2


def _distance(held: bool) -> Penalty:
    """‖φ − θ‖²/2, θ held constant or not."""
    return lambda problem, theta, phi: Added(_square(phi - theta), (theta - phi) * (not held), phi - theta)


def _of_loss(side: str, at_phi: bool) -> Penalty:
    """The loss of a side at φ or at θ."""

    def added(problem: Any, theta: Array, phi: Array) -> Added:
        point = getattr(problem, side).at(phi if at_phi else theta)
        return Added(point.loss, point.grad * (not at_phi), point.grad * at_phi)

    return added


def _divergence(side: str, forward: bool, held: bool) -> Penalty:
    """The mean over states of KL(π_θ ‖ π_φ), or of KL(π_φ ‖ π_θ), with π_θ held constant or not."""

    def added(problem: Any, theta: Array, phi: Array) -> Added:
        policy = getattr(problem, side).policy
        z, y = (policy.table(x) for x in ((theta, phi) if forward else (phi, theta)))
        p, log_p, log_q = softmax(z), log_softmax(z), log_softmax(y)
        each = np.sum(p * (log_p - log_q), axis=-1, keepdims=True)
        S = p.shape[-2]
        by_p = policy.pullback(p * (log_p - log_q - each)) / S
        by_q = policy.pullback(np.exp(log_q) - p) / S
        by_theta, by_phi = (by_p, by_q) if forward else (by_q, by_p)
        return Added(np.mean(each[..., 0], axis=-1), by_theta * (not held), by_phi)

    return added


def _entropy(problem: Any, theta: Array, phi: Array) -> Added:
    """Minus the mean entropy of π_φ over the states."""
    policy = problem.query.policy
    z = policy.table(phi)
    p, log_p = softmax(z), log_softmax(z)
    mean = np.sum(p * log_p, axis=-1, keepdims=True)
    return Added(np.mean(mean[..., 0], axis=-1), 0 * phi, policy.pullback(p * (log_p - mean)) / p.shape[-2])


PENALTIES: dict[str, Penalty] = {
    "{} |phi - theta|^2/2": _distance(False),
    "{} |phi - theta|^2/2, theta held constant": _distance(True),
    "{} |phi|^2/2": lambda problem, theta, phi: Added(_square(phi), 0 * theta, phi),
    "{} |theta|^2/2": lambda problem, theta, phi: Added(_square(theta), theta, 0 * phi),
    "{} times the sum of |phi|": lambda problem, theta, phi: Added(np.sum(np.abs(phi), axis=-1), 0 * theta, np.sign(phi)),
    "{} times the support's loss at phi": _of_loss("support", True),
    "{} times the support's loss at theta": _of_loss("support", False),
    "{} times the query's loss at theta": _of_loss("query", False),
}
PENALTIES_OF_POLICIES: dict[str, Penalty] = {
    "{} times KL of theta's policy from phi's": _divergence("query", True, False),
    "{} times KL of theta's policy, held constant, from phi's": _divergence("query", True, True),
    "{} times KL of phi's policy from theta's": _divergence("query", False, False),
    "{} times KL of phi's policy from theta's, which is held constant": _divergence("query", False, True),
    "-{} times the mean entropy of phi's policy": _entropy,
}
