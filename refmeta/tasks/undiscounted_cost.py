"""The exact cost of a linear policy at γ = 1 without a horizon.  Derivation: derivations/linear-quadratic-control.md"""

from dataclasses import dataclass

import numpy as np

from refmeta.arrays import Array, along, lazy_property, reduce_record
from refmeta.tasks.lq import LinearQuadratic, stationary

__all__ = ["UndiscountedCostPoint"]


@dataclass(frozen=True, eq=False)
class UndiscountedCostPoint:
    """The cost of a = Ks at θ = K, row by row: no noise and no offset, so that the state goes to 0."""

    theta: Array
    lq: LinearQuadratic

    __reduce__ = reduce_record

    @property
    def gain(self) -> Array:
        """K, (..., m, n)."""
        return self.theta.reshape(*self.theta.shape[:-1], self.lq.actions, self.lq.states - 1)

    @lazy_property
    def closed_loop(self) -> Array:
        """M = A + BK on the state, (..., n, n)."""
        return self.lq.A[..., :-1, :-1] + self.lq.B[..., :-1, :] @ self.gain

    @lazy_property
    def moments(self) -> Array:
        """X = Σ_t E[s_t s_tᵀ], X = Σ_0 + MXMᵀ; (..., n, n)."""
        return stationary(self.closed_loop, self.lq.start[..., :-1, :-1], 1.0)

    @lazy_property
    def values(self) -> Array:
        """P = Q + KᵀRK + MᵀPM, (..., n, n)."""
        return stationary(_transpose(self.closed_loop), self._cost, 1.0)

    @lazy_property
    def loss(self) -> Array:
        """J = tr((Q + KᵀRK) X), (...).

        Eq: lq-undiscounted-cost
        """
        return np.einsum("...ij,...ij->...", self._cost, self.moments)

    @lazy_property
    def grad(self) -> Array:
        """∇_K = 2 (RK + BᵀPM) X, (..., d).

        Eq: lq-undiscounted-cost
        """
        return _flat(2 * self._pressure @ self.moments)

    @property
    def batch(self) -> tuple[int, ...]:
        """The batch axes."""
        return np.broadcast_shapes(self.theta.shape[:-1], self.lq.shape)

    @along
    def hvp(self, v: Array) -> Array:
        """∇²J v, (..., d): the product rule, with dM = B dK and

        dX = M dX Mᵀ + dM X Mᵀ + M X dMᵀ,  dP = Mᵀ dP M + dKᵀRK + KᵀR dK + dMᵀPM + MᵀP dM.
        """
        lq, X, P, M = self.lq, self.moments, self.values, self.closed_loop
        B = lq.B[..., :-1, :]
        dK = v.reshape(*v.shape[:-1], lq.actions, lq.states - 1)
        dM = B @ dK
        dX = stationary(M, _plus_transpose(dM @ X @ _transpose(M)), 1.0)
        cost = _plus_transpose(_transpose(dK) @ lq.R @ self.gain)
        dP = stationary(_transpose(M), cost + _plus_transpose(_transpose(dM) @ P @ M), 1.0)
        dpressure = lq.R @ dK + _transpose(B) @ (dP @ M + P @ dM)
        return _flat(2 * (dpressure @ X + self._pressure @ dX))

    @property
    def _cost(self) -> Array:
        """Q + KᵀRK on the state, (..., n, n)."""
        return self.lq.Q[..., :-1, :-1] + _transpose(self.gain) @ self.lq.R @ self.gain

    @lazy_property
    def _pressure(self) -> Array:
        """RK + BᵀPM, (..., m, n)."""
        return self.lq.R @ self.gain + _transpose(self.lq.B[..., :-1, :]) @ self.values @ self.closed_loop


def _transpose(x: Array) -> Array:
    """xᵀ."""
    return x.swapaxes(-1, -2)


def _plus_transpose(x: Array) -> Array:
    """x + xᵀ."""
    return x + _transpose(x)


def _flat(by_gain: Array) -> Array:
    """The derivatives by K, row by row, in one axis."""
    return by_gain.reshape(*by_gain.shape[:-2], by_gain.shape[-2] * by_gain.shape[-1])
