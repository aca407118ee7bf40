"""Returns, advantages and baselines of a batch of trajectories.  Derivation: derivations/sampled-policy-gradients.md

Arrays are (..., M, H), and 0 after the end of a trajectory; the value of the state after the last step is 0.
"""

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_count,
    as_fraction,
    as_integers,
    as_positive,
    as_real,
    batch_shape,
    check_finite,
    finite_result,
    matvec,
    one_hot,
)
from refmeta.sampling import targets
from refmeta.sampling.trajectories import Trajectories, as_trajectories, discounts
from refmeta.tasks.exact_return import DiscountedPoint
from refmeta.tasks.finite_horizon import FiniteHorizonPoint

__all__ = [
    "discounted_sum", "exact_baseline", "features", "gae", "leave_one_out", "linear_feature_baseline",
    "reward_to_go", "whole_return",
]  # fmt: skip


def discounted_sum(x: Array, factor: float) -> Array:
    """Σ_{k≥t} factorᵏ⁻ᵗ x_k over the last axis."""
    if factor == 0:
        return np.array(x)
    if factor == 1:
        return np.cumsum(x[..., ::-1], axis=-1)[..., ::-1]
    out = np.array(np.moveaxis(x, -1, 0), order="C")
    for t in reversed(range(len(out) - 1)):
        out[t] += factor * out[t + 1]
    return np.moveaxis(out, 0, -1)


@finite_result
def whole_return(trajectories: Trajectories, *, gamma: float) -> Array:
    """G = Σ_t γᵗ r_t, (..., M)."""
    trajectories = as_trajectories(trajectories)
    return np.sum(discounts(trajectories.mask, as_fraction(gamma, "gamma")) * trajectories.rewards, axis=-1)


@finite_result
def reward_to_go(trajectories: Trajectories, *, gamma: float) -> Array:
    """Ĝ_t = Σ_{k≥t} γᵏ⁻ᵗ r_k, (..., M, H)."""
    return discounted_sum(as_trajectories(trajectories).rewards, as_fraction(gamma, "gamma"))


@finite_result
def gae(trajectories: Trajectories, values: ArrayLike, *, gamma: float, lam: float) -> Array:
    """Â_t = Σ_{k≥t} (γλ)ᵏ⁻ᵗ δ_k, δ_t = r_t + γ v_{t+1} − v_t, v_H = 0, v the values of the visited states; (..., M, H).

    λ = 1 gives Ĝ_t − v_t, for every v; λ = 0 gives the one-step error δ_t.  Every trajectory counts as terminated at its last
    step; for cuts see `targets.gae`.
    """
    trajectories = as_trajectories(trajectories)
    v = as_step_values(values, trajectories, "values")
    rewards, mask = (np.broadcast_to(x, v.shape) for x in (trajectories.rewards, trajectories.mask))
    following = np.concatenate([v[..., 1:], 0 * v[..., :1]], axis=-1)
    last = mask & ~np.concatenate([mask[..., 1:], np.zeros_like(mask[..., :1])], axis=-1)
    return targets.gae(rewards, v, following, terminated=last, truncated=0 * last, mask=mask, gamma=gamma, lam=lam)


@finite_result
def leave_one_out(trajectories: Trajectories, *, gamma: float) -> Array:
    """b_t of trajectory i: the mean of Ĝ_t over the other trajectories, 1/(M−1) Σ_{j≠i} Ĝ_t(j); (..., M, H).

    Eq: leave-one-out

    Raises
    ------
    ValueError
        If there is only one trajectory.
    """
    G = reward_to_go(trajectories, gamma=gamma)
    if (M := G.shape[-2]) < 2:
        raise ValueError("leave_one_out needs at least 2 trajectories per task, got 1")
    return (np.sum(G, axis=-2, keepdims=True) - G) / (M - 1)


def features(trajectories: Trajectories, states: int | None = None) -> Array:
    """[s, s², t/100, (t/100)², (t/100)³, 1] of every step, (..., M, H, k); an index s becomes one-hot, without s²."""
    trajectories = as_trajectories(trajectories)
    s = trajectories.states
    if s.ndim == trajectories.mask.ndim:
        if states is None:
            raise ValueError("states is required where a state is an index: give the number of states")
        s = one_hot(as_integers(s, "states", below=as_count(states, "states", least=1)), states)
    else:
        s = as_real(s, "states")
        s = np.concatenate([s, s**2], axis=-1)
    t = np.arange(s.shape[-2])[:, None] / 100
    time = np.broadcast_to(np.concatenate([t, t**2, t**3, t**0], axis=-1), (*s.shape[:-1], 4))
    return np.concatenate([s, time], axis=-1)


