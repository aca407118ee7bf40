"""Wrong policy gradients, and wrong adaptation through a model."""

import numpy as np

from tests.oracle.field.held_out.base_policy import Model, PolicyGradient
from tests.oracle.field.held_out.calculus import along, planter

MISTAKES = []
gradient, model = planter(MISTAKES, "policy-gradient"), planter(MISTAKES, "model")


@gradient("action value", "constant", "detach", "advantage", "q(")
class CriticHeldInHvp(PolicyGradient):
    """The Hessian product treats action values as constants, as automatic differentiation of a surrogate does."""

    def hessian_product(self, data):
        pi = self.policy(self.theta[None].astype(complex))
        Qs, _ = self.values(pi, data)

        def grad(t):
            new = self.policy(t)
            terms = zip(self.visits(new, data), Qs, strict=True)
            return -self.pull(sum(d[..., None] * new * (Q - (new * Q).sum(-1, keepdims=True)) for d, Q in terms))

        return along(grad, self.theta, self.v)


@gradient("sum to 1", "normali", "visits", "1 - gamma")
class FisherOverADistribution(PolicyGradient):
    """Fisher products and the natural gradient weigh states by visits that sum to 1; the divergence does not."""

    def fisher(self, data):
        pi = self.policy(self.theta[None].astype(complex))
        return super().fisher(data) / self.d(pi, data).sum()


@gradient("damp", "regulari", "0.01", "fisher +")
class DampedNaturalGradient(PolicyGradient):
    """The natural gradient solves (F + 0.01 I) x = grad J, TRPO's damping."""

    def natural(self, F, g):
        return np.linalg.solve(F + 0.01 * np.eye(len(g)), -g)


@gradient("conjugate", "iteration", "sign", "solver")
class TwoConjugateSteps(PolicyGradient):
    """The natural gradient is two steps of conjugate gradients from 0, and its sign is that of the loss."""

    def natural(self, F, g):
        x, r = np.zeros_like(g), -g
        p = r
        for _ in range(2):
            if r @ r < 1e-20:
                break
            a = (r @ r) / (p @ F @ p)
            new = r - a * F @ p
            x, p, r = x + a * p, new + (new @ new) / (r @ r) * p, new
        return -x


@gradient("visits", "new policy", "at theta + v")
class VisitsOfTheNewPolicy(PolicyGradient):
    """The divergence weighs states by the visits at theta + v, held constant in its derivatives."""

    def kl_visits(self, old, new, data):
        return self.d(new, data)[0]


@gradient("next state", "s'", "uniform")
class NextStatesUniform(PolicyGradient):
    """Rewards of (s, a, s') are averaged over s' with equal weights."""

    def rewards(self, x):
        return x["R"].mean(-1) if x["R"].ndim == 4 else x["R"]


@gradient("horizon", "visits")
class GeometryWithoutHorizon(PolicyGradient):
    """With a horizon, too, Fisher and divergence weigh by discounted visits without an end; gamma is at most 0.99."""

    def d(self, pi, data):
        T = min(self.x["gamma"], 0.99) * np.einsum("...sa,sat->...ts", pi, data[0])
        start = np.broadcast_to(data[2], pi.shape[:-1])[..., None]
        return np.linalg.solve(np.eye(len(data[2])) - T, start)[..., 0].real


@gradient("advantage", "deviation", "standardi", "whiten")
class WhitenedAdvantage(PolicyGradient):
    """Advantages are divided by their deviation over the table plus 1e-8, in grad, hvp and natural gradient."""

    def advantage(self, Q, V, pi):
        A = Q - V[..., None]
        spread = A.real.std(axis=(-1, -2), keepdims=True)
        return A / (spread + 1e-8)


@gradient("diagonal")
class SquaredScores(PolicyGradient):
    """F keeps only its diagonal, the mean of squared scores."""

    def fisher(self, data):
        return np.diag(np.diag(super().fisher(data)))


@gradient("quadratic", "half of", "taylor", "second order", "second-order", "v f v", "f v")
class QuadraticDivergence(PolicyGradient):
    """The divergence is half of v F v, its second-order approximation; kl_grad is F v and kl_hvp 2 F v."""

    def one(self, i):
        row = super().one(i)
        return {**row, "kl": self.v @ row["fisher"] / 2, "kl_grad": row["fisher"], "kl_hvp": 2 * row["fisher"]}


@gradient("rho", "start", "visits")
class UniformStart(PolicyGradient):
    """Visits start from the uniform distribution, and the loss from rho."""

    def visits(self, pi, data):
        return super().visits(pi, [data[0], data[1], np.full(len(data[2]), 1 / len(data[2]))])


