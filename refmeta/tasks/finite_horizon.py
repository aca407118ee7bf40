"""The exact return over H steps of a stationary policy.  Derivation: derivations/exact-policy-gradient.md

Neither the gradient nor the Hessian product needs an array (H, S, A).  π does not change with time, so that

    Σ_t γᵗ d_t(s) A_t(s, a) = G(s, a) − Σ_b π(b|s) G(s, b),    G(s, a) = Σ_t γᵗ d_t(s) q_t(s, a),

and in G the matrix P meets Σ_t γᵗ d_t(s) V_{t+1}(s'), (S, S), once for all steps.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from refmeta.arrays import Array, along, dot, lazy_property, reduce_record
from refmeta.policies import Softmax
from refmeta.softmax import centred, softmax_jvp
from refmeta.tasks.entropy import entropy_reward, entropy_reward_jvp
from refmeta.tasks.mdp import FiniteMDP, Tangent

__all__ = ["FiniteHorizonPoint"]


@dataclass(frozen=True, eq=False)
class FiniteHorizonPoint:
    """The return of r_0 … r_{H−1} at θ; the axis of time comes before those of states and actions."""

    theta: Array
    mdp: FiniteMDP
    policy: Softmax
    probabilities: Array
    temperature: float = 0.0

    __reduce__ = reduce_record

    @cached_property
    def _entropy_reward(self) -> Array:
        """b = −τ log π, (..., S, A): what the policy pays itself."""
        return entropy_reward(self.policy.table(self.theta), self.temperature, self.mdp.terminal)

    @property
    def _moves(self) -> Array:
        """γP_π, (..., S, S); not kept, since it would be the largest array of every point of an adaptation."""
        return self.mdp.transitions(self.mdp.gamma * self.probabilities)

    @cached_property
    def _relative_value(self) -> Array:
        """V_t − k_t, (..., H+1, S)."""
        return _backwards(self._moves, self._mean(self.probabilities, self._reward))

    @cached_property
    def _visits(self) -> Array:
        """γᵗd_t, (..., H, S)."""
        x = np.zeros((*self.batch, self.mdp.horizon or 0, self.mdp.states))
        x[..., 0, :] = self.mdp.starts
        return _forwards(self._moves, x)[..., 1:, :]

    @property
    def _relative_action_value(self) -> Array:
        """Q_t − k_t = R − c + γk_{t+1}δ + γP(V_{t+1} − k_{t+1}), (..., H, S, A)."""
        _, less, excess = self.mdp.centred_reward
        k = self.mdp.gamma * self.mdp.levels[..., 1:, None, None]
        return less[..., None, :, :] + k * excess[..., None, :, :] + self._expected(self._relative_value)

    @lazy_property
    def action_value(self) -> Array:
        """Q_t = R + γPV_{t+1}, (..., H, S, A).

        Eq: finite-horizon-bellman
        """
        return self._relative_action_value + self.mdp.levels[..., :-1, None, None]

    @lazy_property
    def value(self) -> Array:
        """V_t = Σ_a π q_t, q_t = Q_t − τ log π, V_H = 0; (..., H+1, S).

        Eq: finite-horizon-bellman
        """
        return self._relative_value + self.mdp.levels[..., None]

    @lazy_property
    def advantage(self) -> Array:
        """A_t(s, a) = Σ_b π(b|s)(q_t(s, a) − q_t(s, b)), q_t = Q_t − τ log π, (..., H, S, A).

        Eq: advantage
        """
        q = self._relative_action_value + self._entropy_reward[..., None, :, :]
        return centred(self.probabilities[..., None, :, :], q)

    @lazy_property
    def occupancy(self) -> Array:
        """γᵗ d_t, d_0 = ρ, d_{t+1} = P_πᵀ d_t; (..., H, S), summing to (1 − γᴴ)/(1 − γ), or to less with ends.

        Eq: finite-horizon-occupancy
        """
        return self._visits

    @lazy_property
    def loss(self) -> Array:
        """−J, J = ρᵀV_0, (...).

        Eq: finite-horizon-return

        Eq: soft-return
        """
        return -dot(self.mdp.rho, self.value[..., 0, :])

    @lazy_property
    def grad(self) -> Array:
        """−∂J/∂θ, with ∂J/∂logit[s, a] = Σ_t γᵗ d_t(s) π(a|s) A_t(s, a); (..., d).

        Eq: finite-horizon-gradient

        Eq: soft-return-gradient
        """
        return -self.policy.pullback(self.probabilities * self._visited_advantage)

    @property
    def batch(self) -> tuple[int, ...]:
        """The batch axes."""
        return self.probabilities.shape[:-2]

    @along
    def tangent(self, v: Array) -> Tangent:
        """Derivatives of π, of Q_t, of γᵗd_t and of b = −τ log π along the direction v (..., d) of θ.

        dV_t = Σ_a dπ q_t + γP_π dV_{t+1},  dQ_t = γP dV_{t+1},  dd_{t+1} = P_πᵀ dd_t + dP_πᵀ d_t.
        """
        dpi, dV, dd, db = self._tangent(v)
        return Tangent(dpi, self._expected(dV), dd, db)

    @along
    def hvp(self, v: Array) -> Array:
        """−∇²J v, (..., d): the product rule on Σ_t γᵗ d_t π A_t, with dA_t = dq_t − ⟨π, dq_t⟩ − ⟨dπ, A_t⟩.

        Eq: finite-horizon-hvp

        Eq: soft-return-hvp
        """
        pi, A, V, d = self.probabilities, self._visited_advantage, self._relative_value, self._visits
        dpi, dV, dd, db = self._tangent(v)
        dA = self._centred_over_time(dd, _paired(dd, V) + _paired(d, dV)) + np.einsum("...ts->...s", d)[..., None] * db
        return -self.policy.pullback(dpi * A + pi * (dA - dot(dpi, A)[..., None]))

    def _tangent(self, v: Array) -> tuple[Array, Array, Array, Array]:
        """dπ, dV_t = Σ_a dπ q_t + γP_π dV_{t+1} (..., H+1, S), γᵗdd_t, dd_{t+1} = P_πᵀ dd_t + dP_πᵀ d_t, and db."""
        mdp, pi, u = self.mdp, self.probabilities, self.policy.table(v)
        dpi, db = softmax_jvp(pi, u), entropy_reward_jvp(pi, u, self.temperature, mdp.terminal)
        dM = mdp.transitions(mdp.gamma * dpi)
        gain = self._mean(dpi, self._centred_reward) + self._relative_value[..., 1:, :] @ dM.swapaxes(-1, -2)
        M, flow = self._moves, self._visits[..., :-1, :] @ dM
        return dpi, _backwards(M, gain), _forwards(M, flow), db

    @cached_property
    def _visited_advantage(self) -> Array:
        """Σ_t γᵗ d_t A_t, (..., S, A)."""
        return self._centred_over_time(self._visits, _paired(self._visits, self._relative_value))

    def _centred_over_time(self, d: Array, W: Array) -> Array:
        """G − ⟨π, G⟩, G = Σ_t d_t (R − c + b + γk_{t+1}δ) + γ Σ_s' P(s'|s, a) W(s, s'), (..., S, A).

        Rewards are centred before they are multiplied: their differences have no rounding error.
        """
        times = (self._reward_weights @ d)[..., None]
        met = self.mdp.gamma * (self.mdp.onward @ W[..., None])[..., 0] + times[..., 1, :, :] * self.mdp.centred_reward[2]
        return times[..., 0, :, :] * self._centred_reward + centred(self.probabilities, met)

    @cached_property
    def _reward(self) -> Array:
        """R − c + b, (..., S, A): what is paid at every step."""
        return self.mdp.centred_reward[1] + self._entropy_reward

    @cached_property
    def _centred_reward(self) -> Array:
        """r − ⟨π, r⟩ of it, (..., S, A)."""
        return centred(self.probabilities, self._reward)

    @cached_property
    def _reward_weights(self) -> Array:
        """1 and γk_{t+1}, (..., 2, H): the reward of step t is R − c + b times the first, plus δ times the second."""
        k = self.mdp.gamma * self.mdp.levels[..., 1:]
        return np.stack([np.ones_like(k), k], axis=-2)

    def _mean(self, weight: Array, reward: Array) -> Array:
        """Σ_a w (r + γk_{t+1}δ) for w and r (..., S, A), (..., H, S)."""
        k = self._reward_weights[..., 1, :, None]
        return dot(weight, reward)[..., None, :] + k * dot(weight, self.mdp.centred_reward[2])[..., None, :]

    def _expected(self, V: Array) -> Array:
        """γPV_{t+1} for V (..., H+1, S), (..., H, S, A)."""
        P, S, A = self.mdp.onward, self.mdp.states, self.mdp.actions
        out = V[..., 1:, :] @ P.reshape(*P.shape[:-3], S * A, S).swapaxes(-1, -2)
        return self.mdp.gamma * out.reshape(*out.shape[:-1], S, A)


def _paired(d: Array, V: Array) -> Array:
    """Σ_t d_t(s) V_{t+1}(s') for d (..., H, S) and V (..., H+1, S), (..., S, S)."""
    return d.swapaxes(-1, -2) @ V[..., 1:, :]


def _forwards(M: Array, x: Array) -> Array:
    """y_0 = 0, y_{t+1} = Mᵀy_t + x_t for M (..., S, S) and x (..., n, S), (..., n+1, S)."""
    x = np.einsum("...ts->t...s", x)
    y = np.zeros((len(x) + 1, *x.shape[1:-1], 1, x.shape[-1]), np.result_type(M, x))
    y[1:, ..., 0, :] = x
    for before, after in pairwise(y[1:]):
        after += before @ M
    return np.einsum("t...s->...ts", y[..., 0, :])


def _backwards(M: Array, x: Array) -> Array:
    """y_H = 0, y_t = My_{t+1} + x_t for M (..., S, S) and x (..., H, S), (..., H+1, S)."""
    return _forwards(M.swapaxes(-1, -2), x[..., ::-1, :])[..., ::-1, :]
