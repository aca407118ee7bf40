"""Evidence for sampling: loops over steps, complex steps, counts, λ-returns, recursions of moments, quadrature."""

import itertools
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.judged import drawing, off
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

Batch = tuple[Any, Array, Trajectories]


def _batch(rng: Generator) -> Batch:
    return random_trajectories(rng, POLICIES[rng.integers(3)])


def steps(batch: Any) -> Any:
    """(task, trajectory, t) of every step taken."""
    return (tuple(map(int, i)) for i in np.argwhere(batch.mask))


def _log_likelihood(rng: Generator) -> float:
    """The logarithm of a product of probabilities, or of Gaussian densities, step by step."""
    policy, theta, batch = _batch(rng)
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
    return off(lambda z: likelihood(z[0], z[1], z[2]).log_prob, (policy, theta, batch), expected)


def _score(rng: Generator) -> float:
    policy, theta, batch = _batch(rng)
    w = rng.normal(size=batch.mask.shape)
    expected = complex_step(lambda t: np.sum(w * likelihood(policy, t, batch).log_prob, axis=(-2, -1)), theta)
    return off(lambda z: likelihood(z[0], z[1], z[2]).pull(z[3]), (policy, theta, batch, w), expected)


def _hvp(rng: Generator) -> float:
    policy, theta, batch = _batch(rng)
    w, u = rng.normal(size=batch.mask.shape), rng.normal(size=policy.dim)
    expected = complex_step(lambda t: likelihood(policy, t, batch).pull(w), theta, u)
    return off(lambda z: likelihood(z[0], z[1], z[2]).curve(z[3], z[4]), (policy, theta, batch, w, u), expected)


def _estimate(name: str, rng: Generator) -> float:
    """The definition, one step after another."""
    policy, theta, batch = _batch(rng)
    gamma, b = float(rng.uniform(0.3, 0.95)), rng.normal(size=batch.mask.shape)
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
    scale = np.sum(np.abs(batch.rewards), axis=(1, 2))
    estimator = getattr(estimators, name)
    return off(
        lambda z: estimator(z[0], z[1], z[2], gamma=z[3], baseline=z[4]),
        (policy, theta, batch, gamma, b),
        expected,
        scale,
    )


def _leave_one_out(rng: Generator) -> float:
    batch = random_trajectories(rng)[2]
    G = returns.reward_to_go(batch, gamma=0.75)
    M = G.shape[1]
    expected = np.stack([np.mean([G[:, j] for j in range(M) if j != i], axis=0) for i in range(M)], axis=1)
    return off(lambda z: returns.leave_one_out(z, gamma=0.75), batch, expected)


def _linear_feature_baseline(rng: Generator) -> float:
    """Least squares with the ridge as rows of its own."""
    (_, _, one), (_, _, other) = random_trajectories(rng, "linear-gaussian"), random_trajectories(rng, "linear-gaussian")
    expected = np.zeros(one.mask.shape)
    for n in range(len(expected)):
        rows = [(_features(other.states[i], i[2]), _to_go(other, i, 0.75)) for i in steps(other) if i[0] == n]
        X = np.stack([*(x for x, _ in rows), *(np.sqrt(0.125) * np.eye(len(rows[0][0])))])
        w = np.linalg.lstsq(X, np.array([y for _, y in rows] + [0.0] * len(rows[0][0])), rcond=None)[0]
        for i in (i for i in steps(one) if i[0] == n):
            expected[i] = _features(one.states[i], i[2]) @ w
    return off(
        lambda z: returns.linear_feature_baseline(z[0], z[1], gamma=0.75, ridge=0.125), (one, other), expected,
        scale=np.sum(np.abs(other.rewards), axis=(1, 2)),
    )  # fmt: skip


def _features(s: Array, t: int) -> Array:
    return np.array([*s, *(s * s), t / 100, (t / 100) ** 2, (t / 100) ** 3, 1.0])


def _to_go(batch: Trajectories, i: tuple[int, int, int], gamma: float) -> float:
    n, m, t = i
    return float(
        sum(gamma ** (k - t) * batch.rewards[n, m, k] for k in range(t, batch.mask.shape[2]) if batch.mask[n, m, k])
    )


