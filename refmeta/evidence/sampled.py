"""Evidence for surrogates and sampled meta-gradients: their definitions, complex steps, brute-force expectations."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check, Error, off
from refmeta.evidence.definitions import all_trajectories, formulation, surrogate_loss
from refmeta.evidence.sampling import random_batch, steps
from refmeta.judges import complex_step
from refmeta.meta import sampled
from refmeta.meta.sampled_maml import Episodes, ProMP
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.policies import TabularSoftmax
from refmeta.problems import random_process, random_trajectories
from refmeta.sampling import surrogates
from refmeta.sampling.enumeration import expectation
from refmeta.sampling.likelihood import likelihood
from refmeta.sampling.returns import exact_baseline
from refmeta.sampling.trajectories import Trajectories
from refmeta.sampling.trust_region import SampledKL
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

__all__ = [
    "CHECKS", "KINDS", "SurrogateCase", "loss_error", "random_promp", "random_score_term", "random_surrogate",
    "random_tiny",
]  # fmt: skip

KINDS = ("reinforce", "likelihood_ratio", "dice", "tmaml", "loaded_dice", "clipped")


class SurrogateCase(NamedTuple):
    """A batch, the θ at which it was sampled, and the θ at which its surrogate is evaluated."""

    policy: Any
    theta: Array
    theta_sampled: Array
    trajectories: Trajectories
    gamma: float
    baseline: Array


def random_surrogate(rng: Generator, kind: str = "", **sizes: int) -> SurrogateCase:
    """θ lies near θ_sampled, and the baseline is any."""
    policy, start, batch = random_batch(rng, kind, **sizes)
    theta, gamma = start + 0.2 * rng.normal(size=policy.dim), float(rng.uniform(0.3, 0.95))
    return SurrogateCase(policy, theta, start, batch, gamma, rng.normal(size=batch.mask.shape))


def _by_definition(kind: str, case: SurrogateCase) -> Array:
    """The loss, step by step."""
    policy, theta, start, batch, gamma, b = case
    return surrogate_loss(kind, Batches(theta, start, policy, batch, b, gamma, lam=0.625, v=theta))


def _surrogate(kind: str, case: SurrogateCase) -> Any:
    """The library's point of the surrogate."""
    make: Any = getattr(surrogates, kind)
    more = {"loaded_dice": {"lam": 0.625}, "clipped": {"epsilon": 0.25}}.get(kind, {})
    task = make(case.policy, case.theta_sampled, case.trajectories, gamma=case.gamma, baseline=case.baseline, **more)
    return task.at(case.theta)


def _scale(case: SurrogateCase) -> Array:
    """Σ |r| + |b|, task by task."""
    return np.sum(np.abs(case.trajectories.rewards) + np.abs(case.baseline), axis=(1, 2))


def loss_error(kind: str) -> Callable[[SurrogateCase], Error]:
    """The judge of a surrogate's loss, by its definition."""
    return lambda case: off(lambda z: _surrogate(kind, z).loss, case, _by_definition(kind, case), _scale(case))


def _random_product(rng: Generator) -> tuple[SurrogateCase, str, Array]:
    """A surrogate of any kind, and a direction."""
    case, kind = random_surrogate(rng), KINDS[rng.integers(len(KINDS))]
    return case, kind, rng.normal(size=case.policy.dim)


def _derivatives_error(case: tuple[SurrogateCase, str, Array]) -> Error:
    """Complex steps of the loss and of the gradient."""
    z, kind, v = case
    grad = complex_step(lambda t: _surrogate(kind, z._replace(theta=t)).loss, z.theta)
    hvp = complex_step(lambda t: _surrogate(kind, z._replace(theta=t)).grad, z.theta, v)

    def both(x: Any) -> Array:
        point = _surrogate(kind, x[0])
        return np.concatenate([point.grad, point.hvp(x[2])], axis=-1)

    return off(both, case, np.concatenate([grad, hvp], axis=-1), _scale(z))


def random_score_term(rng: Generator, kind: str = "", **sizes: int) -> tuple[Any, ...]:
    """Policy, θ, batch and a value for each task."""
    batch = random_batch(rng, kind, **sizes)
    return *batch, rng.normal(size=len(batch[2].mask))


def _score_term_error(case: Any) -> Error:
    """The value times the complex step of log p, step by step."""
    policy, theta, batch, value = case
    N = len(value)

    def total(t: Array) -> Array:
        each = (policy.log_prob(t, batch.states[i], batch.actions[i]) * np.eye(N)[i[0]] for i in steps(batch))
        return sum(each, np.zeros(N))

    expected = value[:, None] * complex_step(total, theta)
    return off(lambda z: surrogates.emaml_score_term(*z[:3], value=z[3]), case, expected, 10 * np.abs(value))


TinyCase = tuple[PolicyReturn, Array, float]


