"""The suite expected-estimators, written once more; every method can be written wrongly."""

import itertools
from typing import Any

import numpy as np

from tests.oracle.field.small_autograd import V, einsum, exp, grad, log_softmax, reshape, softmax, stop, total

__all__ = ["ExpectedEstimators"]


class ExpectedEstimators:
    """One task after the other; a batch of parameters at once."""

    R: Any
    gamma: float
    horizon: int
    alpha: float
    episodes: int
    steps: int

    def __init__(self, **inputs: Any) -> None:
        self.__dict__.update(inputs)
        self.theta, self.v, self.every = inputs["theta"], inputs["v"], inputs

    def use(self, i: int) -> None:
        """Read a task, and enumerate its trajectories."""
        self.P, self.reward, self.rho = (self.every[name][i] for name in ("P", "R", "rho"))
        self.S, self.A = self.P.shape[:2]
        nested = self.reward.ndim == 3
        states, actions = range(self.S), range(self.A)
        each = list(itertools.product(states, *([actions, states] * self.horizon)[: None if nested else -1]))
        table = np.array([path if nested else (*path, 0) for path in each])
        self.s, self.a, self.after = table[:, :-1:2], table[:, 1::2], table[:, 2::2]
        self.nested, self.T = nested, len(each)
        self.chance, self.r = self.process_chance(), self.path_rewards()
        self.weights = self.path_weights()
        self.counts, self.credit = (self.table(np.ones(self.r.shape)), self.table(self.weights))

    def start(self) -> Any:
        """The probabilities of the first states of the paths."""
        return self.rho[self.s[:, 0]]

    def process_chance(self) -> Any:
        """What the process contributes to the probability of each path."""
        moves = self.P[self.s, self.a, self.after]
        return self.start() * np.prod(moves if self.nested else moves[:, :-1], axis=1)

    def path_rewards(self) -> Any:
        """(T, H)."""
        return self.reward[self.s, self.a, self.after] if self.nested else self.reward[self.s, self.a]

    def path_weights(self) -> Any:
        """γᵗ G_t of each path and step."""
        discounted = self.r * self.gamma ** np.arange(self.horizon)
        return np.cumsum(discounted[:, ::-1], axis=1)[:, ::-1]

    def table(self, w: Any) -> Any:
        """Σ_t w_t of each path, state and action."""
        out = np.zeros((self.T, self.S, self.A))
        np.add.at(out, (np.arange(self.T)[:, None], self.s, self.a), w)
        return out

    def logits(self, theta: V) -> V:
        """(B, S, A)."""
        return reshape(theta, (theta.shape[0], self.S, self.A))

    def loss(self, theta: V) -> V:
        """L of each row of parameters."""
        pi = softmax(self.logits(theta))
        expected = np.sum(self.P * self.reward, axis=-1) if self.nested else self.reward
        r, value = total(pi * expected, (-1,)), lift_zero(theta.shape[0], self.S)
        for _ in range(self.horizon):
            value = r + self.gamma * total(einsum("bsa,sat->bst", pi, self.P) * value[:, None], (-1,))
        return -total(value * self.rho, (-1,))

    def path_chance(self, theta: V) -> V:
        """(B, T)."""
        return self.chance * exp(einsum("bsa,tsa->bt", log_softmax(self.logits(theta)), self.counts))

    def estimates(self, theta: V) -> V:
        """GPOMDP's estimate of ∇J from each path, (B, T, d)."""
        pi = softmax(self.logits(theta))
        g = self.credit - np.sum(self.credit, axis=-1, keepdims=True) * pi[:, None]
        return reshape(g, (theta.shape[0], self.T, self.S * self.A))

    def draws(self) -> tuple[Any, Any]:
        """Every tuple of M paths, and how often it is counted."""
        tuples = np.array(list(itertools.product(range(self.T), repeat=self.episodes)))
        return tuples, np.ones(len(tuples))

    def step_size(self, k: int) -> float:
        """α of a step."""
        return self.alpha

    def batches(self, theta: V, k: int, drawn_at: V) -> tuple[V, V]:
        """The probability of every tuple, and the parameters after a step on it."""
        tuples, often = self.draws()
        p, g = self.path_chance(drawn_at), self.estimates(theta)
        q, move = lift_one(theta.shape[0], len(tuples)) * often, lift_zero(1)
        for column in tuples.T:
            q, move = q * p[:, column], move + g[:, column]
        return q, theta[:, None] + self.step_size(k) / self.episodes * move

    def judged(self, phi: V, q: V) -> V:
        """E L(φ)."""
        return total(q * self.loss(phi))

    def sampled(self, theta: V) -> V:
        """The objective of sampled adaptation."""
        q, phi = lift_one(1), theta
        for k in range(self.steps):
            chance, after = self.batches(phi, k, phi)
            q = reshape(q[:, None] * chance, (-1,))
            phi = reshape(after, (q.shape[0], self.S * self.A))
        return self.judged(phi, q)

    def inner(self, phi: V) -> V:
        """∇L(φ) of an exact step."""
        return grad(self.loss(phi), [phi])[0]

    def exact(self, theta: V) -> V:
        """The objective of exact adaptation."""
        phi = theta
        for k in range(self.steps):
            phi = phi - self.step_size(k) * self.inner(phi)
        return total(self.loss(phi))

    def naive(self, theta: V) -> V:
        """The expectation of REINFORCE's surrogate, the paths' probabilities held."""
        return -total(
            einsum("bt,tsa->bsa", stop(self.path_chance(theta)), self.credit) * log_softmax(self.logits(theta))
        )

    def lvc(self, theta: V) -> V:
        """The expectation of the likelihood ratio's surrogate."""
        logs = log_softmax(self.logits(theta))
        return -total(einsum("bt,tsa->bsa", stop(self.path_chance(theta)), self.credit) * exp(logs - stop(logs)))

    def dice(self, theta: V) -> V:
        """The expectation of DiCE."""
        return total(self.loss(theta))

    def product(self, name: str, theta: V) -> V:
        """A Hessian times v."""
        return grad(grad(getattr(self, name)(theta), [theta])[0] * self.v, [theta])[0]

    def answer(self) -> dict[str, Any]:
        """Every part."""
        rows: dict[str, list[Any]] = {}
        for i in range(len(self.R)):
            self.use(i)
            theta = V(self.theta[None], leaf=True)
            for name in ("exact", "sampled"):
                result = grad(getattr(self, name)(theta), [theta])[0]
                rows.setdefault(f"formulation_{name}", []).append(result.data[0])
            for name in ("naive", "lvc", "dice"):
                rows.setdefault(f"{name}_hessian", []).append(self.product(name, theta).data[0])
        return {part: np.stack(value) for part, value in rows.items()}


def lift_zero(*shape: int) -> V:
    """Constant zeros."""
    return V(np.zeros(shape))


def lift_one(*shape: int) -> V:
    """Constant ones."""
    return V(np.ones(shape))


def right(**inputs: Any) -> dict[str, Any]:
    """The right answer."""
    return ExpectedEstimators(**inputs).answer()
