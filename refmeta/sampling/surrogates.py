"""Surrogates on a fixed batch of trajectories, as tasks.  Derivation: derivations/sampled-meta-gradients.md

With x_t = log π_θ(a_t|s_t) − log π_θ_sampled(a_t|s_t), every surrogate is one sum,

    L(θ) = −(1/M) Σ_m Σ_j Σ_t w_j,t g((C_j x)_t),

of weights w, a matrix C over the time steps, and g the exponential (or the identity, or a clipped exponential).  The
denominator is fixed at θ_sampled, so that loss, gradient and Hessian product are consistent at every θ.  With the same
reward to go and baseline all surrogates have the same gradient at θ_sampled, but not the same Hessian product.

`baseline` broadcasts to (..., M, H); for other advantages Â give the baseline Ĝ − Â.
"""

import functools
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    along,
    as_fraction,
    as_numbers,
    as_parameters,
    as_positive,
    as_real,
    batch_shape,
    entry,
    finite_result,
    lazy_property,
    reduce_record,
)
from refmeta.sampling.likelihood import Likelihood, likelihood, likelihood_at, trusted_at
from refmeta.sampling.returns import as_step_values, discounted_sum
from refmeta.sampling.trajectories import (
    Policy,
    Trajectories,
    as_policy_parameters,
    as_trajectories,
    discounts,
    joint_batch,
)

__all__ = [
    "Surrogate", "SurrogatePoint", "clipped", "dice", "emaml_score_term", "likelihood_ratio", "loaded_dice",
    "reinforce", "tmaml",
]  # fmt: skip

Link = Callable[[Array, Array], tuple[Array, Array, Array]]


class Term(NamedTuple):
    """Σ_t w_t g((Cx)_t): weights w (..., M, H), C = T_λ + shift·I with (T_λx)_t = Σ_{k≤t} λᵗ⁻ᵏ x_k, and the link g."""

    weights: Array
    trace: float
    shift: float
    link: Link

    def mixed(self, x: Array) -> Array:
        """Cx."""
        y = discounted_sum(x[..., ::-1], self.trace)[..., ::-1]
        return y + self.shift * x if self.shift else y

    def spread(self, y: Array) -> Array:
        """Cᵀy."""
        x = discounted_sum(y, self.trace)
        return x + self.shift * y if self.shift else x


def exponential(w: Array, y: Array) -> tuple[Array, Array, Array]:
    """w eʸ and its first and second derivatives."""
    return (w * np.exp(y),) * 3


def linear(w: Array, y: Array) -> tuple[Array, Array, Array]:
    """w y and its first and second derivatives."""
    return w * y, w + 0 * y, 0 * w * y


def clipped_exponential(epsilon: float) -> Link:
    """min(w eʸ, w clip(eʸ, 1 − ε, 1 + ε)) and its derivatives: those of w eʸ where that is the smaller, else 0."""
    return functools.partial(_clipped, epsilon)


def _clipped(epsilon: float, w: Array, y: Array) -> tuple[Array, Array, Array]:
    """The link of `clipped_exponential`."""
    ratio = np.exp(y)
    inside = np.where(w > 0, np.real(ratio) <= 1 + epsilon, np.real(ratio) >= 1 - epsilon)
    bound = np.where(w > 0, 1 + epsilon, 1 - epsilon)
    return w * np.where(inside, ratio, bound), w * ratio * inside, w * ratio * inside


@dataclass(frozen=True, eq=False)
class Surrogate:
    """L(θ) = −(1/M) Σ_m Σ_j Σ_t w g(Cx), returned by the functions of this module."""

    policy: Policy
    theta_sampled: Array
    trajectories: Trajectories
    terms: tuple[Term, ...]

    __reduce__ = reduce_record

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        batch = joint_batch(self.policy, self.theta_sampled, self.trajectories)
        return np.broadcast_shapes(batch, *(term.weights.shape[:-2] for term in self.terms))

    @functools.cached_property
    def _sampled(self) -> Likelihood:
        """ℓ at θ_sampled."""
        return likelihood_at(self.policy, self.theta_sampled, self.trajectories)

    @property
    def dim(self) -> int:
        """The number of parameters."""
        return self.policy.dim

    def at(self, theta: ArrayLike) -> "SurrogatePoint":
        """The point theta (..., d)."""
        theta = as_policy_parameters(self.policy, theta)
        batch_shape(theta=theta.shape[:-1], surrogate=self.shape)
        return self._at(theta)

    def _at(self, theta: Array) -> "SurrogatePoint":
        """The point at a theta that has been checked."""
        return SurrogatePoint(theta, self)

    def __getitem__(self, index: int | slice) -> "Surrogate":
        """Task `index` of the first batch axis, or a slice of the tasks."""
        shape, axes = self.shape, self.trajectories.mask.ndim - 2
        batch = Trajectories(*(entry(x, index, shape, x.ndim - axes) for x in self.trajectories))
        terms = (term._replace(weights=entry(term.weights, index, shape, 2)) for term in self.terms)
        theta = entry(self.theta_sampled, index, shape, 1)
        return Surrogate(self.policy.entry(index, shape), theta, batch, tuple(terms))


