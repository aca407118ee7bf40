"""Evidence for surrogates and sampled meta-gradients: definitions in loops, complex steps, brute-force expectations."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.judged import drawing, off
from refmeta.evidence.sampling import steps
from refmeta.judges import complex_step
from refmeta.meta import sampled
from refmeta.policies import TabularSoftmax
from refmeta.problems import POLICIES, random_process, random_trajectories
from refmeta.sampling import surrogates
from refmeta.sampling.enumeration import expectation
from refmeta.sampling.likelihood import likelihood
from refmeta.sampling.returns import exact_baseline, reward_to_go
from refmeta.sampling.trajectories import Trajectories
from refmeta.sampling.trust_region import SampledKL
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

KINDS = ("reinforce", "likelihood_ratio", "dice", "tmaml", "loaded_dice", "clipped")


def _drawn(rng: Generator) -> tuple[Any, ...]:
    """Policy, θ, θ_sampled, batch, γ, baseline."""
    policy, theta, batch = random_trajectories(rng, POLICIES[rng.integers(3)])
    moved = theta + 0.2 * rng.normal(size=policy.dim)
    return policy, moved, theta, batch, float(rng.uniform(0.3, 0.95)), rng.normal(size=batch.mask.shape)


def _extra(kind: str) -> dict[str, float]:
    return {"loaded_dice": {"lam": 0.625}, "clipped": {"epsilon": 0.25}}.get(kind, {})


def by_definition(kind: str, z: tuple[Any, ...]) -> Array:
    """The loss, a step after another, from ratios of probabilities or densities."""
    policy, theta, start, batch, gamma, b = z
    loss = np.zeros(len(batch.mask))
    for n, m in np.ndindex(batch.mask.shape[:2]):
        end = int(np.sum(batch.mask[n, m]))
        taken = [(batch.states[n, m, t], batch.actions[n, m, t]) for t in range(end)]
        ratio = [np.exp(policy.log_prob(theta, s, a) - policy.log_prob(start, s, a)) for s, a in taken]
        r = batch.rewards[n, m, :end]
        for t in range(end):
            A = sum(gamma ** (k - t) * r[k] for k in range(t, end)) - b[n, m, t]
            past, now = np.prod(ratio[:t]), ratio[t]
            fading = np.prod([ratio[k] ** (0.625 ** (t - k)) for k in range(t)])
            loss[n] -= gamma**t / batch.mask.shape[1] * {
                "reinforce": A * np.log(now),
                "likelihood_ratio": A * now,
                "dice": r[t] * past * now + b[n, m, t] * (1 - now),
                "tmaml": r[t] * past * now + b[n, m, t] * ((1 - now) - (1 - past) * (1 - now)),
                "loaded_dice": A * fading * (now - 1),
                "clipped": min(A * now, A * min(max(now, 0.75), 1.25)),
            }[kind]  # fmt: skip
    return loss


def _surrogate(kind: str, z: Any) -> Any:
    make: Any = getattr(surrogates, kind)
    return make(z[0], z[2], z[3], gamma=z[4], baseline=z[5], **_extra(kind)).at(z[1])


def _scale(z: Any) -> Array:
    return np.sum(np.abs(z[3].rewards) + np.abs(z[5]), axis=(1, 2))


def _loss(kind: str) -> Callable[[Generator], float]:
    def judge(rng: Generator) -> float:
        z = _drawn(rng)
        return off(lambda x: _surrogate(kind, x).loss, z, by_definition(kind, z), _scale(z))

    return judge


def _surrogate_hvp(rng: Generator) -> float:
    """Complex steps of the loss and of the gradient."""
    z, kind = _drawn(rng), KINDS[rng.integers(len(KINDS))]
    v = rng.normal(size=z[0].dim)
    grad = complex_step(lambda t: _surrogate(kind, (z[0], t, *z[2:])).loss, z[1])
    hvp = complex_step(lambda t: _surrogate(kind, (z[0], t, *z[2:])).grad, z[1], v)

    def both(x: Any) -> Array:
        point = _surrogate(kind, x[:6])
        return np.concatenate([point.grad, point.hvp(x[6])], axis=-1)

    return off(both, (*z, v), np.concatenate([grad, hvp], axis=-1), _scale(z))


def _score_term(rng: Generator) -> float:
    policy, theta, batch = random_trajectories(rng, POLICIES[rng.integers(3)])
    value = rng.normal(size=2)

    def total(t: Array) -> Array:
        return sum(
            (policy.log_prob(t, batch.states[i], batch.actions[i]) * np.eye(2)[i[0]] for i in steps(batch)), np.zeros(2)
        )

    expected = value[:, None] * complex_step(total, theta)
    scale = 10 * np.abs(value)
    return off(
        lambda z: surrogates.emaml_score_term(z[0], z[1], z[2], value=z[3]),
        (policy, theta, batch, value),
        expected,
        scale,
    )


def _tiny(rng: Generator) -> tuple[PolicyReturn, Array, float]:
    """One task of 2 states, 2 actions, 2 steps."""
    mdp = random_process(rng, tasks=1, states=2, actions=2, gamma=float(rng.uniform(0.4, 0.95)), horizon=2)
    task = PolicyReturn(FiniteMDP(mdp.P[0], mdp.R[0], mdp.rho[0], mdp.gamma, 2), TabularSoftmax(2, 2))
    return task, rng.normal(size=4), float(rng.uniform(0.3, 1.0))


def _naive_curvature(rng: Generator) -> float:
    """E[(I − αĤ) g] = g, g = ∇L(θ − α∇L(θ)), Ĥ the naive curvature of reward to go less exact V."""
    task, theta, alpha = _tiny(rng)
    expected = task.at(theta - alpha * task.at(theta).grad).grad

    def mean(z: Any) -> Array:
        task, theta, alpha = z
        point = task.at(theta)
        g = task.at(theta - alpha * point.grad).grad

        def bent(batch: Trajectories) -> Array:
            V, gamma = exact_baseline(batch, point), task.mdp.gamma
            return g - alpha * surrogates.reinforce(task.policy, theta, batch, gamma=gamma, baseline=V).at(theta).hvp(g)

        return expectation(bent, task.mdp, task.policy, theta).mean[None]

    return off(mean, (task, theta, alpha), expected[None], scale=np.max(np.abs(task.at(theta).action_value)))


def _formulation_exact(rng: Generator) -> float:
    """Complex step of L(θ − α∇L(θ)), written out."""
    task, theta, alpha = _tiny(rng)

    def F(t: Array) -> Any:
        return task.at(t - alpha * task.at(t).grad).loss

    expected = np.concatenate([[F(theta)], complex_step(F, theta)])[None]

    def both(z: Any) -> Array:
        found = sampled.formulation_exact(z[1], z[0], alpha=z[2])
        return np.concatenate([[found.objective], found.gradient])[None]

    return off(both, (task, theta, alpha), expected)


def _every(task: PolicyReturn, theta: Array) -> Iterator[tuple[Any, list[tuple[int, int]], Array]]:
    """Probability, steps and rewards of each trajectory, by recursion over states and actions."""
    pi = [np.exp(row) / np.sum(np.exp(row)) for row in theta.reshape(2, 2)]
    mdp = task.mdp
    for s, a, following, b in itertools.product(range(2), repeat=4):
        p = mdp.rho[s] * pi[s][a] * mdp.P[s, a, following] * pi[following][b]
        yield p, [(s, a), (following, b)], np.array([mdp.R[s, a], mdp.R[following, b]])


def _sampled_by_definition(task: PolicyReturn, theta: Array, alpha: float, M: int, K: int) -> Any:
    """E[L(θ⁽ᴷ⁾)] over all tuples, one after another."""
    if K == 0:
        return task.at(theta).loss
    gamma, each, total = task.mdp.gamma, [], 0.0
    for p, path, r in _every(task, theta):
        scores = [task.policy.score(theta, s, a) for s, a in path]
        each.append((p, (r[0] + gamma * r[1]) * scores[0] + gamma * r[1] * scores[1]))
    for chosen in itertools.product(each, repeat=M):
        p = np.prod([p for p, _ in chosen])
        phi = theta + alpha * sum(g for _, g in chosen) / M
        total = total + p * _sampled_by_definition(task, phi, alpha, M, K - 1)
    return total


def _formulation_sampled(rng: Generator) -> float:
    task, theta, alpha = _tiny(rng)
    M, K = ((1, 1), (2, 1), (1, 2))[rng.integers(3)]
    value = _sampled_by_definition(task, theta, alpha, M, K)
    gradient = complex_step(
        lambda t: sampled.formulation_sampled(t, task, alpha=alpha, episodes=M, steps=K).objective, theta
    )

    def both(z: Any) -> Array:
        found = sampled.formulation_sampled(z[1], z[0], alpha=z[2], episodes=M, steps=K)
        return np.concatenate([[found.objective], found.gradient])[None]

    return off(both, (task, theta, alpha), np.concatenate([[value], gradient])[None])


def _promp(rng: Generator) -> float:
    """L_clip(φ) + ηD(θ) from its parts, and the complex step of that."""
    policy, theta, batch = random_trajectories(rng, POLICIES[rng.integers(3)])
    other = random_trajectories(rng, {6: "tabular", 4: "linear-features", 8: "linear-gaussian"}[policy.dim])[2]
    support = surrogates.likelihood_ratio(policy, theta, batch, gamma=0.75)
    query = surrogates.clipped(policy, theta, other, gamma=0.75, epsilon=0.25)
    kl, start = SampledKL(policy, theta, batch), theta + 0.1 * rng.normal(size=policy.dim)

    def F(t: Array) -> Any:
        return query.at(t - 0.125 * support.at(t).grad).loss + 0.5 * kl.at(t).loss

    expected = np.concatenate([F(start)[:, None], complex_step(F, start)], axis=1)

    def both(z: Any) -> Array:
        given: dict[str, Any] = {"alpha": z[1], "penalty": z[2]}
        loss = sampled.promp_objective(z[0], support, query, kl, **given)
        return np.concatenate([loss[:, None], sampled.promp_gradient(z[0], support, query, kl, **given)], axis=1)

    return off(
        both, (start, 0.125, 0.5), expected, scale=np.sum(np.abs(batch.rewards) + np.abs(other.rewards), axis=(1, 2))
    )


def _moments(rng: Generator) -> tuple[Any, Array, Array]:
    """E-MAML's estimate at M = 1 on a tiny task: the inputs, the mean and the covariance, one trajectory after another."""
    task, theta, alpha = _tiny(rng)
    rows, weights = [], []
    for p, path, r in _every(task, theta):
        states, actions = (np.array([x]) for x in zip(*path, strict=True))
        one = Trajectories(states, actions, r[None], np.ones((1, 2), bool))
        like = likelihood(task.policy, theta, one)
        w = reward_to_go(one, gamma=task.mdp.gamma) * task.mdp.gamma ** np.arange(2)
        point = task.at(theta + alpha * like.pull(w))
        weights.append(p)
        rows.append(point.grad + alpha * like.curve(w, point.grad) + point.loss * like.pull(np.ones((1, 2))))
    mean = np.average(rows, axis=0, weights=weights)
    return (task, theta, alpha), mean, np.cov(np.array(rows).T, aweights=weights, ddof=0)


