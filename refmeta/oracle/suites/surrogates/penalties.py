"""Terms that losses are given besides: entropies, divergences, functions of the ratios.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.surrogates.jets import H, jets
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.oracle.suites.surrogates.sums import Link, ratios, sums
from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.policies.softmax import LinearSoftmax
from refmeta.softmax import log_softmax

__all__ = ["OF_POLICIES", "OF_RATIOS", "WEIGHTS", "divergence_slopes", "penalty", "term"]

OF_RATIOS: dict[str, Link] = {
    "log ratios": lambda w, y: (w * y, w + 0 * y, 0 * w * y), "ratios": lambda w, y: (w * np.exp(y),) * 3,
    "inverse ratios": lambda w, y: (w * np.exp(-y), -w * np.exp(-y), w * np.exp(-y)), "half the squared log ratios": lambda w, y: (w * y**2 / 2, w * y, w + 0 * y),
    "ratio − 1 − log ratio": lambda w, y: (w * (np.expm1(y) - y), w * np.expm1(y), w * np.exp(y)),
    "(ratio − 1)²": lambda w, y: (w * np.expm1(y) ** 2, 2 * w * np.exp(y) * np.expm1(y), 2 * w * np.exp(y) * (2 * np.exp(y) - 1)),
}  # fmt: skip
OF_POLICIES = (
    "entropy", "divergence of the policy at theta_sampled from that at theta", "divergence of the policy at theta from that at theta_sampled",
    "entropy, a Gaussian's without its constant",
)  # fmt: skip
WEIGHTS: dict[str, Callable[[Array, float], Array]] = {
    "sum over all steps": lambda m, gamma: m, "sum over time": lambda m, gamma: m / m.shape[1],
    "discounted sum over time": lambda m, gamma: gamma ** np.arange(m.shape[-1]) * m / m.shape[1],
    "mean over the steps taken": lambda m, gamma: m / np.sum(m, axis=(1, 2), keepdims=True),
    "mean over M H": lambda m, gamma: m / (m.shape[1] * m.shape[2]),
}  # fmt: skip


def penalty(kind: str, problem: Batches, how: tuple[str, str, float]) -> Array:
    """A number times a term, or its gradient or Hessian product."""
    name, over, number = how
    return number * term(kind, problem, name, over)


@lru_cache(maxsize=1024)
def term(kind: str, problem: Batches, name: str, over: str) -> Array:
    """A sum over the steps of a task's batch, or its gradient or Hessian product."""
    w = WEIGHTS[over](1.0 * np.asarray(problem.trajectories.mask, bool), at_most_one(problem.gamma))
    if name in OF_POLICIES:
        values, slopes = _of_policy(problem, name)
        each = values.real if kind == "loss" else slopes.real if kind == "grad" else slopes.imag / H
        return np.asarray(np.einsum("nmh,nmh...->n...", w, each))
    j = jets(problem, {})
    value, slope, bent = sums([(w, ratios("alone", *w.shape[-2:]), OF_RATIOS[name])], j.x, j.along)
    if kind == "loss":
        return value
    grad = np.einsum("nmh,nmhd->nd", slope, j.slopes)
    return np.asarray(grad if kind == "grad" else np.einsum("nmh,nmhd->nd", bent, j.slopes) + np.einsum("nmh,nmhd->nd", slope, j.bend))


def divergence_slopes(problem: Batches, which: int) -> Array:
    """The slopes of a divergence of OF_POLICIES in the state of each step, the reference instead of the policy at θ_sampled."""
    return _of_policy(replace_fields(problem, theta_sampled=problem.theta_ref), OF_POLICIES[which])[1].real


@lru_cache(maxsize=256)
def _of_policy(problem: Batches, name: str) -> tuple[Array, Array]:
    """An entropy or a divergence in the state of each step, and its slopes, at θ + ihv."""
    theta, old, s = problem.theta + 1j * H * problem.v, problem.theta_sampled, np.asarray(problem.trajectories.states)
    if isinstance(problem.policy, LinearGaussian):
        return _of_gauss(problem.policy, name, theta, old, s)
    policy = problem.policy
    S, A = policy.states, policy.actions
    F = np.asarray(policy.features) if isinstance(policy, LinearSoftmax) else np.eye(S * A).reshape(S, A, -1)
    logs, before = log_softmax(F @ theta), log_softmax(F @ old)
    pi, was = np.exp(logs), np.exp(before)
    if name == OF_POLICIES[1]:
        values, slopes = np.sum(was * (before - logs), axis=-1), pi - was
    else:
        one, far = (1, logs - before) if name == OF_POLICIES[2] else (-1, logs)
        mean = np.sum(pi * far, axis=-1)
        values, slopes = one * mean, one * pi * (far - mean[:, None])
    return values[s % S], np.einsum("sa,sad->sd", slopes, F)[s % S]


def _of_gauss(policy: Any, name: str, theta: Array, old: Array, s: Array) -> tuple[Array, Array]:
    """The same of a linear-Gaussian policy."""
    n, m = policy.states, policy.actions
    log, was = theta[-m:], old[-m:]
    off = s @ (old - theta)[:-m].reshape(m, n).T
    if name in (OF_POLICIES[0], OF_POLICIES[3]):
        constant = np.log(2 * np.pi * np.e) / 2 if name == OF_POLICIES[0] else 0.0
        each, gain, scale = log + constant + 0 * off, 0 * off, 1.0 + 0 * off
    elif name == OF_POLICIES[1]:
        far = (np.exp(2 * was) + off**2) * np.exp(-2 * log)
        each, gain, scale = log - was + far / 2 - 0.5, -off * np.exp(-2 * log), 1 - far
    else:
        far = np.exp(2 * (log - was))
        each, gain, scale = was - log + (far + off**2 * np.exp(-2 * was)) / 2 - 0.5, -off * np.exp(-2 * was), far - 1 + 0 * off
    slopes = gain[..., :, None] * s[..., None, :]
    return np.sum(each, axis=-1), np.concatenate([slopes.reshape(*slopes.shape[:-2], -1), scale], axis=-1)
