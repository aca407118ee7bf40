"""Evidence for the limit of many episodes: surrogates written out, complex steps, and exact means over batches by their counts."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check, Error, off
from refmeta.evidence.definitions import all_trajectories
from refmeta.evidence.sampled import TinyCase, random_tiny
from refmeta.judges import complex_step
from refmeta.meta.many_episodes import StepLimit, gradient_limit, normalised_step_limit, step_limit
from refmeta.policies import TabularSoftmax
from refmeta.sampling import surrogates
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["CHECKS", "LimitCase", "mean_by_counts", "random_bandits", "random_limit"]

KINDS = ("reinforce", "likelihood_ratio", "dice", "normalised")


class _Paths(NamedTuple):
    """All trajectories of one task: states, actions and γᵗĜ_t (n, H), γᵗ (H,), the process's part of their probabilities (n,)."""

    states: Array
    actions: Array
    weights: Array
    discounts: Array
    process: Array
    shape: tuple[int, int]

    def scores(self, theta: Array) -> tuple[Array, Array]:
        """log π of every step (n, H), and its slope (n, H, d); complex θ stays complex."""
        logits = np.reshape(theta, self.shape)
        log_pi = logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True))
        s, a = self.states, self.actions
        slope = np.eye(self.shape[0])[s][..., None] * (np.eye(self.shape[1])[a] - np.exp(log_pi)[s])[..., None, :]
        return log_pi[s, a], slope.reshape(*s.shape, -1)

    def probabilities(self, theta: Array) -> Array:
        """p(τ|θ), (n,)."""
        return self.process * np.exp(np.sum(self.scores(theta)[0], axis=1))


def _every_path(task: PolicyReturn) -> _Paths:
    """The trajectories of one task without ends, with rewards of (s, a)."""
    found = list(all_trajectories(task, zero := np.zeros(task.dim)))
    states, actions = np.moveaxis(np.array([path for _, path, _ in found]), 2, 0)
    weights = np.array([w for *_, w in found])
    paths = _Paths(states, actions, weights, task.mdp.gamma ** np.arange(weights.shape[1]), np.ones(len(found)), task.mdp.R.shape)
    return paths._replace(process=np.array([p for p, *_ in found]) / paths.probabilities(zero))


def _inner_gradient(kind: str, paths: _Paths, p: Array, theta: Array, drawn: Array) -> Array:
    """∇L̂ at θ (d,) of trajectories with the probabilities p, (n,) or (..., n) for many batches, whose θ_sampled is `drawn`."""
    log_pi, slope = paths.scores(theta)
    x, w = log_pi - paths.scores(drawn)[0], paths.weights
    if kind == "normalised":
        G = w / paths.discounts
        mean = (p @ np.mean(G, axis=1))[..., None, None]
        square = np.sum(p * np.mean((G - mean) ** 2, axis=-1), axis=-1)[..., None, None]
        w = paths.discounts * (G - mean) / (np.sqrt(square) + 1e-8)
    elif kind == "likelihood_ratio":
        w = w * np.exp(x)
    elif kind == "dice":
        r = w - np.pad(w, ((0, 0), (0, 1)))[:, 1:]  # γᵗr_t
        w = np.cumsum((r * np.exp(np.cumsum(x, axis=1)))[:, ::-1], axis=1)[:, ::-1]
    return -np.einsum("...n,...nt,nti->...i", p, w, slope)


class LimitCase(NamedTuple):
    """A task with θ and α, the surrogate of an inner step, K, and the weights of score term and curvature."""

    tiny: TinyCase
    kind: str
    steps: int
    score: float
    curvature: float


def random_limit(rng: Generator) -> LimitCase:
    """Any surrogate, one or two steps, and weights of any size."""
    kind = KINDS[rng.integers(len(KINDS))]
    score, curvature = rng.choice([0.0, 1.0, rng.normal()], size=2, p=[0.25, 0.5, 0.25])
    return LimitCase(random_tiny(rng), kind, int(rng.integers(1, 3)), float(score), float(curvature))


def _step(kind: str, theta: Array, task: PolicyReturn) -> StepLimit:
    """The library's limit of an inner step."""
    if kind == "normalised":
        return normalised_step_limit(theta, task)
    make = getattr(surrogates, kind)
    return step_limit(lambda x, batch: make(task.policy, x, batch, gamma=task.mdp.gamma), theta, task)


def _step_error(case: LimitCase) -> Error:
    """T, and complex steps of it: in the parameters of the scores, in those of the probabilities, and in all of them."""
    (task, theta, _), kind, *_ = case
    paths = _every_path(task)
    p = paths.probabilities(theta)
    T = _inner_gradient(kind, paths, p, theta, theta)
    A = _jacobian(lambda x: _inner_gradient(kind, paths, p, x, theta), theta)
    B = _jacobian(lambda x: _inner_gradient(kind, paths, paths.probabilities(x), theta, theta), theta)
    C = _jacobian(lambda x: _inner_gradient(kind, paths, paths.probabilities(x), x, x), theta)
    return off(lambda z: np.vstack(_step(kind, z[1], z[0]))[None], (task, theta), np.vstack([T, A, B, C])[None])


