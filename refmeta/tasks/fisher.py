"""The geometry of softmax policies: Fisher products, natural gradient, KL, and the parts of the Hessian.

A `point` is `PolicyReturn(mdp, policy).at(theta)`, with or without a horizon; J is the return, to be maximised.  Visits
d(s) = Σ_t γᵗ Pr(s_t = s) are not normalised: Σ_s d(s) is 1/(1 − γ) or (1 − γᴴ)/(1 − γ), not 1.

Derivation: derivations/policy-geometry.md
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_direction,
    as_parameters,
    batch_shape,
    dot,
    finite_result,
    lazy_property,
    reduce_record,
)
from refmeta.policies import Softmax, TabularSoftmax
from refmeta.softmax import centred, log_softmax, softmax, softmax_jvp
from refmeta.tasks.exact_return import DiscountedPoint
from refmeta.tasks.finite_horizon import FiniteHorizonPoint

__all__ = ["HessianSplit", "PolicyKL", "PolicyKLPoint", "hessian_split", "natural_gradient", "product", "visits"]

PolicyPoint = DiscountedPoint | FiniteHorizonPoint


def visits(point: PolicyPoint) -> Array:
    """d(s), (..., S): the occupancy, with a horizon summed over time."""
    _check_point(point)
    return point.occupancy if isinstance(point, DiscountedPoint) else np.sum(point.occupancy, axis=-2)


@finite_result
def product(point: PolicyPoint, v: ArrayLike) -> Array:
    """F v = Σ_s d(s) (diag π − ππᵀ) x in the logits, x those of v; (..., d).

    Eq: fisher

    F = Σ_s d(s) Σ_a π(a|s) ∇log π(a|s) ∇log π(a|s)ᵀ is never formed.
    """
    d, pi = visits(point), point.probabilities
    x = point.policy.table(as_direction(v, point.policy.dim, pi.shape[:-2]))
    return point.policy.pullback(d[..., None] * softmax_jvp(pi, x))


@finite_result
def natural_gradient(point: PolicyPoint) -> Array:
    """The solution x of F x = ∇J with the least norm, (..., d).

    Eq: natural-gradient

    Tabular: A(s, a) − mean_b A(s, b) where d(s) > 0, and 0 elsewhere.  With features: the least-squares solution of
    Σ d π (A − xᵀ∇log π)² with the least norm; its relative error is about eps·κ², κ the condition number of the matrix.
    With a horizon A is the mean of A_t, weighted by γᵗd_t.

    Raises
    ------
    TypeError
        With features, for a complex theta: least squares use complex conjugates.
    FloatingPointError
        With features, if the policy is so certain that the weights √(dπ) hide a direction of its scores: κ above 10⁷.
    """
    d, pi = visits(point)[..., None], point.probabilities
    weighted = point.occupancy[..., None] * point.advantage
    weighted = weighted if isinstance(point, DiscountedPoint) else np.sum(weighted, axis=-3)
    reached = np.real(d) > 0
    A = np.where(reached, weighted, 0) / np.where(reached, d, 1)
    if isinstance(point.policy, TabularSoftmax):
        return point.policy.pullback(A - np.mean(A, axis=-1, keepdims=True))
    if np.iscomplexobj(pi):
        raise TypeError("the natural gradient with features needs a real theta: least squares use complex conjugates")
    pairs, weight = pi.shape[-2] * pi.shape[-1], np.sqrt(d * pi)
    shape = (*pi.shape[:-2], pairs, point.policy.dim)
    scores = centred(pi[..., None, :], point.policy.features.swapaxes(-1, -2)).swapaxes(-1, -2)
    differences = point.policy.features - np.mean(point.policy.features, axis=-2, keepdims=True)
    rank = np.linalg.matrix_rank((reached[..., None] * differences).reshape(shape))
    X = (weight[..., None] * scores).reshape(shape)
    lost = rank - np.linalg.matrix_rank(X, tol=1e-7 * np.linalg.norm(X, ord=2, axis=(-2, -1)))
    if np.any(lost):
        raise FloatingPointError(
            f"the policy is too certain for the natural gradient: {np.max(lost)} of {np.max(rank)} directions of its scores "
            "have weights sqrt(d pi) below 1e-7 of the largest, and least squares cannot tell them from rounding"
        )
    return (np.linalg.pinv(X, rcond=1e-7) @ (weight * A).reshape(*shape[:-1], 1))[..., 0]


class HessianSplit(NamedTuple):
    """The four parts of ∇²J v = −point.hvp(v), (..., d) each; ∇²J v is their sum."""

    score_squared: Array
    curvature: Array
    cross: Array
    cross_transposed: Array


@finite_result
def hessian_split(point: PolicyPoint, v: ArrayLike) -> HessianSplit:
    """ℋ₁v, ℋ₂v, ℋ₁₂v and ℋ₁₂ᵀv: Σ dπ s(sᵀv)Q, Σ dπ (∇²log π v)Q, Σ dπ s(∇Qᵀv) and its transpose, s the score.

    Eq: hessian-split

    The sums are over states and actions, and with a horizon over time, with γᵗd_t and Q_t.  ValueError for a temperature
    above 0: then the Hessian has a fifth part, −τFv.
    """
    _check_point(point)
    if point.temperature > 0:
        raise ValueError(
            f"hessian_split needs a point of temperature 0, got {point.temperature}: with entropy the Hessian has a "
            "fifth part, -temperature times the Fisher product, and Q stands less temperature times log pi"
        )
    dpi, dQ, dd, _ = point.tangent(v)
    pi, Q, d = point.probabilities, point.action_value, point.occupancy[..., None]
    y = centred(pi, point.policy.table(as_direction(v, point.policy.dim, pi.shape[:-2])))
    has_time = not isinstance(point, DiscountedPoint)
    if has_time:
        pi, dpi, y = (x[..., None, :, :] for x in (pi, dpi, y))

    def pullback(x: Array) -> Array:
        return point.policy.pullback(np.sum(x, axis=-3) if has_time else x)

    return HessianSplit(
        score_squared=pullback(d * softmax_jvp(pi, y * Q)),
        curvature=pullback(-d * dpi * dot(pi, Q)[..., None]),
        cross=pullback(d * softmax_jvp(pi, dQ)),
        cross_transposed=pullback(dd[..., None] * pi * point.advantage),
    )


@dataclass(frozen=True, eq=False)
class PolicyKL:
    """D(θ) = Σ_s d_{θ₀}(s) KL(π_{θ₀}(·|s) ‖ π_θ(·|s)) as a task; `start` is the point at θ₀, and its visits stay fixed.

    Raises
    ------
    TypeError
        If `start` is not a point of a `PolicyReturn`, or its theta is complex.
    """

    start: PolicyPoint

    def __post_init__(self) -> None:
        _check_point(self.start)
        if np.iscomplexobj(self.start.theta):
            raise TypeError("start must be the point of a real theta, got complex numbers")

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        return self.start.probabilities.shape[:-2]

    @property
    def dim(self) -> int:
        """The number of parameters."""
        return self.start.policy.dim

    def at(self, theta: ArrayLike) -> "PolicyKLPoint":
        """The point theta (..., d)."""
        theta = as_parameters(theta, dim=self.dim, why=self.start.policy.why)
        batch_shape(theta=theta.shape[:-1], start=self.shape)
        return PolicyKLPoint(theta, self.start.theta, self.start.policy, visits(self.start))


@dataclass(frozen=True, eq=False)
class PolicyKLPoint:
    """The divergence at θ from the policy at θ₀ = `start`, with fixed visits (..., S)."""

    theta: Array
    start: Array
    policy: Softmax
    visits: Array

    __reduce__ = reduce_record

    @lazy_property
    def loss(self) -> Array:
        """Σ_s d₀ Σ_a π₀ (log π₀ − log π), (...).

        Eq: policy-kl

        Near θ₀ it is computed as Σ_s d₀ log(1 + Σ_a π₀ (e^c − 1 − c)), c = x − ⟨π₀, x⟩ for the logits x of θ − θ₀:
        the same number, with all its digits even where it is very small.
        """
        old, new, pi = self.policy.table(self.start), self.policy.table(self.theta), self._probabilities(self.start)
        c = centred(pi, new - old)
        near = np.max(np.abs(np.real(c)), axis=-1) <= 1
        close = np.log1p(dot(pi, _exponential_remainder(np.where(near[..., None], c, 0))))
        return dot(self.visits, np.where(near, close, dot(pi, log_softmax(old) - log_softmax(new))))

    @lazy_property
    def grad(self) -> Array:
        """Σ_s d₀ (π − π₀) in the logits, (..., d).

        Eq: policy-kl-gradient
        """
        moved = self._probabilities(self.theta) - self._probabilities(self.start)
        return self.policy.pullback(self.visits[..., None] * moved)

    @finite_result
    def hvp(self, v: ArrayLike) -> Array:
        """Σ_s d₀ (diag π − ππᵀ) x in the logits, x those of v; (..., d).

        Eq: policy-kl-hvp
        """
        pi = self._probabilities(self.theta)
        batch = np.broadcast_shapes(pi.shape[:-2], self.visits.shape[:-1])
        x = self.policy.table(as_direction(v, self.policy.dim, batch))
        return self.policy.pullback(self.visits[..., None] * softmax_jvp(pi, x))

    def _probabilities(self, theta: Array) -> Array:
        """π, (..., S, A)."""
        return softmax(self.policy.table(theta))


def _exponential_remainder(c: Array) -> Array:
    """e^c − 1 − c = c² (1/2! + c/3! + c²/4! + …), for |c| ≤ 1."""
    total = np.zeros_like(c)
    for k in range(20, 1, -1):
        total = total * c + 1 / math.factorial(k)
    return total * c**2


def _check_point(point: PolicyPoint) -> None:
    """Check that `point` is a point of a `PolicyReturn`."""
    if not isinstance(point, PolicyPoint):
        raise TypeError(f"expected PolicyReturn(mdp, policy).at(theta), got {type(point).__name__}")