def random_tiny(rng: Generator, horizon: int = 2) -> TinyCase:
    """One task of 2 states and 2 actions, θ and α."""
    mdp = random_process(rng, tasks=1, states=2, actions=2, gamma=float(rng.uniform(0.4, 0.95)), horizon=horizon)
    task = PolicyReturn(FiniteMDP(mdp.P[0], mdp.R[0], mdp.rho[0], mdp.gamma, horizon), TabularSoftmax(2, 2))
    return task, rng.normal(size=4), float(rng.uniform(0.3, 1.0))


def _curvature_error(case: TinyCase) -> Error:
    """E[(I − αĤ) g] = g, g = ∇L(θ − α∇L(θ)), Ĥ the naive curvature of reward to go less exact V."""
    task, theta, alpha = case
    expected = task.at(theta - alpha * task.at(theta).grad).grad

    def mean(z: TinyCase) -> Array:
        task, theta, alpha = z
        point = task.at(theta)
        g = task.at(theta - alpha * point.grad).grad

        def bent(batch: Trajectories) -> Array:
            V, gamma = exact_baseline(batch, point), task.mdp.gamma
            return g - alpha * surrogates.reinforce(task.policy, theta, batch, gamma=gamma, baseline=V).at(theta).hvp(g)

        return expectation(bent, task.mdp, task.policy, theta).mean[None]

    return off(mean, case, expected[None], scale=np.max(np.abs(task.at(theta).action_value)))


def _exact_error(pair: tuple[TinyCase, int]) -> Error:
    """L(φ) with numeric inner gradients, and its complex step."""
    (task, theta, alpha), K = pair
    both = lambda z: np.hstack(sampled.formulation_exact(z[1], z[0], alpha=z[2], steps=K))[None]
    return off(both, pair[0], formulation("formulation_exact", task, theta, alpha, steps=K)[None])


def _random_sampling(rng: Generator) -> tuple[TinyCase, int, int]:
    """A tiny task, M episodes and K steps."""
    case, (M, K) = random_tiny(rng), ((1, 1), (2, 1), (1, 2))[rng.integers(3)]
    return case, M, K


def _sampled_error(triple: tuple[TinyCase, int, int]) -> Error:
    """E[L(φ)] over every tuple in turn, with numeric inner gradients, and its complex step."""
    case, M, K = triple
    task, theta, alpha = case
    both = lambda z: np.hstack(sampled.formulation_sampled(z[1], z[0], alpha=z[2], episodes=M, steps=K))[None]
    return off(both, case, formulation("formulation_sampled", task, theta, alpha, M, K)[None])


def random_promp(rng: Generator, kind: str = "", **sizes: int) -> tuple[Any, ...]:
    """Policy, θ_sampled, the batches of the support and of the query, θ."""
    policy, start, batch = random_batch(rng, kind, **sizes)
    kind = kind or {6: "tabular", 4: "linear-features", 8: "linear-gaussian"}[policy.dim]
    query = random_trajectories(rng, kind, **sizes)[2]
    return policy, start, batch, query, start + 0.1 * rng.normal(size=policy.dim)


def _promp_error(case: Any) -> Error:
    """L_clip(φ) + ηD(θ) from its parts, and the complex step of that."""
    policy, start, batch, other, theta = case
    support = surrogates.likelihood_ratio(policy, start, batch, gamma=0.75)
    query = surrogates.clipped(policy, start, other, gamma=0.75, epsilon=0.25)
    kl = SampledKL(policy, start, batch)

    def F(t: Array) -> Any:
        return query.at(t - 0.125 * support.at(t).grad).loss + 0.5 * kl.at(t).loss

    def both(z: Any) -> Array:
        fixed: dict[str, Any] = {"alpha": z[1], "penalty": z[2]}
        loss = sampled.promp_objective(z[0], support, query, kl, **fixed)
        return np.concatenate([loss[:, None], sampled.promp_gradient(z[0], support, query, kl, **fixed)], axis=1)

    expected = np.concatenate([F(theta)[:, None], complex_step(F, theta)], axis=1)
    scale = np.sum(np.abs(batch.rewards) + np.abs(other.rewards), axis=(1, 2))
    return off(both, (theta, 0.125, 0.5), expected, scale)


def _promp_step_error(case: Any) -> Error:
    """Three epochs, each a step along the complex step of the tasks' summed objective; the policy before is that of the batches."""
    policy, start, batch, other, _ = case
    support = surrogates.likelihood_ratio(policy, start, batch, gamma=0.75)
    inner = support.at(start).grad
    alpha = 0.02 / max(1.0, float(np.max(np.abs(inner))))
    phi = start - alpha * inner
    query = surrogates.clipped(policy, phi, other, gamma=0.75, epsilon=0.25)
    kl = SampledKL(policy, start, batch)

    def F(t: Array) -> Any:
        return np.sum(query.at(t - alpha * support.at(t).grad).loss + 0.5 * kl.at(t).loss)

    slope = complex_step(F, start)
    beta, slopes = 0.02 / max(1.0, float(np.linalg.norm(slope))), [slope]
    for _ in range(2):
        slopes.append(complex_step(F, start - beta * np.sum(slopes, axis=0)))
    outer = ProMP(beta=beta, epsilon=0.25, penalty=0.5, epochs=3)

    def direction(z: Any) -> Array:
        before, after, alpha = z
        support = surrogates.likelihood_ratio(policy, start, batch._replace(rewards=before), gamma=0.75)
        return outer.direction(start, Episodes((support,), phi, other._replace(rewards=after), 0.75), alpha)[None]

    scale = np.sum(np.abs(batch.rewards)) + np.sum(np.abs(other.rewards))
    return off(direction, (batch.rewards, other.rewards, alpha), np.sum(slopes, axis=0)[None], scale)


