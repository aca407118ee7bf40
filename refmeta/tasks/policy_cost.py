"""The exact cost of a linear-Gaussian policy as a task.  Derivation: derivations/linear-quadratic-control.md

The second moments of the state are computed forwards in time, the values backwards.  The gradient is their product,
and the Hessian product differentiates both recursions.  Arrays have an axis of time of length H; without a horizon its
length is 1, and its entry is the discounted sum.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    along,
    as_parameters,
    batch_shape,
    check_all,
    index_text,
    lazy_property,
    reduce_record,
)
from refmeta.tasks.lq import LinearQuadratic
from refmeta.tasks.undiscounted_cost import UndiscountedCostPoint

__all__ = ["PolicyCost", "PolicyCostPoint"]


@dataclass(frozen=True, eq=False)
class PolicyCost:
    """L(θ) = J(θ), the expected discounted cost of a = Kx + σ ⊙ ε, ε ~ N(0, I); θ = [K row by row, log σ].

    At γ = 1 without a horizon an offset and noise would cost something for ever.  There the policy is a = Ks, the
    parameters are θ = K (m n) alone, row by row, and `at(theta)` is an `UndiscountedCostPoint`.

    Raises
    ------
    TypeError
        If `lq` is not a `LinearQuadratic`.
    """

    lq: LinearQuadratic

    def __post_init__(self) -> None:
        if not isinstance(self.lq, LinearQuadratic):
            raise TypeError(f"PolicyCost takes a LinearQuadratic, got {type(self.lq).__name__}")

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        return self.lq.shape

    @property
    def dim(self) -> int:
        """The number of parameters, m (n + 1) + m; at γ = 1 without a horizon m n."""
        return self.lq.actions * (self.lq.states - 1 if self.lq.undiscounted else self.lq.states + 1)

    @property
    def why(self) -> str:
        """The factors of the number of parameters, for error messages."""
        n, m = self.lq.states - 1, self.lq.actions
        if self.lq.undiscounted:
            return f" = {m} x {n} gains: at gamma = 1 without a horizon, sigma or an offset in K is injected for ever"
        return f" = {m} x {n + 1} gains and {m} logarithms of sigma"

    def at(self, theta: ArrayLike) -> "PolicyCostPoint | UndiscountedCostPoint":
        """The point theta (..., d).

        Raises
        ------
        ValueError
            Without a horizon, if √γ times the spectral radius of the block of A + BK for the state is not below 1: the
            cost of such a gain is infinite.
        """
        theta = as_parameters(theta, dim=self.dim, why=self.why)
        batch_shape(theta=theta.shape[:-1], task=self.shape)
        return self._at(theta)

    def _at(self, theta: Array) -> "PolicyCostPoint | UndiscountedCostPoint":
        """The point at a theta that has been checked."""
        n = self.lq.states - 1
        point = (UndiscountedCostPoint if self.lq.undiscounted else PolicyCostPoint)(theta, self.lq)
        if self.lq.horizon is None:
            radius = np.max(np.abs(np.linalg.eigvals(point.closed_loop[..., :n, :n])), axis=-1, initial=0.0)
            root = np.sqrt(self.lq.gamma) * radius
            check_all(
                root < 1,
                lambda i: (
                    f"sqrt(gamma) times the spectral radius of A + BK on the state is {root[i]:.6g} at theta"
                    f"{index_text(i)}, expected below 1: the infinite-horizon cost of this gain is not finite"
                ),
            )
        return point

    def __getitem__(self, index: int | slice) -> "PolicyCost":
        """Task `index` of the first batch axis, or a slice of the tasks."""
        return PolicyCost(self.lq.entry(index, self.shape))


@dataclass(frozen=True, eq=False)
class PolicyCostPoint:
    """The cost at θ."""

    theta: Array
    lq: LinearQuadratic

    __reduce__ = reduce_record

    @property
    def gain(self) -> Array:
        """K, (..., m, n+1)."""
        return _gain(self.theta, self.lq)

    @property
    def variance(self) -> Array:
        """σ² = exp(2 log σ), (..., m)."""
        return np.exp(2 * self.theta[..., -self.lq.actions :])

    @lazy_property
    def closed_loop(self) -> Array:
        """M = A + BK, (..., n+1, n+1)."""
        return self.lq.A + self.lq.B @ self.gain

    @lazy_property
    def moments(self) -> Array:
        """γᵗΣ_t, Σ_{t+1} = MΣ_tMᵀ + B diag(σ²) Bᵀ + W; (..., H, n+1, n+1), or their sum (..., 1, n+1, n+1).

        Eq: lq-moments
        """
        lq = self.lq
        step = _with_time_axis(_spread(lq, self.variance) + lq.noise) * lq.injected[:, None, None]
        first = np.eye(len(lq.injected))[0][:, None, None]
        return lq.forward(self.closed_loop, _with_time_axis(lq.start) * first + step)

    @lazy_property
    def values(self) -> Array:
        """P_t = Q + KᵀRK + γMᵀP_{t+1}M, P_H = 0; (..., H, n+1, n+1), or P = P_t for every t, (..., 1, n+1, n+1).

        Eq: lq-values
        """
        cost = _with_time_axis(self._cost) + np.zeros((len(self.lq.injected), 1, 1))
        return self.lq.backward(self.closed_loop, cost)

    @lazy_property
    def loss(self) -> Array:
        """J = Σ γᵗ [tr((Q + KᵀRK) Σ_t) + tr(R diag σ²)], (...).

        Eq: lq-cost
        """
        total, control = np.sum(self.moments, axis=-3), np.einsum("...ii,...i->...", self.lq.R, self.variance)
        return np.einsum("...ij,...ij->...", self._cost, total) + total[..., -1, -1] * control

    @lazy_property
    def grad(self) -> Array:
        """∇_K = 2 Σ γᵗ (RK + γBᵀP_{t+1}M) Σ_t, ∂/∂log σ_j = 2σ_j² Σ γᵗ [R + γBᵀP_{t+1}B]_jj; (..., d).

        Eq: lq-gradient
        """
        by_gain = np.sum(self._pressure @ self.moments, axis=-3)
        return _flat(2 * by_gain, 2 * self.variance * self._price(self.lq.R, self._ahead))

    @property
    def batch(self) -> tuple[int, ...]:
        """The batch axes."""
        return np.broadcast_shapes(self.theta.shape[:-1], self.lq.shape)

    @along
    def hvp(self, v: Array) -> Array:
        """∇²J v, (..., d): both recursions differentiated along v = [dK, d log σ], then the product rule.

        dM = B dK,  d(σ²) = 2σ² d log σ,
        dΣ_{t+1} = MdΣ_tMᵀ + dMΣ_tMᵀ + MΣ_tdMᵀ + B diag(dσ²) Bᵀ,
        dP_t = dKᵀRK + KᵀRdK + γ(MᵀdP_{t+1}M + dMᵀP_{t+1}M + MᵀP_{t+1}dM).

        Eq: lq-hvp

        B and Bᵀ stand outside, so that the products in between have the m rows of dK: in dP, γdMᵀP_{t+1}M + dKᵀRK is dKᵀ
        times RK + γBᵀP_{t+1}M.
        """
        lq, S, M, B = self.lq, self.moments, _with_time_axis(self.closed_loop), _with_time_axis(self.lq.B)
        dK, dvariance = _with_time_axis(_gain(v, lq)), 2 * self.variance * v[..., -lq.actions :]
        moved = lq.before(lq.gamma * _plus_transpose(B @ (dK @ S @ _transpose(M))))
        dS = lq.forward(self.closed_loop, moved + _with_time_axis(_spread(lq, dvariance)) * lq.injected[:, None, None])
        dP = lq.after(lq.backward(self.closed_loop, _plus_transpose(_transpose(dK) @ self._pressure)))
        dahead = lq.gamma * _transpose(B) @ dP
        dpressure = _with_time_axis(lq.R) @ dK + dahead @ M + self._ahead @ B @ dK
        by_gain = np.sum(dpressure @ S + self._pressure @ dS, axis=-3)
        by_log = dvariance * self._price(lq.R, self._ahead) + self.variance * self._price(0 * lq.R, dahead)
        return _flat(2 * by_gain, 2 * by_log)

    @property
    def _cost(self) -> Array:
        """Q + KᵀRK, (..., n+1, n+1)."""
        return self.lq.Q + _transpose(self.gain) @ self.lq.R @ self.gain

    @lazy_property
    def _ahead(self) -> Array:
        """γBᵀP_{t+1} at step t, (..., H, m, n+1)."""
        return self.lq.gamma * _transpose(_with_time_axis(self.lq.B)) @ self.lq.after(self.values)

    @lazy_property
    def _pressure(self) -> Array:
        """RK + γBᵀP_{t+1}M at step t, (..., H, m, n+1)."""
        return _with_time_axis(self.lq.R @ self.gain) + self._ahead @ _with_time_axis(self.closed_loop)

    def _price(self, R: Array, ahead: Array) -> Array:
        """Σ γᵗ [R + ahead B]_jj for ahead = γBᵀP_{t+1}, (..., m); γᵗ is the last entry of γᵗΣ_t."""
        each = np.einsum("...jj->...j", R)[..., None, :] + np.einsum("...ji,...ij->...j", ahead, _with_time_axis(self.lq.B))
        return np.einsum("...t,...tj->...j", self.moments[..., -1, -1], each)


def _with_time_axis(x: Array) -> Array:
    """x with an axis for time."""
    return x[..., None, :, :]


def _transpose(x: Array) -> Array:
    """xᵀ."""
    return x.swapaxes(-1, -2)


def _plus_transpose(x: Array) -> Array:
    """x + xᵀ."""
    return x + _transpose(x)


def _gain(theta: Array, lq: LinearQuadratic) -> Array:
    """K of θ, or dK of a direction."""
    return theta[..., : -lq.actions].reshape(*theta.shape[:-1], lq.actions, lq.states)


def _flat(by_gain: Array, by_log: Array) -> Array:
    """The derivatives by K, row by row, and by log σ in one axis."""
    flat = by_gain.reshape(*by_gain.shape[:-2], by_gain.shape[-2] * by_gain.shape[-1])
    batch = np.broadcast_shapes(flat.shape[:-1], by_log.shape[:-1])
    return np.concatenate([np.broadcast_to(x, batch + x.shape[-1:]) for x in (flat, by_log)], axis=-1)


def _spread(lq: LinearQuadratic, variance: Array) -> Array:
    """B diag(variance) Bᵀ."""
    return (lq.B * variance[..., None, :]) @ _transpose(lq.B)
