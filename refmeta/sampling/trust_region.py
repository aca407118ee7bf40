"""The KL on sampled states, and a step in its trust region.  Derivation: derivations/sampled-policy-gradients.md"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_count,
    as_direction,
    as_parameters,
    as_positive,
    as_real,
    as_real_scalar,
    check_finite,
    finite_result,
    lazy_property,
    reduce_record,
)
from refmeta.conjugate_gradients import conjugate_gradients
from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.sampling.trajectories import Policy, Trajectories, as_policy_parameters, as_trajectories, joint_batch
from refmeta.tasks.fisher import PolicyKLPoint

__all__ = ["GaussianKLPoint", "SampledKL", "TrustRegionStep", "trpo_step"]

ROUNDING = 1e-14  # 45 eps: the relative error of sums of losses and divergences over a batch
NOT_CURVED = "the gradient has a direction in which the KL has the curvature {:.3g}, not above rounding: damping is needed"


@dataclass(frozen=True, eq=False)
class SampledKL:
    """D(θ) = (1/M) Σ_m Σ_t KL(π_θ_sampled(·|s_t) ‖ π_θ(·|s_t)) over the states of a batch, as a task.

    It is undiscounted: all visited states have the same weight, 1/M.
    """

    policy: Policy
    theta_sampled: Array
    trajectories: Trajectories

    __reduce__ = reduce_record

    def __post_init__(self) -> None:
        policy = self.policy
        theta = as_policy_parameters(policy, self.theta_sampled, "theta_sampled")
        object.__setattr__(self, "theta_sampled", as_real(theta, "theta_sampled"))
        object.__setattr__(self, "trajectories", as_trajectories(self.trajectories, policy))
        joint_batch(policy, theta, self.trajectories)

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        return joint_batch(self.policy, self.theta_sampled, self.trajectories)

    @property
    def dim(self) -> int:
        """The number of parameters."""
        return self.policy.dim

    def at(self, theta: ArrayLike) -> "PolicyKLPoint | GaussianKLPoint":
        """The point theta (..., d)."""
        theta = as_policy_parameters(self.policy, theta)
        joint_batch(self.policy, theta, self.trajectories)
        start, batch = self.theta_sampled, self.trajectories
        if isinstance(self.policy, LinearGaussian):
            return GaussianKLPoint(theta, start, self.policy, batch)
        visits = batch.mask[..., None] & (batch.states[..., None] == np.arange(self.policy.states))
        return PolicyKLPoint(theta, start, self.policy, np.mean(np.sum(visits, axis=-2), axis=-2))


@dataclass(frozen=True, eq=False)
class GaussianKLPoint:
    """The divergence at θ between linear-Gaussian policies: Σ_j [log(σ/σ₀) + (σ₀² + Δ²)/(2σ²) − ½]_j, Δ = (K − K₀)x."""

    theta: Array
    start: Array
    policy: LinearGaussian
    trajectories: Trajectories

    __reduce__ = reduce_record

    @lazy_property
    def loss(self) -> Array:
        """(1/M) Σ_m Σ_t Σ_j [(e^−2ℓ − 1 + 2ℓ)/2 + Δ²/(2σ²)], ℓ = log(σ/σ₀); (...).

        Eq: sampled-kl
        """
        ratio, far = self._log_ratio, (self._far / self._deviation) ** 2
        return self._mean(np.sum((np.expm1(-2 * ratio) + 2 * ratio + far) / 2, axis=-1))

    @lazy_property
    def grad(self) -> Array:
        """(1/M) Σ_m Σ_t [(Δ/σ²) xᵀ, 1 − (σ₀² + Δ²)/σ²], (..., d).

        Eq: sampled-kl
        """
        far, precision = self._far / self._deviation, np.exp(-2 * self._log_ratio)
        return self._pullback(far / self._deviation, 1 - precision - far**2)

    @finite_result
    def hvp(self, v: ArrayLike) -> Array:
        """The gradient differentiated along v = [U, ν]: dΔ = Ux, dσ = σν; (..., d).

        Eq: sampled-kl
        """
        batch = np.broadcast_shapes(self._far.shape[:-3], self.theta.shape[:-1])
        v = as_direction(v, self.policy.dim, batch)
        far, nu = self._far / self._deviation, self._log(v)
        Ux, precision = self._means(v) / self._deviation, np.exp(-2 * self._log_ratio)
        return self._pullback((Ux - 2 * far * nu) / self._deviation, 2 * nu * (precision + far**2) - 2 * far * Ux)

    def _log(self, theta: Array) -> Array:
        """log σ of θ, or of a direction, with axes for M and H."""
        return self.policy.log_deviation(theta)[..., None, None, :]

    def _means(self, theta: Array) -> Array:
        """Kx at every step, (..., M, H, m)."""
        return self.trajectories.states @ self.policy.gain(theta)[..., None, :, :].swapaxes(-1, -2)

    @property
    def _deviation(self) -> Array:
        """σ."""
        return np.exp(self._log(self.theta))

    @property
    def _log_ratio(self) -> Array:
        """log(σ/σ₀)."""
        return self._log(self.theta - self.start)

    @property
    def _far(self) -> Array:
        """Δ = (K − K₀)x."""
        return self._means(self.theta - self.start)

    def _mean(self, x: Array) -> Array:
        """(1/M) Σ over M and H."""
        return np.sum(x * self.trajectories.mask, axis=(-2, -1)) / self.trajectories.mask.shape[-2]

    def _pullback(self, by_mean: Array, by_log: Array) -> Array:
        """(1/M) Σ over M and H of [by_mean xᵀ, by_log], (..., d)."""
        rows = self.policy.pullback(by_mean, by_log, self.trajectories.states)
        return np.sum(rows * self.trajectories.mask[..., None], axis=(-3, -2)) / self.trajectories.mask.shape[-2]


class TrustRegionStep(NamedTuple):
    """θ after the step, (d,), its KL, and the decrease of the loss; both are 0 if no step was taken."""

    theta: Array
    kl: float
    improvement: float


@finite_result
def trpo_step(
    theta: ArrayLike, loss: Any, kl: Any, *, radius: float, damping: float = 0.0, backtracks: int = 15
) -> TrustRegionStep:
    """θ − βʲ √(2δ/xᵀFx) x, F x = ∇L by conjugate gradients, β = ½, j the first with KL ≤ δ and a smaller loss.

    Eq: trpo-step

    Parameters
    ----------
    theta : (d,) array
        The policy before the step.
    loss, kl : tasks
        The loss to decrease and the divergence to bound, each summed over its batch axes: `PolicyReturn` and
        `PolicyKL`, or on a batch `likelihood_ratio` and `SampledKL`.  F is the Hessian of `kl` at theta.
    radius : float
        δ, the largest KL allowed, up to rounding.
    damping : float
        Added to the diagonal of F; 0 gives the natural gradient.
    backtracks : int
        How often the step may be halved; then no step is taken.

    Raises
    ------
    FloatingPointError
        If F has no positive curvature along a direction of the gradient: damping is needed.
    """
    theta = as_real(as_parameters(theta), "theta")
    if theta.ndim != 1:
        raise ValueError(f"theta has shape {theta.shape}, expected (d,)")
    for name, task in (("loss", loss), ("kl", kl)):
        if not hasattr(task, "at"):
            raise TypeError(f"{name} must be a task with at(theta), got {type(task).__name__}")
    radius, damping = as_positive(radius, "radius"), as_real_scalar(damping, "damping", least=0.0)
    start, region = loss.at(theta), kl.at(theta)
    g = _sum_over_tasks(start.grad)
    if not np.any(g):
        return TrustRegionStep(np.array(theta), 0.0, 0.0)

    g = g / np.max(np.abs(g))

    def product(v: Array) -> Array:
        return _sum_over_tasks(region.hvp(v))

    x = conjugate_gradients(product, g, shift=damping, rtol=1e-12, refusal=NOT_CURVED)
    if not np.linalg.norm(product(x) + damping * x - g) <= 1e-6 * np.linalg.norm(g):
        raise FloatingPointError(NOT_CURVED.format(0.0))
    x, noise = x * np.sqrt(2 * radius / (x @ g)), float(np.sum(np.abs(start.loss)))
    for j in range(as_count(backtracks, "backtracks") + 1):
        following = check_finite(theta - 0.5**j * x, "theta left the finite numbers: radius is too large, or F too small")
        divergence, decrease = float(np.sum(kl.at(following).loss)), float(np.sum(start.loss - loss.at(following).loss))
        if divergence <= radius * (1 + ROUNDING) and decrease > ROUNDING * noise:
            return TrustRegionStep(following, divergence, decrease)
    return TrustRegionStep(np.array(theta), 0.0, 0.0)


def _sum_over_tasks(gradients: Array) -> Array:
    """Σ over the batch axes."""
    return np.sum(gradients, axis=tuple(range(np.ndim(gradients) - 1)))
