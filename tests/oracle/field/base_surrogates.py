"""The suite surrogates, written once more; every method can be written wrongly."""

from typing import Any

import numpy as np

from tests.oracle.field.small_autograd import V, einsum, exp, grad, log_softmax, reshape, total, where

__all__ = ["Surrogates"]


class Surrogates:
    """All tasks at once: theta is repeated, one row for each."""

    rewards: Any
    mask: Any
    baseline: Any
    states: Any
    actions: Any
    features: Any
    lam: float
    v: Any
    names = ("reinforce", "likelihood_ratio", "dice", "tmaml", "loaded_dice")

    def __init__(self, **inputs: Any) -> None:
        self.__dict__.update(inputs)
        self.theta, self.gamma, self.theta_sampled = (inputs["theta"], inputs["gamma"], inputs["theta_sampled"])
        self.S, self.A = inputs["state_count"], inputs["action_count"]
        self.N, self.M, self.H = self.rewards.shape
        self.alive = self.read_mask()
        self.r, self.b = self.read_rewards(), np.where(self.alive, self.baseline, 0.0)
        self.discount = self.gamma ** np.arange(self.H)

    def read_mask(self) -> Any:
        """Where a step was taken."""
        return self.mask.astype(bool)

    def read_rewards(self) -> Any:
        """The rewards, 0 after the end."""
        return np.where(self.alive, self.rewards, 0.0)

    def log_policy(self, theta: V) -> V:
        """(N, S, A) of a softmax policy."""
        if self.features is None:
            return log_softmax(reshape(theta, (self.N, self.S, self.A)))
        return log_softmax(einsum("sad,nd->nsa", self.features, theta))

    def log_gauss(self, theta: V, s: Any, a: Any) -> V:
        """(N, M, H) of a linear-Gaussian policy."""
        gain, scale = self.gain(theta), theta[:, self.S * self.A :]
        off = (a - einsum("nas,nmhs->nmha", gain, s)) * exp(-scale)[:, None, None]
        return -total(off**2 / 2 + scale[:, None, None], (-1,))

    def gain(self, theta: V) -> V:
        """K, row by row."""
        return reshape(theta[:, : self.S * self.A], (self.N, self.A, self.S))

    def log_prob(self, theta: V) -> V:
        """ln π(a|s) of every step, 0 after the end."""
        if self.states.ndim == 4:
            s, a = (np.where(self.alive[..., None], x, 0.0) for x in (self.states, self.actions))
            return where(self.alive, self.log_gauss(theta, s, a), 0.0)
        s, a = (np.where(self.alive, x, 0) for x in (self.states, self.actions))
        return where(self.alive, self.log_policy(theta)[np.arange(self.N)[:, None, None], s, a], 0.0)

    def ratios(self, theta: V) -> V:
        """x."""
        return self.log_prob(theta) - self.log_prob(V(np.tile(self.theta_sampled, (self.N, 1)))).data

    def to_go(self) -> Any:
        """G_t."""
        G, out = np.zeros((self.N, self.M)), np.zeros(self.r.shape)
        for t in reversed(range(self.H)):
            G = self.r[..., t] + self.gamma * G
            out[..., t] = G
        return out

    def advantage(self) -> Any:
        """G − b."""
        return self.to_go() - self.b

    def sums(self, x: V) -> V:
        """Σ_{k≤t} x_k."""
        return einsum("nmk,tk->nmt", x, np.tril(np.ones((self.H, self.H))))

    def fading(self, x: V) -> V:
        """Σ_{k≤t} λᵗ⁻ᵏ x_k."""
        t = np.arange(self.H)
        return einsum("nmk,tk->nmt", x, np.tril(float(self.lam) ** np.maximum(t[:, None] - t, 0)))

    def reinforce(self, x: V) -> V:
        """(G − b) x."""
        return self.advantage() * x

    def likelihood_ratio(self, x: V) -> V:
        """(G − b) eˣ."""
        return self.advantage() * exp(x)

    def dice(self, x: V) -> V:
        """r ☐ + b (1 − eˣ)."""
        return self.r * exp(self.sums(x)) + self.b * (1 - exp(x))

    def tmaml(self, x: V) -> V:
        """r ☐ + b ((1 − eˣ) − (1 − past) (1 − eˣ))."""
        past = exp(self.sums(x) - x)
        return self.r * exp(self.sums(x)) + self.b * ((1 - exp(x)) - (1 - past) * (1 - exp(x)))

    def loaded_dice(self, x: V) -> V:
        """(G − b) (e^w − e^(w − x))."""
        w = self.fading(x)
        return self.advantage() * (exp(w) - exp(w - x))

    def reduce(self, each: V) -> V:
        """Minus the sum over time, the mean over trajectories; (N,)."""
        return -total(self.discount * each, (1, 2)) / self.M

    def loss(self, name: str, theta: V) -> V:
        """A surrogate."""
        return self.reduce(getattr(self, name)(self.ratios(theta)))

    def product(self, name: str, theta: V, g: V) -> Any:
        """The Hessian times v."""
        return grad(g * self.v, [theta])[0].data

    def finish(self, g: Any) -> Any:
        """What becomes of a gradient before it is returned."""
        return g

    def answer(self) -> dict[str, Any]:
        """Every part."""
        out = {}
        for name in self.names:
            theta = V(np.tile(self.theta, (self.N, 1)), leaf=True)
            loss = self.loss(name, theta)
            g = grad(loss, [theta])[0]
            out[f"{name}_loss"], out[f"{name}_grad"] = loss.data, self.finish(g.data)
            out[f"{name}_hvp"] = self.product(name, theta, g)
        return out


def right(**inputs: Any) -> dict[str, Any]:
    """The right answer."""
    return Surrogates(**inputs).answer()
