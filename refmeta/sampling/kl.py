"""KL penalties from samples, as tasks.  Derivation: derivations/sampled-policy-gradients.md

With l_t = log π_θ(a_t|s_t) − log π_ref(a_t|s_t), a penalty on a fixed batch is

    L(θ) = (1/M) Σ_m Σ_t γᵗ k(l_t),    k1 = l,    k2 = ½ l²,    k3 = e⁻ˡ + l − 1.

`k1`, `k2` and `k3` differentiate k alone, as code does that adds the penalty to its loss.  `with_ratio` also
differentiates the ratio to the policy that drew the batch.  `in_reward` holds k, and differentiates the probability of the
action.  The three have different gradients, and not all of them are gradients of a divergence in expectation.

Each result is a `Surrogate` whose `theta_sampled` is θ_ref, and of `in_reward` the given θ_sampled.
"""

import functools

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_fraction, as_real, check_finite, finite_result
from refmeta.sampling.likelihood import likelihood_at
from refmeta.sampling.returns import discounted_sum
from refmeta.sampling.surrogates import Link, Surrogate, Term, linear
from refmeta.sampling.trajectories import (
    Policy,
    Trajectories,
    as_policy_parameters,
    as_trajectories,
    discounts,
    joint_batch,
)

__all__ = ["in_reward", "k1", "k2", "k3", "step_values", "with_ratio"]


def _half_square(w: Array, y: Array) -> tuple[Array, Array, Array]:
    """w ½y² and its first and second derivatives."""
    return w * y**2 / 2, w * y, w + 0 * y


def _excess(w: Array, y: Array) -> tuple[Array, Array, Array]:
    """w (e⁻ʸ + y − 1) and its first and second derivatives."""
    less = np.expm1(-y)
    return w * (less + y), -w * less, w * np.exp(-y)


def _times_ratio(link: Link, w: Array, y: Array) -> tuple[Array, Array, Array]:
    """w k(y)eʸ and its derivatives, w (k + k')eʸ and w (k + 2k' + k'')eʸ."""
    value, slope, curve = link(w * np.exp(y), y)
    return value, value + slope, value + 2 * slope + curve


LINKS = (linear, _half_square, _excess)


def _penalty(policy: Policy, theta_ref: ArrayLike, trajectories: Trajectories, gamma: float, link: Link) -> Surrogate:
    """(1/M) Σ γᵗ k(l_t); the sum of a surrogate has a minus sign in front, and so have the weights."""
    theta = as_real(as_policy_parameters(policy, theta_ref, "theta_ref"), "theta_ref")
    batch = as_trajectories(trajectories, policy)
    joint_batch(policy, theta, batch)
    weights = -discounts(batch.mask, as_fraction(gamma, "gamma"))
    return Surrogate(policy, theta, batch, (Term(weights, 0.0, 0.0, link),))


def k1(policy: Policy, theta_ref: ArrayLike, trajectories: Trajectories, *, gamma: float) -> Surrogate:
    """(1/M) Σ_m Σ_t γᵗ l_t, differentiated in l_t.

    Eq: kl-estimators

    On policy its mean is the divergence, and the mean of its gradient is 0.
    """
    return _penalty(policy, theta_ref, trajectories, gamma, linear)


def k2(policy: Policy, theta_ref: ArrayLike, trajectories: Trajectories, *, gamma: float) -> Surrogate:
    """(1/M) Σ_m Σ_t γᵗ ½ l_t², differentiated in l_t.

    Eq: kl-estimators

    On policy its mean is not the divergence, and the mean of its gradient is Σ γᵗ E ∇KL(π_θ ‖ π_ref), the visits held.
    """
    return _penalty(policy, theta_ref, trajectories, gamma, _half_square)


def k3(policy: Policy, theta_ref: ArrayLike, trajectories: Trajectories, *, gamma: float) -> Surrogate:
    """(1/M) Σ_m Σ_t γᵗ (exp(−l_t) + l_t − 1), differentiated in l_t.

    Eq: kl-estimators

    On policy its mean is the divergence, and the mean of its gradient is that of the other divergence,
    Σ γᵗ E ∇KL(π_ref ‖ π_θ), the visits held.
    """
    return _penalty(policy, theta_ref, trajectories, gamma, _excess)


