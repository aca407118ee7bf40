"""The return of a softmax policy, its derivatives, the divergence from it, and the model of a process."""

import math

import numpy as np

from tests.oracle.field.held_out.base_maml import Process
from tests.oracle.field.held_out.calculus import along, slopes


class PolicyGradient(Process):
    """Loss, gradient, Hessian product, Fisher product, natural gradient and divergence, task by task."""

    def __init__(self, inputs):
        self.x = {**inputs, "P": np.asarray(inputs["P"]), "R": self.rewards(inputs)}
        self.theta, self.v, self.N = inputs["theta"], inputs["v"], len(inputs["P"])

    def rewards(self, x):
        """R(s, a), the mean over next states where it depends on them."""
        return (x["P"] * x["R"]).sum(-1) if x["R"].ndim == 4 else x["R"]

    def d(self, pi, data):
        """Visits, summed over time."""
        return sum(self.visits(pi, data)).real

    def fisher(self, data):
        """sum_s d E[score score^T] as a matrix."""
        pi = self.policy(self.theta[None].astype(complex)).real
        d, Phi = self.d(pi, data)[0], self.features()
        score = Phi - np.einsum("sa,sad->sd", pi[0], Phi)[:, None]
        return np.einsum("s,sa,sad,sae->de", d, pi[0], score, score)

    def natural(self, F, g):
        return np.linalg.pinv(F, rcond=1e-10, hermitian=True) @ -g

    def divergence(self, old, new, d):
        """sum_s d KL(old || new)."""
        return (d[:, None] * old * (np.log(old) - np.log(new))).sum((-1, -2))

    def divergence_grad(self, old, new, d):
        """Its slope in the new logits."""
        return d[:, None] * (new - old)

    def kl_visits(self, old, new, data):
        return self.d(old, data)[0]

    def hessian_product(self, data):
        return along(lambda t: self.grad(t, data), self.theta, self.v)

    def fisher_product(self, data):
        return self.fisher(data) @ self.v

    def one(self, i):
        data, now = [self.x[name][i] for name in self.names], self.theta[None].astype(complex)
        old, at = self.policy(now), self.theta + self.v
        d = self.kl_visits(old, self.policy(at[None].astype(complex)), data)
        old = old[0].real
        there = at[None].astype(complex)

        def kl_grad(t):
            return self.pull(self.divergence_grad(old, self.policy(t), d))

        g = self.grad(now, data)[0].real
        return {
            "loss": self.loss(now, data)[0].real, "grad": g, "hvp": self.hessian_product(data),
            "fisher": self.fisher_product(data), "natural_gradient": self.natural(self.fisher(data), g),
            "kl": self.divergence(old, self.policy(there), d)[0].real, "kl_grad": kl_grad(there)[0].real,
            "kl_hvp": self.kl_hvp(kl_grad),
        }  # fmt: skip

    def kl_hvp(self, kl_grad):
        return along(kl_grad, self.theta + self.v, self.v)

    def answer(self):
        rows = [self.one(i) for i in range(self.N)]
        return {part: np.stack([np.asarray(row[part]) for row in rows]) for part in rows[0]}


class Model(Process):
    """A Dirichlet and Gaussian model, its likelihood, and adaptation on it."""

    def __init__(self, inputs):
        self.x = inputs
        self.theta, self.K, self.N = inputs["theta"], inputs["steps"], len(inputs["P"])
        self.d = len(self.theta)
        self.C, self.m = inputs["concentration"], inputs["reward_mean"]

    def context(self, i):
        """(s, a, s', r) of every transition, in their order."""
        x = self.x
        keep = np.asarray(x["context_mask"][i]) == 1
        names = ("states", "actions", "following", "rewards")
        return list(zip(*(np.asarray(x["context_" + name][i])[keep].tolist() for name in names), strict=True))

    def counts(self, i):
        n = np.zeros(self.C.shape)
        for s, a, after, _ in self.context(i):
            n[s, a, after] += 1
        return n

    def sums(self, i):
        """Counts and sums of rewards."""
        n, total = np.zeros(self.m.shape), np.zeros(self.m.shape)
        for s, a, _, r in self.context(i):
            n[s, a] += 1
            total[s, a] += r
        return n, total

    def transition(self, i):
        c = self.C + self.counts(i)
        return c / c.sum(-1, keepdims=True)

    def reward(self, i):
        n, total = self.sums(i)
        prior, noise = 1 / self.x["reward_variance"], 1 / self.x["noise_variance"]
        return (prior * self.m + noise * total) / (prior + noise * n)

    def predictive(self, mean, variance):
        """Mean and variance of the next reward of a belief about the mean."""
        return mean, variance + self.x["noise_variance"]

    def learn(self, mean, variance, r):
        gain = variance / (variance + self.x["noise_variance"])
        return mean + gain * (r - mean), variance * (1 - gain)

    def log_marginal(self, i, C, m, log_variance):
        """One transition after another; C (B, S, A, S), m (B, S, A), log_variance (B,) broadcast."""
        C, total = np.array(C), 0
        mean, variance = np.array(m), np.exp(log_variance)[:, None, None] * np.ones(m.shape)
        for s, a, after, r in self.context(i):
            total = total + np.log(C[:, s, a, after] / C[:, s, a].sum(-1))
            at, spread = self.predictive(mean[:, s, a], variance[:, s, a])
            total = total - (np.log(2 * math.pi * spread) + (r - at) ** 2 / spread) / 2
            self.count_up(C, s, a, after)
            mean[:, s, a], variance[:, s, a] = self.learn(mean[:, s, a], variance[:, s, a], r)
        return total + np.zeros(len(C))

    def count_up(self, C, s, a, after):
        C[:, s, a, after] += 1

    def model(self, i):
        """What the inner steps see."""
        return self.transition(i), self.reward(i), self.x["rho"][i]

    def truth(self, i):
        return self.x["P"][i], self.x["R"][i], self.x["rho"][i]

    def objective(self, theta, alpha, i):
        phi, rows, data = theta, self.rows(alpha), self.model(i)
        for k in range(self.K):
            phi = self.step(phi, self.inner_grad(phi, data, k), rows[:, k], k)
        return self.loss(phi, self.truth(i))

    def concentration_grad(self, i, C, m, v):
        zero = lambda c: 0 * c[..., 0]
        return slopes(lambda c: self.log_marginal(i, np.exp(c), m + zero(c), v + zero(c)[:, 0, 0]), np.log(self.C))

    def one(self, i):
        C, m = self.C[None].astype(complex), self.m[None].astype(complex)
        v, alpha = np.log(np.array([self.x["reward_variance"]], complex)), np.asarray(self.x["alpha"], float)[None]
        return {
            "transition": self.transition(i), "reward": self.reward(i),
            "log_marginal": self.log_marginal(i, C, m, v)[0].real,
            "concentration_grad": self.concentration_grad(i, C, m, v),
            "reward_mean_grad": slopes(
                lambda t: self.log_marginal(i, C + 0 * t[..., None], t, v + 0 * t[:, 0, 0]), self.m
            ),
            "reward_variance_grad": slopes(lambda t: self.log_marginal(i, C, m, t), v.real[0]),
            "objective": self.objective(self.theta[None].astype(complex), alpha, i)[0].real,
            "gradient": slopes(lambda t: self.objective(t, alpha, i), self.theta),
        }  # fmt: skip

    def answer(self):
        rows = [self.one(i) for i in range(self.N)]
        return {part: np.stack([np.asarray(row[part]) for row in rows]) for part in rows[0]}
