"""Known-wrong exact policy gradients.  Right: ∂J/∂logit[s, a] = d(s) π(a|s) (Q(s, a) − V(s)), and its derivative.

A problem has theta (d,), task (a `PolicyReturn`; with a horizon, d and A have an axis of time that is summed) and v (d,).
The formulas are those of J; the rows of `grad` and `hvp` give −∇J and −∇²J v, (N, d), those of the loss.
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.judges import complex_step
from refmeta.oracle import clamps
from refmeta.oracle.clamps import ClampedSoftmax
from refmeta.oracle.known import rows_in, wrong
from refmeta.oracle.suites.policy_gradient.wrong_values import ROWS as OF_VALUES
from refmeta.softmax import centred
from refmeta.tasks import fisher
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["FALSE_ALARMS", "ROWS"]

GEOMETRY = "policy-geometry"
FALSE_ALARMS = {
    "kl-always-zero": "in TRPO the KL and its gradient vanish at the old policy, and must; its Hessian product is the Fisher "
    "product: derivations/policy-geometry.md",
}


def _sum_over_time(problem: Any, x: Array) -> Array:
    """x, summed over time where there is one."""
    return x if problem.task.mdp.horizon is None else np.sum(x, axis=-3)


def _gradient(problem: Any, point: Any, d: Array | None = None, weight: Array | None = None) -> Array:
    """−Σ_s d(s) π(a|s) weight(s, a), with something else instead of the visits d or of the advantage."""
    d, weight = point.occupancy if d is None else d, point.advantage if weight is None else weight
    pi = point.probabilities if problem.task.mdp.horizon is None else point.probabilities[..., None, :, :]
    return -problem.task.policy.pullback(_sum_over_time(problem, d[..., None] * pi * weight))


def _kernel(problem: Any) -> Array:
    """P_π."""
    return problem.task.mdp.transitions(problem.task.at(problem.theta).probabilities)


def _long_run(P: Array) -> Array:
    """lim mean of Pᵗ: the projection onto the null space of I − P along its range."""
    left, values, right = np.linalg.svd(np.eye(len(P)) - P)
    null = values <= len(P) * np.finfo(float).eps * max(1.0, values[0])
    L, R = left[:, null], right[null].T
    return R @ np.linalg.solve(L.T @ R, L.T)


def _kl(d: Array, one: Any, other: Any) -> Array:
    """Σ_s d(s) KL(π_one ‖ π_other)."""
    logs = np.log(one.probabilities) - np.log(other.probabilities)
    return np.einsum("ns,nsa,nsa->n", d, one.probabilities, logs)


@wrong("no-baseline-in-logits", "d π Q", quantity="grad", cause="the gradient of log π forgot the softmax's normaliser")
def no_baseline_in_logits(problem: Any) -> Array:
    point = problem.task.at(problem.theta)
    return _gradient(problem, point, weight=point.action_value)


@wrong("normalised-occupancy", "(1 − γ) ∇J", quantity="grad", cause="the visitation is normalised to a distribution")
def normalised_occupancy(problem: Any) -> Array:
    point = problem.task.at(problem.theta)
    return _gradient(problem, point, point.occupancy / np.sum(point.occupancy[0]))


@wrong("undiscounted-visits", "visits without γᵗ: their long-run share, over 1 − γ", quantity="grad",
       cause="γᵗ dropped in the outer sum", kind="convention")  # fmt: skip
def undiscounted_visits(problem: Any) -> Array:
    mdp, point = problem.task.mdp, problem.task.at(problem.theta)
    if mdp.horizon is not None:
        undiscounted = PolicyReturn(replace_fields(mdp, gamma=1.0), problem.task.policy)
        return _gradient(problem, point, undiscounted.at(problem.theta).occupancy)
    P = _kernel(problem)
    rho = np.broadcast_to(mdp.rho, P.shape[:-1])
    return _gradient(problem, point, np.stack([_long_run(P[i]).T @ rho[i] for i in range(len(P))]) / (1 - mdp.gamma))


@wrong("stationary-visits-frozen", "the Hessian without dd", quantity="hvp", cause="the visitation held constant")
def stationary_visits_frozen(problem: Any) -> Array:
    d = problem.task.at(problem.theta).occupancy
    return complex_step(lambda theta: _gradient(problem, problem.task.at(theta), d), problem.theta, problem.v)


@wrong("transposed-transition", "d = (I − γP_π)⁻¹ρ", quantity="grad", cause="P_π instead of its transpose")
def transposed_transition(problem: Any) -> Array:
    mdp, kernel, point = problem.task.mdp, problem.task.mdp.gamma * _kernel(problem), problem.task.at(problem.theta)
    visits = [np.broadcast_to(mdp.rho, kernel.shape[:-1])]
    if mdp.horizon is None:
        return _gradient(problem, point, np.linalg.solve(np.eye(mdp.states) - kernel, visits[0][..., None])[..., 0])
    for _ in range(mdp.horizon - 1):
        visits.append(np.einsum("...st,...t->...s", kernel, visits[-1]))
    return _gradient(problem, point, np.stack(visits, axis=-2))


@wrong("discounted-reward-as-return", "Σ_t ∇log π γᵗr_t: d π (R − r_π)", quantity="grad",
       cause="γᵗr_t used for the return G_t", source="hunkim/ReinforcementZeroToAll #1")  # fmt: skip
def discounted_reward_as_return(problem: Any) -> Array:
    point = problem.task.at(problem.theta)
    reward = centred(point.probabilities, problem.task.mdp.expected_reward)
    return _gradient(problem, point, weight=reward if problem.task.mdp.horizon is None else reward[..., None, :, :])


@wrong("fisher-normalised", "(1 − γ) F v", quantity="fisher", cause="a mean over visited states instead of the sum",
       chapter=GEOMETRY, hint="a .mean() over visited states, as in most code for TRPO", repair="the discounted sum over visited states")  # fmt: skip
def fisher_normalised(problem: Any) -> Array:
    point = problem.task.at(problem.theta)
    return fisher.product(point, problem.v) / np.sum(fisher.visits(point), axis=-1, keepdims=True)


@wrong("kl-swapped", "Σ d KL(π_new ‖ π_old)", quantity="kl", cause="the two policies exchanged", chapter=GEOMETRY,
       hint="PyTorch: kl_divergence(new, old)", repair="PyTorch: kl_divergence(old, new)")  # fmt: skip
def kl_swapped(problem: Any) -> Array:
    old, new = problem.task.at(problem.theta), problem.task.at(problem.theta + problem.v)
    return _kl(fisher.visits(old), new, old)


@wrong("kl-new-visits", "Σ d_new KL(π_old ‖ π_new)", quantity="kl", cause="the visits are not held at the old policy",
       chapter=GEOMETRY)  # fmt: skip
def kl_new_visits(problem: Any) -> Array:
    old, new = problem.task.at(problem.theta), problem.task.at(problem.theta + problem.v)
    return _kl(fisher.visits(new), old, new)


@wrong("natural-gradient-undivided", "d (A − mean A)", quantity="natural_gradient",
       cause="the visits are not divided out", chapter=GEOMETRY)  # fmt: skip
def natural_gradient_undivided(problem: Any) -> Array:
    point = problem.task.at(problem.theta)
    weighted = _sum_over_time(problem, point.occupancy[..., None] * point.advantage)
    return problem.task.policy.pullback(weighted - np.mean(weighted, axis=-1, keepdims=True))


@wrong("natural-gradient-uncentred", "A", quantity="natural_gradient", chapter=GEOMETRY, kind="right",
       cause="a natural gradient, but not the one of least norm: a shift in every state is free; another solution of F x = g, "
       "not the one asked for")  # fmt: skip
def natural_gradient_uncentred(problem: Any) -> Array:
    point = problem.task.at(problem.theta)
    weighted, d = _sum_over_time(problem, point.occupancy[..., None] * point.advantage), fisher.visits(point)[..., None]
    return problem.task.policy.pullback(np.where(d > 0, weighted / np.where(d > 0, d, 1), 0))


def _with_softmax(problem: Any, use: ClampedSoftmax) -> dict[str, Array]:
    """The loss and its derivatives with another softmax."""
    point = clamps.with_softmax(problem.task, use).at(problem.theta)
    return {"loss": np.asarray(point.loss), "grad": np.asarray(point.grad), "hvp": np.asarray(point.hvp(problem.v))}


probabilities_clamped, logits_clamped = clamps.clamp_rows(_with_softmax)


ROWS = (*rows_in(globals()), *OF_VALUES)
