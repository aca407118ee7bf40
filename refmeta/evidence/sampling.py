"""Evidence for sampling: loops over steps, complex steps, counts, λ-returns, recursions of moments, quadrature."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check, Error, off
from refmeta.judges import complex_step
from refmeta.policies import TabularSoftmax
from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.problems import POLICIES, random_policy_return, random_process, random_trajectories
from refmeta.sampling import estimators, returns, values
from refmeta.sampling.enumeration import expectation
from refmeta.sampling.likelihood import likelihood
from refmeta.sampling.trajectories import Trajectories
from refmeta.sampling.trust_region import SampledKL, trpo_step
from refmeta.tasks import fisher
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

__all__ = [
    "CHECKS", "random_batch", "random_direction", "random_enumeration", "random_episodes", "random_estimate", "random_fit",
    "random_kl", "random_td", "random_trust_region", "random_weights", "steps",
]  # fmt: skip

Batch = tuple[Any, Array, Trajectories]
GAMMA = 0.75


def random_batch(rng: Generator, kind: str = "", **sizes: int) -> Batch:
    """A policy of any kind, parameters and trajectories."""
    return random_trajectories(rng, kind or POLICIES[rng.integers(3)], **sizes)


def steps(batch: Trajectories) -> Iterator[tuple[int, int, int]]:
    """(task, trajectory, t) of every step taken."""
    return ((int(n), int(m), int(t)) for n, m, t in np.argwhere(batch.mask))


def _likelihood_error(case: Batch) -> Error:
    """The logarithm of a product of probabilities, or of Gaussian densities, step by step."""
    policy, theta, batch = case
    expected = np.zeros(batch.mask.shape)
    for i in steps(batch):
        s, a = batch.states[i], batch.actions[i]
        if isinstance(policy, LinearGaussian):
            sigma = np.exp(theta[-policy.actions :])
            mean = theta[: -policy.actions].reshape(policy.actions, -1) @ s
            densities = np.exp(-((a - mean) ** 2) / (2 * sigma**2)) / np.sqrt(2 * np.pi * sigma**2)
            expected[i] = np.log(np.prod(densities))
        else:
            weights = np.exp(policy.logits(theta)[s])
            expected[i] = np.log(weights[a] / np.sum(weights))
    return off(lambda z: likelihood(*z).log_prob, case, expected)


def random_weights(rng: Generator, kind: str = "", **sizes: int) -> tuple[Any, ...]:
    """Policy, θ, batch and a weight for each step."""
    batch = random_batch(rng, kind, **sizes)
    return *batch, rng.normal(size=batch[2].mask.shape)


def random_direction(rng: Generator, kind: str = "", **sizes: int) -> tuple[Any, ...]:
    """Policy, θ, batch, a weight for each step, and a direction."""
    case = random_weights(rng, kind, **sizes)
    return *case, rng.normal(size=case[0].dim)


def _score_error(case: Any) -> Error:
    """The weighted score against the complex step of the weighted log-likelihood."""
    policy, theta, batch, w = case
    expected = complex_step(lambda t: np.sum(w * likelihood(policy, t, batch).log_prob, axis=(-2, -1)), theta)
    return off(lambda z: likelihood(*z[:3]).pull(z[3]), case, expected)


def _hvp_error(case: Any) -> Error:
    """The weighted Hessian product against the complex step of the weighted score."""
    policy, theta, batch, w, u = case
    expected = complex_step(lambda t: likelihood(policy, t, batch).pull(w), theta, u)
    return off(lambda z: likelihood(*z[:3]).curve(*z[3:]), case, expected)


def random_estimate(rng: Generator, kind: str = "", **sizes: int) -> tuple[Any, ...]:
    """Policy, θ, batch, γ and a baseline."""
    batch = random_batch(rng, kind, **sizes)
    return *batch, float(rng.uniform(0.3, 0.95)), rng.normal(size=batch[2].mask.shape)


def _estimate_error(name: str) -> Callable[[Any], Error]:
    """The judge of an estimator: its definition, one step after another."""

    def judge(case: Any) -> Error:
        policy, theta, batch, gamma, b = case
        N, M, H = batch.mask.shape
        expected = np.zeros((N, policy.dim))
        for n, m, t in steps(batch):
            rewards = [gamma**k * batch.rewards[n, m, k] for k in range(H) if batch.mask[n, m, k]]
            to_go = sum(rewards[t:]) / gamma**t
            weight = {
                "reinforce": sum(rewards) - b[n, m, t],
                "gpomdp": gamma**t * (to_go - b[n, m, t]),
                "undiscounted_visits": to_go - b[n, m, t],
            }[name]
            expected[n] += weight * policy.score(theta, batch.states[n, m, t], batch.actions[n, m, t]) / M
        estimator = getattr(estimators, name)
        scale = np.sum(np.abs(batch.rewards), axis=(1, 2))
        return off(lambda z: estimator(*z[:3], gamma=z[3], baseline=z[4]), case, expected, scale)

    return judge


def random_episodes(rng: Generator, kind: str = "tabular", **sizes: int) -> Trajectories:
    """Trajectories of a policy of this kind."""
    return random_trajectories(rng, kind, **sizes)[2]


def _leave_one_out_error(batch: Trajectories) -> Error:
    """The mean of the others, one trajectory after another."""
    G = returns.reward_to_go(batch, gamma=GAMMA)
    M = G.shape[1]
    expected = np.stack([np.mean([G[:, j] for j in range(M) if j != i], axis=0) for i in range(M)], axis=1)
    return off(lambda z: returns.leave_one_out(z, gamma=GAMMA), batch, expected)


def random_fit(rng: Generator, **sizes: int) -> tuple[Trajectories, Trajectories]:
    """Trajectories that need a baseline, and those on which it is fitted."""
    return random_episodes(rng, "linear-gaussian", **sizes), random_episodes(rng, "linear-gaussian", **sizes)


def _fit_error(case: tuple[Trajectories, Trajectories]) -> Error:
    """Least squares with the ridge as rows of its own."""
    one, other = case
    expected = np.zeros(one.mask.shape)
    for n in range(len(expected)):
        rows = [(_features(other.states[i], i[2]), _to_go(other, i, GAMMA)) for i in steps(other) if i[0] == n]
        X = np.stack([*(x for x, _ in rows), *(np.sqrt(0.125) * np.eye(len(rows[0][0])))])
        w = np.linalg.lstsq(X, np.array([y for _, y in rows] + [0.0] * len(rows[0][0])), rcond=None)[0]
        for i in (i for i in steps(one) if i[0] == n):
            expected[i] = _features(one.states[i], i[2]) @ w
    scale = np.sum(np.abs(other.rewards), axis=(1, 2))
    return off(lambda z: returns.linear_feature_baseline(*z, gamma=GAMMA, ridge=0.125), case, expected, scale)


def _features(s: Array, t: int) -> Array:
    """The state, its squares, three powers of the time and a constant."""
    return np.array([*s, *(s * s), t / 100, (t / 100) ** 2, (t / 100) ** 3, 1.0])


def _to_go(batch: Trajectories, i: tuple[int, int, int], gamma: float) -> float:
    """The discounted sum of the rewards from a step on."""
    n, m, t = i
    return sum(gamma ** (k - t) * float(batch.rewards[n, m, k]) for k in range(t, int(np.sum(batch.mask[n, m]))))


def _one_hot(batch: Trajectories) -> Array:
    """One feature for each of three states."""
    return np.eye(3)[batch.states]


def random_td(rng: Generator, width: int | None = None, **sizes: int) -> tuple[Array, Array, Trajectories, float]:
    """Weights, features of the steps (one-hot states, or `width` numbers), batch and λ."""
    batch = random_episodes(rng, "tabular", **sizes)
    phi = _one_hot(batch) if width is None else rng.normal(size=(*batch.mask.shape, width))
    return rng.normal(size=(len(phi), phi.shape[-1])), phi, batch, float(rng.uniform(0.1, 0.9))


def _td_error(case: tuple[Array, Array, Trajectories, float]) -> Error:
    """The forward view: w + η mean Σ (λ-return − v) φ."""
    w, phi, batch, lam = case
    v = np.einsum("nmhk,nk->nmh", phi, w) * batch.mask
    ahead = returns.gae(batch, v, gamma=GAMMA, lam=lam)
    expected = w + 0.5 * np.einsum("nmh,nmhk->nk", ahead, phi) / batch.mask.shape[1]
    fixed: dict[str, Any] = {"gamma": GAMMA, "step_size": 0.5}
    return off(lambda z: values.td_lambda(z[0], z[1], phi, lam=z[2], **fixed), (w, batch, lam), expected)


def _lstd_error(batch: Trajectories) -> Error | float:
    """A table with λ = 0: the value of the process of the counts, (I − γP̂)⁻¹ r̂."""
    N, S = len(batch.mask), 3
    count, moves, paid = np.zeros((N, S)), np.zeros((N, S, S)), np.zeros((N, S))
    for n, m, t in steps(batch):
        s = batch.states[n, m, t]
        count[n, s] += 1
        paid[n, s] += batch.rewards[n, m, t]
        if t + 1 < batch.mask.shape[2] and batch.mask[n, m, t + 1]:
            moves[n, s, batch.states[n, m, t + 1]] += 1
    if not np.all(count):
        return float("nan")
    system = np.eye(S) - GAMMA * moves / count[..., None]
    expected = np.linalg.solve(system, (paid / count)[..., None])[..., 0]
    return off(lambda z: values.lstd(z, _one_hot(batch), gamma=GAMMA), batch, expected)


def random_enumeration(rng: Generator, states: int = 2, actions: int = 2, horizon: int = 3, episodes: int = 2) -> Any:
    """A finite process with a horizon, the logits of a table, and a number of episodes."""
    mdp = random_process(rng, 1, states, actions, GAMMA, horizon)
    theta, other = rng.normal(size=states * actions), random_process(rng, 1, states, actions, GAMMA, horizon)
    return FiniteMDP(mdp.P[0], other.R[0], mdp.rho[0], GAMMA, horizon), theta, episodes


def _expectation_error(case: tuple[FiniteMDP, Array, int]) -> Error:
    """Mean and variance of the mean return by a backward recursion of the return's two moments."""
    mdp, theta, episodes = case
    P, R, rho, gamma = mdp.P, mdp.R, mdp.rho, mdp.gamma
    weights = np.exp(theta.reshape(R.shape))
    pi = weights / np.sum(weights, axis=1, keepdims=True)
    first, second = np.zeros(len(rho)), np.zeros(len(rho))
    for _ in range(mdp.horizon or 0):
        m1, m2 = P @ first, P @ second
        first = np.einsum("sa,sa->s", pi, R + gamma * m1)
        second = np.einsum("sa,sa->s", pi, R**2 + 2 * R * gamma * m1 + gamma**2 * m2)
    mean, square = rho @ first, rho @ second
    f, policy = lambda t: np.mean(returns.whole_return(t, gamma=gamma), axis=-1), TabularSoftmax(*R.shape)
    both = lambda z: np.array([[*expectation(f, z[0], policy, z[1], episodes=episodes)]])
    return off(both, (mdp, theta), np.array([[mean, (square - mean**2) / episodes]]), scale=square)


