"""The exact return over H steps of a stationary policy.  Derivation: derivations/exact-policy-gradient.md"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, dot, finite, lazily
from refmeta.policies import Softmax
from refmeta.softmax import centred, softmax_jvp
from refmeta.tasks.mdp import FiniteMDP


@dataclass(frozen=True, eq=False)
class FiniteHorizonPoint:
    """The return of r_0 … r_{H−1} at θ; the axis of time stands before those of states and actions."""

    theta: Array
    mdp: FiniteMDP
    policy: Softmax
    probabilities: Array

    @lazily
    def _backward(self) -> Array:
        """V_0 … V_H, time first."""
        r, V = self.mdp.expected_reward, [np.zeros(self.probabilities.shape[:-1])]
        for _ in range(self.mdp.horizon or 0):
            V.append(dot(self.probabilities, r + self.mdp.gamma * self.mdp.expect(V[-1])))
        return _stack(V[::-1])

    @lazily
    def _action_values(self) -> Array:
        """Q_0 … Q_{H−1}, time first."""
        return self.mdp.expected_reward + self.mdp.gamma * self.mdp.expect(self._backward[1:])

    @lazily
    def _advantages(self) -> Array:
        return centred(self.probabilities, self._action_values)

    @lazily
    def _visits(self) -> Array:
        """d_0 … d_{H−1}, the discounted probabilities γᵗ Pr(s_t = s), time first."""
        d = [np.broadcast_to(self.mdp.rho, self.probabilities.shape[:-1])]
        for _ in range((self.mdp.horizon or 0) - 1):
            d.append(self.mdp.gamma * self.mdp.push(d[-1][..., None] * self.probabilities))
        return _stack(d)

    @lazily
    def value(self) -> Array:
        """V_t = Σ_a π Q_t, V_H = 0; (..., H+1, S).

        Eq: finite-horizon-bellman
        """
        return np.moveaxis(self._backward, 0, -2)

    @lazily
    def action_value(self) -> Array:
        """Q_t = R + γPV_{t+1}, (..., H, S, A).

        Eq: finite-horizon-bellman
        """
        return np.moveaxis(self._action_values, 0, -3)

    @lazily
    def advantage(self) -> Array:
        """A_t(s, a) = Σ_b π(b|s)(Q_t(s, a) − Q_t(s, b)), (..., H, S, A).

        Eq: advantage
        """
        return np.moveaxis(self._advantages, 0, -3)

    @lazily
    def occupancy(self) -> Array:
        """γᵗ d_t, d_0 = ρ, d_{t+1} = P_πᵀ d_t; (..., H, S), summing to (1 − γᴴ)/(1 − γ).

        Eq: finite-horizon-occupancy
        """
        return np.moveaxis(self._visits, 0, -2)

    @lazily
    def loss(self) -> Array:
        """−J, J = ρᵀV_0, (...).

        Eq: finite-horizon-return
        """
        return -dot(self.mdp.rho, self._backward[0])

    @lazily
    def grad(self) -> Array:
        """−∂J/∂θ, with ∂J/∂logit[s, a] = Σ_t γᵗ d_t(s) π(a|s) A_t(s, a); (..., d).

        Eq: finite-horizon-gradient
        """
        return -self.policy.pullback(np.sum(self._visits[..., None] * self.probabilities * self._advantages, axis=0))

    @finite
    def hvp(self, v: ArrayLike) -> Array:
        """−∇²J v, (..., d): the product rule on Σ_t γᵗ d_t π A_t, along the direction v (..., d) of θ.

        dV_t = Σ_a dπ A_t + Σ_a π dQ_t,  dQ_t = γP dV_{t+1},  dA_t = dQ_t − ⟨π, dQ_t⟩ − ⟨dπ, A_t⟩,
        dd_{t+1} = P_πᵀ dd_t + dP_πᵀ d_t.

        Eq: finite-horizon-hvp
        """
        mdp, pi, A, d = self.mdp, self.probabilities, self._advantages, self._visits[..., None]
        dpi = softmax_jvp(pi, self.policy.logits(v))
        gain = dot(dpi, A)
        dQ, dd = [np.zeros(dpi.shape)], [np.zeros(dpi.shape[:-1] + (1,))]
        for later in gain[:0:-1]:
            dQ.append(mdp.gamma * mdp.expect(later + dot(pi, dQ[-1])))
        for earlier in d[:-1]:
            dd.append(mdp.gamma * mdp.push(dd[-1] * pi + earlier * dpi)[..., None])
        dA = centred(pi, _stack(dQ[::-1])) - gain[..., None]
        return -self.policy.pullback(np.sum(_stack(dd) * pi * A + d * dpi * A + d * pi * dA, axis=0))


def _stack(rows: list[Array]) -> Array:
    """The rows, broadcast to one shape, along a new first axis: time."""
    return np.stack(np.broadcast_arrays(*rows))
