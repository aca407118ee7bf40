"""Directions that stand for the gradient of a return: other visits, values, baselines, what is held constant.

Derivation: derivations/exact-policy-gradient.md
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.softmax import softmax

__all__ = ["ALL", "FLOW", "Flow", "GradientFormula", "AnyProcess", "direction", "fisher", "flow"]

VISITS, VALUES, WEIGHTS = "visits", "values", "weights"
FLOW, ALL = (VISITS, VALUES), (VISITS, VALUES, WEIGHTS)


class Flow(NamedTuple):
    """d_t (..., T, S) with γᵗ in it, Q_t (..., T, S, A) and γᵗ (T,); without a horizon T = 1 and d = Σ_t γᵗd_t."""

    visits: Array
    values: Array
    discounts: Array


class AnyProcess(NamedTuple):
    """A process with any reward, which may be complex and of a batch of its own."""

    P: Array
    expected_reward: Array
    rho: Array
    gamma: float
    horizon: int | None
    states: int


class GradientFormula(NamedTuple):
    """−Σ_t d_t π (A_t − Σ_a πA_t) in the logits, and what stands for its parts; None is what is right.

    visits, values : (process, π, flow) → d or Q.  advantage : (π, Q, d, process) → A.  centred : is Σ_a πA subtracted?
    held : what is a constant: the visits, the values, the probabilities in front of the score.
    """

    visits: Callable[[Any, Array, Flow], Array] | None = None
    values: Callable[[Any, Array, Flow], Array] | None = None
    advantage: Callable[[Array, Array, Array, Any], Array] | None = None
    centred: bool = True
    held: tuple[str, ...] = ()


def flow(mdp: Any, pi: Array, horizon: int | None) -> Flow:
    """The visits and values of a policy."""
    P, r = np.einsum("...sa,...sat->...st", pi, mdp.P), np.sum(pi * mdp.expected_reward, axis=-1)
    after: Callable[[Array], Array] = lambda V: mdp.expected_reward + mdp.gamma * np.einsum("...sat,...t->...sa", mdp.P, V)
    rho = mdp.rho + 0 * r
    if horizon is None:
        M = np.eye(mdp.states) - mdp.gamma * P
        V, d = np.linalg.solve(M, r[..., None])[..., 0], np.linalg.solve(M.swapaxes(-1, -2), rho[..., None])[..., 0]
        return Flow(d[..., None, :], after(V)[..., None, :, :], np.ones(1))
    d, V, visits, values = rho, 0 * r, list[Array](), list[Array]()
    for _ in range(horizon):
        visits.append(d)
        d = mdp.gamma * np.einsum("...s,...st->...t", d, P)
        values.insert(0, after(V))
        V = np.sum(pi * values[0], axis=-1)
    return Flow(np.stack(visits, axis=-2), np.stack(values, axis=-3), mdp.gamma ** np.arange(horizon))


def direction(task: Any, formula: GradientFormula, theta: Array, constant: Array) -> Array:
    """What stands for ∇(−J) at θ; what is held constant is computed at another point."""
    mdp, policy = task.mdp, task.policy
    pi, old = softmax(policy.table(theta)), softmax(policy.table(constant))
    moving = flow(mdp, pi, mdp.horizon) if {VISITS, VALUES} - set(formula.held) else None
    still = flow(mdp, old, mdp.horizon) if {VISITS, VALUES} & set(formula.held) else None
    of: Callable[[str], tuple[Array, Flow]] = lambda name: (old, still) if name in formula.held else (pi, moving)  # type: ignore[return-value,assignment]
    d, Q = (change(mdp, *of(name)) if change else pick(of(name)[1]) for name, change, pick in _parts(formula))
    p, weights = of(VALUES)[0][..., None, :, :], old if WEIGHTS in formula.held else pi
    A = Q if formula.advantage is None else formula.advantage(p, Q, d, mdp)
    front = weights[..., None, :, :]
    if WEIGHTS in formula.held:
        w = np.sum(d[..., None] * front * A, axis=-3)
        return -policy.pullback(w - (pi * np.sum(w, axis=-1, keepdims=True) if formula.centred else 0.0))
    mean = np.sum(front * A, axis=-1, keepdims=True) if formula.centred else 0.0
    return -policy.pullback(np.sum(d[..., None] * front * (A - mean), axis=-3))


def _parts(formula: GradientFormula) -> tuple[tuple[str, Any, Callable[[Flow], Array]], ...]:
    """Visits and values: what changes them, and which they are."""
    return (VISITS, formula.visits, lambda f: f.visits), (VALUES, formula.values, lambda f: f.values)


def fisher(task: Any, theta: Array, weigh: Callable[[Array], Array], sign: float = 1.0) -> Array:
    """Σ_s w_s ∇zᵀ (diag π − ππᵀ) ∇z, w a function of the discounted visits (..., S), times a sign."""
    mdp, policy = task.mdp, task.policy
    pi = softmax(policy.table(theta))
    S, A = pi.shape[-2:]
    w = sign * weigh(np.sum(flow(mdp, pi, mdp.horizon).visits, axis=-2))
    block = w[..., None, None] * (pi[..., None] * np.eye(A) - pi[..., None] * pi[..., None, :])
    slopes = policy.pullback(np.eye(S * A).reshape(S * A, S, A)).reshape(S, A, -1)
    return np.asarray(np.einsum("sai,...sab,sbj->...ij", slopes, block, slopes, optimize=True))