@dataclass(frozen=True, eq=False)
class SurrogatePoint:
    """A surrogate at θ.  With D = ∂x/∂θ, and u and U the first and second derivatives of the sum by x,

    −M ∇L = Dᵀu,    −M ∇²L v = Dᵀ U D v + Σ_t u_t ∇² log π_θ(a_t|s_t) v.
    """

    theta: Array
    task: Surrogate

    __reduce__ = reduce_record

    @lazy_property
    def loss(self) -> Array:
        """−(1/M) Σ w g(Cx), (...)."""
        return -np.sum(_sum(value for _, (value, _, _) in self._each), axis=(-2, -1)) / self._episodes

    @lazy_property
    def grad(self) -> Array:
        """−(1/M) Dᵀ u, u = Σ_j Cᵀ w g'(Cx); (..., d)."""
        return -self._likelihood.pull(self.slopes) / self._episodes

    @property
    def batch(self) -> tuple[int, ...]:
        """The batch axes."""
        return np.broadcast_shapes(self.theta.shape[:-1], self.task.shape)

    @along
    def hvp(self, v: Array) -> Array:
        """−(1/M) (Dᵀ U D v + Σ u ∇² log π v), U = Σ_j Cᵀ diag(w g''(Cx)) C; (..., d).

        Eq: surrogate-hvp
        """
        like = self._likelihood
        ahead = like.along(v)
        bent = _sum(term.spread(curve * term.mixed(ahead)) for term, (_, _, curve) in self._each)
        return -(like.pull(bent) + like.curve(self.slopes, v)) / self._episodes

    @property
    def _episodes(self) -> int:
        """M."""
        return self.task.trajectories.mask.shape[-2]

    @functools.cached_property
    def _likelihood(self) -> Likelihood:
        """ℓ at θ."""
        return trusted_at(self.task._sampled, self.theta)

    @functools.cached_property
    def _each(self) -> list[tuple[Term, tuple[Array, Array, Array]]]:
        """Every term with w g, w g' and w g'' at Cx."""
        x = self._likelihood.log_prob - self.task._sampled.log_prob
        return [(term, term.link(term.weights, term.mixed(x))) for term in self.task.terms]

    @lazy_property
    def slopes(self) -> Array:
        """u, the derivative of the sum by x, (..., M, H)."""
        return _sum(term.spread(slope) for term, (_, slope, _) in self._each)


def _sum(terms: Iterable[Array]) -> Array:
    """The sum of arrays whose batch axes broadcast."""
    return functools.reduce(operator.add, terms)


def _ingredients(
    policy: Policy, theta_sampled: ArrayLike, trajectories: Trajectories, gamma: float, baseline: ArrayLike
) -> tuple[Array, Trajectories, Array, Array, Array]:
    """θ_sampled, the trajectories, γᵗr, γᵗb and γᵗ(Ĝ − b)."""
    theta = as_real(as_policy_parameters(policy, theta_sampled, "theta_sampled"), "theta_sampled")
    batch = as_trajectories(trajectories, policy)
    gamma, b = as_fraction(gamma, "gamma"), as_step_values(baseline, batch, "baseline")
    batch_shape(theta_sampled=joint_batch(policy, theta, batch), baseline=b.shape[:-2])
    weight, G = discounts(batch.mask, gamma), finite_result(discounted_sum)(batch.rewards, gamma)
    return theta, batch, weight * batch.rewards, weight * b, weight * (G - b)


def _needed(first: Term, *others: Term) -> tuple[Term, ...]:
    """The first term, and the others without those whose weights are all 0, as they are without a baseline."""
    shape = first.weights.shape
    return (first, *(term for term in others if term.weights.shape != shape or term.weights.any()))


def reinforce(
    policy: Policy, theta_sampled: ArrayLike, trajectories: Trajectories, *, gamma: float, baseline: ArrayLike = 0.0
) -> Surrogate:
    """−(1/M) Σ γᵗ(Ĝ_t − b_t) x_t: its Hessian is only Σ γᵗ(Ĝ − b) ∇² log π.

    Eq: surrogate-naive
    """
    theta, batch, _, _, advantage = _ingredients(policy, theta_sampled, trajectories, gamma, baseline)
    return Surrogate(policy, theta, batch, (Term(advantage, 0.0, 0.0, linear),))


