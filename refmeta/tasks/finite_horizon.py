"""The exact return over H steps of a stationary policy.  Derivation: derivations/exact-policy-gradient.md"""

from dataclasses import dataclass
from functools import cached_property

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

    @cached_property
    def _relative_action_value(self) -> Array:
        """Q_t − k_t = R − c + γk_{t+1}δ + γP(V_{t+1} − k_{t+1}), (..., H, S, A)."""
        V: Array = np.zeros(self.probabilities.shape[:-1], self.probabilities.dtype)
        Q: list[Array] = []
        for t in range(self.mdp.horizon or 0, 0, -1):
            Q.insert(0, self.mdp.relative_reward(self.mdp.levels[..., t]) + self.mdp.gamma * self.mdp.expect(V))
            V = dot(self.probabilities, Q[0] + self._entropy_reward)
        return np.stack(Q, axis=-3)

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
        V = dot(self._pi, self._worth) + self.mdp.levels[..., :-1, None]
        return np.concatenate([V, np.zeros_like(V[..., :1, :])], axis=-2)

    @lazy_property
    def advantage(self) -> Array:
        """A_t(s, a) = Σ_b π(b|s)(q_t(s, a) − q_t(s, b)), q_t = Q_t − τ log π, (..., H, S, A).

        Eq: advantage
        """
        return centred(self._pi, self._worth)

    @lazy_property
    def occupancy(self) -> Array:
        """γᵗ d_t, d_0 = ρ, d_{t+1} = P_πᵀ d_t; (..., H, S), summing to (1 − γᴴ)/(1 − γ), or to less with ends.

        Eq: finite-horizon-occupancy
        """
        d = [np.broadcast_to(self.mdp.starts, self.probabilities.shape[:-1])]
        for _ in range((self.mdp.horizon or 0) - 1):
            d.append(self.mdp.gamma * self.mdp.push(d[-1][..., None] * self.probabilities))
        return np.stack(d, axis=-2)

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
        return -self.policy.pullback(np.sum(self.occupancy[..., None] * self._pi * self.advantage, axis=-3))

    @property
    def batch(self) -> tuple[int, ...]:
        """The batch axes."""
        return self.probabilities.shape[:-2]

    @along
    def tangent(self, v: Array) -> Tangent:
        """Derivatives of π, of Q_t, of γᵗd_t and of b = −τ log π along the direction v (..., d) of θ.

        dV_t = Σ_a dπ A_t + Σ_a π dQ_t,  dQ_t = γP dV_{t+1},  dd_{t+1} = P_πᵀ dd_t + dP_πᵀ d_t.
        """
        mdp, pi, d = self.mdp, self.probabilities, self.occupancy[..., None]
        u = self.policy.table(v)
        dpi, db = softmax_jvp(pi, u), entropy_reward_jvp(pi, u, self.temperature, mdp.terminal)
        gain = dot(dpi[..., None, :, :], self.advantage)
        dQ: list[Array] = [np.zeros(dpi.shape)]
        dd: list[Array] = [np.zeros(dpi.shape[:-1])]
        for t in range(1, mdp.horizon or 0):
            dQ.insert(0, mdp.gamma * mdp.expect(gain[..., -t, :] + dot(pi, dQ[0])))
            dd.append(mdp.gamma * mdp.push(dd[-1][..., None] * pi + d[..., t - 1, :, :] * dpi))
        return Tangent(dpi, np.stack(dQ, axis=-3), np.stack(dd, axis=-2), db)

    @along
    def hvp(self, v: Array) -> Array:
        """−∇²J v, (..., d): the product rule on Σ_t γᵗ d_t π A_t, with dA_t = dq_t − ⟨π, dq_t⟩ − ⟨dπ, A_t⟩.

        Eq: finite-horizon-hvp

        Eq: soft-return-hvp
        """
        pi, A, d = self._pi, self.advantage, self.occupancy[..., None]
        dpi, dQ, dd, db = self.tangent(v)
        dpi, db = dpi[..., None, :, :], db[..., None, :, :]
        dA = centred(pi, dQ + db) - dot(dpi, A)[..., None]
        return -self.policy.pullback(np.sum(dd[..., None] * pi * A + d * dpi * A + d * pi * dA, axis=-3))

    @property
    def _worth(self) -> Array:
        """q_t − k_t, q_t = Q_t − τ log π, (..., H, S, A)."""
        return self._relative_action_value + self._entropy_reward[..., None, :, :]

    @property
    def _pi(self) -> Array:
        """π with an axis for time."""
        return self.probabilities[..., None, :, :]