@finite_result
def linear_feature_baseline(
    trajectories: Trajectories, fitted_on: Trajectories, *, gamma: float, states: int | None = None, ridge: float = 1e-5
) -> Array:
    """b = wᵀφ, w = argmin Σ (Ĝ − wᵀφ)² + ridge ‖w‖² over the steps of *another* batch of the same tasks; (..., M, H).

    Eq: linear-feature-baseline

    φ is [s, s², t/100, (t/100)², (t/100)³, 1]; for finite states s is one-hot, and s² = s is left out.  A baseline
    that is fitted on the same batch depends on the actions of that batch, and makes the gradient biased.
    """
    trajectories, other, ridge = as_trajectories(trajectories), as_trajectories(fitted_on), as_positive(ridge, "ridge")
    G, here = reward_to_go(other, gamma=gamma), features(trajectories, states)
    phi = features(other, states) * other.mask[..., None]
    steps = G.shape[-2] * G.shape[-1]
    X, y = phi.reshape(*phi.shape[:-3], steps, phi.shape[-1]), G.reshape(*G.shape[:-2], steps)
    if here.shape[-1] != X.shape[-1]:
        raise ValueError(f"fitted_on has {X.shape[-1]} features per step, expected {here.shape[-1]} as trajectories")
    batch_shape(trajectories=trajectories.mask.shape[:-2], fitted_on=other.mask.shape[:-2])
    w = _ridge_regression(X, y, ridge)
    return matvec(here, w[..., None, :]) * trajectories.mask


def _ridge_regression(X: Array, y: Array, ridge: float) -> Array:
    """argmin ‖y − Xw‖² + ridge ‖w‖², (..., k), by Rw = Qᵀ[y; 0], QR = [X; √ridge I], which does not square κ(X)."""
    n, k = X.shape[-2:]
    damped = np.broadcast_to(np.sqrt(ridge) * np.eye(k), (*X.shape[:-2], k, k))
    Z = np.concatenate([check_finite(X, "a feature left the finite numbers: a state is too large"), damped], axis=-2)
    Q, R = np.linalg.qr(Z)
    if np.any(np.abs(np.einsum("...ii->...i", R)) <= np.finfo(float).eps * (n + k) * np.max(np.abs(Z), axis=-2)):
        raise FloatingPointError(f"ridge = {ridge} is too small: the features are linearly dependent up to rounding")
    return np.linalg.solve(R, matvec(Q[..., :n, :].swapaxes(-1, -2), y)[..., None])[..., 0]


@finite_result
def exact_baseline(trajectories: Trajectories, point: DiscountedPoint | FiniteHorizonPoint) -> Array:
    """V(s_t), or with a horizon V_t(s_t), of the point `PolicyReturn(mdp, policy).at(theta)`; (..., M, H)."""
    if not isinstance(point, DiscountedPoint | FiniteHorizonPoint):
        raise TypeError(f"expected PolicyReturn(mdp, policy).at(theta), got {type(point).__name__}")
    trajectories = as_trajectories(trajectories, point.policy)
    H = trajectories.mask.shape[-1]
    V = point.value[..., None, :] if isinstance(point, DiscountedPoint) else point.value[..., :-1, :]
    if V.shape[-2] not in (1, H):
        raise ValueError(f"the point's horizon is {V.shape[-2]}, expected {H} as the trajectories'")
    batch = batch_shape(trajectories=trajectories.mask.shape[:-2], point=V.shape[:-2])
    V = np.broadcast_to(V[..., None, :, :], (*batch, *trajectories.mask.shape[-2:], V.shape[-1]))
    states = np.broadcast_to(trajectories.states, V.shape[:-1])[..., None]
    return np.take_along_axis(V, states, axis=-1)[..., 0] * trajectories.mask


def as_step_values(value: ArrayLike, trajectories: Trajectories, name: str) -> Array:
    """Numbers for every step: an array that broadcasts to the trajectories, with 0 after their end."""
    array, shape = as_real(value, name), trajectories.mask.shape
    try:
        batch = np.broadcast_shapes(array.shape, shape)
    except ValueError:
        batch = ()
    if batch[-2:] != shape[-2:]:
        raise ValueError(f"{name} has shape {array.shape}, expected one that broadcasts to the trajectories' {shape}")
    return np.broadcast_to(array, batch) * trajectories.mask