def likelihood_ratio(
    policy: Policy, theta_sampled: ArrayLike, trajectories: Trajectories, *, gamma: float, baseline: ArrayLike = 0.0
) -> Surrogate:
    """−(1/M) Σ γᵗ(Ĝ_t − b_t) exp(x_t): its Hessian at θ_sampled is Σ γᵗ(Ĝ − b)(∇² log π + s sᵀ), as in LVC.

    Eq: lvc
    """
    theta, batch, _, _, advantage = _ingredients(policy, theta_sampled, trajectories, gamma, baseline)
    return Surrogate(policy, theta, batch, (Term(advantage, 0.0, 0.0, exponential),))


def dice(
    policy: Policy, theta_sampled: ArrayLike, trajectories: Trajectories, *, gamma: float, baseline: ArrayLike = 0.0
) -> Surrogate:
    """−(1/M) Σ γᵗ [r_t exp(Σ_{k≤t} x_k) + b_t (1 − exp(x_t))].

    Eq: dice
    """
    theta, batch, rewards, b, _ = _ingredients(policy, theta_sampled, trajectories, gamma, baseline)
    base = (Term(b, 0.0, -1.0, exponential), Term(-b, 0.0, 0.0, exponential))
    return Surrogate(policy, theta, batch, _needed(Term(rewards, 1.0, 0.0, exponential), *base))


def tmaml(
    policy: Policy, theta_sampled: ArrayLike, trajectories: Trajectories, *, gamma: float, baseline: ArrayLike = 0.0
) -> Surrogate:
    """−(1/M) Σ γᵗ [r_t ☐_{≤t} + b_t ((1 − ☐_t) − (1 − ☐_{<t})(1 − ☐_t))], ☐_t = exp(x_t), ☐_{≤t} = exp(Σ_{k≤t} x_k).

    Eq: tmaml-baseline

    The term of the baseline equals b_t (☐_{<t} − ☐_{≤t}).
    """
    theta, batch, rewards, b, _ = _ingredients(policy, theta_sampled, trajectories, gamma, baseline)
    base = (Term(b, 1.0, -1.0, exponential), Term(-b, 1.0, 0.0, exponential))
    return Surrogate(policy, theta, batch, _needed(Term(rewards, 1.0, 0.0, exponential), *base))


def loaded_dice(
    policy: Policy,
    theta_sampled: ArrayLike,
    trajectories: Trajectories,
    *,
    gamma: float,
    baseline: ArrayLike = 0.0,
    lam: float = 1.0,
) -> Surrogate:
    """−(1/M) Σ γᵗ(Ĝ_t − b_t) [exp(w_t) − exp(w_t − x_t)], w_t = Σ_{k≤t} λᵗ⁻ᵏ x_k.

    Eq: loaded-dice

    λ = 1 is unbiased; λ = 0 is the likelihood ratio, up to a constant; between them less variance costs some bias.
    """
    theta, batch, _, _, advantage = _ingredients(policy, theta_sampled, trajectories, gamma, baseline)
    lam = as_fraction(lam, "lam")
    terms = (Term(advantage, lam, 0.0, exponential), Term(-advantage, lam, -1.0, exponential))
    return Surrogate(policy, theta, batch, terms)


def clipped(
    policy: Policy,
    theta_sampled: ArrayLike,
    trajectories: Trajectories,
    *,
    gamma: float,
    epsilon: float,
    baseline: ArrayLike = 0.0,
) -> Surrogate:
    """−(1/M) Σ γᵗ min(Â_t ☐_t, Â_t clip(☐_t, 1 − ε, 1 + ε)), Â = Ĝ − b: the query of ProMP.

    Eq: promp-objective
    """
    theta, batch, _, _, advantage = _ingredients(policy, theta_sampled, trajectories, gamma, baseline)
    link = clipped_exponential(as_positive(epsilon, "epsilon"))
    return Surrogate(policy, theta, batch, (Term(advantage, 0.0, 0.0, link),))


@finite_result
def emaml_score_term(policy: Policy, theta: ArrayLike, trajectories: Trajectories, *, value: ArrayLike) -> Array:
    """value · Σ_m Σ_t ∇ log π_θ(a_t|s_t), a sum over all M trajectories, without α and without 1/M; (..., d).

    Eq: emaml-score-term

    `value`, one per task, is the return or the loss after adaptation; the term has its sign.
    """
    like = likelihood(policy, theta, trajectories)
    value = as_parameters(as_numbers(value, "value")[..., None], "value")
    batch_shape(value=value.shape[:-1], trajectories=joint_batch(policy, like.theta, like.trajectories))
    return value * like.pull(np.ones(like.trajectories.mask.shape))


Reinforce, LikelihoodRatio, Dice, TMAML = reinforce, likelihood_ratio, dice, tmaml  # the names before 0.7
LoadedDice, Clipped = loaded_dice, clipped
