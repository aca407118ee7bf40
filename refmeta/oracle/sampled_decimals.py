"""Surrogates on a batch, and expectations over every trajectory, in any arithmetic.  Derivation: derivations/judges.md

No derivative formula stands here, and no surrogate but its definition.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from refmeta.oracle.decimals import Loss, Number, Vector, gradient, hessian_product, policy, policy_return


def log_probabilities(theta: Vector, x: dict[str, Any], task: int) -> list[Vector]:
    """ln π(a|s) of every step of a task's batch, less the constant ln(2π)/2 of a Gaussian; 0 after the end."""
    batch = zip(*(x[name][task] for name in ("states", "actions", "mask")), strict=True)
    if isinstance(x["states"][task][0][0], list):
        return [[_gaussian(theta, s, a) if m else 0 * theta[0] for s, a, m in zip(*one, strict=True)] for one in batch]
    pi = policy(theta, x["state_count"], x["action_count"], x["features"])
    return [[pi[s][a].ln() if m else 0 * theta[0] for s, a, m in zip(*one, strict=True)] for one in batch]


def _gaussian(theta: Vector, s: Vector, a: Vector) -> Number:
    n, m = len(s), len(a)
    total = 0 * theta[0]
    for j in range(m):
        mean, log = sum(theta[j * n + i] * s[i] for i in range(n)), theta[m * n + j]
        total -= ((a[j] - mean) * (-log).exp()) ** 2 / 2 + log
    return total


def surrogate(name: str, x: dict[str, Any], task: int) -> Loss:
    """−(1/M) Σ f over a task's trajectories."""
    sampled = log_probabilities(x["theta_sampled"], x, task)
    rows = list(zip(*(x[key][task] for key in ("rewards", "mask", "baseline")), strict=True))

    def loss(theta: Vector) -> Number:
        now = log_probabilities(theta, x, task)
        each = [
            _one(name, [p - q for p, q in zip(one, other, strict=True)], r, mask, b, x["gamma"], x["lam"])
            for one, other, (r, mask, b) in zip(now, sampled, rows, strict=True)
        ]
        return -sum(each) / len(each)

    return loss


def _one(
    name: str, x: Vector, rewards: Vector, mask: list[int], baseline: Vector, gamma: Number, lam: Number
) -> Number:
    """f of one trajectory, from the logarithms of its ratios."""
    r = [m * a for m, a in zip(mask, rewards, strict=True)]
    H, total = len(x), 0 * gamma
    for t in range(H):
        weight, b = gamma**t if t else 1, mask[t] * baseline[t]
        G = sum((gamma ** (k - t) if k > t else 1) * r[k] for k in range(t, H))
        past, now = sum(x[:t], 0 * gamma), x[t]
        fading = sum(((lam ** (t - k) if k < t else 1) * x[k] for k in range(t + 1)), 0 * gamma)
        if name == "reinforce":
            total += weight * (G - b) * now
        elif name == "likelihood_ratio":
            total += weight * (G - b) * now.exp()
        elif name == "loaded_dice":
            total += weight * (G - b) * (fading.exp() - (fading - now).exp())
        elif name == "dice":
            total += weight * (r[t] * (past + now).exp() + b * (1 - now.exp()))
        else:
            control = (1 - now.exp()) - (1 - past.exp()) * (1 - now.exp())
            total += weight * (r[t] * (past + now).exp() + b * control)
    return total


def trajectories(P: Any, R: Any, rho: Vector, horizon: int) -> Iterator[tuple[Number, list[int], list[int], Vector]]:
    """The weight, states, actions and rewards of every trajectory; the last next state only where rewards depend on it."""
    S, A = len(P), len(P[0])
    nested = isinstance(R[0][0], list)
    for path in itertools.product(range(S), *([range(A), range(S)] * horizon)[: None if nested else -1]):
        states, actions = list(path[::2]), list(path[1::2])
        weight, rewards = rho[states[0]], []
        for s, a, following in itertools.zip_longest(states[:horizon], actions, states[1:]):
            weight *= 1 if following is None else P[s][a][following]
            rewards.append(R[s][a][following] if nested else R[s][a])
        if weight:
            yield weight, states[:horizon], actions, rewards


