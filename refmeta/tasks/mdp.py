"""The finite Markov decision process and its linear maps.  Derivation: derivations/exact-policy-gradient.md"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

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
from refmeta.tasks.ends import as_ends, check_ends_reached
from refmeta.tasks.mdp_table import process_arrays

__all__ = ["FiniteMDP", "Tangent"]

ROUNDING = 1e-12


class Tangent(NamedTuple):
    """Derivatives along a direction of θ: of π (..., S, A), of Q and of the visits d in their shapes, and of −τ log π.

    The last is (..., S, A), and a zero that broadcasts, (1, 1), at temperature 0.
    """

    probabilities: Array
    action_value: Array
    occupancy: Array
    entropy_reward: Array


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
    """Transitions P, rewards R, start ρ, discount γ, horizon H, ends; `from_table` takes gymnasium's; leading axes are tasks.

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
        Discount, 0 <= gamma < 1; with a horizon also 1, and without one where every state can reach an end.
    horizon : int, optional
        Number of rewards; None is no bound on it.
    terminal : (..., S) array of bool, optional
        True for the states where the process ends.  Nothing follows an end: values, visits and the policy's gradient
        are 0 there, and a trajectory stops.  An end is declared; rewards of 0 alone do not make one.

    Raises
    ------
    ValueError, TypeError
        For a wrong shape, rows that are not probabilities (to 1e-12), a discount or horizon out of range, an end that
        is left or pays a reward, or at γ = 1 without a horizon a state from which no end is reached.
    """

    P: Array
    R: Array
    rho: Array
    gamma: float
    horizon: int | None = None
    terminal: Any = None

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
        terminal = as_ends(self.terminal, P, R)
        batch_shape(terminal=terminal.shape[:-1], rho=rho.shape[:-1])
        remedy = "use horizon= for an undiscounted task, or declare its ends in terminal="
        gamma, horizon = as_discount(self.gamma, self.horizon, ends=bool(np.all(terminal.any(-1))), remedy=remedy)
        if horizon is None and gamma == 1:
            check_ends_reached(np.any(P > 0, axis=-2), terminal, "no policy reaches one")
        elif horizon is None and not gamma * np.max(P.sum(-1), initial=0.0) < 1:
            raise ValueError(
                f"gamma = {gamma!r} times a row of P sums to 1 or more by rounding; 1 - gamma is too small"
            )
        names = ("P", "R", "rho", "gamma", "horizon", "terminal")
        for name, value in zip(names, (P, R, rho, gamma, horizon, terminal), strict=True):
            object.__setattr__(self, name, value)

    @classmethod
    def from_table(cls, table: Any, *, rho: Any, gamma: float, horizon: int | None = None) -> "FiniteMDP":
        """The process of a table {s: {a: [(p, s', r, done), ...]}}, as gymnasium has it in `env.unwrapped.P`.

        `done` belongs to the transition.  A state becomes an end if every transition into it from another state is done
        and `rho`, the S probabilities of the first state (`env.unwrapped.initial_state_distrib`), is 0 there; what its own rows say is dropped.  If other
        transitions are done, they lead to one more end, state S: then the process has S + 1 states, and the policy has
        parameters for it that play no part.  `terminal` and `states` of the result say which.  A probability, s' or
        reward that is not as required is refused with the state, the action and the number of the transition.
        """
        P, R, rho, terminal = process_arrays(table, rho)
        return cls(P, R, rho, gamma, horizon, terminal)

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

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        flat = (x.shape[:-1] for x in (self.rho, self.terminal))
        return np.broadcast_shapes(self.P.shape[:-3], self.R.shape[: -self._reward_core], *flat)

    @property
    def undiscounted(self) -> bool:
        """Whether γ = 1 without a horizon: only the ends make the return finite."""
        return self.horizon is None and self.gamma == 1

    @cached_property
    def starts(self) -> Array:
        """ρ off the ends, (..., S): a process that starts in an end has no visits and no rewards."""
        return as_read_only(np.where(self.terminal, 0.0, self.rho)) if self.terminal.any() else self.rho

    @cached_property
    def onward(self) -> Array:
        """P without the steps into an end, those of an end included, (..., S, A, S): rows sum to the probability of going on."""
        if not self.terminal.any():
            return self.P
        return as_read_only(np.where(self.terminal[..., None, None, :], 0.0, self.P))

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
        """The value k of the constant reward c: c/(1 − γ), (...); with a horizon k_t = c + γk_{t+1}, (..., H+1).

        An end pays 0, so that c = k = 0 where there is one.
        """
        c = self.centred_reward[0]
        if self.horizon is None:
            return as_read_only(np.asarray(0 * c if self.undiscounted else c / (1 - self.gamma)))
        k = [0 * c]
        for _ in range(self.horizon):
            k.insert(0, c + self.gamma * k[0])
        return as_read_only(np.stack(k, axis=-1))

    def relative_reward(self, following: Array) -> Array:
        """R − c + γkδ, (..., S, A), k (...) the level of the next step: rewards whose values are V − k and Q − k."""
        _, less, excess = self.centred_reward
        return less + self.gamma * following[..., None, None] * excess

    @cached_property
    @np.errstate(all="ignore")
    def level_reward(self) -> Array:
        """R − c + γkδ, (..., S, A), where the level k is the same at every step: without a horizon."""
        return as_read_only(self.relative_reward(self.levels))

    @cached_property
    def _matrix(self) -> Array:
        """P off the ends as a matrix (..., S·A, S)."""
        return self.onward.reshape(*self.onward.shape[:-3], self.states * self.actions, self.states)

    def expect(self, v: Array) -> Array:
        """(Pv)(s, a) = Σ_s' P(s'|s, a) v(s'), for v (..., S), over the states s, s' that are no ends."""
        out = (self._matrix @ v[..., None])[..., 0]
        return out.reshape(*out.shape[:-1], self.states, self.actions)

    def push(self, w: Array) -> Array:
        """(Pᵀw)(s') = Σ_sa w(s, a) P(s'|s, a), for w (..., S, A): the transpose of `expect`."""
        return (w.reshape(*w.shape[:-2], 1, self.states * self.actions) @ self._matrix)[..., 0, :]

    def transitions(self, pi: Array) -> Array:
        """P_π(s, s') = Σ_a π(a|s) P(s'|s, a), (..., S, S), for s, s' that are no ends.

        Eq: policy-model
        """
        return (pi[..., None, :] @ self.onward)[..., 0, :]

    def check_ends_reached(self, pi: Array, why: str) -> None:
        """At γ = 1 without a horizon, ValueError with the state from which the policy reaches no end; `why` says so."""
        if self.undiscounted:
            moves = (np.real(pi)[..., None, :] @ self.P)[..., 0, :] > 0
            check_ends_reached(moves, self.terminal, why)

    def rewards(self, pi: Array) -> Array:
        """r_π(s) = Σ_a π(a|s) E[r | s, a], (..., S).

        Eq: policy-model
        """
        return np.einsum("...a,...a->...", pi, self.expected_reward)

    def entry(self, index: int | slice, shape: tuple[int, ...]) -> "FiniteMDP":
        """The process of task `index`, where the tasks have the batch axes `shape`."""
        R = entry(self.R, index, shape, self._reward_core)
        P, rho, terminal = (entry(x, index, shape, n) for x, n in ((self.P, 3), (self.rho, 1), (self.terminal, 1)))
        return replace_fields(self, P=P, R=R, rho=rho, terminal=terminal)