def _jacobian(f: Callable[[Array], Array], theta: Array) -> Array:
    """Row i is ∂f/∂θ_i."""
    return np.stack([complex_step(f, theta, unit) for unit in np.eye(theta.size)])


def _limit_error(case: LimitCase) -> Error:
    """The complex step of L(φ) + Σ_k ⟨s_k, θ⁽ᵏ⁾⟩ along steps with held probabilities; s_k the one of L(φ) by the probabilities of step k."""
    (task, theta, alpha), kind, steps, score, curvature = case
    paths = _every_path(task)

    def moved(x: Array, probabilities_at: Array) -> Array:
        return x - alpha * _inner_gradient(kind, paths, paths.probabilities(probabilities_at), x, x)

    def loss_after(x: Array, k: int) -> Any:
        for _ in range(k):
            x = moved(x, x)
        return task.at(x).loss

    path = [theta]
    for _ in range(steps):
        path.append(moved(path[-1], path[-1]))
    scored_loss: Any = lambda x, k: lambda y: loss_after(moved(x, y), steps - 1 - k)
    terms = [complex_step(scored_loss(x, k), x) for k, x in enumerate(path[:-1])]

    def objective(x: Array) -> Any:
        scored: Any = 0.0
        for at, term in zip(path[:-1], terms, strict=True):
            scored = scored + score * (term @ x)
            x = x - alpha * _inner_gradient(kind, paths, paths.probabilities(at), at + curvature * (x - at), at)
        return task.at(x).loss + scored

    weights: Any = {"steps": steps, "score": score, "curvature": curvature}
    got = lambda z: gradient_limit(lambda x: _step(kind, x, z[0]), z[1], z[0], alpha=z[2], **weights)[None]
    return off(got, case.tiny, complex_step(objective, theta)[None])


def _random_bandit(rng: Generator) -> LimitCase:
    """One step of E-MAML on three arms, so that a batch is three counts."""
    task = PolicyReturn(FiniteMDP(np.ones((1, 3, 1)), rng.normal(size=(1, 3)), np.ones(1), 0.75, 1), TabularSoftmax(1, 3))
    tiny = task, 0.5 * rng.normal(size=3), float(rng.uniform(0.3, 1.0))
    return LimitCase(tiny, "reinforce", steps=1, score=1.0, curvature=1.0)


def mean_by_counts(case: LimitCase, M: int) -> Array:
    """The exact mean of one step over all batches of M: a batch is how often it holds each of n = 3 trajectories."""
    from scipy.special import gammaln

    (task, theta, alpha), kind, _, score, curvature = case
    paths = _every_path(task)
    two = np.indices((M + 1, M + 1)).reshape(2, -1).T
    rest = M - np.sum(two, axis=1)
    counts = np.column_stack([two, rest])[rest >= 0]
    p = np.exp(gammaln(M + 1) - np.sum(gammaln(counts + 1), axis=1) + counts @ np.log(paths.probabilities(theta)))
    slope: Any = lambda x: _inner_gradient(kind, paths, counts / M, x, theta)
    end = task.at(theta - alpha * slope(theta))
    bent = np.einsum("ibj,bj->bi", _jacobian(slope, theta), end.grad)
    return p @ (end.grad - alpha * curvature * bent + score * end.loss[:, None] * (counts @ np.sum(paths.scores(theta)[1], axis=1)))


def random_bandits(rng: Generator) -> list[LimitCase]:
    """Four of them: one alone may have next to nothing of order 1/M, so that the order of the rest is seen."""
    return [_random_bandit(rng) for _ in range(4)]


def _observed_order(cases: list[LimitCase]) -> float:
    """The order in 1/M of the distance from the means to the limits, at M = 40 and 80."""

    def distances(case: LimitCase) -> list[Any]:
        (task, theta, alpha), kind, *_ = case
        limit = gradient_limit(lambda x: _step(kind, x, task), theta, task, alpha=alpha)
        return [np.linalg.norm(mean_by_counts(case, M) - limit) for M in (40, 80)]

    few, many = np.sum([distances(case) for case in cases], axis=0)
    return float(np.log2(few / many))


CHECKS = (
    Check("many-episodes-step", "E ∇L̂, E ∇²L̂, E[∇log p ∇L̂ᵀ], ∂T", "complex steps of the surrogates", random_limit, _step_error),
    Check("many-episodes-limit", "λ − αqAλ − αcBu", "complex step of the steps in a row", random_limit, _limit_error),
    Check("thm:many-episodes", "E λ̂₀ = λ₀ + O(1/M)", "exact means over all batches", random_bandits, _observed_order, (1, 0.1)),
)