def random_kl(rng: Generator, kind: str = "linear-gaussian", **sizes: int) -> tuple[Any, ...]:
    """Policy, θ_old, batch, θ and a direction."""
    policy, start, batch = random_trajectories(rng, kind, **sizes)
    return policy, start, batch, start + 0.3 * rng.normal(size=policy.dim), rng.normal(size=policy.dim)


def _divergence(policy: Any, start: Array, theta: Array, s: Any) -> float:
    """Σ π₀ (log π₀ − log π) over the actions in a state; for a Gaussian by Gauss–Hermite quadrature, exact for it."""
    if not isinstance(policy, LinearGaussian):
        pairs = [[policy.log_prob(t, s, a) for t in (start, theta)] for a in range(policy.actions)]
        return float(sum(np.exp(old) * (old - new) for old, new in pairs))
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    deviation, total = np.exp(policy.log_deviation(start)), 0.0
    for j in itertools.product(range(3), repeat=policy.actions):
        a = policy.mean(start, s) + deviation * nodes[list(j)]
        gap = policy.log_prob(start, s, a) - policy.log_prob(theta, s, a)
        total += np.prod(weights[list(j)]) / np.sum(weights) ** policy.actions * gap
    return float(total)


def _kl_error(case: Any) -> Error:
    """The mean divergence by sums or quadrature, and complex steps of it."""
    policy, start, batch, theta, v = case
    expected = np.zeros(len(batch.mask))
    for i in steps(batch):
        expected[i[0]] += _divergence(policy, start, theta, batch.states[i]) / batch.mask.shape[1]
    kl = SampledKL(policy, start, batch)
    grad, hvp = complex_step(lambda t: kl.at(t).loss, theta), complex_step(lambda t: kl.at(t).grad, theta, v)

    def all_three(z: Any) -> Array:
        point = SampledKL(*z[:3]).at(z[3])
        return np.concatenate([point.loss[:, None], point.grad, point.hvp(v)], axis=1)

    return off(all_three, case[:4], np.concatenate([expected[:, None], grad, hvp], axis=1))