def _found(z: Any) -> Any:
    task, theta, alpha = z
    return sampled.moments(
        lambda t, given: sampled.emaml_gradient(t, given, task, alpha=alpha),
        lambda t, batch: surrogates.reinforce(task.policy, t, batch, gamma=task.mdp.gamma),
        theta, task, alpha=alpha, episodes=1,
    )  # fmt: skip


def _estimator_bias(rng: Generator) -> float:
    """Norm, ratio, cosine and deviation, of sums written out."""
    inputs, mean, covariance = _moments(rng)
    truth = rng.normal(size=4)
    norm = sum((a - b) ** 2 for a, b in zip(mean, truth, strict=True)) ** 0.5
    size, own = sum(b * b for b in truth) ** 0.5, sum(a * a for a in mean) ** 0.5
    cosine = sum(a * b for a, b in zip(mean, truth, strict=True)) / (size * own)
    expected = np.array([[norm, norm / size, cosine, sum(covariance[i, i] for i in range(4)) ** 0.5]])
    return off(lambda z: np.array([sampled.estimator_bias(_found(z), truth)]), inputs, expected)


def _estimator_covariance(rng: Generator) -> float:
    inputs, mean, covariance = _moments(rng)
    expected = np.concatenate([mean[None], covariance])[None]
    return off(lambda z: np.concatenate([_found(z).mean[None], _found(z).covariance])[None], inputs, expected)


