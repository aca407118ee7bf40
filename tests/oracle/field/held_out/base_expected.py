"""Expectations over every trajectory of a small process."""

import itertools

import numpy as np

from tests.oracle.field.held_out.base_maml import Process
from tests.oracle.field.held_out.calculus import along, slopes


class Expected(Process):
    """The two objectives of sampled MAML, and expected Hessians of surrogates."""

    def __init__(self, inputs):
        self.x, self.theta, self.v = dict(inputs), inputs["theta"], inputs["v"]
        self.K, self.M, self.N, self.d = inputs["steps"], inputs["episodes"], len(inputs["P"]), len(inputs["theta"])
        self.full = inputs["R"]
        if self.full.ndim == 4:
            self.x["R"] = (inputs["P"] * self.full).sum(-1)
        self.S, self.A = self.x["R"].shape[1:]

    def trajectories(self, i):
        """The process's factor (n,), states and actions as rows s*A + a (n, H), and rewards (n, H)."""
        P, R, rho, H = self.x["P"][i], self.full[i], self.x["rho"][i], self.x["horizon"]
        weights, pairs, rewards = [], [], []
        for path in itertools.product(range(self.S), *([range(self.A), range(self.S)] * H)):
            s, a, after = path[0:-1:2], path[1::2], path[2::2]
            weights.append(rho[s[0]] * np.prod(P[s, a, after]))
            pairs.append(np.array(s) * self.A + a)
            rewards.append(R[s, a, after] if R.ndim == 3 else R[s, a])
        return np.array(weights), np.array(pairs), np.array(rewards)

    def probability(self, pi, weights, pairs):
        return weights * np.prod(pi.reshape(*pi.shape[:-2], -1)[..., pairs], axis=-1)

    def to_go(self, rewards):
        """gamma^t times the discounted reward to go."""
        r = rewards * float(self.x["gamma"]) ** np.arange(rewards.shape[1])
        return np.cumsum(r[:, ::-1], axis=1)[:, ::-1]

    def weights(self, rewards):
        """Of the scores in an inner step."""
        return self.to_go(rewards)

    def scores(self, pi, pairs):
        """(..., n, H, d)."""
        each = np.zeros((*pi.shape[:-2], self.d, self.d), complex) + np.eye(self.d)
        for s in range(self.S):
            block = slice(s * self.A, (s + 1) * self.A)
            each[..., block, block] -= pi[..., s, None, :]
        return each[..., pairs, :]

    def batches(self, n):
        """Indices of M trajectories (m, M), and how often each batch is counted."""
        rows = np.array(list(itertools.product(range(n), repeat=self.M)))
        return rows, np.ones(len(rows))

    def move(self, g):
        """The inner step of a batch's gradients (..., m, M, d)."""
        return self.x["alpha"] * g.mean(axis=-2)

    def batch_probability(self, p, rows, k):
        return np.prod(p[..., rows], axis=-1)

    def sampled(self, theta, i, k=0):
        """E[L(phi)] from step k on."""
        data, batch = [self.x[name][i] for name in self.names], theta.shape[0]
        if k == self.K:
            return self.loss(theta, data)
        weights, pairs, rewards = self.trajectories(i)
        pi, (rows, count) = self.policy(theta), self.batches(len(weights))
        g = np.einsum("nh,...nhd->...nd", self.weights(rewards), self.scores(pi, pairs))
        p = self.batch_probability(self.probability(pi, weights, pairs), rows, k) * count
        phi = theta[:, None] + self.move(g[:, rows])
        return (p * self.sampled(phi.reshape(-1, self.d), i, k + 1).reshape(batch, -1)).sum(-1)

    def exact(self, theta, i):
        data = [self.x[name][i] for name in self.names]
        for _ in range(self.K):
            theta = theta - self.x["alpha"] * self.grad(theta, data)
        return self.loss(theta, data)

    def fixed(self, i):
        """Probabilities, pairs and rewards at theta."""
        weights, pairs, rewards = self.trajectories(i)
        pi = self.policy(self.theta[None]).real[0]
        return self.probability(pi, weights, pairs), pairs, rewards, pi

    def naive(self, i):
        p, pairs, rewards, _ = self.fixed(i)
        w = self.naive_weights(rewards)
        f = lambda t: np.einsum("n,nh,...nhd->...d", p, w, self.scores(self.policy(t), pairs))
        return -along(f, self.theta, self.v)

    def naive_weights(self, rewards):
        return self.to_go(rewards)

    def ratios(self, t, old, pairs):
        """Ratios (..., n, H) and what multiplies the scores."""
        new = self.policy(t)
        return (new.reshape(*new.shape[:-2], -1) / old.reshape(-1))[..., pairs]

    def lvc(self, i):
        p, pairs, rewards, pi = self.fixed(i)
        w = self.to_go(rewards)
        f = lambda t: np.einsum(
            "n,nh,...nh,...nhd->...d", p, w, self.ratios(t, pi, pairs), self.scores(self.policy(t), pairs)
        )
        return -along(f, self.theta, self.v)

    def dice(self, i):
        data = [self.x[name][i] for name in self.names]
        return along(lambda t: self.grad(t, data), self.theta, self.v)

    def one(self, i):
        return {
            "formulation_exact": slopes(lambda t: self.exact(t, i), self.theta),
            "formulation_sampled": slopes(lambda t: self.sampled(t, i), self.theta),
            "naive_hessian": self.naive(i), "lvc_hessian": self.lvc(i), "dice_hessian": self.dice(i),
        }  # fmt: skip

    def answer(self):
        rows = [self.one(i) for i in range(self.N)]
        return {part: np.stack([row[part] for row in rows]) for part in rows[0]}