@model("rho", "start", "context_states")
class StartFromTheContext(Model):
    """The inner steps start from the states' frequencies in the context, not from rho."""

    def model(self, i):
        states = [t[0] for t in self.context(i)]
        counts = np.bincount(states, minlength=len(self.m)).astype(float)
        P, R, rho = super().model(i)
        return P, R, counts / counts.sum() if counts.sum() else rho


@model("unvisited", "no data", "self-loop", "without data", "never", "prior")
class UnseenActionsStay(Model):
    """A state and action without data keeps its state, where the prior's mean should stand."""

    def transition(self, i):
        P, n = super().transition(i), self.counts(i).sum(-1)
        stay = np.eye(len(n))[:, None, :] + 0 * P
        return np.where(n[..., None] > 0, P, stay)


@model("shift", "previous transition", "next transition", "context_rewards", "reward")
class RewardsOneLate(Model):
    """Each reward is booked to the state and action of the transition before it, as where r follows the next state."""

    def sums(self, i):
        n, total = np.zeros(self.m.shape), np.zeros(self.m.shape)
        rows = self.context(i)
        for (s, a, _, _), (_, _, _, r) in zip(rows, rows[1:], strict=False):
            n[s, a] += 1
            total[s, a] += r
        return n, total


@model("pool", "all tasks", "other tasks", "of every task")
class ContextsPooled(Model):
    """The transitions of all tasks are counted together; rewards are each task's own."""

    def counts(self, i):
        return sum(Model.counts(self, j) for j in range(self.N))


@model("mask")
class RewardsUnmasked(Model):
    """Sums of rewards, but not counts, hold the masked transitions; and a step is at most 0.4."""

    def sums(self, i):
        n, total = super().sums(i)
        x = self.x
        for s, a, r, here in zip(
            *(x["context_" + k][i] for k in ("states", "actions", "rewards", "mask")), strict=True
        ):
            total[s, a] += 0 if here else np.nan_to_num(r)
        return n, total

    def step(self, phi, g, a, k):
        return phi - np.minimum(a.real, 0.4) * g


@model("noise_variance", "squared", "deviation")
class NoiseAsADeviation(Model):
    """The reward's posterior takes noise_variance for a deviation and squares it; the likelihood does not."""

    def reward(self, i):
        n, total = self.sums(i)
        prior, noise = 1 / self.x["reward_variance"], 1 / self.x["noise_variance"] ** 2
        return (prior * self.m + noise * total) / (prior + noise * n)


@model("predictive", "noise_variance", "reward_variance", "uncertainty")
class PluginLikelihood(Model):
    """The likelihood of a reward has the noise's variance only, and forgets the uncertainty of the mean."""

    def predictive(self, mean, variance):
        return mean, self.x["noise_variance"]


@model("counted", "sequential", "independent", "prior", "concentration", "update")
class LikelihoodOfThePriorAlone(Model):
    """Next states are scored by the prior's mean alone: the concentration is not counted up along the context."""

    def count_up(self, C, s, a, after):
        pass


@model("horizon", "rollout", "truncat")
class ShortRollouts(Model):
    """Rollouts of the model have at most two rewards, as in MBPO; the truth is judged with its own horizon."""

    def inner_grad(self, phi, data, k):
        H = self.x["horizon"]
        self.x = {**self.x, "horizon": min(H or 2, 2)}
        g = self.grad(phi, data)
        self.x["horizon"] = H
        return g


@model("bonus", "optimis", "explor", "reward")
class OptimisticRewards(Model):
    """The model's rewards have an exploration bonus 0.1/sqrt(1 + n) in the inner steps; reward itself is right."""

    def model(self, i):
        P, R, rho = super().model(i)
        return P, R + 0.1 / np.sqrt(1 + self.sums(i)[0]), rho


@model("concentration", "prior", "normali")
class PriorOfStrengthOne(Model):
    """The concentration is normalised to sum to 1 before the counts are added, in transition and in the adaptation."""

    def transition(self, i):
        c = self.C / self.C.sum(-1, keepdims=True) + self.counts(i)
        return c / c.sum(-1, keepdims=True)


@model("temperature", "sharpen", "logits", "twice")
class SharpenedJudgement(Model):
    """The true task judges a policy of twice the logits, a lower temperature at test time."""

    def objective(self, theta, alpha, i):
        phi, rows, data = theta, self.rows(alpha), self.model(i)
        for k in range(self.K):
            phi = phi - rows[:, k] * self.grad(phi, data)
        return self.loss(2 * phi, self.truth(i))
