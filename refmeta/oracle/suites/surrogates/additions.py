"""Terms that may be added to a surrogate by mistake.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.surrogates.jets import H, jets
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.softmax import log_softmax

__all__ = ["additions"]


def additions(part: str, problem: Batches) -> dict[str, Callable[[], Array]]:
    """Weight decay, the policy's mean entropy, the sum of the scores; of a Hessian product also damping and Fisher's matrix."""
    kind, theta, v = part.rpartition("_")[2], problem.theta, problem.v
    j = jets(problem, {})
    rows: Callable[[Any], Array] = lambda x: np.zeros((len(j.x), *np.shape(x))) + x
    if kind == "loss":
        return {"theta squared": lambda: rows(theta @ theta), "the entropy": lambda: _entropy(problem, theta)}
    change = (lambda z: z.imag / H) if kind == "hvp" else np.real
    at = theta + 1j * H * v
    terms = {"the entropy's gradient": lambda: change(_entropy_gradient(problem, at))}
    if kind == "grad":
        return terms | {"theta": lambda: rows(theta), "the scores": lambda: np.einsum("nmhd->nd", j.slopes)}
    fisher = lambda: np.einsum("nmh,nmhd->nd", j.along, j.slopes)
    return terms | {"v": lambda: rows(v), "Fisher's matrix times v": fisher, "the scores' change": lambda: np.einsum("nmhd->nd", j.bend)}


def _entropy(problem: Batches, theta: Array) -> Array:
    """Σ_t of the policy's entropy in the states of a task's batch, (N,)."""
    mask, policy = problem.trajectories.mask, problem.policy
    if isinstance(policy, LinearGaussian):
        return np.sum(mask, axis=(1, 2)) * np.sum(policy.log_deviation(theta) + np.log(2 * np.pi * np.e) / 2)
    logs = log_softmax(policy.table(theta))
    each = -np.sum(np.exp(logs) * logs, axis=-1)
    return np.sum(each[np.where(mask, problem.trajectories.states, 0)] * mask, axis=(1, 2))


def _entropy_gradient(problem: Batches, theta: Array) -> Array:
    """Its gradient, −π ⊙ (log π + entropy) in the logits, (N, d)."""
    mask, policy = problem.trajectories.mask, problem.policy
    if isinstance(policy, LinearGaussian):
        tail = np.append(np.zeros(policy.dim - policy.actions), np.ones(policy.actions))
        return np.sum(mask, axis=(1, 2))[:, None] * tail + 0 * theta
    logs = log_softmax(policy.table(theta))
    each = -np.exp(logs) * (logs - np.sum(np.exp(logs) * logs, axis=-1, keepdims=True))
    visits = [np.bincount(s[m > 0], minlength=policy.states) for s, m in zip(problem.trajectories.states, mask, strict=True)]
    return policy.pullback(np.array(visits)[..., None] * each)