def _gae(rng: Generator) -> float:
    """(1 − λ) Σ λⁿ⁻¹ of the n-step advantages, the last one with what is left of the weights."""
    batch, gamma, lam = random_trajectories(rng)[2], 0.75, float(rng.uniform(0.1, 0.9))
    v = rng.normal(size=batch.mask.shape)
    expected = np.zeros(v.shape)
    for n, m, t in steps(batch):
        end = int(np.sum(batch.mask[n, m]))
        for k in range(1, end - t + 1):
            gain = sum(gamma**j * batch.rewards[n, m, t + j] for j in range(k)) - v[n, m, t]
            gain += gamma**k * v[n, m, t + k] if t + k < end else 0.0
            expected[n, m, t] += (lam ** (k - 1) if t + k == end else (1 - lam) * lam ** (k - 1)) * gain
    return off(lambda z: returns.gae(z[0], z[1], gamma=z[2], lam=z[3]), (batch, v, gamma, lam), expected)


def _one_hot(batch: Trajectories) -> Array:
    return np.eye(3)[batch.states]


def _td_lambda(rng: Generator) -> float:
    """The forward view: w + η mean Σ (λ-return − v) φ."""
    batch, w, lam = random_trajectories(rng)[2], rng.normal(size=(2, 3)), float(rng.uniform(0.1, 0.9))
    v = np.einsum("nmhk,nk->nmh", _one_hot(batch), w) * batch.mask
    ahead = returns.gae(batch, v, gamma=0.75, lam=lam)
    expected = w + 0.5 * np.einsum("nmh,nmhk->nk", ahead, _one_hot(batch)) / batch.mask.shape[1]
    return off(
        lambda z: values.td_lambda(z[0], z[1], _one_hot(batch), gamma=0.75, lam=z[2], step_size=0.5),
        (w, batch, lam),
        expected,
    )


def _lstd(rng: Generator) -> float:
    """A table with λ = 0: the value of the process of the counts, (I − γP̂)⁻¹ r̂."""
    batch = random_trajectories(rng, episodes=6, horizon=5)[2]
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
    system = np.eye(S) - 0.75 * moves / count[..., None]
    expected = np.linalg.solve(system, (paid / count)[..., None])[..., 0]
    return off(lambda z: values.lstd(z, _one_hot(batch), gamma=0.75), batch, expected)


def _trajectory_expectation(rng: Generator) -> float:
    """Mean and variance of the return by a backward recursion of its two moments."""
    mdp, policy = random_process(rng, tasks=1, states=2, actions=2, gamma=0.75, horizon=3), TabularSoftmax(2, 2)
    theta, one = rng.normal(size=4), random_process(rng, 1, 2, 2, 0.75, 3)
    P, R, rho = mdp.P[0], one.R[0], mdp.rho[0]
    pi = np.exp(theta.reshape(2, 2)) / np.sum(np.exp(theta.reshape(2, 2)), axis=1, keepdims=True)
    first, second = np.zeros(2), np.zeros(2)
    for _ in range(3):
        m1, m2 = P @ first, P @ second
        first, second = (
            np.einsum("sa,sa->s", pi, R + 0.75 * m1),
            np.einsum("sa,sa->s", pi, R**2 + 2 * R * 0.75 * m1 + 0.75**2 * m2),
        )
    mean, square = rho @ first, rho @ second
    expected = np.array([[mean, (square - mean**2) / 2]])
    tiny = type(mdp)(P, R, rho, 0.75, 3)

    def both(z: Any) -> Array:
        found = expectation(
            lambda t: np.mean(returns.whole_return(t, gamma=0.75), axis=-1), z[0], policy, z[1], episodes=2
        )
        return np.array([[found.mean, found.covariance]])

    return off(both, (tiny, theta), expected, scale=square)


