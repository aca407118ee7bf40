"""Evidence for KL penalties from samples: their definitions, complex steps, and their means by a recursion over states."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check, Error, off
from refmeta.evidence.sampled import random_tiny
from refmeta.evidence.sampling import random_batch, steps
from refmeta.judges import complex_step
from refmeta.sampling import kl
from refmeta.sampling.enumeration import expectation
from refmeta.sampling.surrogates import Surrogate
from refmeta.sampling.trajectories import Trajectories
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["CHECKS", "FORMS", "KINDS", "PenaltyCase", "exact_gradients", "random_divergence", "random_penalty"]

KINDS: dict[str, Callable[[Any], Any]] = {
    "k1": lambda x: x,
    "k2": lambda x: x**2 / 2,
    "k3": lambda x: np.exp(-x) + x - 1,
}
FORMS = ("in_loss", "with_ratio", "in_reward")


class PenaltyCase(NamedTuple):
    """A batch, three parameter vectors, γ, a direction, and which penalty in which form."""

    policy: Any
    theta: Array
    theta_ref: Array
    theta_sampled: Array
    trajectories: Trajectories
    gamma: float
    v: Array
    kind: str
    form: str


def random_penalty(rng: Generator, kind: str = "", k: str = "", form: str = "", **sizes: int) -> PenaltyCase:
    """θ and θ_sampled lie near θ_ref."""
    policy, ref, batch = random_batch(rng, kind, **sizes)
    theta, sampled = ref + 0.3 * rng.normal(size=(2, policy.dim))
    gamma, v = float(rng.uniform(0.3, 0.95)), rng.normal(size=policy.dim)
    which = k or list(KINDS)[rng.integers(3)], form or FORMS[rng.integers(3)]
    return PenaltyCase(policy, theta, ref, sampled, batch, gamma, v, *which)


def _loss(case: PenaltyCase, theta: Array) -> Array:
    """The penalty's definition, one step after another, (N,)."""
    policy, _, ref, sampled, batch, gamma, _, kind, form = case
    N, M, H = batch.mask.shape
    total, k = np.zeros(N, np.result_type(theta, float)), KINDS[kind]
    now, before, at_ref = (policy.log_prob(t, batch.states, batch.actions) for t in (theta, sampled, ref))
    for n, m, t in steps(batch):
        i = n, m, t
        if form == "in_reward":
            later = [(n, m, j) for j in range(t, H) if batch.mask[n, m, j]]
            held = sum(gamma ** j[2] * k(before[j] - at_ref[j]) for j in later)
            total[n] += held * (now[i] - before[i]) / M
        else:
            ratio = np.exp(now[i] - before[i]) if form == "with_ratio" else 1.0
            total[n] += gamma**t * k(now[i] - at_ref[i]) * ratio / M
    return total


def _as_form(form: str, penalty: Surrogate, theta_sampled: Array) -> Surrogate:
    """The penalty in the loss, with the ratio, or in the reward."""
    make: Any = {"in_loss": lambda penalty, _: penalty, "with_ratio": kl.with_ratio, "in_reward": kl.in_reward}[form]
    return make(penalty, theta_sampled)


def _point(case: PenaltyCase) -> Any:
    """The library's point."""
    make: Any = getattr(kl, case.kind)
    penalty = make(case.policy, case.theta_ref, case.trajectories, gamma=case.gamma)
    return _as_form(case.form, penalty, case.theta_sampled).at(case.theta)


def _penalty_error(case: PenaltyCase) -> Error:
    """The loss by its definition, the gradient by a complex step of that, the product by one of the gradient."""
    grad = complex_step(lambda t: _loss(case, t), case.theta)
    hvp = complex_step(lambda t: _point(case._replace(theta=t)).grad, case.theta, case.v)

    def every(z: Any) -> Array:
        point = _point(PenaltyCase._make((*z, case.kind, case.form)))
        return np.concatenate([point.loss[:, None], point.grad, point.hvp(z[6])], axis=-1)

    expected = np.concatenate([_loss(case, case.theta)[:, None], grad, hvp], axis=-1)
    return off(every, tuple(case)[:7], expected, scale=1.0)  # as written above, k3 has the rounding of its terms, of order 1


DivergenceCase = tuple[PolicyReturn, Array, Array]


def random_divergence(rng: Generator, horizon: int = 2) -> DivergenceCase:
    """A tiny process with a horizon, θ and θ_ref."""
    task, theta, _ = random_tiny(rng, horizon=horizon)
    return task, theta, theta + rng.normal(size=4)


def _policy(theta: Array) -> Array:
    """The softmax table of two states and two actions."""
    weights = np.exp(theta.reshape(2, 2))
    return weights / np.sum(weights, axis=1, keepdims=True)


def exact_gradients(case: DivergenceCase) -> Array:
    """What the nine mean gradients are, (9, d), by the forms in their order, of each k1, k2 and k3.

    Complex steps of Σ_t γᵗ Σ_s d_t(s) f(s), with the visits d of θ itself (they move) or of a fixed policy (held).
    """
    task, theta, ref = case
    mdp, old, fixed = task.mdp, _policy(ref), _policy(theta)

    def slope(f: Callable[[Array], Array], moving: bool = False) -> Array:
        def total(t: Array) -> Any:
            pi, d, value = _policy(t), mdp.rho, 0.0
            for time in range(mdp.horizon or 0):
                value = value + mdp.gamma**time * np.sum(d[:, None] * f(pi))
                d = np.einsum("s,sa,sap->p", d, pi if moving else fixed, mdp.P)
            return value

        return complex_step(total, theta)

    divergence = lambda pi: pi * np.log(pi / old)
    square = lambda pi: pi * np.log(pi / old) ** 2 / 2
    held, other = slope(divergence), slope(lambda pi: old * np.log(old / pi))
    moved = slope(divergence, moving=True)
    return np.array([
        0 * held, held, other,
        held, slope(square), held,
        moved, slope(square, moving=True) - held, moved - other,
    ])  # fmt: skip


def _mean_gradients(case: DivergenceCase) -> Array:
    """The library's nine mean gradients, over all trajectories."""
    task, theta, ref = case

    def every(batch: Trajectories) -> Array:
        makes: Any = (kl.k1, kl.k2, kl.k3)
        penalties = [make(task.policy, ref, batch, gamma=task.mdp.gamma) for make in makes]
        return np.stack([_as_form(form, p, theta).at(theta).grad for form in FORMS for p in penalties], axis=1)

    return expectation(every, task.mdp, task.policy, theta).mean


def _divergence_error(case: DivergenceCase) -> Error:
    """The nine mean gradients against the exact ones."""
    return off(lambda z: _mean_gradients(z)[None], case, exact_gradients(case)[None])


CHECKS = (
    Check("kl-estimators", "(1/M) Σ γᵗ k(log π/π_ref)", "step by step, complex steps", random_penalty, _penalty_error),
    Check("thm:kl-gradients", "E ∇k in loss, with ratio, in reward", "recursion over states, complex step",
          random_divergence, _divergence_error),
)  # fmt: skip
