"""The finite Markov decision process and its linear maps.  Derivation: derivations/exact-policy-gradient.md"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from refmeta.arrays import (
    Array,
    as_discount,
    as_read_only,
    as_real,
    batch_shape,
    check_all,
    dot,
    entry,
    finite_result,
    index_text,
    reduce_record,
    replace_fields,
)

__all__ = ["FiniteMDP", "Tangent"]

ROUNDING = 1e-12


class Tangent(NamedTuple):
    """Derivatives along a direction of θ of π (..., S, A), of Q and of the visits d, in the shapes of these."""

    probabilities: Array
    action_value: Array
    occupancy: Array


def _check_probabilities(name: str, array: Array, what: str) -> None:
    """ValueError unless the last axis holds probabilities, up to rounding; nothing is renormalised."""
    check_all(
        (array >= 0) & (array <= 1 + ROUNDING),
        lambda i: f"{name}{index_text(i)} is {array[i]}; {what} must be probabilities",
    )
    sums = array.sum(-1)
    gap = np.abs(sums - 1)

    def sentence(i: tuple[int, ...]) -> str:
        fix = f"{name} = np.asarray({name}, float); {name} / {name}.sum(-1, keepdims=True)"
        hint = f"; if it was rounded, divide in float64: {fix}" * bool(gap[i] < 1e-2)
        where = name + index_text(i)
        return f"{where} sums to {sums[i]:.16g} (|sum - 1| = {gap[i]:.3g} > {ROUNDING:g}); {what} must be probabilities{hint}"

    check_all(gap <= ROUNDING, sentence)


def _excess(P: Array) -> Array:
    """Σ_s' P(s'|s, a) − 1 by compensated summation: the rounding errors are summed, too, and added at the end."""
    total, error = np.full(P.shape[:-1], -1.0), np.zeros(P.shape[:-1])
    for p in np.moveaxis(P, -1, 0):
        following = total + p
        part = following - total
        error += (total - (following - part)) + (p - part)
        total = following
    return total + error


@dataclass(frozen=True, eq=False)
class FiniteMDP:
    """Transitions P, rewards R, start ρ, discount γ, horizon H; leading axes are tasks.

    Parameters
    ----------
    P : (..., S, A, S) array
        P[s, a, s'], the probability of the next state s'.
    R : (..., S, A) or (..., S, A, S) array
        Expected reward of (s, a), or the reward of (s, a, s').  The number of axes tells which: with as many axes as P
        it is R[s, a, s'], with fewer R[s, a].  To share one P among tasks with rewards (N, S, A), give P[None].
    rho : (..., S) array
        Probabilities of the first state.
    gamma : float
        Discount, 0 <= gamma < 1; with a horizon also 1.
    horizon : int, optional
        Number of rewards; None is the infinite discounted horizon.

    Raises
    ------
    ValueError, TypeError
        For a wrong shape, rows that are not probabilities (to 1e-12), a discount or horizon out of range.
    """

    P: Array
    R: Array
    rho: Array
    gamma: float
    horizon: int | None = None

    __reduce__ = reduce_record

    def __post_init__(self) -> None:
        P, R, rho = as_real(self.P, "P"), as_real(self.R, "R"), as_real(self.rho, "rho")
        if P.ndim < 3 or P.shape[-3] != P.shape[-1] or 0 in P.shape[-3:]:
            raise ValueError(f"P has shape {P.shape}, expected (..., S, A, S) with at least one state and action")
        core = P.shape[-3:] if R.ndim >= P.ndim else P.shape[-3:-1]
        if R.shape[-len(core) :] != core:
            raise ValueError(
                f"R has shape {R.shape}, expected last axes {core} for P of shape {P.shape} (R with as many axes as P "
                "is R[s, a, s'], with fewer R[s, a]; to share one P among tasks give P[None])"
            )
        if rho.shape[-1:] != P.shape[-1:]:
            raise ValueError(f"rho has shape {rho.shape}, expected last axis {P.shape[-1]} = the number of states")
        batch_shape(P=P.shape[:-3], R=R.shape[: R.ndim - len(core)], rho=rho.shape[:-1])
        _check_probabilities("P", P, "rows of P over the next state")
        _check_probabilities("rho", rho, "rows of rho over the first state")
        gamma, horizon = as_discount(self.gamma, self.horizon)
        if horizon is None and not gamma * np.max(P.sum(-1), initial=0.0) < 1:
            raise ValueError(
                f"gamma = {gamma!r} times a row of P sums to 1 or more by rounding; 1 - gamma is too small"
            )
        for name, value in (("P", P), ("R", R), ("rho", rho), ("gamma", gamma), ("horizon", horizon)):
            object.__setattr__(self, name, value)

    @property
    def states(self) -> int:
        """The number of states S."""
        return self.P.shape[-1]

    @property
    def actions(self) -> int:
        """The number of actions A."""
        return self.P.shape[-2]

    @property
    def _reward_core(self) -> int:
        """The number of axes of R that are not batch axes: 3 if the reward depends on the next state, else 2."""
        return 3 if self.R.ndim >= self.P.ndim else 2

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        return np.broadcast_shapes(self.P.shape[:-3], self.R.shape[: -self._reward_core], self.rho.shape[:-1])

    @cached_property
    def expected_reward(self) -> Array:
        """E[r | s, a], (..., S, A)."""
        return self.R if self._reward_core == 2 else as_read_only(finite_result(dot)(self.P, self.R))

    @cached_property
    @np.errstate(all="ignore")
    def centred_reward(self) -> tuple[Array, Array, Array]:
        """c (...), the reward nearest to 0, or 0 if rewards have both signs; E[r | s, a] − c; and δ = Σ_s' P − 1."""
        axes = tuple(range(-self._reward_core, 0))
        c = np.clip(0.0, np.min(self.R, axis=axes), np.max(self.R, axis=axes))
        less, excess = self.R - np.expand_dims(c, axes), _excess(self.P)
        mean = less if self._reward_core == 2 else dot(self.P, less) + c[..., None, None] * excess
        return as_read_only(np.asarray(c)), as_read_only(mean), as_read_only(excess)

    @cached_property
    @np.errstate(all="ignore")
    def levels(self) -> Array:
        """The value k of the constant reward c: c/(1 − γ), (...); with a horizon k_t = c + γk_{t+1}, (..., H+1)."""
        c = self.centred_reward[0]
        if self.horizon is None:
            return as_read_only(np.asarray(c / (1 - self.gamma)))
        k = [0 * c]
        for _ in range(self.horizon):
            k.insert(0, c + self.gamma * k[0])
        return as_read_only(np.stack(k, axis=-1))

    def relative_reward(self, following: Array) -> Array:
        """R − c + γkδ, (..., S, A), k (...) the level of the next step: rewards whose values are V − k and Q − k."""
        _, less, excess = self.centred_reward
        return less + self.gamma * following[..., None, None] * excess

    @property
    def _matrix(self) -> Array:
        """P as a matrix (..., S·A, S)."""
        return self.P.reshape(*self.P.shape[:-3], self.states * self.actions, self.states)

    def expect(self, v: Array) -> Array:
        """(Pv)(s, a) = Σ_s' P(s'|s, a) v(s'), for v (..., S)."""
        out = (self._matrix @ v[..., None])[..., 0]
        return out.reshape(*out.shape[:-1], self.states, self.actions)

    def push(self, w: Array) -> Array:
        """(Pᵀw)(s') = Σ_sa w(s, a) P(s'|s, a), for w (..., S, A): the transpose of `expect`."""
        return (w.reshape(*w.shape[:-2], 1, self.states * self.actions) @ self._matrix)[..., 0, :]

    def transitions(self, pi: Array) -> Array:
        """P_π(s, s') = Σ_a π(a|s) P(s'|s, a), (..., S, S).

        Eq: policy-model
        """
        return (pi[..., None, :] @ self.P)[..., 0, :]

    def rewards(self, pi: Array) -> Array:
        """r_π(s) = Σ_a π(a|s) E[r | s, a], (..., S).

        Eq: policy-model
        """
        return np.einsum("...a,...a->...", pi, self.expected_reward)

    def entry(self, index: int | slice, shape: tuple[int, ...]) -> "FiniteMDP":
        """The process of task `index`, where the tasks have the batch axes `shape`."""
        R = entry(self.R, index, shape, self._reward_core)
        P, rho = entry(self.P, index, shape, 3), entry(self.rho, index, shape, 1)
        return replace_fields(self, P=P, R=R, rho=rho)
