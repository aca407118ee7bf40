"""Known-wrong exact policy gradients.  Right: ∂J/∂logit[s, a] = d(s) π(a|s) (Q(s, a) − V(s)), and its derivative.

A case has theta (d,), task (a `PolicyReturn`, infinite horizon) and v (d,); rows give ∇J or ∇²J v, (N, d).
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array, dot
from refmeta.oracle.wrong.row import rows, wrong
from refmeta.softmax import centred, softmax_jvp


def _gradient(case: Any, d: Array, weight: Array) -> Array:
    """Σ_s d(s) π(a|s) weight(s, a), through the features."""
    return case.task.policy.pullback(d[..., None] * case.task.at(case.theta).probabilities * weight)


def _kernel(case: Any) -> Array:
    """P_π."""
    return case.task.mdp.transitions(case.task.at(case.theta).probabilities)


def _visits(case: Any, matrix: Array) -> Array:
    """(I − matrix)⁻¹ρ."""
    rho = np.broadcast_to(case.task.mdp.rho, matrix.shape[:-1])
    return np.linalg.solve(np.eye(matrix.shape[-1]) - matrix, rho[..., None])[..., 0]


def _long_run(P: Array) -> Array:
    """lim mean of Pᵗ: the projection onto the null space of I − P along its range."""
    left, values, right = np.linalg.svd(np.eye(len(P)) - P)
    null = values <= len(P) * np.finfo(float).eps * max(1.0, values[0])
    L, R = left[:, null], right[null].T
    return R @ np.linalg.solve(L.T @ R, L.T)


@wrong("no-baseline-in-logits", "d π Q", cause="the gradient of log π forgot the softmax's normaliser")
def no_baseline_in_logits(case: Any) -> Array:
    point = case.task.at(case.theta)
    return _gradient(case, point.occupancy, point.action_value)


@wrong("normalised-occupancy", "(1 − γ) ∇J", cause="the visitation is normalised to a distribution")
def normalised_occupancy(case: Any) -> Array:
    point = case.task.at(case.theta)
    return _gradient(case, (1 - case.task.mdp.gamma) * point.occupancy, point.advantage)


@wrong(
    "undiscounted-visits", "visits without γᵗ: their long-run share, over 1 − γ", cause="γᵗ dropped in the outer sum"
)
def undiscounted_visits(case: Any) -> Array:
    P = _kernel(case)
    rho = np.broadcast_to(case.task.mdp.rho, P.shape[:-1])
    share = np.stack([_long_run(P[i]).T @ rho[i] for i in range(len(P))])
    return _gradient(case, share / (1 - case.task.mdp.gamma), case.task.at(case.theta).advantage)


@wrong("stationary-visits-frozen", "the Hessian without dd", quantity="hvp", cause="the visitation held constant")
def stationary_visits_frozen(case: Any) -> Array:
    point, mdp = case.task.at(case.theta), case.task.mdp
    pi, A, d = point.probabilities, point.advantage, point.occupancy[..., None]
    dpi = softmax_jvp(pi, case.task.policy.table(case.v))
    M = np.eye(mdp.states) - mdp.gamma * _kernel(case)
    dV = np.linalg.solve(M, dot(dpi, A)[..., None])[..., 0]
    dA = centred(pi, mdp.gamma * mdp.expect(dV)) - dot(dpi, A)[..., None]
    return case.task.policy.pullback(d * dpi * A + d * pi * dA)


@wrong("transposed-transition", "d = (I − γP_π)⁻¹ρ", cause="P_π in the place of its transpose")
def transposed_transition(case: Any) -> Array:
    return _gradient(case, _visits(case, case.task.mdp.gamma * _kernel(case)), case.task.at(case.theta).advantage)


@wrong("discounted-reward-as-return", "Σ_t ∇log π γᵗr_t: d π (R − r_π)", cause="γᵗr_t used for the return G_t",
       seen="hunkim/ReinforcementZeroToAll #1")  # fmt: skip
def discounted_reward_as_return(case: Any) -> Array:
    point = case.task.at(case.theta)
    return _gradient(case, point.occupancy, centred(point.probabilities, case.task.mdp.expected_reward))


ROWS = rows(globals())
