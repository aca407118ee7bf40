"""Surrogates of the return, each a sum of coefficients times exponentials of sums of logarithms of ratios."""

import numpy as np

from tests.oracle.field.held_out.base_maml import softmax
from tests.oracle.field.held_out.calculus import along


class Surrogates:
    """Losses, gradients and Hessian products of five surrogates."""

    def __init__(self, inputs):
        self.x = inputs
        self.theta, self.old, self.v = inputs["theta"], inputs["theta_sampled"], inputs["v"]
        self.N, self.M, self.H = inputs["rewards"].shape
        self.mask = np.asarray(inputs["mask"], float)
        self.rewards, self.baseline = self.masked(inputs["rewards"]), self.masked(inputs["baseline"])
        self.discount = float(inputs["gamma"]) ** np.arange(self.H)

    def masked(self, values):
        return np.where(self.mask == 1, values, 0.0)

    def count(self, i):
        """By what the sum over steps and trajectories is divided."""
        return self.M

    # log probabilities and scores ------------------------------------------------------------------------------------

    def features(self):
        S, A = self.x["state_count"], self.x["action_count"]
        given = self.x["features"]
        return np.eye(S * A).reshape(S, A, S * A) if given is None else given

    def logs(self, theta, i):
        """Log probabilities (B, M, H) and scores (B, M, H, d)."""
        s, a, here = self.x["states"][i], self.x["actions"][i], self.mask[i]
        if np.ndim(s) == 3:
            value, score = self.gaussian(
                theta, np.where(here[..., None] == 1, s, 0), np.where(here[..., None] == 1, a, 0)
            )
        else:
            s, a, Phi = np.where(here == 1, s, 0), np.where(here == 1, a, 0), self.features()
            pi = softmax(np.einsum("sad,...d->...sa", Phi, theta))
            value = np.log(pi)[..., s, a]
            score = (Phi - np.einsum("...sa,sad->...sd", pi, Phi)[..., :, None, :])[..., s, a, :]
        return value * here, score * here[..., None]

    def gaussian(self, theta, s, a):
        n, m = s.shape[-1], a.shape[-1]
        G, log = theta[..., : m * n].reshape(*theta.shape[:-1], m, n), theta[..., None, None, m * n :]
        z = (a - np.einsum("...an,mhn->...mha", G, s)) * np.exp(-log)
        by_gain = np.einsum("...mha,mhn->...mhan", z * np.exp(-log), s)
        score = np.concatenate([by_gain.reshape(*z.shape[:-1], -1), z**2 - 1], axis=-1)
        return -(z**2 / 2 + log).sum(-1), score

    # coefficients and exponents --------------------------------------------------------------------------------------

    def to_go(self, i):
        """Discounted rewards to go (M, H), discounted from their own step."""
        r, gamma = self.rewards[i], self.x["gamma"]
        G = np.zeros_like(r)
        for t in reversed(range(self.H)):
            G[:, t] = r[:, t] + (gamma * G[:, t + 1] if t + 1 < self.H else 0)
        return G

    def advantage(self, i):
        return self.discount * (self.to_go(i) - self.baseline[i])

    def reinforce(self, i):
        """Coefficients (M, J), matrix (J, H), and whether the exponential is left out."""
        return self.advantage(i), np.eye(self.H)

    def likelihood_ratio(self, i):
        return self.advantage(i), np.eye(self.H)

    def box(self):
        """Which steps a reward's product of ratios holds."""
        return np.tril(np.ones((self.H, self.H)))

    def dice(self, i):
        r, b = self.discount * self.rewards[i], self.discount * self.baseline[i]
        return np.hstack([r, b, -b]), np.vstack([self.box(), np.zeros((self.H, self.H)), np.eye(self.H)])

    def tmaml(self, i):
        r, b = self.discount * self.rewards[i], self.discount * self.baseline[i]
        past = np.tril(np.ones((self.H, self.H)), -1)
        return np.hstack([r, b, -b]), np.vstack([self.box(), past, past + np.eye(self.H)])

    def fading(self):
        lam = float(self.x["lam"])
        return np.array([[lam ** (t - k) if k <= t else 0.0 for k in range(self.H)] for t in range(self.H)])

    def loaded_dice(self, i):
        w, L = self.advantage(i), self.fading()
        return np.hstack([w, -w]), np.vstack([L, L - np.eye(self.H)])

    def ratio(self, y):
        """A product of ratios, and its slope, from the sum of their logarithms."""
        return np.exp(y), np.exp(y)

    def link(self, name, y):
        return (y, np.ones_like(y)) if name == "reinforce" else self.ratio(y)

    # the surrogates --------------------------------------------------------------------------------------------------

    def value(self, name, theta, i):
        c, L = getattr(self, name)(i)
        x = self.logs(theta, i)[0] - self.logs(self.old[None], i)[0]
        return -(c * self.link(name, x @ L.T)[0]).sum((-1, -2)) / self.count(i)

    def grad(self, name, theta, i):
        c, L = getattr(self, name)(i)
        logs, score = self.logs(theta, i)
        slope = (c * self.link(name, (logs - self.logs(self.old[None], i)[0]) @ L.T)[1]) @ L
        return -np.einsum("...mh,...mhd->...d", slope, score) / self.count(i)

    def hvp(self, name, i):
        return along(lambda t: self.grad(name, t, i), self.theta, self.v)

    def answer(self):
        parts, now = {}, self.theta[None].astype(complex)
        for name in ("reinforce", "likelihood_ratio", "dice", "tmaml", "loaded_dice"):
            rows = range(self.N)
            parts[name + "_loss"] = np.array([self.value(name, now, i)[0].real for i in rows])
            parts[name + "_grad"] = np.stack([self.grad(name, now, i)[0].real for i in rows])
            parts[name + "_hvp"] = np.stack([self.hvp(name, i) for i in rows])
        return parts
