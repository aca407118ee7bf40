"""Known-wrong exact policy gradients.  Right: ∂J/∂logit[s, a] = d(s) π(a|s) (Q(s, a) − V(s)), and its derivative.

A case has theta (d,), task (a `PolicyReturn`; with a horizon, d and A have an axis of time that is summed) and v (d,);
rows give ∇J or ∇²J v, (N, d).
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.judges import complex_step
from refmeta.oracle.wrong.row import rows, wrong
from refmeta.softmax import centred
from refmeta.tasks import fisher
from refmeta.tasks.exact_return import PolicyReturn


def _weighted(case: Any, point: Any, d: Array, weight: Array) -> Array:
    """Σ_s d(s) π(a|s) weight(s, a), through the features, and summed over time where there is one."""
    timed = case.task.mdp.horizon is not None
    pi = point.probabilities[..., None, :, :] if timed else point.probabilities
    terms = d[..., None] * pi * weight
    return case.task.policy.pullback(np.sum(terms, axis=-3) if timed else terms)


def _gradient(case: Any, d: Array | None = None, weight: Array | None = None) -> Array:
    """The gradient with something in the place of the visits d or of the advantage."""
    point = case.task.at(case.theta)
    return _weighted(case, point, point.occupancy if d is None else d, point.advantage if weight is None else weight)


def _kernel(case: Any) -> Array:
    """P_π."""
    return case.task.mdp.transitions(case.task.at(case.theta).probabilities)


def _long_run(P: Array) -> Array:
    """lim mean of Pᵗ: the projection onto the null space of I − P along its range."""
    left, values, right = np.linalg.svd(np.eye(len(P)) - P)
    null = values <= len(P) * np.finfo(float).eps * max(1.0, values[0])
    L, R = left[:, null], right[null].T
    return R @ np.linalg.solve(L.T @ R, L.T)


@wrong("no-baseline-in-logits", "d π Q", cause="the gradient of log π forgot the softmax's normaliser")
def no_baseline_in_logits(case: Any) -> Array:
    return _gradient(case, weight=case.task.at(case.theta).action_value)


@wrong("normalised-occupancy", "(1 − γ) ∇J", cause="the visitation is normalised to a distribution")
def normalised_occupancy(case: Any) -> Array:
    d = case.task.at(case.theta).occupancy
    mass = np.sum(d[0], axis=None)
    return _gradient(case, d / mass)


@wrong(
    "undiscounted-visits", "visits without γᵗ: their long-run share, over 1 − γ", cause="γᵗ dropped in the outer sum"
)
def undiscounted_visits(case: Any) -> Array:
    mdp = case.task.mdp
    if mdp.horizon is not None:
        undiscounted = PolicyReturn(replace_fields(mdp, gamma=1.0), case.task.policy)
        return _gradient(case, undiscounted.at(case.theta).occupancy)
    P = _kernel(case)
    rho = np.broadcast_to(mdp.rho, P.shape[:-1])
    return _gradient(case, np.stack([_long_run(P[i]).T @ rho[i] for i in range(len(P))]) / (1 - mdp.gamma))


@wrong("stationary-visits-frozen", "the Hessian without dd", quantity="hvp", cause="the visitation held constant")
def stationary_visits_frozen(case: Any) -> Array:
    d = case.task.at(case.theta).occupancy

    def frozen(theta: Array) -> Array:
        point = case.task.at(theta)
        return _weighted(case, point, d, point.advantage)

    return complex_step(frozen, case.theta, case.v)


@wrong("transposed-transition", "d = (I − γP_π)⁻¹ρ", cause="P_π in the place of its transpose")
def transposed_transition(case: Any) -> Array:
    mdp, kernel = case.task.mdp, case.task.mdp.gamma * _kernel(case)
    visits = [np.broadcast_to(mdp.rho, kernel.shape[:-1])]
    if mdp.horizon is None:
        return _gradient(case, np.linalg.solve(np.eye(mdp.states) - kernel, visits[0][..., None])[..., 0])
    for _ in range(mdp.horizon - 1):
        visits.append(np.einsum("...st,...t->...s", kernel, visits[-1]))
    return _gradient(case, np.stack(visits, axis=-2))


@wrong("discounted-reward-as-return", "Σ_t ∇log π γᵗr_t: d π (R − r_π)", cause="γᵗr_t used for the return G_t",
       seen="hunkim/ReinforcementZeroToAll #1")  # fmt: skip
def discounted_reward_as_return(case: Any) -> Array:
    reward = centred(case.task.at(case.theta).probabilities, case.task.mdp.expected_reward)
    return _gradient(case, weight=reward if case.task.mdp.horizon is None else reward[..., None, :, :])


@wrong(
    "fisher-normalised", "(1 − γ) F v", quantity="fisher", cause="a mean over visited states in the place of the sum"
)
def fisher_normalised(case: Any) -> Array:
    point = case.task.at(case.theta)
    return fisher.product(point, case.v) / np.sum(fisher.visits(point), axis=-1, keepdims=True)


@wrong("kl-swapped", "Σ d KL(π_new ‖ π_old)", quantity="kl", cause="the two policies exchanged")
def kl_swapped(case: Any) -> Array:
    old, new = case.task.at(case.theta), case.task.at(case.theta + case.v)
    logs = np.log(new.probabilities) - np.log(old.probabilities)
    return np.einsum("ns,nsa,nsa->n", fisher.visits(old), new.probabilities, logs)


@wrong("kl-new-visits", "Σ d_new KL(π_old ‖ π_new)", quantity="kl", cause="the visits are not held at the old policy")
def kl_new_visits(case: Any) -> Array:
    old, new = case.task.at(case.theta), case.task.at(case.theta + case.v)
    logs = np.log(old.probabilities) - np.log(new.probabilities)
    return np.einsum("ns,nsa,nsa->n", fisher.visits(new), old.probabilities, logs)


@wrong(
    "natural-gradient-undivided", "d (A − mean A)", quantity="natural_gradient", cause="the visits are not divided out"
)
def natural_gradient_undivided(case: Any) -> Array:
    point = case.task.at(case.theta)
    timed = case.task.mdp.horizon is not None
    weighted = point.occupancy[..., None] * point.advantage
    weighted = np.sum(weighted, axis=-3) if timed else weighted
    return case.task.policy.pullback(weighted - np.mean(weighted, axis=-1, keepdims=True))


@wrong("natural-gradient-uncentred", "A", quantity="natural_gradient",
       cause="a natural gradient, but not the one of least norm: a shift in every state is free")  # fmt: skip
def natural_gradient_uncentred(case: Any) -> Array:
    point = case.task.at(case.theta)
    timed, d = case.task.mdp.horizon is not None, fisher.visits(point)[..., None]
    weighted = point.occupancy[..., None] * point.advantage
    weighted = np.sum(weighted, axis=-3) if timed else weighted
    return case.task.policy.pullback(np.where(d > 0, weighted / np.where(d > 0, d, 1), 0))


ROWS = rows(globals())
