"""The exact return of a softmax policy as a task, with loss −J(θ).  Derivation: derivations/exact-policy-gradient.md"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    along,
    as_parameters,
    as_read_only,
    as_real_scalar,
    batch_shape,
    dot,
    lazy_property,
    reduce_record,
)
from refmeta.policies import Softmax
from refmeta.softmax import centred_at, likeliest, softmax
from refmeta.tasks.entropy import entropy_reward, entropy_reward_jvp, plus
from refmeta.tasks.evaluation import EvaluatedPolicy, evaluation, evaluation_jvp
from refmeta.tasks.factors import solve_transposed
from refmeta.tasks.finite_horizon import FiniteHorizonPoint
from refmeta.tasks.mdp import FiniteMDP, Tangent

__all__ = ["DiscountedPoint", "PolicyReturn"]


@dataclass(frozen=True, eq=False)
class PolicyReturn:
    """L(θ) = −J(θ), J the expected discounted return of the policy in the process; leading axes are tasks.

    `at(theta)` is a `DiscountedPoint`, or with a horizon a `FiniteHorizonPoint`: `loss`, `grad` and `hvp` of −J, and
    `value`, `action_value`, `advantage` and `occupancy` of J, which are 0 in the ends of the process.  At γ = 1 without
    a horizon a theta whose policy reaches no end from some state is refused with the state.

    With a `temperature` τ ≥ 0 every step also pays τ times the entropy of π(·|s): J = E Σ γᵗ (r + τ H(π(·|s))).  Then
    `value` contains the entropy of its own state, `action_value` R + γPV does not, and `advantage` is Q − τ log π − V.
    Nothing else changes, and τ = 0 is the return itself, to the last bit.  Without a horizon the gradient vanishes at
    the policy of `soft_values`.  The policy must be a softmax policy with or without τ: π, log π and their derivatives
    come from its logits, and a `log_prob` alone is not enough.

    The relative error of J and its gradient is about eps/(1 − γ), and that of the gradient also |l|·eps for logits l.  A
    constant added to all rewards costs the gradient no digit.  Rows of P are used as they are: if a row sums to 1 + δ, by rounding, a constant reward c adds γδc/(1 − γ)
    to the value where that row is used.

    Raises
    ------
    ValueError
        If the policy has another number of states or actions, the batch axes do not broadcast, or the temperature is
        negative or not finite.
    """

    mdp: FiniteMDP
    policy: Softmax
    temperature: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.mdp, FiniteMDP) or not hasattr(self.policy, "logits"):
            kinds = f"{type(self.mdp).__name__}, {type(self.policy).__name__}"
            raise TypeError(f"PolicyReturn takes a FiniteMDP and a softmax policy, got {kinds}")
        wanted, got = ((x.states, x.actions) for x in (self.mdp, self.policy))
        if wanted != got:
            raise ValueError(f"policy has (states, actions) = {got}, expected {wanted} as in the process")
        batch_shape(mdp=self.mdp.shape, policy=self.policy.shape)
        object.__setattr__(self, "temperature", as_real_scalar(self.temperature, "temperature", least=0))

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        return np.broadcast_shapes(self.mdp.shape, self.policy.shape)

    @property
    def dim(self) -> int:
        """The number of parameters."""
        return self.policy.dim

    def at(self, theta: ArrayLike) -> "DiscountedPoint | FiniteHorizonPoint":
        """The point theta (..., d)."""
        theta = as_parameters(theta, dim=self.dim, why=self.policy.why)
        batch_shape(theta=theta.shape[:-1], task=self.shape)
        with np.errstate(all="ignore"):
            return self._at(theta)

    def _at(self, theta: Array) -> "DiscountedPoint | FiniteHorizonPoint":
        """The point at a theta that has been checked."""
        pi = softmax(self.policy.table(theta))
        batch = batch_shape(theta=theta.shape[:-1], task=self.shape)
        self.mdp.check_ends_reached(pi, "the policy at theta does not reach one")
        point = DiscountedPoint if self.mdp.horizon is None else FiniteHorizonPoint
        return point(theta, self.mdp, self.policy, as_read_only(_broadcast(pi, batch)), self.temperature)

    def __getitem__(self, index: int | slice) -> "PolicyReturn":
        """Task `index` of the first batch axis, or a slice of the tasks."""
        return PolicyReturn(self.mdp.entry(index, self.shape), self.policy.entry(index, self.shape), self.temperature)


@dataclass(frozen=True, eq=False)
class DiscountedPoint:
    """The return without a horizon at θ; every quantity uses one factorisation of I − γP_π."""

    theta: Array
    mdp: FiniteMDP
    policy: Softmax
    probabilities: Array
    temperature: float = 0.0

    __reduce__ = reduce_record

    @property
    def _rewards(self) -> Array:
        """R − c + γkδ, (..., S, A): the rewards whose values are V − k and Q − k."""
        return self.mdp.level_reward

    @cached_property
    def _entropy_reward(self) -> Array:
        """b = −τ log π, (..., S, A): what the policy pays itself."""
        return entropy_reward(self.policy.table(self.theta), self.temperature, self.mdp.terminal)

    @cached_property
    def _likeliest(self) -> Array:
        """Where in the flat π the likeliest action of each state is, (..., S)."""
        return likeliest(self.probabilities)

    @cached_property
    def _evaluation(self) -> EvaluatedPolicy:
        """I − γP_π factorised, V − k (..., S), and P(V − k), (..., S, A), or None."""
        r = dot(self.probabilities, plus(self._rewards, self._entropy_reward))
        return evaluation(self.mdp, self.probabilities, r)

    @cached_property
    def _relative_action_value(self) -> Array:
        """Q − k = R − c + γkδ + γP(V − k), (..., S, A)."""
        _, V, expected = self._evaluation
        return self._rewards + self.mdp.gamma * (self.mdp.expect(V) if expected is None else expected)

    @lazy_property
    def value(self) -> Array:
        """V = (I − γP_π)⁻¹ (r_π + τH), (..., S), H(s) the entropy of π(·|s).

        Eq: bellman
        """
        return self._evaluation.value + self.mdp.levels[..., None]

    @lazy_property
    def action_value(self) -> Array:
        """Q = R + γPV, (..., S, A).

        Eq: bellman
        """
        return self._relative_action_value + self.mdp.levels[..., None, None]

    @lazy_property
    def advantage(self) -> Array:
        """A(s, a) = Σ_b π(b|s)(q(s, a) − q(s, b)), q = Q − τ log π, (..., S, A).

        Eq: advantage
        """
        return centred_at(self._likeliest, self.probabilities, plus(self._relative_action_value, self._entropy_reward))

    @lazy_property
    def occupancy(self) -> Array:
        """d = (I − γP_πᵀ)⁻¹ ρ, (..., S), summing to 1/(1 − γ), or to less with ends, which are not visited.

        Eq: occupancy
        """
        return solve_transposed(self._evaluation.factors, self.mdp.starts)

    @lazy_property
    def loss(self) -> Array:
        """−J, J = ρᵀV, (...); at γ = 1 the sum goes over the states that are no ends.

        Eq: return

        Eq: undiscounted-return

        Eq: soft-return
        """
        return -dot(self.mdp.rho, self.value)

    @cached_property
    def _pair_visits(self) -> Array:
        """x(s, a) = d(s) π(a|s), (..., S, A)."""
        return self.occupancy[..., None] * self.probabilities

    @lazy_property
    def grad(self) -> Array:
        """−∂J/∂θ, with ∂J/∂logit[s, a] = d(s) π(a|s) A(s, a); (..., d).

        Eq: policy-gradient

        Eq: soft-return-gradient
        """
        return -self.policy.pullback(self._pair_visits * self.advantage)

    @property
    def batch(self) -> tuple[int, ...]:
        """The batch axes."""
        return self.probabilities.shape[:-2]

    @along
    def tangent(self, v: Array) -> Tangent:
        """Derivatives dπ, dQ, dd and db, b = −τ log π, along the direction v (..., d) of θ.

        dV = (I − γP_π)⁻¹ Σ_a dπ A,  dQ = γP dV,  dd = γ(I − γP_πᵀ)⁻¹ dP_πᵀ d.
        """
        pi, u = self.probabilities, self.policy.table(v)
        y = centred_at(self._likeliest, pi, u)
        dQ, dd = self._evaluation_jvp(dot(pi * y, self.advantage), self._pair_visits * y)
        return Tangent(pi * y, dQ, dd, entropy_reward_jvp(pi, u, self.temperature, self.mdp.terminal))

    def _evaluation_jvp(self, gain: Array, moves: Array) -> tuple[Array, Array]:
        """dQ = γP(I − γP_π)⁻¹ g and dd = γ(I − γP_πᵀ)⁻¹ Pᵀw, for g = Σ_a dπ A (..., S) and w = d dπ (..., S, A)."""
        expected, visits = evaluation_jvp(self.mdp, self._evaluation.factors, gain, moves)
        return self.mdp.gamma * expected, self.mdp.gamma * visits

    @along
    def hvp(self, v: Array) -> Array:
        """−∇²J v, (..., d): the product rule on x A, x = d π, with dA = dq − ⟨π, dq⟩ − ⟨dπ, A⟩, q = Q − τ log π.

        Eq: policy-hvp

        Eq: soft-return-hvp
        """
        pi, A, x, u = self.probabilities, self.advantage, self._pair_visits, self.policy.table(v)
        y = centred_at(self._likeliest, pi, u)  # dπ = π y
        gain, moves = dot(pi * y, A), x * y
        dQ, dd = self._evaluation_jvp(gain, moves)
        dq = plus(dQ, entropy_reward_jvp(pi, u, self.temperature, self.mdp.terminal))
        dA = centred_at(self._likeliest, pi, dq, gain)
        dx = dd[..., None] * pi + moves
        return -self.policy.pullback(dx * A + x * dA)


def _broadcast(pi: Array, batch: tuple[int, ...]) -> Array:
    """π with these batch axes, a copy for each task: what is computed from strides of 0 is laid out badly in memory."""
    if pi.shape[:-2] == batch:
        return pi
    out = np.empty(batch + pi.shape[-2:], pi.dtype)
    out[...] = pi
    return out
