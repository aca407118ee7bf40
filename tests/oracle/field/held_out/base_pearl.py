"""One training step of PEARL, its gradients by complex steps through what is not held fixed."""

import numpy as np

from tests.oracle.field.held_out.base_maml import softmax
from tests.oracle.field.held_out.calculus import slopes


class Pearl:
    """Belief, critic, actor, temperature and encoder, task by task."""

    def __init__(self, inputs):
        self.x = inputs
        self.S, self.A, self.Z = inputs["critic"].shape[0], inputs["critic"].shape[1], inputs["noise"].shape[1]
        self.N, self.tau = len(inputs["noise"]), float(np.exp(inputs["log_temperature"]))
        self.gamma, self.beta = inputs["gamma"], inputs["beta"]

    # the belief ------------------------------------------------------------------------------------------------------

    def context(self, i):
        """Rows of states, actions, rewards and next states of the context."""
        x, keep = self.x, np.asarray(self.x["context_mask"][i]) == 1
        return [np.asarray(x["context_" + name][i])[keep] for name in ("states", "actions", "rewards", "following")]

    def psi(self, s, a, r, after):
        """Features (c, F)."""
        where = np.hstack([np.eye(self.S * self.A)[s * self.A + a], np.eye(self.S)[after]])
        return np.hstack([np.ones((len(s), 1)), where, r[:, None] * where])

    def spread(self, raw):
        """A factor's variance from the encoder's second output."""
        return np.exp(raw)

    def prior(self, shape, count):
        """Means and variances of the prior's factors."""
        return np.zeros(shape), np.ones(shape), self.x["prior_factors"]

    def belief(self, i, W, U):
        """Mean and variance (B, Z) for encoders W, U (B, Z, F)."""
        psi = self.psi(*self.context(i))
        mean, variance = np.einsum("...zf,cf->...cz", W, psi), self.spread(np.einsum("...zf,cf->...cz", U, psi))
        return self.product(mean, variance, self.prior((*mean.shape[:-2], self.Z), len(psi)))

    def product(self, mean, variance, prior):
        m0, v0, count = prior
        precision = (1 / variance).sum(-2) + count / v0
        return ((mean / variance).sum(-2) + count * m0 / v0) / precision, 1 / precision

    def kl(self, mean, variance):
        return (variance + mean**2 - 1 - np.log(variance)).sum(-1) / 2

    def draw(self, mean, variance, noise):
        return mean + np.sqrt(variance) * noise

    # actor and critic ------------------------------------------------------------------------------------------------

    def at(self, weights, states, z):
        """w[s, a] . [1, z] of every action: (..., n, A)."""
        w = weights[..., states, :, :]
        return w[..., 0] + np.einsum("...naz,...z->...na", w[..., 1:], z)

    def policy(self, weights, states, z):
        return softmax(self.at(weights, states, z))

    def batch(self, i, *names):
        keep = np.asarray(self.x["mask"][i]) == 1
        return [np.asarray(self.x[name][i])[keep] for name in names]

    def mean(self, rows, i):
        """Over the transitions of the batch."""
        return rows.sum(-1) / rows.shape[-1]

    def target_values(self, following, z):
        return self.at(self.x["target_critic"], following, z)

    def soft_value(self, pi, Q):
        return (pi * (Q - self.tau * np.log(pi))).sum(-1)

    def future(self, V, terminal):
        return self.gamma * (1 - terminal) * V

    def y(self, i, z):
        """Targets (..., n)."""
        r, terminal, after = self.batch(i, "rewards", "terminal", "following")
        pi = self.policy(self.x["policy"], after, z)
        return r + self.future(self.soft_value(pi, self.target_values(after, z)), terminal)

    def critic_loss(self, i, critic, z, y):
        s, a = self.batch(i, "states", "actions")
        Q = np.take_along_axis(self.at(critic, s, z), np.broadcast_to(a[:, None], (*z.shape[:-1], len(a), 1)), -1)[
            ..., 0
        ]
        return self.mean((Q - y) ** 2, i) / 2

    def actor_values(self, states, z):
        return self.at(self.x["critic"], states, z)

    def actor_loss(self, i, policy, z):
        (s,) = self.batch(i, "states")
        pi = self.policy(policy, s, z)
        return self.mean((pi * (self.tau * np.log(pi) - self.actor_values(s, z))).sum(-1), i)

    def temperature_loss(self, i, log, z):
        return np.exp(log) * (self.entropy(i, z) - self.x["target_entropy"])

    def entropy(self, i, z):
        (s,) = self.batch(i, "states")
        pi = self.policy(self.x["policy"], s, z)
        return self.mean(-(pi * np.log(pi)).sum(-1), i)

    def encoder_loss(self, i, W, U, y):
        mean, variance = self.belief(i, W, U)
        z = self.draw(mean, variance, self.x["noise"][i])
        return self.latent_loss(i, z, y) + self.beta * self.kl(mean, variance)

    def latent_loss(self, i, z, y):
        """What the encoder learns from, through z."""
        return self.critic_loss(i, self.x["critic"], z, y)

    # the parts -------------------------------------------------------------------------------------------------------

    def one(self, i):
        W, U = (self.x[name][None].astype(complex) for name in ("encoder_mean", "encoder_log_variance"))
        mean, variance = self.belief(i, W, U)
        z = self.draw(mean, variance, self.x["noise"][i])
        y = self.y(i, z)
        many = lambda t, a: np.broadcast_to(a, (len(t), a.shape[-1]))
        log = np.array(self.x["log_temperature"], float)
        return {
            "mean": mean[0].real, "variance": variance[0].real, "kl": self.kl(mean, variance)[0].real, "z": z[0].real,
            "critic_loss": self.critic_loss(i, self.x["critic"], z, y)[0].real,
            "critic_grad": slopes(lambda t: self.critic_loss(i, t, many(t, z.real), y.real), self.x["critic"]),
            "actor_loss": self.actor_loss(i, self.x["policy"], z)[0].real,
            "actor_grad": slopes(lambda t: self.actor_loss(i, t, many(t, z.real)), self.x["policy"]),
            "temperature_loss": self.temperature_loss(i, log, z)[0].real,
            "temperature_grad": slopes(lambda t: self.temperature_loss(i, t, z.real), log),
            "encoder_mean_grad": slopes(lambda t: self.encoder_loss(i, t, U.real, y.real), self.x["encoder_mean"]),
            "encoder_log_variance_grad": slopes(
                lambda t: self.encoder_loss(i, W.real, t, y.real), self.x["encoder_log_variance"]
            ),
        }  # fmt: skip

    def answer(self):
        rows = [self.one(i) for i in range(self.N)]
        return {part: np.stack([np.asarray(row[part]) for row in rows]) for part in rows[0]}