def _as_penalty(penalty: Surrogate) -> tuple[Surrogate, Term]:
    """The penalty and its only term; TypeError unless it was made by `k1`, `k2` or `k3`."""
    if not isinstance(penalty, Surrogate) or len(penalty.terms) != 1 or penalty.terms[0].link not in LINKS:
        raise TypeError(f"penalty must be a result of kl.k1, kl.k2 or kl.k3, got {type(penalty).__name__}")
    return penalty, penalty.terms[0]


def _log_ratio(penalty: Surrogate, theta: ArrayLike, name: str) -> tuple[Array, Array]:
    """θ, which must be real, and l at θ, (..., M, H), 0 after the end."""
    policy, batch = penalty.policy, penalty.trajectories
    theta = as_real(as_policy_parameters(policy, theta, name), name)
    joint_batch(policy, theta, batch)
    here, ref = (likelihood_at(policy, t, batch).log_prob for t in (theta, penalty.theta_sampled))
    return theta, here - ref


@finite_result
def step_values(penalty: Surrogate, theta: ArrayLike) -> Array:
    """k(l_t) of every step, without γᵗ, for the parameters theta (..., d); (..., M, H), 0 after the end.

    Eq: kl-estimators

    Rewards r − β k are rewards with the penalty in them: any estimator of ∇J takes them.
    """
    penalty, term = _as_penalty(penalty)
    return term.link(np.ones(1), _log_ratio(penalty, theta, "theta")[1])[0]


def in_reward(penalty: Surrogate, theta_sampled: ArrayLike) -> Surrogate:
    """(1/M) Σ γᵗ K_t x_t, x = log π_θ − log π_θ_sampled, K_t = Σ_{j≥t} γʲ⁻ᵗ k(l_j) held at θ_sampled: k in the reward.

    Eq: kl-estimators

    On policy, for k1, the mean of its gradient at θ_sampled is that of Σ γᵗ E KL(π_θ ‖ π_ref), and the visits move.

    Parameters
    ----------
    penalty : Surrogate
        The result of `k1`, `k2` or `k3`.
    theta_sampled : (..., d) array
        The parameters that drew the batch.
    """
    penalty, term = _as_penalty(penalty)
    theta, ratio = _log_ratio(penalty, theta_sampled, "theta_sampled")
    with np.errstate(all="ignore"):
        weights = discounted_sum(term.link(term.weights, ratio)[0], 1.0)
    check_finite(weights, "k left the finite numbers at theta_sampled: theta_ref is too far away")
    return Surrogate(penalty.policy, theta, penalty.trajectories, (Term(weights, 0.0, 0.0, linear),))


def with_ratio(penalty: Surrogate, theta_sampled: ArrayLike) -> Surrogate:
    """(1/M) Σ γᵗ k(l_t) π_θ/π_θ_sampled, the ratio of the step's own action, differentiated, too.

    Eq: kl-estimators

    For k1 and k3 the mean of its gradient is Σ γᵗ E ∇KL(π_θ ‖ π_ref), with the visits of θ_sampled held, at every θ.

    Parameters
    ----------
    penalty : Surrogate
        The result of `k1`, `k2` or `k3`.
    theta_sampled : (..., d) array
        The parameters that drew the batch.
    """
    penalty, term = _as_penalty(penalty)
    ratio = _log_ratio(penalty, theta_sampled, "theta_sampled")[1]
    with np.errstate(all="ignore"):
        weights = term.weights * np.exp(-ratio)
    check_finite(weights, "π_ref/π_θ_sampled left the finite numbers: theta_ref is too far away from theta_sampled")
    own = Term(weights, 0.0, 0.0, functools.partial(_times_ratio, term.link))
    return Surrogate(penalty.policy, penalty.theta_sampled, penalty.trajectories, (own,))
