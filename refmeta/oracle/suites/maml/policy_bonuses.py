"""Returns with a bonus for entropy, and of other policies.  Derivation: derivations/exact-policy-gradient.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.maml.changed import holomorphic, weighted
from refmeta.oracle.suites.maml.losses import Change, Side
from refmeta.oracle.suites.maml.policy_directions import AnyProcess, flow
from refmeta.softmax import log_softmax, softmax

__all__ = ["WEIGHTS_OF_STATES", "entropy", "explored", "soft", "value"]


def value(p: Array, Q: Array) -> Array:
    """V."""
    return np.sum(p * Q, axis=-1, keepdims=True)


def entropy(weigh: Callable[[Any, Array], Array]) -> Callable[[float], Change]:
    """The loss minus c Σ_s w_s H(π(·|s)), the weights held constant."""

    def make(c: float) -> Change:
        def of(task: Any, side: Side) -> Any:
            policy, mdp = side.own.policy, side.own.mdp

            def both(theta: Array) -> tuple[Array, Array]:
                z = policy.table(theta)
                pi, log_pi = softmax(z), log_softmax(z)
                w = weigh(mdp, pi.real)[..., None]
                mean = np.sum(pi * log_pi, axis=-1, keepdims=True)
                return np.sum((w * mean)[..., 0], axis=-1), policy.pullback(w * pi * (log_pi - mean))

            return weighted((1.0, task), (c, holomorphic(both)))

        return Change(of, stage=3)

    return make


def soft(c: float) -> Change:
    """The return of R − c log π."""

    def of(task: Any, side: Side) -> Any:
        return task if c == 0 else holomorphic(lambda theta: _soft_return(side.own, theta, c))

    return Change(of, stage=1)


def _soft_return(task: Any, theta: Array, c: float) -> tuple[Array, Array]:
    """−J and its gradient, with the reward R − c log π of every action taken."""
    mdp, policy = task.mdp, task.policy
    z = policy.table(theta)
    pi = softmax(z)
    bonus = -c * log_softmax(z)
    soft = AnyProcess(mdp.P, mdp.expected_reward + bonus, mdp.rho, mdp.gamma, mdp.horizon, mdp.states)
    f = flow(soft, pi, mdp.horizon)
    V = value(pi[..., None, :, :], f.values)
    J = np.sum(mdp.rho * V[..., 0, :, 0], axis=-1)
    return -J, -policy.pullback(np.sum(f.visits[..., None] * pi[..., None, :, :] * (f.values - V), axis=-3))


def explored(c: float) -> Change:
    """The return of (1 − c) π + c/A."""

    def of(task: Any, side: Side) -> Any:
        def both(theta: Array) -> tuple[Array, Array]:
            mdp, policy = side.own.mdp, side.own.policy
            soft = softmax(policy.table(theta))
            pi = (1 - c) * soft + c / soft.shape[-1]
            f = flow(mdp, pi, mdp.horizon)
            J = np.sum(mdp.rho * np.sum(pi * f.values[..., 0, :, :], axis=-1), axis=-1)
            mean = np.sum(soft[..., None, :, :] * f.values, axis=-1, keepdims=True)
            by_logit = np.sum((1 - c) * f.visits[..., None] * soft[..., None, :, :] * (f.values - mean), axis=-3)
            return -J, -policy.pullback(by_logit)

        return holomorphic(both)

    return Change(of, stage=1)


WEIGHTS_OF_STATES: dict[str, Callable[[Any, Array], Array]] = {
    "mean over the states": lambda mdp, pi: np.full(pi.shape[:-1], 1 / mdp.states),
    "sum over the states": lambda mdp, pi: np.ones(pi.shape[:-1]),
    "by the visits, which are held constant": lambda mdp, pi: np.sum(flow(mdp, pi, mdp.horizon).visits, axis=-2),
    "at the start": lambda mdp, pi: mdp.rho + 0 * pi[..., 0],
}
