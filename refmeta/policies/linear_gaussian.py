"""A linear-Gaussian policy, a = Kx + σ ⊙ ε.  Derivation: derivations/sampled-policy-gradients.md"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_count,
    as_direction,
    as_generator,
    as_parameters,
    as_real,
    batch_shape,
    finite_result,
    matvec,
)

__all__ = ["LinearGaussian"]


@dataclass(frozen=True)
class LinearGaussian:
    """π(a|x) = N(Kx, diag σ²), x (..., states), a (..., actions); θ = [K row by row, log σ].

    With homogeneous coordinates x = [s; 1] this is the policy of `PolicyCost`.  In `log_prob`, `score`, `score_hvp` and
    `sample` the batch axes of theta broadcast with those of `state` and `action`.
    """

    states: int
    actions: int

    def __post_init__(self) -> None:
        for name in ("states", "actions"):
            object.__setattr__(self, name, as_count(getattr(self, name), name, least=1))

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch axes: none."""
        return ()

    @property
    def dim(self) -> int:
        """The number of parameters, m n + m."""
        return self.actions * (self.states + 1)

    @property
    def why(self) -> str:
        """The factors of the number of parameters, for error messages."""
        return f" = {self.actions} x {self.states} gains and {self.actions} logarithms of sigma"

    def gain(self, theta: Array) -> Array:
        """K (..., m, n) of θ, or of a direction of θ; the argument must have been checked."""
        return theta[..., : -self.actions].reshape(*theta.shape[:-1], self.actions, self.states)

    def log_deviation(self, theta: Array) -> Array:
        """log σ (..., m) of θ, or of a direction of θ; the argument must have been checked."""
        return theta[..., -self.actions :]

    def pullback(self, by_mean: Array, by_log: Array, state: Array) -> Array:
        """[by_mean xᵀ row by row, by_log], (..., d): the transpose at x of θ ↦ (Kx, log σ)."""
        gains = by_mean[..., :, None] * state[..., None, :]
        return np.concatenate([gains.reshape(*gains.shape[:-2], self.actions * self.states), by_log + 0 * by_mean], axis=-1)

    def noise(self, theta: Array, state: Array, action: Array) -> Array:
        """z = (a − Kx)/σ, (..., m); the arguments must have been checked."""
        return (action - matvec(self.gain(theta), state)) * np.exp(-self.log_deviation(theta))

    @finite_result
    def mean(self, theta: ArrayLike, state: ArrayLike) -> Array:
        """Kx, (..., m)."""
        theta, x = as_parameters(theta, dim=self.dim, why=self.why), self._as_state(state)
        batch_shape(theta=theta.shape[:-1], state=x.shape[:-1])
        return matvec(self.gain(theta), x)

    @finite_result
    def log_prob(self, theta: ArrayLike, state: ArrayLike, action: ArrayLike) -> Array:
        """log π(a|x) = −Σ_j (z_j²/2 + log σ_j + log(2π)/2), (...).

        Eq: log-likelihood
        """
        theta, _, z = self._as_arguments(theta, state, action)
        return -np.sum(z**2 / 2 + self.log_deviation(theta) + np.log(2 * np.pi) / 2, axis=-1)

    @finite_result
    def score(self, theta: ArrayLike, state: ArrayLike, action: ArrayLike) -> Array:
        """∇ log π(a|x), (..., d): (z/σ) xᵀ in K, z² − 1 in log σ.

        Eq: log-likelihood-score
        """
        theta, x, z = self._as_arguments(theta, state, action)
        return self.pullback(z * np.exp(-self.log_deviation(theta)), z**2 - 1, x)

    @finite_result
    def score_hvp(self, theta: ArrayLike, state: ArrayLike, action: ArrayLike, u: ArrayLike) -> Array:
        """∇² log π(a|x) u, (..., d): the score differentiated along u, with dz = −(Ux)/σ − z ⊙ ν.

        Eq: log-likelihood-hvp
        """
        theta, x, z = self._as_arguments(theta, state, action)
        u = as_direction(u, self.dim, z.shape[:-1])
        scale, nu = np.exp(-self.log_deviation(theta)), self.log_deviation(u)
        dz = -matvec(self.gain(u), x) * scale - z * nu
        return self.pullback((dz - z * nu) * scale, 2 * z * dz, x)

    @finite_result
    def sample(self, theta: ArrayLike, state: ArrayLike, rng: Generator | int | None = None) -> Array:
        """One action per state, Kx + σ ⊙ ε with ε ~ N(0, I); (..., m)."""
        theta = as_real(as_parameters(theta, dim=self.dim, why=self.why), "theta")
        mean = self.mean(theta, state)
        return mean + np.exp(self.log_deviation(theta)) * as_generator(rng).normal(size=mean.shape)

    def entry(self, index: int | slice, shape: tuple[int, ...]) -> "LinearGaussian":
        """The policy of task `index`, the same for all tasks."""
        return self

    def _as_state(self, state: ArrayLike) -> Array:
        """States (..., n)."""
        return as_parameters(state, "state", dim=self.states)

    def _as_arguments(self, theta: ArrayLike, state: ArrayLike, action: ArrayLike) -> tuple[Array, Array, Array]:
        """θ, x and z = (a − Kx)/σ, checked."""
        theta = as_parameters(theta, dim=self.dim, why=self.why)
        x, a = self._as_state(state), as_parameters(action, "action", dim=self.actions)
        batch_shape(theta=theta.shape[:-1], state=x.shape[:-1], action=a.shape[:-1])
        return theta, x, self.noise(theta, x, a)