def random_trust_region(rng: Generator, states: int = 3, actions: int = 3) -> tuple[PolicyReturn, Array, float]:
    """One exact return of a table, θ and the radius."""
    task = random_policy_return(rng, "discounted", 1, states, actions)
    return task, rng.normal(size=task.dim), float(rng.uniform(0.01, 0.5))


def _trpo_error(case: tuple[PolicyReturn, Array, float]) -> Error:
    """The closed natural gradient of a table, scaled, and halved by hand."""
    task, theta, radius = case
    point = task.at(theta)
    x = fisher.natural_gradient(point)[0]
    step = x * np.sqrt(2 * radius / (x @ fisher.product(point, x)[0]))
    kl = fisher.PolicyKL(point)
    while not (kl.at(theta + step).loss[0] <= radius and task.at(theta + step).loss[0] < point.loss[0]):
        step = step / 2
    stepped = lambda z: trpo_step(z[1], z[0], fisher.PolicyKL(z[0].at(z[1])), radius=radius).theta[None]
    conditioned = np.max(point.occupancy) / np.min(point.occupancy[..., None] * point.probabilities)
    return off(stepped, (task, theta), (theta + step)[None], scale=np.linalg.norm(step) * conditioned)


CHECKS = (
    Check("log-likelihood", "Σ log π(a|s)", "products of probabilities and densities", random_batch, _likelihood_error),
    Check("log-likelihood-score", "Σ w ∇log π(a|s)", "complex step of Σ w log π", random_weights, _score_error),
    Check("log-likelihood-hvp", "Σ w ∇²log π(a|s) u", "complex step of Σ w ∇log π", random_direction, _hvp_error),
    Check("reinforce", "(1/M) Σ G Σ ∇log π", "step by step", random_estimate, _estimate_error("reinforce")),
    Check("gpomdp", "(1/M) Σ γᵗ(Ĝ − b) ∇log π", "step by step", random_estimate, _estimate_error("gpomdp")),
    Check("undiscounted-visits", "(1/M) Σ (Ĝ − b) ∇log π", "step by step",
          random_estimate, _estimate_error("undiscounted_visits")),
    Check("leave-one-out", "mean of Ĝ over the others", "one after another", random_episodes, _leave_one_out_error),
    Check("linear-feature-baseline", "ridge regression of Ĝ", "least squares, the ridge as rows", random_fit, _fit_error),
    Check("td-lambda", "w + η mean Σ δ z", "λ-returns: the forward view", random_td, _td_error),
    Check("lstd", "Σ z(φ − γφ')ᵀ w = Σ z r", "the process of the counts",
          lambda rng: random_episodes(rng, episodes=6, horizon=5), _lstd_error),
    Check("trajectory-expectation", "Σ p(τ) f(τ), and its covariance", "recursion of two moments",
          random_enumeration, _expectation_error),
    Check("sampled-kl", "mean Σ KL(π₀ ‖ π)", "quadrature, complex steps", random_kl, _kl_error),
    Check("trpo-step", "θ − βʲ √(2δ/xᵀFx) x", "closed natural gradient", random_trust_region, _trpo_error),
)  # fmt: skip