def _sampled_kl(rng: Generator) -> float:
    """∫ π₀ (log π₀ − log π) by Gauss–Hermite quadrature, exact for it; and complex steps of it."""
    policy, start, batch = random_trajectories(rng, "linear-gaussian")
    theta, v = start + 0.3 * rng.normal(size=policy.dim), rng.normal(size=policy.dim)
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    expected = np.zeros(len(batch.mask))
    for i in steps(batch):
        for j in itertools.product(range(3), repeat=policy.actions):
            deviation = np.exp(policy.log_deviation(start)) * nodes[list(j)]
            a = policy.mean(start, batch.states[i]) + deviation
            gap = policy.log_prob(start, batch.states[i], a) - policy.log_prob(theta, batch.states[i], a)
            share = np.prod(weights[list(j)]) / np.sum(weights) ** policy.actions
            expected[i[0]] += share * gap / batch.mask.shape[1]
    kl = SampledKL(policy, start, batch)
    grad, hvp = complex_step(lambda t: kl.at(t).loss, theta), complex_step(lambda t: kl.at(t).grad, theta, v)

    def all_three(z: Any) -> Array:
        point = SampledKL(z[0], z[1], z[2]).at(z[3])
        return np.concatenate([point.loss[:, None], point.grad, point.hvp(v)], axis=1)

    return off(all_three, (policy, start, batch, theta), np.concatenate([expected[:, None], grad, hvp], axis=1))


def _trpo_step(rng: Generator) -> float:
    """The closed natural gradient of a table, scaled, and halved by hand."""
    task = random_policy_return(rng, "discounted", tasks=1)
    theta, radius = rng.normal(size=task.dim), float(rng.uniform(0.01, 0.5))
    point = task.at(theta)
    x = fisher.natural_gradient(point)[0]
    step = x * np.sqrt(2 * radius / (x @ fisher.product(point, x)[0]))
    kl = fisher.PolicyKL(point)
    while not (kl.at(theta + step).loss[0] <= radius and task.at(theta + step).loss[0] < point.loss[0]):
        step = step / 2

    def stepped(z: Any) -> Array:
        return trpo_step(z[1], z[0], fisher.PolicyKL(z[0].at(z[1])), radius=radius).theta[None]

    conditioned = np.max(point.occupancy) / np.min(point.occupancy[..., None] * point.probabilities)
    return off(stepped, (task, theta), (theta + step)[None], scale=np.linalg.norm(step) * conditioned)


CHECKS = (
    drawing("log-likelihood", "Σ log π(a|s)", "products of probabilities and densities", _log_likelihood),
    drawing("log-likelihood-score", "Σ w ∇log π(a|s)", "complex step of Σ w log π", _score),
    drawing("log-likelihood-hvp", "Σ w ∇²log π(a|s) u", "complex step of Σ w ∇log π", _hvp),
    drawing("reinforce", "(1/M) Σ G Σ ∇log π", "step by step", lambda g: _estimate("reinforce", g)),
    drawing("gpomdp", "(1/M) Σ γᵗ(Ĝ − b) ∇log π", "step by step", lambda g: _estimate("gpomdp", g)),
    drawing(
        "undiscounted-visits", "(1/M) Σ (Ĝ − b) ∇log π", "step by step", lambda g: _estimate("undiscounted_visits", g)
    ),
    drawing("leave-one-out", "mean of Ĝ over the others", "one after another", _leave_one_out),
    drawing(
        "linear-feature-baseline", "ridge regression of Ĝ", "least squares, the ridge as rows", _linear_feature_baseline
    ),
    drawing("gae", "Σ (γλ)ᵏ δ", "mixture of k-step advantages", _gae),
    drawing("td-lambda", "w + η mean Σ δ z", "λ-returns: the forward view", _td_lambda),
    drawing("lstd", "Σ z(φ − γφ')ᵀ w = Σ z r", "the process of the counts", _lstd),
    drawing(
        "trajectory-expectation", "Σ p(τ) f(τ), and its covariance", "recursion of two moments", _trajectory_expectation
    ),
    drawing("sampled-kl", "mean Σ KL(π₀ ‖ π)", "quadrature, complex steps", _sampled_kl),
    drawing("trpo-step", "θ − βʲ √(2δ/xᵀFx) x", "closed natural gradient", _trpo_step),
)
