"""The suite pearl, written once more; every method can be written wrongly."""

from typing import Any

import numpy as np

from tests.oracle.field.small_autograd import V, concat, einsum, exp, grad, lift, log, log_softmax, stop, total

__all__ = ["Pearl"]


class Pearl:
    """One task after the other."""

    noise: Any
    gamma: float
    beta: float
    target_entropy: float
    prior_factors: int
    target_critic: Any

    def __init__(self, **inputs: Any) -> None:
        self.__dict__.update(inputs)
        self.every = inputs
        self.S, self.A = inputs["critic"].shape[:2]
        self.Z, self.N = len(inputs["encoder_mean"]), len(inputs["noise"])

    def use(self, i: int) -> None:
        """Read a task, and make leaves of the weights."""
        x, self.task = self.every, i
        keep, names = (x["context_mask"][i].astype(bool), ("states", "actions", "rewards", "following"))
        self.c_s, self.c_a, self.c_r, self.c_after = (x[f"context_{name}"][i][keep] for name in names)
        keep = self.batch_mask(x["mask"][i].astype(bool))
        self.s, self.a, self.r, self.after, self.end = (x[k][i][keep] for k in (*names, "terminal"))
        self.count, self.eps = self.batch_count(), x["noise"][i]
        self.critic, self.policy, self.log_tau = (V(x[k], leaf=True) for k in ("critic", "policy", "log_temperature"))
        self.W_mean, self.W_log = (V(x[k], leaf=True) for k in ("encoder_mean", "encoder_log_variance"))

    def batch_mask(self, keep: Any) -> Any:
        """Which transitions of the batch are used."""
        return keep

    def batch_count(self) -> float:
        """The number of transitions in a mean."""
        return len(self.s)

    def features(self) -> Any:
        """ψ of the context's transitions."""
        n = len(self.c_s)
        pair, after = np.zeros((n, self.S * self.A)), np.zeros((n, self.S))
        pair[np.arange(n), self.pair(self.c_s, self.c_a)] = 1
        after[np.arange(n), self.c_after] = 1
        r = self.c_r[:, None]
        return np.concatenate([np.ones((n, 1)), pair, after, r * pair, r * after], axis=1)

    def pair(self, s: Any, a: Any) -> Any:
        """The entry of a state and action."""
        return s * self.A + a

    def factors(self) -> tuple[V, V]:
        """Means and log variances, (n, Z)."""
        psi = self.features()
        return einsum("nf,zf->nz", psi, self.W_mean), einsum("nf,zf->nz", psi, self.W_log)

    def belief(self) -> tuple[V, V]:
        """Mean and variance of the product."""
        mean, logs = self.factors()
        precision = exp(-logs)
        whole = total(precision, (0,)) + float(self.prior_factors)
        return total(precision * mean, (0,)) / whole, 1 / whole

    def sample(self, mean: V, variance: V) -> V:
        """z."""
        return mean + variance**0.5 * self.eps

    def kl(self, mean: V, variance: V) -> V:
        """KL(belief ‖ N(0, I))."""
        return total(variance + mean**2 - 1 - log(variance)) / 2

    def at(self, w: Any, s: Any, z: V) -> V:
        """w[s, a]·[1, z], (n, A)."""
        return einsum("nak,k->na", lift(w)[s], concat([V([1.0]), z]))

    def tau(self) -> V:
        """The temperature."""
        return exp(self.log_tau)

    def log_pi(self, s: Any, z: V) -> V:
        """ln π(·|s, z)."""
        return log_softmax(self.at(self.policy, s, z))

    def soft_value(self, s: Any, z: V) -> V:
        """Σ π (Q̄ − τ ln π)."""
        logs = self.log_pi(s, z)
        return total(exp(logs) * (self.at(self.target_critic, s, z) - self.tau() * logs), (-1,))

    def target(self, z: V) -> V:
        """y."""
        return self.r + self.gamma * (1 - self.end) * self.soft_value(self.after, z)

    def error(self, z: V, y: V) -> V:
        """Q − y."""
        return self.at(self.critic, self.s, z)[np.arange(len(self.s)), self.a] - y

    def critic_loss(self, z: V, y: V) -> V:
        """½ mean (Q − y)²."""
        return total(self.error(z, y) ** 2) / (2 * self.count)

    def actor_loss(self, z: V) -> V:
        """mean Σ π (τ ln π − Q)."""
        logs = self.log_pi(self.s, z)
        return total(exp(logs) * (self.tau() * logs - self.at(self.critic, self.s, z))) / self.count

    def temperature_loss(self, z: V) -> V:
        """τ (mean entropy − target)."""
        logs = stop(self.log_pi(self.s, z))
        return self.tau() * (-total(exp(logs) * logs) / self.count - self.target_entropy)

    def encoder_loss(self, mean: V, variance: V, z: V, y: V) -> V:
        """The critic's loss through z, and β KL."""
        return self.critic_loss(z, y) + self.beta * self.kl(mean, variance)

    def one(self) -> dict[str, V]:
        """Every part of a task."""
        mean, variance = self.belief()
        z = self.sample(mean, variance)
        y, held = stop(self.target(z)), stop(z)
        critic, actor, heat = (self.critic_loss(held, y), self.actor_loss(held), self.temperature_loss(held))
        encoder = grad(self.encoder_loss(mean, variance, z, y), [self.W_mean, self.W_log])
        return {
            "mean": mean, "variance": variance, "kl": self.kl(mean, variance), "z": z,
            "critic_loss": critic, "critic_grad": grad(critic, [self.critic])[0],
            "actor_loss": actor, "actor_grad": grad(actor, [self.policy])[0],
            "temperature_loss": heat, "temperature_grad": grad(heat, [self.log_tau])[0],
            "encoder_mean_grad": encoder[0], "encoder_log_variance_grad": encoder[1],
        }  # fmt: skip

    def answer(self) -> dict[str, Any]:
        """Every part, task after task."""
        rows = []
        for i in range(self.N):
            self.use(i)
            rows.append(self.one())
        return {name: np.stack([row[name].data for row in rows]) for name in rows[0]}


def right(**inputs: Any) -> dict[str, Any]:
    """The right answer."""
    return Pearl(**inputs).answer()
