"""Linear value estimates by temporal differences.  Derivation: derivations/sampled-policy-gradients.md

`features` φ (..., M, H, k) are those of the visited states: one-hot for a table; with the time step for V_t.  The value
after the last step is 0, unless `successors` has the features of the next states, (..., M, H, k): for a process that
continues after the end of the batch.
"""

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_fraction,
    as_parameters,
    as_real,
    as_scalar,
    batch_shape,
    check_finite,
    finite_result,
    matvec,
)
from refmeta.sampling.returns import discounted_sum
from refmeta.sampling.trajectories import Trajectories, as_trajectories

__all__ = ["lstd", "td_lambda"]


@finite_result
def td_lambda(
    w: ArrayLike,
    trajectories: Trajectories,
    features: ArrayLike,
    *,
    gamma: float,
    lam: float,
    step_size: float,
    successors: ArrayLike | None = None,
) -> Array:
    """w + η (1/M) Σ_m Σ_t δ_t z_t, δ_t = r_t + γ wᵀφ_{t+1} − wᵀφ_t, z_t = γλ z_{t−1} + φ_t: one sweep; (..., k).

    Eq: td-lambda

    w changes only at the end of the sweep, so that the order of the steps does not matter.
    """
    trajectories, phi, following = _features(trajectories, features, successors)
    w = as_parameters(w, "w", dim=phi.shape[-1], why=" as the features")
    batch_shape(w=w.shape[:-1], trajectories=trajectories.mask.shape[:-2])
    z = _traces(phi, as_fraction(gamma, "gamma") * as_fraction(lam, "lam"))
    delta = trajectories.rewards - matvec(phi - gamma * following, w[..., None, :])
    return w + as_scalar(step_size, "step_size") * np.einsum("...mh,...mhk->...k", delta, z) / trajectories.mask.shape[-2]


@finite_result
def lstd(
    trajectories: Trajectories,
    features: ArrayLike,
    *,
    gamma: float,
    lam: float = 0.0,
    successors: ArrayLike | None = None,
) -> Array:
    """w with Σ z_t (φ_t − γφ_{t+1})ᵀ w = Σ z_t r_t, z_t = γλ z_{t−1} + φ_t: the fixed point of TD(λ); (..., k).

    Eq: lstd

    Raises
    ------
    FloatingPointError
        If the system is singular up to rounding: a feature is 0 in the batch, or features depend on each other.
    """
    trajectories, phi, following = _features(trajectories, features, successors)
    z = _traces(phi, as_fraction(gamma, "gamma") * as_fraction(lam, "lam"))
    A = np.einsum("...mhi,...mhj->...ij", z, phi - gamma * following)
    b = np.einsum("...mhi,...mh->...i", z, trajectories.rewards)
    check_finite(A, "lstd left the finite numbers: a feature is too large")
    if np.any(np.linalg.matrix_rank(A) < A.shape[-1]):
        raise FloatingPointError(
            "the system of LSTD is singular: a feature is 0 in the whole batch, or features depend on each other"
        )
    return np.linalg.solve(A, b[..., None])[..., 0]


def _features(
    trajectories: Trajectories, features: ArrayLike, successors: ArrayLike | None
) -> tuple[Trajectories, Array, Array]:
    """The batch, and φ of the states and of the next states, 0 after the end."""
    trajectories, phi = as_trajectories(trajectories), as_real(features, "features")
    if phi.ndim != trajectories.mask.ndim + 1 or phi.shape[:-1] != trajectories.mask.shape:
        raise ValueError(f"features has shape {phi.shape}, expected {trajectories.mask.shape} + (k,) as trajectories")
    phi = phi * trajectories.mask[..., None]
    if successors is None:
        return trajectories, phi, np.concatenate([phi[..., 1:, :], 0 * phi[..., :1, :]], axis=-2)
    following = as_real(successors, "successors")
    if following.shape != phi.shape:
        raise ValueError(f"successors has shape {following.shape}, expected {phi.shape} as features")
    return trajectories, phi, following * trajectories.mask[..., None]


def _traces(phi: Array, factor: float) -> Array:
    """z_t = factor z_{t−1} + φ_t."""
    backwards = np.moveaxis(phi, -2, -1)[..., ::-1]
    return np.moveaxis(discounted_sum(backwards, factor)[..., ::-1], -1, -2)