class Process:
    """One task of the suite `expected-estimators`, its trajectories listed."""

    def __init__(self, x: dict[str, Any], task: int) -> None:
        self.x, P, R, rho = x, x["P"][task], x["R"][task], x["rho"][task]
        self.size, self.loss = (len(P), len(P[0])), policy_return(P, R, rho, x["gamma"], x["horizon"])
        self.paths = list(trajectories(P, R, rho, x["horizon"]))

    def log_policy(self, theta: Vector) -> list[Vector]:
        """ln π, a row a state."""
        return [[p.ln() for p in row] for row in policy(theta, *self.size)]

    def probability(self, theta: Vector) -> Vector:
        """p(τ|θ) of every trajectory."""
        pi, found = policy(theta, *self.size), []
        for weight, states, actions, _ in self.paths:
            for s, a in zip(states, actions, strict=True):
                weight = weight * pi[s][a]
            found.append(weight)
        return found

    def to_go(self, rewards: Vector) -> Vector:
        """γᵗ Ĝ_t."""
        gamma, terms = self.x["gamma"], [r * (self.x["gamma"] ** t if t else 1) for t, r in enumerate(rewards)]
        return [sum(terms[t:], 0 * gamma) for t in range(len(terms))]

    def estimate(self, theta: Vector, h: Number) -> list[Vector]:
        """∇ Σ_t γᵗĜ_t ln π(a_t|s_t) of every trajectory, numeric."""
        return [gradient(self._weighted(path), theta, h) for path in self.paths]

    def _weighted(self, path: Any) -> Loss:
        _, states, actions, rewards = path
        weights = self.to_go(rewards)

        def value(theta: Vector) -> Number:
            logs = self.log_policy(theta)
            return sum(w * logs[s][a] for w, s, a in zip(weights, states, actions, strict=True))

        return value

    def expected(self, theta: Vector, steps: int, h: Number) -> Number:
        """E[L(θ⁽ᴷ⁾)] over M trajectories a step; tuples that are alike in another order are one, and count as many."""
        if steps == 0:
            return self.loss(theta)
        M, alpha, total = self.x["episodes"], self.x["alpha"], 0 * theta[0]
        p, g = self.probability(theta), self.estimate(theta, h)
        for chosen in itertools.combinations_with_replacement(range(len(p)), M):
            weight, phi = math.factorial(M), list(theta)
            for times in Counter(chosen).values():
                weight //= math.factorial(times)
            for i in chosen:
                weight = weight * p[i]
                phi = [t + alpha * slope / M for t, slope in zip(phi, g[i], strict=True)]
            total += weight * self.expected(phi, steps - 1, h)
        return total

    def curvature(self, name: str, theta: Vector, v: Vector, h: Number) -> Vector:
        """Σ_τ p(τ|θ) times the Hessian product of −Σ γᵗĜ_t g(ln π − ln π_θ), g the identity or the exponential."""
        p, logs, total = self.probability(theta), self.log_policy(theta), [0 * t for t in theta]
        for weight, path in zip(p, self.paths, strict=True):
            product = hessian_product(self._bent(name, path, logs), theta, v, h)
            total = [a - weight * b for a, b in zip(total, product, strict=True)]
        return total

    def _bent(self, name: str, path: Any, logs: list[Vector]) -> Loss:
        if name == "naive_hessian":
            return self._weighted(path)
        _, states, actions, rewards = path
        weights = self.to_go(rewards)

        def value(theta: Vector) -> Number:
            now = self.log_policy(theta)
            return sum(w * (now[s][a] - logs[s][a]).exp() for w, s, a in zip(weights, states, actions, strict=True))

        return value
