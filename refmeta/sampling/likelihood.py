"""Log-likelihoods of a batch of trajectories, and their products.  Derivation: derivations/sampled-policy-gradients.md

`likelihood(policy, theta, trajectories)` gives, for ℓ = log π_θ(a_t|s_t) of every step, (..., M, H), 0 after the end:

    log_prob        ℓ
    along(u)        ∇ℓ · u                       (..., M, H)
    pull(w)         Σ w ∇ℓ over M and H          (..., d), the transpose of `along`
    curve(w, u)     Σ w ∇²ℓ u over M and H       (..., d)

No Jacobian and no Hessian is formed.  Softmax policies use tables (S, A): gather, scatter, and one product per state.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_direction,
    as_parameters,
    batch_shape,
    finite_result,
    lazy_property,
    reduce_record,
    replace_fields,
    trusted,
)
from refmeta.policies import Softmax
from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.sampling.trajectories import Policy, Trajectories, as_policy_parameters, as_trajectories, joint_batch
from refmeta.softmax import centred, log_softmax, softmax, sum_of_others

__all__ = ["GaussianLikelihood", "Likelihood", "SoftmaxLikelihood", "likelihood", "likelihood_at", "trusted_at"]


def _product(function: Callable[..., Array]) -> Callable[..., Array]:
    """Decorator: the result must be finite; at a `trusted` likelihood it is not looked at."""
    checked = finite_result(function)

    @functools.wraps(function)
    def product(self: Any, *args: ArrayLike) -> Array:
        return function(self, *args) if "_trusted" in self.__dict__ else checked(self, *args)

    return product


@dataclass(frozen=True, eq=False)
class SoftmaxLikelihood:
    """ℓ under a softmax policy."""

    policy: Softmax
    theta: Array
    trajectories: Trajectories

    __reduce__ = reduce_record

    @lazy_property
    def log_prob(self) -> Array:
        """log π(a|s), (..., M, H).

        Eq: log-likelihood
        """
        return self._at_steps(log_softmax(self.policy.table(self.theta)))

    @_product
    def along(self, u: ArrayLike) -> Array:
        """x_a − ⟨π, x⟩ at (s, a), x the logits of u.

        Eq: log-likelihood-score
        """
        return self._at_steps(centred(self._pi, self.policy.table(_direction(self, u))))

    @_product
    def pull(self, w: ArrayLike) -> Array:
        """Φᵀg, g(s, a) = n(s, a) − π(a|s) Σ_b n(s, b), n(s, a) the sum of w over the visits to (s, a).

        Eq: log-likelihood-score
        """
        n, pi = self._sum_of_steps(_weights(self, w)), self._pi
        return self.policy.pullback(n * self._rest - pi * sum_of_others(pi, n))

    @_product
    def curve(self, w: ArrayLike, u: ArrayLike) -> Array:
        """Φᵀg, g(s, ·) = −n(s) π ⊙ (x − ⟨π, x⟩), n the sum of w over the visits to s.

        Eq: log-likelihood-hvp
        """
        n, u = np.sum(self._sum_of_steps(_weights(self, w)), axis=-1)[..., None], _direction(self, u)
        return self.policy.pullback(-n * self._pi * centred(self._pi, self.policy.table(u)))

    @lazy_property
    def _pi(self) -> Array:
        """π, (..., S, A)."""
        return softmax(self.policy.table(self.theta))

    @functools.cached_property
    def _rest(self) -> Array:
        """1 − π, (..., S, A)."""
        return sum_of_others(self._pi, self._pi)

    @functools.cached_property
    def _places(self) -> Callable[[tuple[int, ...]], Array]:
        """The index of every step in flat tables (..., S, A) with given batch axes, (..., M, H); those of the last two are kept."""
        steps, size = self.trajectories, self.policy.states * self.policy.actions
        cells = steps.states * self.policy.actions + steps.actions

        def places(batch: tuple[int, ...]) -> Array:
            """The cells, and the number of entries in the tables before."""
            return cells + size * np.arange(math.prod(batch)).reshape(*batch, 1, 1) if batch else cells

        return functools.lru_cache(maxsize=2)(places)

    def _at_steps(self, table: Array) -> Array:
        """The entry of a table (..., S, A) at each step, 0 after the end; (..., M, H)."""
        return _within(self, table.reshape(-1).take(self._places(table.shape[:-2])))

    def _sum_of_steps(self, w: Array) -> Array:
        """The transpose of `_at_steps`: Σ w over the steps at (s, a), (..., S, A)."""
        batch = np.broadcast_shapes(w.shape[:-2], self.trajectories.mask.shape[:-2])
        places, shape = self._places(batch), (*batch, self.policy.states, self.policy.actions)
        each = np.broadcast_to(_within(self, w), places.shape)
        return _sums_by_place(places.ravel(), each.ravel(), math.prod(shape)).reshape(shape)


def _sums_by_place(place: Array, w: Array, size: int) -> Array:
    """Σ w at each place, (size,), for flat indices and weights; real and imaginary parts apart."""
    if np.iscomplexobj(w):
        return _sums_by_place(place, w.real, size) + 1j * _sums_by_place(place, w.imag, size)
    return np.bincount(place, w, size)


@dataclass(frozen=True, eq=False)
class GaussianLikelihood:
    """ℓ under a linear-Gaussian policy."""

    policy: LinearGaussian
    theta: Array
    trajectories: Trajectories

    __reduce__ = reduce_record

    @lazy_property
    def log_prob(self) -> Array:
        """−Σ_j (z_j²/2 + log σ_j + log(2π)/2), (..., M, H).

        Eq: log-likelihood
        """
        each = self._z**2 / 2 + self._log_deviation + np.log(2 * np.pi) / 2
        return _within(self, -np.sum(each, axis=-1))

    @_product
    def along(self, u: ArrayLike) -> Array:
        """Σ_j z_j (Ux)_j/σ_j + (z_j² − 1) ν_j.

        Eq: log-likelihood-score
        """
        u = _direction(self, u)
        each = self._z * self._scaled_means(u) + (self._z**2 - 1) * self._log(u)
        return _within(self, np.sum(each, axis=-1))

    @_product
    def pull(self, w: ArrayLike) -> Array:
        """Σ w [(z/σ) xᵀ, z² − 1].

        Eq: log-likelihood-score
        """
        return self._sum(_weights(self, w), self._z * self._scale, self._z**2 - 1)

    @_product
    def curve(self, w: ArrayLike, u: ArrayLike) -> Array:
        """Σ w [((dz − zν)/σ) xᵀ, 2 z dz], dz = −(Ux)/σ − zν.

        Eq: log-likelihood-hvp
        """
        w, u = _weights(self, w), _direction(self, u)
        z, nu = self._z, self._log(u)
        dz = -self._scaled_means(u) - z * nu
        return self._sum(w, (dz - z * nu) * self._scale, 2 * z * dz)

    def _log(self, u: Array) -> Array:
        """log σ of θ, or of a direction, with axes for M and H."""
        return self.policy.log_deviation(u)[..., None, None, :]

    def _means(self, u: Array) -> Array:
        """Kx, or Ux, at every step; (..., M, H, m)."""
        return self.trajectories.states @ self.policy.gain(u)[..., None, :, :].swapaxes(-1, -2)

    @property
    def _log_deviation(self) -> Array:
        """log σ."""
        return self._log(self.theta)

    @property
    def _scale(self) -> Array:
        """1/σ."""
        return np.exp(-self._log_deviation)

    @lazy_property
    def _z(self) -> Array:
        """(a − Kx)/σ."""
        return (self.trajectories.actions - self._means(self.theta)) * self._scale

    def _scaled_means(self, u: Array) -> Array:
        """(Ux)/σ."""
        return self._means(u) * self._scale

    def _sum(self, w: Array, by_mean: Array, by_log: Array) -> Array:
        """Σ w [by_mean xᵀ, by_log] over M and H, (..., d)."""
        w = _within(self, w)[..., None]
        gains = _steps_in_rows(w * by_mean).swapaxes(-1, -2) @ _steps_in_rows(self.trajectories.states)
        logs = np.einsum("...mhi,...mhj->...j", w, by_log)
        flat = gains.reshape(*gains.shape[:-2], math.prod(gains.shape[-2:]))
        batch = np.broadcast_shapes(flat.shape[:-1], logs.shape[:-1])
        return np.concatenate([np.broadcast_to(x, (*batch, x.shape[-1])) for x in (flat, logs)], axis=-1)


def _steps_in_rows(x: Array) -> Array:
    """x (..., M, H, n) as (..., M·H, n)."""
    return x.reshape(*x.shape[:-3], math.prod(x.shape[-3:-1]), x.shape[-1])


Likelihood = SoftmaxLikelihood | GaussianLikelihood


def _within(like: Likelihood, x: Array) -> Array:
    """x (..., M, H) with 0 after the end."""
    mask = like.trajectories.mask
    return x if mask.all() else x * mask


def _direction(like: Likelihood, u: ArrayLike) -> Array:
    """A direction u (..., d) of θ; at a `trusted` likelihood it is one already."""
    if "_trusted" in like.__dict__:
        return np.asarray(u)
    return as_direction(u, like.policy.dim, joint_batch(like.policy, like.theta, like.trajectories), "u")


def _weights(like: Likelihood, w: ArrayLike) -> Array:
    """Weights w (..., M, H), one per step; at a `trusted` likelihood they are so already."""
    if "_trusted" in like.__dict__:
        return np.asarray(w)
    array, shape = as_parameters(w, "w"), like.trajectories.mask.shape
    if array.shape[-2:] != shape[-2:]:
        raise ValueError(f"w has shape {array.shape}, expected (..., {shape[-2]}, {shape[-1]}) as the trajectories")
    batch_shape(w=array.shape[:-2], likelihood=joint_batch(like.policy, like.theta, like.trajectories))
    return array


def likelihood_at(policy: Policy, theta: Array, trajectories: Trajectories) -> Likelihood:
    """`likelihood` of arguments that have been checked."""
    kind = GaussianLikelihood if isinstance(policy, LinearGaussian) else SoftmaxLikelihood
    return kind(policy, theta, trajectories)  # type: ignore[arg-type]


def trusted_at(like: Likelihood, theta: Array) -> Likelihood:
    """The same steps under other parameters, which have been checked: for results that are checked where they are published."""
    new = trusted(replace_fields(like, theta=theta))
    if isinstance(like, SoftmaxLikelihood):
        new.__dict__["_places"] = like._places
    return new


def likelihood(policy: Policy, theta: ArrayLike, trajectories: Trajectories) -> Likelihood:
    """ℓ = log π_θ(a_t|s_t) of every step, and its products; batch axes of theta, policy and trajectories broadcast.

    Eq: log-likelihood

    log p(τ|θ) is Σ_t ℓ plus a constant: the log-probability of the starts, next states and rewards.
    """
    theta = as_policy_parameters(policy, theta)
    trajectories = as_trajectories(trajectories, policy)
    joint_batch(policy, theta, trajectories)
    return likelihood_at(policy, theta, trajectories)