def _moments_by_definition(case: TinyCase) -> tuple[Array, Array]:
    """Mean and covariance of E-MAML's estimate at M = 1, one trajectory after another."""
    task, theta, alpha = case
    rows, weights = [], []
    for p, path, to_go in all_trajectories(task, theta):
        w, (states, actions) = to_go[None], (np.array([x]) for x in zip(*path, strict=True))
        like = likelihood(task.policy, theta, Trajectories(states, actions, w, np.ones(w.shape, bool)))
        point = task.at(theta + alpha * like.pull(w))
        weights.append(p)
        rows.append(point.grad + alpha * like.curve(w, point.grad) + point.loss * like.pull(np.ones(w.shape)))
    return np.average(rows, axis=0, weights=weights), np.cov(np.array(rows).T, aweights=weights, ddof=0)


def _moments(case: TinyCase) -> Any:
    """The library's mean and covariance of the same estimate."""
    task, theta, alpha = case
    return sampled.moments(
        lambda t, support: sampled.emaml_gradient(t, support, task, alpha=alpha),
        lambda t, batch: surrogates.reinforce(task.policy, t, batch, gamma=task.mdp.gamma),
        theta, task, alpha=alpha, episodes=1,
    )  # fmt: skip


def _bias_error(pair: tuple[TinyCase, Array]) -> Error:
    """Norm, ratio, cosine and deviation, of sums written out."""
    case, truth = pair
    mean, covariance = _moments_by_definition(case)
    norm = sum((a - b) ** 2 for a, b in zip(mean, truth, strict=True)) ** 0.5
    size, own = sum(b * b for b in truth) ** 0.5, sum(a * a for a in mean) ** 0.5
    cosine = sum(a * b for a, b in zip(mean, truth, strict=True)) / (size * own)
    expected = np.array([[norm, norm / size, cosine, sum(covariance[i, i] for i in range(4)) ** 0.5]])
    return off(lambda z: np.array([sampled.estimator_bias(_moments(z), truth)]), case, expected)


def _covariance_error(case: TinyCase) -> Error:
    """Mean and covariance, one trajectory after another."""
    mean, covariance = _moments_by_definition(case)
    return off(lambda z: np.vstack(_moments(z))[None], case, np.vstack([mean, covariance])[None])


CHECKS = (
    Check("surrogate-naive", "−(1/M) Σ γᵗÂ log(π/π₀)", "step by step", random_surrogate, loss_error("reinforce")),
    Check("lvc", "−(1/M) Σ γᵗÂ π/π₀", "step by step", random_surrogate, loss_error("likelihood_ratio")),
    Check("dice", "−(1/M) Σ γᵗ[r ☐ + b(1 − ☐_t)]", "step by step", random_surrogate, loss_error("dice")),
    Check("tmaml-baseline", "DiCE + Σ γᵗ[(1−☐_t) − (1−☐_<t)(1−☐_t)]b", "step by step",
          random_surrogate, loss_error("tmaml")),
    Check("loaded-dice", "−(1/M) Σ γᵗÂ(☐_w − ☐_v)", "step by step", random_surrogate, loss_error("loaded_dice")),
    Check("surrogate-hvp", "DᵀSD v + Σ s ∇²log π v", "complex steps of loss and gradient",
          _random_product, _derivatives_error),
    Check("thm:naive-curvature", "E[Â ∇²log π | s] = 0", "first-order MAML, in expectation",
          random_tiny, _curvature_error),
    Check("emaml-score-term", "L(φ) Σ ∇log p(τ)", "complex step of log p", random_score_term, _score_term_error),
    Check("formulation-exact", "L(θ − α∇L(θ))", "complex step of it", lambda rng: (random_tiny(rng), 1), _exact_error),
    Check("formulation-sampled", "E[L(θ + αĝ)]", "every tuple in turn, complex step", _random_sampling, _sampled_error),
    Check("promp-objective", "L_clip(φ) + ηD(θ)", "its parts, complex step", random_promp, _promp_error),
    Check("promp-outer-step", "Σ_e Σᵢ ∇Lᵢ(θ_e)", "three steps by complex steps", random_promp, _promp_step_error),
    Check("estimator-bias", "‖E ĝ − g‖, cosine, √tr Cov", "sums written out",
          lambda rng: (random_tiny(rng), rng.normal(size=4)), _bias_error),
    Check("estimator-covariance", "E ĝ and Cov ĝ", "every trajectory in turn", random_tiny, _covariance_error),
)  # fmt: skip
