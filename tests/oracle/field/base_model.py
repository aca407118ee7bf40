"""The suite model, written once more; every method can be written wrongly."""

from typing import Any

import numpy as np

from tests.oracle.field.small_autograd import V, einsum, exp, grad, inv, lift, log, reshape, softmax, total, where

__all__ = ["Model"]


class Model:
    """All tasks at once: the prior is repeated, one copy for each."""

    context_mask: Any
    noise_variance: float
    P: Any
    R: Any
    rho: Any
    gamma: float
    horizon: Any
    steps: int

    def __init__(self, **inputs: Any) -> None:
        self.__dict__.update(inputs)
        self.every, self.alpha, self.theta = inputs, inputs["alpha"], inputs["theta"]
        self.N, self.S, self.A = self.P.shape[:3]
        self.counts, self.n, self.sums, self.squares = self.statistics()
        tile: Any = lambda x: V(np.broadcast_to(x, (self.N, *np.shape(x))), leaf=True)
        self.log_c, self.log_v = (tile(np.log(inputs["concentration"])), tile(np.log(inputs["reward_variance"])))
        self.mean = tile(inputs["reward_mean"])

    def columns(self) -> tuple[Any, ...]:
        """Task, state, action, next state and reward of every transition."""
        keep, x = self.context_mask.astype(bool), self.every
        names = ("context_states", "context_actions", "context_following", "context_rewards")
        return np.nonzero(keep)[0], *(x[name][keep] for name in names)

    def statistics(self) -> tuple[Any, Any, Any, Any]:
        """Counts of next states, visits, and sums of the rewards and of their squares."""
        i, s, a, after, r = self.columns()
        counts, sums, squares = (np.zeros(self.P.shape), np.zeros(self.P.shape[:3]), np.zeros(self.P.shape[:3]))
        np.add.at(counts, (i, s, a, after), 1)
        np.add.at(sums, (i, s, a), r)
        np.add.at(squares, (i, s, a), r * r)
        return counts, np.sum(counts, axis=-1), sums, squares

    def transition(self) -> Any:
        """The posterior mean of P."""
        c = exp(self.log_c).data + self.counts
        return c / np.sum(c, axis=-1, keepdims=True)

    def reward(self) -> Any:
        """The posterior mean of R."""
        v = exp(self.log_v).data[:, None, None]
        return (self.noise_variance * self.mean.data + v * self.sums) / (self.noise_variance + v * self.n)

    def rising(self, c: V, n: Any) -> V:
        """ln Γ(c + n)/Γ(c)."""
        out = 0.0 * c
        for k in range(int(np.max(n, initial=0))):
            out = out + where(k < n, log(c + float(k)), 0.0)
        return out

    def log_next_states(self) -> V:
        """Of the next states, in their order; (N,)."""
        c = exp(self.log_c)
        return total(self.rising(c, self.counts), (1, 2, 3)) - total(self.rising(total(c, (-1,)), self.n), (1, 2))

    def log_rewards(self) -> V:
        """Of the rewards; (N,)."""
        noise, n = self.noise_variance, self.n
        mean = self.sums / np.maximum(n, 1)
        spread = self.squares - n * mean**2
        D = noise + n * exp(self.log_v)[:, None, None]
        each = n * np.log(2 * np.pi * noise) + log(D / noise) + spread / noise + n * (mean - self.mean) ** 2 / D
        return -total(each, (1, 2)) / 2

    def log_marginal(self) -> V:
        """Of the context."""
        return self.log_next_states() + self.log_rewards()

    def prior_slopes(self) -> list[V]:
        """Of the log marginal: in ln concentration, mean and ln variance."""
        return grad(self.log_marginal(), [self.log_c, self.mean, self.log_v])

    def loss(self, theta: V, P: Any, R: Any) -> V:
        """−J, (N,)."""
        pi = softmax(reshape(theta, (self.N, self.S, self.A)))
        r, K = total(pi * R, (-1,)), self.gamma * einsum("nsa,nsat->nst", pi, P)
        if self.horizon is None:
            value = einsum("nst,nt->ns", inv(np.eye(self.S) - K), r)
        else:
            value = lift(np.zeros((self.N, self.S)))
            for _ in range(self.horizon):
                value = r + einsum("nst,nt->ns", K, value)
        return -total(self.start() * value, (-1,))

    def start(self) -> Any:
        """The probabilities of the first states."""
        return self.rho

    def inner_loss(self, theta: V) -> V:
        """The model's loss."""
        return self.loss(theta, self.transition(), self.reward())

    def slope(self, theta: V) -> V:
        """The gradient of a step."""
        return grad(self.inner_loss(theta), [theta])[0]

    def step_size(self, k: int) -> Any:
        """α of a step."""
        alpha = np.asarray(self.alpha)
        return alpha[k] if alpha.ndim == 2 else alpha

    def adapt(self, theta: V) -> V:
        """φ."""
        for k in range(self.steps):
            theta = theta - self.step_size(k) * self.slope(theta)
        return theta

    def objective(self, theta: V) -> V:
        """L(φ) of the truth."""
        return self.loss(self.adapt(theta), self.P, self.R)

    def gradient(self) -> tuple[Any, Any]:
        """F and its gradient."""
        theta = V(np.broadcast_to(self.theta, (self.N, len(self.theta))), leaf=True)
        F = self.objective(theta)
        return F.data, grad(F, [theta])[0].data

    def answer(self) -> dict[str, Any]:
        """Every part."""
        c, mean, v = self.prior_slopes()
        F, g = self.gradient()
        return {
            "transition": self.transition(), "reward": self.reward(), "log_marginal": self.log_marginal().data,
            "concentration_grad": c.data, "reward_mean_grad": mean.data, "reward_variance_grad": v.data,
            "objective": F, "gradient": g,
        }  # fmt: skip


def right(**inputs: Any) -> dict[str, Any]:
    """The right answer."""
    return Model(**inputs).answer()