CHECKS = (
    drawing("surrogate-naive", "−(1/M) Σ γᵗÂ log(π/π₀)", "step by step", _loss("reinforce")),
    drawing("lvc", "−(1/M) Σ γᵗÂ π/π₀", "step by step", _loss("likelihood_ratio")),
    drawing("dice", "−(1/M) Σ γᵗ[r ☐ + b(1 − ☐_t)]", "step by step", _loss("dice")),
    drawing("tmaml-baseline", "DiCE + Σ γᵗ[(1−☐_t) − (1−☐_<t)(1−☐_t)]b", "step by step", _loss("tmaml")),
    drawing("loaded-dice", "−(1/M) Σ γᵗÂ(☐_w − ☐_v)", "step by step", _loss("loaded_dice")),
    drawing("surrogate-hvp", "DᵀSD v + Σ s ∇²log π v", "complex steps of loss and gradient", _surrogate_hvp),
    drawing("thm:naive-curvature", "E[Â ∇²log π | s] = 0", "first-order MAML, in expectation", _naive_curvature),
    drawing("emaml-score-term", "L(φ) Σ ∇log p(τ)", "complex step of log p", _score_term),
    drawing("formulation-exact", "L(θ − α∇L(θ))", "complex step of it", _formulation_exact),
    drawing("formulation-sampled", "E[L(θ + αĝ)]", "every tuple in turn, complex step", _formulation_sampled),
    drawing("promp-objective", "L_clip(φ) + ηD(θ)", "its parts, complex step", _promp),
    drawing("estimator-bias", "‖E ĝ − g‖, cosine, √tr Cov", "sums written out", _estimator_bias),
    drawing("estimator-covariance", "E ĝ and Cov ĝ", "every trajectory in turn", _estimator_covariance),
)
